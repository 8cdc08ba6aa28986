"""Results for other tools: plain CSV, TensorBoard event files, and offline Weights & Biases runs.

Each is a few lines on a library of its own, which is asked for only here; none needs an account or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.formats import write_csv
from reports.numbers.tables import run_table
from reports.reading.files import file_name
from reports.results import Results, named_rows
from reports.returns import seed_means
from suite.errors import UserError

META_TEST = ["training", "variant", "split", "task_list", "phase", "env_steps", "seed"]


def scalars(results: Results) -> pd.DataFrame:
    """Every curve of every meta-training: what it logged, and its meta-tests, against environment steps.

    Columns: training, seed, tag (such as "training/return" or "mier/cheetah-velocity.hard/test/after"), env_steps,
    wall_seconds (since the training began; 0 where not recorded), value (finite).
    """
    logged = results.metrics.assign(tag="training/" + results.metrics["name"].astype(str))
    records = results.records
    tests = seed_means(records[records["phase"].isin(["before", "after"])], META_TEST)
    tags = ["/".join((row.variant, row.split, row.task_list, row.phase)) for row in named_rows(tests)]
    tests = tests.assign(tag=tags, wall_seconds=0.0)
    columns = ["training", "seed", "tag", "env_steps", "wall_seconds", "value"]
    both = pd.concat([frame[columns] for frame in (logged, tests) if len(frame)] or [pd.DataFrame(columns=columns)])
    both = both[np.isfinite(both["value"].astype(float))]
    return both.sort_values(["training", "env_steps", "tag"], ignore_index=True)


def _logs(results: Results) -> Iterator[tuple[str, pd.DataFrame]]:
    """The name and the scalars of each meta-training; names are safe as names of files."""
    for (training, seed), rows in scalars(results).groupby(["training", "seed"], sort=True):
        variants = sorted(set(results.records.loc[results.records["training"] == training, "variant"]))
        yield file_name(f"{'+'.join(variants) or 'training'}-seed{seed}-{training}"), rows


def to_csv(results: Results, out: Path) -> None:
    """Records, per-seed results, diagnostics, training metrics and runs as CSV files below `out`."""
    for name, frame in (
        ("records", results.records),
        ("seeds", results.seeds),
        ("diagnostics", results.diagnostics),
        ("metrics", results.metrics),
        ("runs", run_table(results)),
    ):
        write_csv(frame, out / f"{name}.csv")


def to_tensorboard(results: Results, out: Path) -> None:
    """Event files below `out`, a folder per meta-training: `tensorboard --logdir OUT` shows them."""
    summary = library("tensorboard.summary", "tensorboard")
    for name, rows in _logs(results):
        writer = summary.Writer(str(out / name))
        for row in named_rows(rows):
            writer.add_scalar(row.tag, row.value, int(row.env_steps), wall_time=float(row.wall_seconds))
        writer.close()


def to_wandb(results: Results, out: Path) -> None:
    """Offline Weights & Biases runs below `out`, one per meta-training; `wandb sync` uploads them."""
    wandb = library("wandb", "wandb")
    for name, rows in _logs(results):
        settings = wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True)
        run = wandb.init(project="offmap", name=name, dir=str(out), mode="offline", settings=settings)
        for _, part in rows.groupby("env_steps", sort=True):
            run.log(dict(zip(part["tag"], part["value"])), step=int(part["env_steps"].iloc[0]))
        run.finish()


FORMATS: dict[str, Callable[[Results, Path], None]] = {
    "csv": to_csv,
    "tensorboard": to_tensorboard,
    "wandb": to_wandb,
}


def library(module: str, extra: str) -> Any:
    """A library that offmap does not depend on.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"this needs {extra}, which is not installed ({error}): pip install 'offmap[{extra}]'"
        ) from error


def export(results: Results, formats: list[str], out: Path) -> list[Path]:
    """Write the results below `out` in each of the formats, in a folder of its name; the folders written.

    Raises:
        UserError: a library is missing, or one of the folders is there already.
    """
    for name in formats:
        if (out / name).exists() or (out / name).is_symlink():
            raise UserError(f"{out / name} is there already; choose another place with --out, or delete it")
    if out.is_symlink():
        raise UserError(f"{out} is a link, and nothing is written through one; choose another place with --out")
    for name in formats:
        if name != "csv":
            library(name, name)
    for name in formats:
        (out / name).mkdir(parents=True)
        FORMATS[name](results, out / name)
    return [out / name for name in formats]
