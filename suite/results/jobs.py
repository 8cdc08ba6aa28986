"""Which job of a cluster works on which run: one small file per submission in `jobs/` of a results folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from suite.results.json_files import DamagedFile, write_json
from suite.results.lock import owned
from suite.results.shapes import REMEDY, SUBMISSION, read_shaped

FOLDER = "jobs"  # of a results folder: this ledger, and what submitit and the jobs themselves write


@contextmanager
def changing(out: Path, patience: float = 60.0) -> Iterator[None]:
    """Within, nobody else prepares, submits, cancels or tabulates runs of a results folder.

    Args:
        out: The results folder.
        patience: Seconds to wait for those who do.

    Raises:
        UserError: they take longer.
    """
    with owned(out, "preparing, submitting, cancelling or tabulating runs of this folder", patience=patience):
        yield


class Submission(NamedTuple):
    """One job or array that was submitted, and the training folders that its elements work on, by name."""

    job: str  # Slurm's number
    runs: tuple[tuple[str, ...], ...]  # per element of the array
    submitted: float  # Unix seconds
    code: str = ""  # folder of the code that runs, and its revision
    revision: str | None = None
    cancelled: tuple[str, ...] = ()  # runs
    canary: str = ""  # the run whose success it waits for

    def name(self, element: int) -> str:
        """What Slurm calls an element."""
        return self.job if len(self.runs) == 1 else f"{self.job}_{element}"


class JobOf(NamedTuple):
    """The job that was last given a run."""

    name: str
    runs: tuple[str, ...]  # all that it works on
    submitted: float
    is_cancelled: bool  # this run of it
    canary: str = ""


def write_submission(out: Path, submission: Submission) -> None:
    """Put a submission into the ledger, or change it."""
    write_json(out / FOLDER / f"{submission.job}.json", submission._asdict())


def read_submissions(out: Path) -> list[Submission]:
    """All submissions of a results folder, oldest first.

    Raises:
        DamagedFile: one of their files does not hold what it should.
    """
    submissions = [_submission(path) for path in (out / FOLDER).glob("*.json") if path.stem.isdecimal()]
    return sorted(submissions, key=lambda submission: (submission.submitted, submission.job))


def _submission(path: Path) -> Submission:
    document = read_shaped(path, SUBMISSION)
    if document["job"] != path.stem:
        raise DamagedFile(f"{path} is damaged (it is about job {document['job']}); {REMEDY}")
    fields = {name: document[name] for name in Submission._fields if name in document}
    return Submission(
        **fields | {"runs": tuple(map(tuple, document["runs"])), "cancelled": tuple(document["cancelled"])}
    )


def log_files(out: Path, job: str) -> list[Path]:
    """What a job itself prints, apart from its runs: standard output and standard error."""
    return [out / FOLDER / f"{job}_0_log.{kind}" for kind in ("out", "err")]


def jobs_of_runs(submissions: Iterable[Submission]) -> dict[str, JobOf]:
    """The last job of each training folder that was ever submitted, by the folder's name."""
    return {
        run: JobOf(submission.name(element), runs, submission.submitted, run in cancelled, submission.canary)
        for submission in submissions
        for cancelled in [frozenset(submission.cancelled)]
        for element, runs in enumerate(submission.runs)
        for run in runs
    }


def given_up(submissions: Sequence[Submission], job: str) -> set[str]:
    """The runs of a job that it is not to work on any more: each was cancelled, or given to a later job since."""
    last = jobs_of_runs(submissions)
    return {
        run
        for submission in submissions
        for element, runs in enumerate(submission.runs)
        if submission.name(element) == job
        for run in runs
        if last[run].name != job or last[run].is_cancelled
    }
