"""The state of a run that was given to a cluster: what it says of itself first, then what Slurm says of its job."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from suite.monitor.slurm_queue import QueueEntry, read_queue
from suite.results.jobs import JobOf, jobs_of_runs, read_submissions
from suite.results.status import read_status

WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
WORKING = ("RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED")
ENDS = {
    "TIMEOUT": ("timed out", "its job {job} reached its time limit; `offmap resume` continues it"),
    "DEADLINE": ("timed out", "its job {job} reached its deadline; `offmap resume` continues it"),
    "OUT_OF_MEMORY": ("killed", "its job {job} was killed for want of memory; ask for more and `offmap resume`"),
    "CANCELLED": ("cancelled", "its job {job} was cancelled; `offmap resume` continues it"),
    "NODE_FAIL": ("killed", "the node of its job {job} died; `offmap resume` continues it"),
    "BOOT_FAIL": ("killed", "the node of its job {job} did not start; `offmap resume` continues it"),
    "PREEMPTED": ("killed", "its job {job} was preempted and not requeued; `offmap resume` continues it"),
}
OTHER_END = ("killed", "its job {job} ended ({state}) without a word from the run; see `offmap logs`")
NEVER_BEGAN = "its job {job} never began: the canary did not succeed; `offmap resume` submits it again"
HELD = (
    "its job {job} is held ({reason}) and does not go on by itself; once the cause is gone, `offmap resume` submits it "
    "again"
)
HOLDING = ("REQUEUE_HOLD", "SPECIAL_EXIT")
ACTIVE = ("pending", "running", "requeued")  # states of a run that a cluster will go on with by itself


class Cluster:
    """The jobs of a results folder. Reads only, and asks Slurm once, and only if a run is not known to have ended."""

    def __init__(self, out: Path) -> None:
        self.jobs = jobs_of_runs(read_submissions(out))
        self._out = out
        self._canaries: dict[str, bool] = {}  # whether they have succeeded

    @cached_property
    def queue(self) -> dict[str, QueueEntry] | None:
        """What Slurm says of the jobs; None where it cannot be asked."""
        return read_queue(job.name for job in self.jobs.values())

    def judge(self, run: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The status of a run (`suite.results.status.read_status`) with `state` and `message` as its job has them."""
        job = self.jobs.get(run)
        if job is None or fields["state"] == "done" or fields["state"] == "running":
            return fields
        queue = self.queue
        entry = None if queue is None else queue.get(job.name)
        state, message = classify(fields, job, entry, is_known=queue is not None)
        if state == "lost" and queue is not None and self._never_began(job, fields):
            state, message = "cancelled", NEVER_BEGAN.format(job=job.name)
        return fields | {"state": state, "message": message, "job": job.name}

    def _never_began(self, job: JobOf, fields: dict[str, Any]) -> bool:
        """Whether a job that Slurm has forgotten waited for a canary in vain."""
        if not job.canary or not _is_older(job, fields):
            return False
        if job.canary not in self._canaries:
            self._canaries[job.canary] = read_status(self._out / job.canary)["state"] == "done"
        return not self._canaries[job.canary]

    def has(self, run: str, fields: dict[str, Any]) -> bool:
        """Whether a job works on a run, or is going to; `fields` is the run's status (`read_status`).

        A job that was cancelled is not going to, though it may take its time, nor is one that the run has failed in:
        it may be ending, or go on with its other runs.
        """
        job = self.jobs.get(run)
        entry = None if job is None or job.is_cancelled else (self.queue or {}).get(job.name)
        if job is None or entry is None:
            return False
        ended = _ended_in(job, fields)
        return (entry.state in WAITING and ended != "failed") or (entry.state in WORKING and ended is None)

    def is_held(self, run: str) -> bool:
        """Whether the job of a run waits for somebody to release it, as after a launch that failed."""
        job = self.jobs.get(run)
        entry = None if job is None or job.is_cancelled else (self.queue or {}).get(job.name)
        return entry is not None and _holds(entry)

    def is_unsure(self, run: str, fields: dict[str, Any]) -> bool:
        """Whether a job may work on a run, or be going to, and Slurm cannot be asked about it."""
        job = self.jobs.get(run)
        if job is None or job.is_cancelled or self.queue is not None:
            return False
        return (fields.get("job") == job.name or _is_older(job, fields)) and _ended_in(job, fields) is None


