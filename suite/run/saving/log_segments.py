"""The append-only log of a training: segments `FIRST-END.safetensors`, each with the digest of its rows."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from suite.results.json_files import DamagedFile
from suite.run.saving.steady_files import raise_what_the_system_said, require_regular, save_tensors, steady, sync

NAME = re.compile(r"([0-9]{12,18})-([0-9]{12,18})\.safetensors")


class Segment(NamedTuple):
    """Rows `start` to `end` of a log, and where they are."""

    path: Path
    start: int
    end: int


def segments(folder: Path) -> list[Segment]:
    """The segments of a log in order, by their names; files of other names are somebody else's."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        matches = map(NAME.fullmatch, sorted(os.listdir(folder)))
        return [Segment(folder / match[0], int(match[1]), int(match[2])) for match in matches if match]
    return []


def append_segment(folder: Path, log: Tensor | None) -> None:
    """Write the rows of `log` (row, width) that no segment holds yet.

    Raises:
        OSError: they cannot be written; what there was of them is gone.
    """
    if log is None:
        return
    folder.mkdir(exist_ok=True)
    written = max((segment.end for segment in segments(folder)), default=0)
    if len(log) > written:
        path = folder / f"{written:012d}-{len(log):012d}.safetensors"
        scratch = path.with_name(f".{path.name}.partial")
        try:
            rows = log[written:].detach().cpu().contiguous()
            save_tensors({"rows": rows}, scratch, {"sha256": _digest_of(rows), "segment": path.stem})
            sync(scratch)
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
        sync(folder)


def log_rows(folder: Path, rows: int) -> Iterator[Tensor]:
    """The first `rows` rows of a log, one segment at a time: a replay of gigabytes is never held twice.

    Raises:
        UserError: the disk does not answer.
    """
    for path, start, _ in segments(folder):
        if start < rows:
            yield steady(partial(load_file, path), path)["rows"][: rows - start]


def log_fault(folder: Path, rows: int) -> str | None:
    """Why the log does not hold `rows` rows in whole segments, or None.

    Raises:
        OSError: the disk does not answer.
    """
    covered = 0
    for path, start, end in segments(folder):
        if covered >= rows:
            break
        try:
            whole = start == covered and _rows_in(path) == end - start
        except (DamagedFile, FileNotFoundError, IsADirectoryError, SafetensorError) as error:
            return f"log segment {path.name} cannot be read: {error}"
        if not whole:
            return f"log segment {path.name} does not follow the one before it"
        covered = end
    if covered > rows:
        return f"the log has no segment that ends at its {rows} rows"
    return None if covered == rows else f"the log holds {covered} of its {rows} rows"


def _rows_in(path: Path) -> int:
    """Rows of a segment.

    Raises:
        OSError: the disk does not answer.
        DamagedFile: it is no ordinary file.
        SafetensorError: it is cut, its rows are not those that were written, or it is another segment.
    """
    try:
        with safe_open(require_regular(path), framework="pt") as segment:
            rows, written = segment.get_tensor("rows"), segment.metadata()
    except SafetensorError as error:
        raise_what_the_system_said(error, path)
        raise
    if written is not None and _digest_of(rows) != written.get("sha256"):
        raise SafetensorError("its rows do not match their digest")
    if written is not None and written.get("segment", path.stem) != path.stem:  # those of before 2026-12 do not say
        raise SafetensorError(f"it holds segment {written['segment'][:40]}")
    return len(rows)


def _digest_of(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().data).hexdigest()
