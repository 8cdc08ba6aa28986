"""Clearing away what finished runs leave behind and nobody needs for a report."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from suite.errors import UserError
from suite.results.jobs import FOLDER, changing, read_submissions
from suite.results.layout import is_finished
from suite.results.lock import owned

BULKY = ("checkpoints", "log", "worker.log")  # of a training folder: needed to go on, and to look at an agent again


class Leftovers(NamedTuple):
    """What finished runs can do without: files and folders by training folder, and files of jobs."""

    of_runs: dict[Path, list[Path]]
    of_jobs: list[Path]

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*(path for paths in self.of_runs.values() for path in paths), *self.of_jobs]

    @property
    def size(self) -> int:
        """Bytes."""
        files = (file for path in self.paths for file in ([path] if path.is_file() else path.rglob("*")))
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def leftovers(out: Path, folders: Iterable[Path]) -> Leftovers:
    """Checkpoints and logs of the runs that are finished, and of the jobs all of whose runs are.

    Raises:
        UserError: one of them is a link, or lies behind one: what it leads to may be anything.
    """
    done = {folder for folder in folders if folder.is_dir() and is_finished(folder)}
    of_runs = {folder: [folder / name for name in BULKY if os.path.lexists(folder / name)] for folder in sorted(done)}
    names = {folder.name for folder in done}
    of_jobs = [
        path
        for submission in read_submissions(out)
        if all(run in names for runs in submission.runs for run in runs)
        for path in sorted((out / FOLDER).glob(f"{submission.job}[_.]*"))
    ]
    unneeded = Leftovers({folder: paths for folder, paths in of_runs.items() if paths}, of_jobs)
    for path in unneeded.paths:
        _refuse_links(path, out)
    return unneeded


def _refuse_links(path: Path, out: Path) -> None:
    """Nothing, if what is below `out` on the way to a path, and at its end, are folders and files of its own.

    Raises:
        UserError: one is a link or something else; nothing has been deleted by then.
    """
    place = out
    for part in path.relative_to(out).parts:
        place = place / part
        if place.is_symlink() or not (place.is_dir() or place.is_file()):
            what = f"a link to {os.readlink(place)}" if place.is_symlink() else "neither a file nor a folder"
            raise UserError(
                f"{place} is {what}, so nothing was deleted: take it away, and what it leads to if that is not "
                "needed, then clean again"
            )


def clear(out: Path, unneeded: Leftovers) -> None:
    """Delete leftovers, but for those of runs that were given more to do since `leftovers` looked.

    Raises:
        UserError: somebody works on one of the runs at this moment, or has put a link in its place.
    """
    for folder, paths in unneeded.of_runs.items():
        with owned(folder):
            for path in paths if is_finished(folder) else ():
                _delete(path, out)
    with changing(out):
        for path in unneeded.of_jobs:
            _delete(path, out)


def _delete(path: Path, out: Path) -> None:
    _refuse_links(path, out)
    if path.is_dir():
        shutil.rmtree(path)  # deletes links in it, and follows none
    else:
        path.unlink(missing_ok=True)
