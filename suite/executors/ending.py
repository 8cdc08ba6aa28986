"""Ending runs before their time, and clearing away what finished ones leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from suite.errors import UserError
from suite.executors.ledger import FOLDER, JobOf, changing, read_submissions, write_submission
from suite.executors.slurm import cancel_jobs, require_slurm
from suite.executors.states import Cluster
from suite.grid import pending
from suite.lock import owned, owner
from suite.status import read_status

BULKY = ("checkpoints", "log", "worker.log")  # of a training folder: needed to go on, and to look at an agent again


class Leftovers(NamedTuple):
    """What finished runs can do without: files and folders, by the training folder they are in."""

    of_runs: dict[Path, list[Path]]
    of_jobs: list[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        paths = [*self.of_jobs, *(path for paths in self.of_runs.values() for path in paths)]
        files = (found for path in paths for found in ([path] if path.is_file() else path.rglob("*")))
        return sum(found.lstat().st_size for found in files if not found.is_dir())


def cancel_runs(out: Path, folders: Sequence[Path]) -> list[Path]:
    """Cancel runs that are under way or wait for it, at Slurm or on this machine; those that were.

    They keep what they have done by their last checkpoint, and `offmap resume` continues them.

    Raises:
        UserError: a run shares its job with others, or is worked on where it cannot be reached from here.
    """
    with changing(out):
        cluster = Cluster(out)
        in_jobs = [folder for folder in folders if cluster.has(folder.name, read_status(folder))]
        others = [folder for folder in folders if folder not in in_jobs and owner(folder) is not None]
        jobs = {cluster.jobs[folder.name].name: cluster.jobs[folder.name] for folder in in_jobs}
        _refuse_torn(out, cluster, jobs.values(), {folder.name for folder in in_jobs})
        for folder in others:
            _interrupt(folder)
        if jobs:
            require_slurm()
            cancel_jobs(list(jobs))
            _remember(out, jobs)
    return [folder for folder in folders if folder in in_jobs or folder in others]


def _refuse_torn(out: Path, cluster: Cluster, jobs: Iterable[JobOf], chosen: set[str]) -> None:
    """Nothing, if every job has all the runs that it still works on in `chosen`."""
    for job in jobs:
        others = [
            run
            for run in job.runs
            if run not in chosen and cluster.jobs[run] == job and pending(out / run)
            and cluster.has(run, read_status(out / run))
        ]  # fmt: skip
        if others:
            raise UserError(
                f"job {job.name} also works on {', '.join(others)}: its runs can only be cancelled together; name them "
                "too, or wait"
            )


def _interrupt(folder: Path) -> None:
    """Ask the process that owns a folder to end."""
    about = owner(folder) or {}
    if about.get("host") != socket.gethostname():
        raise UserError(f"{folder} is worked on by process {about.get('pid')} on {about.get('host')}; end it there")
    os.kill(about["pid"], signal.SIGTERM)


def _remember(out: Path, jobs: Iterable[str]) -> None:
    """Write into the ledger that jobs were cancelled, which Slurm soon forgets."""
    gone = set(jobs)
    for submission in read_submissions(out):
        elements = [element for element in range(len(submission.runs)) if submission.name(element) in gone]
        if elements:
            cancelled = tuple(sorted({*submission.cancelled, *elements}))
            write_submission(out, submission._replace(cancelled=cancelled))


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


def clear(out: Path, found: Leftovers) -> None:
    """Delete leftovers.

    Raises:
        UserError: somebody works on one of the runs at this moment.
    """
    for folder, paths in found.of_runs.items():
        with owned(folder):
            for path in paths:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with changing(out):
        for path in found.of_jobs:
            path.unlink()
