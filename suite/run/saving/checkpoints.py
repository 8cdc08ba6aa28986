"""Plain files that survive a kill at any moment: JSON by atomic rename, checkpoints with digests, append-only logs.

Nothing here is pickled: tensors are safetensors files, everything else is JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from suite.errors import UserError
from suite.results.json_files import read_json, set_aside, write_json
from suite.results.shapes import is_count, is_mapping
from suite.run.saving.log_segments import append_segment, log_fault, log_rows
from suite.run.saving.state_tree import flattened, nested
from suite.run.saving.steady_files import digest_of_file, save_tensors, steady, sync

KEPT_CHECKPOINTS = 2  # the newest, and the one before it to fall back to
NAME = re.compile(r"[0-9]{12,18}")
FILES = ("state.safetensors", "state.json")


class Checkpoint(NamedTuple):
    """A state that training can continue from, and what the suite itself had counted by then."""

    state: dict[str, Any]
    log: Iterator[Tensor]  # segment by segment, to be read once
    counters: dict[str, Any]


def save_checkpoint(
    folder: Path, name: str, state: dict[str, Any], log: Tensor | None, counters: dict[str, Any]
) -> None:
    """Write a checkpoint called `name`, env steps in 12 digits, below `folder`; it appears whole or not at all.

    Of the append-only `log` only the rows since the last segment are written.

    Raises:
        OSError: it cannot be written, as on a full disk; what there was of it is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0 if log is None else len(log)
    append_segment(folder.parent / "log", log)
    tensors, plain = flattened(state)
    scratch = folder / f".{name}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir()
        save_tensors(tensors, scratch / "state.safetensors")
        digest = digest_of_file(scratch / "state.safetensors")
        document = {"plain": plain, "counters": counters, "log_rows": rows, "sha256": digest}
        write_json(scratch / "state.json", document | {"document_sha256": _digest_of(document)})
        for path in scratch.iterdir():
            sync(path)
        final = folder / name
        if os.path.lexists(final):
            set_aside(final)
        scratch.replace(final)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    sync(folder)


def checkpoint_names(folder: Path) -> list[str]:
    """All checkpoint names, oldest first; what has another name is not ours."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted((name for name in os.listdir(folder) if NAME.fullmatch(name)), key=int)
    return []


def load_checkpoint(folder: Path, name: str, device: torch.device, like: Any = None) -> Checkpoint:
    """The checkpoint called `name`, for a learner whose state is `like` that; None for any.

    Raises:
        UserError: it is damaged, it is of another learner, or the disk does not answer. Nothing large is read before.
    """
    fault = checkpoint_fault(folder, name)
    if fault is not None:
        raise UserError(
            f"checkpoint {folder / name} is damaged ({fault}); put a whole copy back, or move it away to use the one "
            "before it"
        )
    tensors_file = folder / name / "state.safetensors"
    document = read_document(folder, name)
    if like is not None:
        _refuse_other_shapes(tensors_file, flattened(like)[0])
    tensors = steady(lambda: load_file(tensors_file, device=str(device)), tensors_file)
    rows = log_rows(folder.parent / "log", document["log_rows"])
    return Checkpoint(nested(tensors, document["plain"]), rows, document["counters"])


def _refuse_other_shapes(path: Path, expected: dict[str, Tensor]) -> None:
    """Nothing, if the weights in a file have the shapes of those that are expected under the same names.

    Tables of whole numbers may have grown since.

    Raises:
        UserError: some have not; only the file's head was read.
    """
    with safe_open(path, framework="pt") as file:
        for name in sorted(set(file.keys()) & expected.keys()):
            saved, built = list(file.get_slice(name).get_shape()), list(expected[name].shape)
            if expected[name].is_floating_point() and saved != built:
                raise UserError(
                    f"checkpoint {path.parent} is not of the training that its config.json describes: {name} has the "
                    f"shape {saved}, and {built} by the configuration; put a whole copy of the folder back, or train "
                    "anew with another --out"
                )


def read_document(folder: Path, name: str) -> dict[str, Any]:
    """All of a whole checkpoint but its tensors.

    Raises:
        UserError: the disk does not answer.
    """
    path = folder / name / "state.json"
    return dict(steady(lambda: read_json(path), path))


def checkpoint_fault(folder: Path, name: str) -> str | None:
    """Why a checkpoint cannot be used, or None.

    Raises:
        UserError: the disk does not answer, so that it cannot be told.
    """
    try:
        return steady(lambda: _fault(folder, name), folder / name)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:  # a link that leads nowhere, a folder, another kind of file, no JSON
        return f"it cannot be read: {error}"


def _fault(folder: Path, name: str) -> str | None:
    if not stat.S_ISDIR((folder / name).stat().st_mode):
        return "it is no folder"
    document = read_json(folder / name / "state.json")
    declared = is_mapping(document) and is_count(document.get("log_rows")) and is_mapping(document.get("counters"))
    if not declared or not is_mapping(document.get("plain")) or "sha256" not in document:
        return "its state.json is not that of a checkpoint"
    expected = document.pop("document_sha256", None)  # checkpoints of before 2026-12 have none
    if expected is not None and _digest_of(document) != expected:
        return "its state.json does not match its digest"
    if document.keys() != {"plain", "counters", "log_rows", "sha256"}:
        return "its state.json is not that of a checkpoint"
    if digest_of_file(folder / name / "state.safetensors") != document["sha256"]:
        return "its tensors do not match their digest"
    return log_fault(folder.parent / "log", document["log_rows"])


def _digest_of(document: dict[str, Any]) -> str:
    """SHA-256 of a JSON document, however it is laid out."""
    as_read = json.loads(json.dumps(document))  # whose keys are texts, and sorted as such
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def prune_checkpoints(folder: Path, keep: set[str]) -> None:
    """Delete all but the newest two checkpoints and those in `keep`."""
    for name in checkpoint_names(folder)[:-KEPT_CHECKPOINTS]:
        if name not in keep:
            _remove(folder / name)


def _remove(checkpoint: Path) -> None:
    """Delete the files of a checkpoint, and its folder; where somebody has put more into it, that is set aside."""
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        set_aside(checkpoint)
        return
    try:
        for name in FILES:
            (checkpoint / name).unlink(missing_ok=True)
        checkpoint.rmdir()
    except OSError:
        set_aside(checkpoint)