def classify(fields: dict[str, Any], job: JobOf, entry: QueueEntry | None, is_known: bool) -> tuple[str, str]:
    """State and message of a run that is neither done nor gives signs of life now.

    `entry` is what Slurm says of its last job, None if it has forgotten it; `is_known` whether Slurm could be asked.
    """
    state, message = fields["state"], fields.get("message") or ""
    is_of_job = fields.get("job") == job.name
    if job.is_cancelled and (is_of_job or _is_older(job, fields)):
        return "cancelled", ENDS["CANCELLED"][1].format(job=job.name)
    if state == "pending" and entry is None and not is_known:
        return "pending", f"submitted as job {job.name}; Slurm cannot be asked about it from here"
    if _ended_in(job, fields) == "failed":
        return state, message
    if entry is not None and entry.state in WAITING:
        return _waits(job, entry, f"{message or 'interrupted'}; " if is_of_job else "")
    if entry is not None and entry.state in WORKING:
        if is_of_job and not fields.get("is_silent") and state != "stopped":
            return state, message  # the others of a job go on when one of its runs has ended
        doing = "is ending" if entry.state == "COMPLETING" else f"is {entry.state} and its run starts"
        before = f"; {message}" if is_of_job else ""
        return "running", f"job {job.name} {doing}{before}"
    if not is_of_job and _is_older(job, fields):
        return _ended(job, entry, is_known)
    has_word = not fields.get("is_silent") and (entry is None or entry.state not in ENDS)
    if has_word or not is_of_job:
        return state, message
    return _ended(job, entry, is_known)


def _waits(job: JobOf, entry: QueueEntry, before: str) -> tuple[str, str]:
    """State and message of a run whose job waits; `before` is what became of the run in that job, if it ran there."""
    if _holds(entry):
        return "held", before + HELD.format(job=job.name, reason=entry.reason or entry.state)
    if before:
        return "requeued", f"{before}job {job.name} waits ({entry.reason}) and continues it"
    return "pending", f"job {job.name} waits ({entry.reason})"


def _holds(entry: QueueEntry) -> bool:
    """Whether a job waits until somebody releases it: by an admin's or a user's hand, or by Slurm's own."""
    return entry.state in HOLDING or (entry.state in WAITING and "held" in entry.reason.lower())


def _is_older(job: JobOf, fields: dict[str, Any]) -> bool:
    """Whether what a run says of itself, if anything, is older than its job."""
    return bool(fields.get("heartbeat", 0) <= job.submitted)


def _ended_in(job: JobOf, fields: dict[str, Any]) -> str | None:
    """How a run ended in its job, if that is known: `failed`, then the job never tries it again, or `killed`."""
    is_told = fields.get("job") == job.name and not fields.get("is_silent")
    return fields["state"] if is_told and fields["state"] in ("failed", "killed") else None


def _ended(job: JobOf, entry: QueueEntry | None, is_known: bool) -> tuple[str, str]:
    """State and message of a run whose job has ended, or is not known any more."""
    if entry is not None:
        state, words = ENDS.get(entry.state, OTHER_END)
        if entry.reason == "DependencyNeverSatisfied":
            words = NEVER_BEGAN
        return state, words.format(job=job.name, state=entry.state)
    if not is_known:
        return "lost", f"no sign of life, and Slurm cannot be asked about its job {job.name} from here"
    return "lost", f"no sign of life, and Slurm does not know its job {job.name} any more; `offmap resume` continues it"
