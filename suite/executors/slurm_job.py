"""What a Slurm job does: the workers of some training folders, side by side, and what submitit asks of it.

The job is pickled when it is submitted, so it is a class of this module that holds strings and numbers alone; every
run reads the rest from its folder and continues from its newest checkpoint. A job that is requeued with the pickle of
its first start therefore goes on where it was.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from submitit.core.utils import DelayedSubmission

from suite.results.jobs import given_up, read_submissions
from suite.results.layout import pending
from suite.results.status import JOB, note_end, read_status
from suite.run.processes import STOPPED, Process, end_workers, release, start_worker, worker_command

POLL_SECONDS = 0.5
LOOK_SECONDS = 10.0  # between two looks into the ledger for runs that were cancelled while the others go on
MARGIN_SECONDS = 15.0  # of the warning before a time limit: left to kill who has not ended, and to ask for a requeue
PATIENCE_SECONDS = 600.0  # how long a job whose runs were asked to end waits for its own end
EARLY_SECONDS = 75.0  # Slurm may warn of a time limit up to a minute before it was asked to
IDLE_LEGS = 3  # time limits that may pass without anything that could be kept, as on a node that is slow for once
TOO_SHORT = (
    "nothing was finished that could be kept within {legs} time limits of {minutes} minutes; ask for more: "
    "offmap resume DIR --failed --set time=HH:MM:SS"
)


class Job:
    """The workers of `folders`; called by submitit on a node, at the first start and after each requeue."""

    def __init__(self, folders: Sequence[str], minutes: int, signal_seconds: int, idle_legs: int = 0) -> None:
        self.folders = list(folders)
        self.minutes = minutes
        self.signal_seconds = signal_seconds
        self.idle_legs = idle_legs  # starts in a row that ended at the time limit and left nothing behind

    def __call__(self) -> None:
        """Work until every run has ended; end the job as a failed one if some run is not done."""
        self._began = time.monotonic()
        self._workers: dict[Path, Process] = {}  # those that have not ended
        self._found: list[tuple[str, ...]] = []
        signal.signal(signal.SIGTERM, self._pass_on)
        me = job_name()
        self._found = _progress(self.folders)
        for folder in self._mine(me):
            if pending(folder) and not _has_failed_in(folder, me):
                self._workers[folder] = start_worker(folder, worker_command(folder), {JOB: me})
        codes = self._wait(me)
        mine = self._mine(me)
        if any(codes.get(folder) == STOPPED for folder in mine):  # whoever asked for it is about to end this job
            time.sleep(PATIENCE_SECONDS)
        wrong = [folder for folder in mine if pending(folder)]
        if wrong:
            sys.exit(f"{len(wrong)} of {len(self.folders)} runs are not done: {', '.join(map(str, wrong))}")

    def checkpoint(self) -> DelayedSubmission | None:
        """Have every run checkpoint and end, and the same job put into the queue again. Called by submitit.

        None, which ends the job for good, if no run got any further within a few time limits: neither would it then.
        """
        grace = max(self.signal_seconds - MARGIN_SECONDS, 1.0)
        elapsed = time.monotonic() - self._began
        is_limit = elapsed >= self.minutes * 60 - self.signal_seconds - EARLY_SECONDS
        end_workers(list(self._workers.values()), grace)
        for folder, process in self._workers.items():
            if _code(process) == STOPPED or _code(process) < 0:
                why = "its job reached its time limit" if is_limit else "its job was preempted"
                how = "" if _code(process) == STOPPED else f", and it was killed after {grace:.0f} s without an end"
                note_end(folder, process.pid, "stopped", why + how)
        idle_legs = self.idle_legs + 1 if is_limit and _progress(self.folders) == self._found else 0
        if idle_legs >= IDLE_LEGS:
            for folder, process in self._workers.items():
                note_end(folder, process.pid, "failed", TOO_SHORT.format(legs=idle_legs, minutes=self.minutes))
            return None
        return DelayedSubmission(Job(self.folders, self.minutes, self.signal_seconds, idle_legs))

    def _mine(self, me: str) -> list[Path]:
        """The folders of this job, but for those that it has been told to leave alone."""
        folders = list(map(Path, self.folders))
        try:
            gone = given_up(read_submissions(folders[0].parent), me)
        except (OSError, ValueError):  # the file server may be away for a while
            gone = set()
        return [folder for folder in folders if folder.name not in gone]

    def _wait(self, me: str) -> dict[Path, int]:
        """Exit codes of the workers once all have ended. In short naps, between which Python hears signals."""
        codes: dict[Path, int] = {}
        looked = time.monotonic()
        while self._workers:
            for folder, process in list(self._workers.items()):
                if process.poll() is not None:
                    del self._workers[folder]
                    release(process)
                    codes[folder] = _code(process)
                    _note_kill(folder, process.pid, codes[folder])
            if len(self.folders) > 1 and time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                for folder in self._workers.keys() - set(self._mine(me)):
                    self._workers[folder].terminate()
            time.sleep(POLL_SECONDS if self._workers else 0.0)
        return codes

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM announces a kill, as at a preemption without a signal of its own: have all checkpointed by then."""
        for process in self._workers.values():
            process.terminate()


def job_name() -> str:
    """What Slurm calls the job of this process: `123`, or `123_4` as an element of an array."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array else os.environ.get("SLURM_JOB_ID", str(os.getpid()))


def _progress(folders: Sequence[str]) -> list[tuple[str, ...]]:
    """What of each run's work is safe on the disk: the newest checkpoint, and the tasks that are meta-tested."""
    return [
        (*sorted(path.name for path in Path(folder).glob("checkpoints/[0-9]*"))[-1:],
         *sorted(str(path.relative_to(folder)) for path in Path(folder).glob("metatests/**/*records.parquet")))
        for folder in folders
    ]  # fmt: skip


def _has_failed_in(folder: Path, job: str) -> bool:
    """Whether a run failed earlier in this very job, which was requeued since."""
    fields = read_status(folder)
    return fields["state"] == "failed" and fields.get("job") == job


def _code(process: Process) -> int:
    """Exit code of a worker that has ended; SIGTERM asks for that also before it listens, and when it has stopped."""
    return STOPPED if process.returncode == -signal.SIGTERM else process.returncode


def _note_kill(folder: Path, pid: int, code: int) -> None:
    """Say of a worker that was killed what it could not say itself."""
    if code < 0:
        name = signal.Signals(-code).name
        why = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        note_end(folder, pid, "killed", f"killed by {name}{why}; `offmap resume` continues it from its last checkpoint")
        print(f"{folder}: killed by {name}", file=sys.stderr)
