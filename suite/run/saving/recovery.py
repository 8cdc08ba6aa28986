"""Where a training continues after whatever happened: its newest whole checkpoint, with all else out of the way.

Nothing is deleted but what a kill leaves half written, and the one segment of the log that it leaves without a
checkpoint. What is damaged, and what came after the checkpoint that is used instead, is set aside under another name;
what is not ours is left alone and named.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path

from suite.errors import UserError, shortened
from suite.results.json_files import set_aside
from suite.run.saving.checkpoints import NAME, checkpoint_fault, checkpoint_names, read_document
from suite.run.saving.log_segments import NAME as SEGMENT
from suite.run.saving.log_segments import segments
from suite.run.saving.steady_files import steady

PARTIAL = re.compile(rf"\.({NAME.pattern}|{SEGMENT.pattern})\.partial")
NAMED = 4  # strangers' files, in one sentence


def recover(folder: Path) -> tuple[str | None, list[str]]:
    """The checkpoint that a training folder continues from, None for the beginning, and sentences for its user.

    Raises:
        UserError: the disk does not answer, or a file stands where a folder should; nothing was changed.
    """
    checkpoints, log = folder / "checkpoints", folder / "log"
    for place in (checkpoints, log):
        if os.path.lexists(place) and not steady(place.is_dir, place):
            raise UserError(f"{place} is no folder: move it away, then run again. Nothing was changed")
    notes = strangers(folder)
    name, faults = newest_checkpoint(checkpoints)
    rows = 0 if name is None else read_document(checkpoints, name)["log_rows"]
    discard_partials(folder)
    aside = clear_log_after(log, rows, is_intact=not faults)
    if aside and not faults:
        notes.append(f"{', '.join(aside)} of the log belong to no checkpoint; they were set aside in {log.name}")
    for later in checkpoint_names(checkpoints):
        if name is None or int(later) > int(name):
            set_aside(checkpoints / later)
    return name, [*notes, *faults]


def newest_checkpoint(folder: Path) -> tuple[str | None, list[str]]:
    """The name of the newest whole checkpoint, or None, and a sentence for each damaged one that was passed over.

    Raises:
        UserError: the disk does not answer.
    """
    faults: list[tuple[str, str]] = []
    newest = None
    for name in reversed(steady(lambda: checkpoint_names(folder), folder)):
        fault = checkpoint_fault(folder, name)
        if fault is None:
            newest = name
            break
        faults.append((name, fault))
    instead = "training starts again" if newest is None else f"checkpoint {newest} is used"
    return newest, [f"checkpoint {name} is damaged ({fault}) and set aside; {instead}" for name, fault in faults]


def clear_log_after(folder: Path, rows: int, is_intact: bool = True) -> list[str]:
    """Take away the segments of a log that end beyond `rows`; returns the names of those that were set aside.

    A kill leaves at most one, which continues the log and which nothing refers to: where all is intact it is deleted,
    since the training writes it again.
    """
    beyond = [segment for segment in segments(folder) if segment.end > rows]
    if is_intact and len(beyond) == 1:
        (path, start, _), *_ = beyond
        if start == rows and path.is_file() and not path.is_symlink():
            path.unlink()
            return []
    for segment in beyond:
        set_aside(segment.path)
    return [segment.path.name for segment in beyond]


def discard_partials(folder: Path) -> None:
    """Remove the checkpoints and log segments of a training folder that a killed process had only begun to write."""
    for place in (folder / "checkpoints", folder / "log"):
        for path in place.iterdir() if place.is_dir() else ():
            if not PARTIAL.fullmatch(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def strangers(folder: Path) -> list[str]:
    """A sentence on the files among checkpoints and log segments that are not ours, such as a sync client's copies.

    Raises:
        UserError: the disk does not answer.
    """
    names: list[str] = []
    for place, ours in ((folder / "checkpoints", NAME), (folder / "log", SEGMENT)):
        inside = steady(partial(os.listdir, place), place) if place.is_dir() else []
        foreign = (name for name in sorted(inside) if not ours.fullmatch(name) and not name.startswith("."))
        names += [f"{place.name}/{name}" for name in foreign]
    return [f"not of this run, and left alone: {_listed(names)}"] if names else []


def _listed(names: list[str]) -> str:
    """The first few of some names."""
    return ", ".join(map(shortened, names[:NAMED])) + (" and more" if len(names) > NAMED else "")
