"""Clearing away what finished runs leave behind and nobody needs for a report."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from suite.results.jobs import FOLDER, changing, read_submissions
from suite.results.layout import pending
from suite.results.lock import owned

BULKY = ("checkpoints", "log", "worker.log")  # of a training folder: needed to go on, and to look at an agent again


class Leftovers(NamedTuple):
    """What finished runs can do without: files and folders by training folder, and files of jobs."""

    of_runs: dict[Path, list[Path]]
    of_jobs: list[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        paths = [*self.of_jobs, *(path for paths in self.of_runs.values() for path in paths)]
        files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def leftovers(out: Path, folders: Iterable[Path]) -> Leftovers:
    """Checkpoints and logs of the runs that are finished, and of the jobs all of whose runs are."""
    done = {folder for folder in folders if folder.is_dir() and not pending(folder)}
    of_runs = {folder: [folder / name for name in BULKY if (folder / name).exists()] for folder in sorted(done)}
    names = {folder.name for folder in done}
    of_jobs = [
        path
        for submission in read_submissions(out)
        if all(run in names for runs in submission.runs for run in runs)
        for path in sorted((out / FOLDER).glob(f"{submission.job}[_.]*"))
    ]
    return Leftovers({folder: paths for folder, paths in of_runs.items() if paths}, of_jobs)


def clear(out: Path, unneeded: Leftovers) -> None:
    """Delete leftovers, but for those of runs that were given more to do since `leftovers` looked.

    Raises:
        UserError: somebody works on one of the runs at this moment.
    """
    for folder, paths in unneeded.of_runs.items():
        with owned(folder):
            for path in paths if not pending(folder) else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with changing(out):
        for path in unneeded.of_jobs:
            path.unlink(missing_ok=True)
