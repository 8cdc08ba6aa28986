"""TensorBoard event files of a training that is under way, where they are asked for: `tensorboard: true`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.results.metrics import read_metrics

FOLDER = "tensorboard"
"""Below a training's folder; it is no result, and may be deleted at any time."""

PLACE = ("env_steps", "iteration", "seconds")
"""Fields of a line of metrics that say where it stands."""

Write = Callable[[Mapping[str, Any]], None]


def require_tensorboard() -> Any:
    """The module that writes event files.

    Raises:
        UserError: tensorboard is not installed.
    """
    try:
        return import_module("tensorboard.summary")
    except ImportError as error:
        raise UserError(
            f"tensorboard: true needs tensorboard, which is not installed ({error}): "
            "pip install 'offmap[tensorboard]', or leave it out and use `offmap export --tensorboard` later"
        ) from error


@contextmanager
def event_files(folder: Path, wanted: bool) -> Iterator[Write]:
    """What takes every line of metrics as it is written; it does nothing where event files are not wanted.

    Event files are made anew from the lines that `metrics.jsonl` already holds, so that a training that was killed
    and continued shows each iteration once.

    Args:
        folder: The training's.
        wanted: Whether there are to be event files.
    """
    if not wanted:
        yield lambda line: None
        return
    summary = require_tensorboard()
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    writer = summary.Writer(str(folder / FOLDER))

    def write(line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name not in PLACE and value is not None:
                writer.add_scalar(f"training/{name}", value, line["env_steps"])
        writer.flush()

    try:
        for line in read_metrics(folder / "metrics.jsonl")[0]:
            write(line)
        yield write
    finally:
        writer.close()
