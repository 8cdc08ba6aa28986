"""Plain files that survive a kill at any moment: JSON by atomic rename, checkpoints with digests, append-only logs.

Nothing here is pickled: tensors are safetensors files, everything else is JSON.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from suite.errors import UserError
from suite.results.json_files import read_json, write_json
from suite.run.state_tree import flattened, nested

KEPT_CHECKPOINTS = 2  # the newest, and the one before it to fall back to
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Checkpoint(NamedTuple):
    """A state that training can continue from, and what the suite itself had counted by then."""

    state: dict[str, Any]
    log: Iterator[Tensor]  # segment by segment, to be read once
    counters: dict[str, Any]


def save_checkpoint(
    folder: Path, name: str, state: dict[str, Any], log: Tensor | None, counters: dict[str, Any]
) -> None:
    """Write a checkpoint called `name` below `folder`; it appears whole or not at all.

    Of the append-only `log` only the rows since the last segment are written.

    Raises:
        OSError: it cannot be written, as on a full disk; what there was of it is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0 if log is None else len(log)
    _append_segment(folder.parent / "log", log)
    tensors, plain = flattened(state)
    scratch = folder / f".{name}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir()
        _save_tensors(tensors, scratch / "state.safetensors")
        digest = _digest(scratch / "state.safetensors")
        document = {"plain": plain, "counters": counters, "log_rows": rows, "sha256": digest}
        write_json(scratch / "state.json", document)
        for path in scratch.iterdir():
            _sync(path)
        final = folder / name
        shutil.rmtree(final, ignore_errors=True)
        scratch.replace(final)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    _sync(folder)


def newest_checkpoint(folder: Path) -> tuple[str | None, list[str]]:
    """The name of the newest whole checkpoint, or None, and a sentence for each damaged one that was passed over."""
    faults: list[tuple[str, str]] = []
    newest = None
    for name in reversed(checkpoint_names(folder)):
        fault = _fault(folder, name)
        if fault is None:
            newest = name
            break
        faults.append((name, fault))
    instead = "training starts again" if newest is None else f"checkpoint {newest} is used"
    return newest, [f"checkpoint {name} is damaged ({fault}); {instead}" for name, fault in faults]


def checkpoint_names(folder: Path) -> list[str]:
    """All checkpoint names, oldest first."""
    return sorted(path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))


def load_checkpoint(folder: Path, name: str, device: torch.device) -> Checkpoint:
    """The checkpoint called `name`.

    Raises:
        UserError: it is damaged.
    """
    fault = _fault(folder, name)
    if fault is not None:
        raise UserError(
            f"checkpoint {folder / name} is damaged ({fault}); delete it to use the one before it, or delete "
            f"{folder.parent} and run again to train anew"
        )
    document = read_json(folder / name / "state.json")
    tensors = load_file(folder / name / "state.safetensors", device=str(device))
    rows = document["log_rows"]
    return Checkpoint(nested(tensors, document["plain"]), _log(folder.parent / "log", rows), document["counters"])


def _log(folder: Path, rows: int) -> Iterator[Tensor]:
    """The first `rows` rows of a log, one segment at a time: a replay of gigabytes is never held twice."""
    for path, start, _ in _segments(folder):
        if start < rows:
            yield load_file(path)["rows"][: rows - start]


def discard_after(folder: Path, name: str | None) -> None:
    """Remove the checkpoints after the one called `name` (None: all), which a continued training writes again."""
    for later in checkpoint_names(folder):
        if name is None or later > name:
            shutil.rmtree(folder / later)


def discard_partials(folder: Path) -> None:
    """Remove the checkpoints and log segments of a training folder that a killed process had only begun to write."""
    for path in (*folder.glob("checkpoints/.*.partial"), *folder.glob("log/.*.partial")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def discard_log_after(folder: Path, rows: int) -> None:
    """Remove log segments that end beyond `rows`, which a continued training writes again.

    Raises:
        UserError: a segment straddles `rows`, so the folder does not belong to the checkpoint.
    """
    for path, start, end in _segments(folder):
        if end > rows:
            if start < rows:
                raise UserError(f"{path}: holds rows {start} to {end}, the checkpoint ends at {rows}; delete the run")
            path.unlink()


def prune_checkpoints(folder: Path, keep: set[str]) -> None:
    """Delete all but the newest two checkpoints and those in `keep`."""
    for name in checkpoint_names(folder)[:-KEPT_CHECKPOINTS]:
        if name not in keep:
            shutil.rmtree(folder / name)


def _append_segment(folder: Path, log: Tensor | None) -> None:
    if log is None:
        return
    folder.mkdir(exist_ok=True)
    written = max((end for _, _, end in _segments(folder)), default=0)
    if len(log) > written:
        path = folder / f"{written:012d}-{len(log):012d}.safetensors"
        scratch = path.with_name(f".{path.name}.partial")
        try:
            rows = log[written:].detach().cpu().contiguous()
            _save_tensors({"rows": rows}, scratch, {"sha256": _digest_of(rows)})
            _sync(scratch)
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
        _sync(folder)


def _save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whose library hides what the system said in the text of an error of its own."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        number = int(code.group(1))
        raise OSError(number, os.strerror(number), str(path)) from error
    path.chmod(path.parent.stat().st_mode & 0o666)  # the library lets nobody else read it, whatever the umask says


def _segments(folder: Path) -> list[tuple[Path, int, int]]:
    """Path, first row and end of each segment of a log, in order."""
    paths = [path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith(".")]
    bounds = [map(int, path.stem.split("-")) for path in paths]
    return [(path, start, end) for path, (start, end) in zip(paths, bounds)]


def _rows_in(path: Path) -> int:
    """Rows of a segment.

    Raises:
        SafetensorError: it is cut, or its rows are not those that were written.
    """
    with safe_open(path, framework="pt") as segment:
        rows, written = segment.get_tensor("rows"), segment.metadata()
    if written is not None and _digest_of(rows) != written["sha256"]:
        raise SafetensorError("its rows do not match their digest")
    return len(rows)


def _fault(folder: Path, name: str) -> str | None:
    """Why a checkpoint cannot be used, or None."""
    try:
        document = read_json(folder / name / "state.json")
        rows = document["log_rows"]
        if _digest(folder / name / "state.safetensors") != document["sha256"]:
            return "its tensors do not match their digest"
        return _log_fault(folder.parent / "log", rows)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    except (KeyError, TypeError):
        return "its state.json is not that of a checkpoint"


def _log_fault(folder: Path, rows: int) -> str | None:
    """Why the log does not hold `rows` rows, or None."""
    covered = 0
    for path, start, end in _segments(folder):
        if covered >= rows:
            break
        try:
            whole = start == covered and _rows_in(path) == end - start
        except (OSError, SafetensorError) as error:
            return f"log segment {path.name} cannot be read: {error}"
        if not whole:
            return f"log segment {path.name} does not follow the one before it"
        covered = end
    return None if covered >= rows else f"the log holds {covered} of its {rows} rows"


def _digest_of(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().data).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
