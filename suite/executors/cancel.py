"""Cancelling runs: those of this machine by a signal, those of a cluster by its own command and in the ledger."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.executors.slurm import cancel_jobs, require_slurm
from suite.monitor.job_states import Cluster
from suite.results.jobs import JobOf, changing, jobs_of_runs, read_submissions, write_submission
from suite.results.layout import pending
from suite.results.lock import owner
from suite.results.process_identity import is_alive, is_offmap
from suite.results.status import read_status


def cancel_runs(out: Path, folders: Sequence[Path]) -> list[Path]:
    """Cancel runs that are under way or wait for it, at Slurm or on this machine; those that were.

    They keep what they have done by their last checkpoint, and `offmap resume` continues them. A run that shares its
    job with others is only put down in the ledger, where its job looks before it begins and while it works.

    Raises:
        UserError: a run is worked on where it cannot be reached from here, or Slurm cannot be asked.
    """
    with changing(out):
        cluster = Cluster(out)
        left = {folder: read_status(folder) for folder in folders if pending(folder)}
        in_jobs = {folder.name: folder for folder, fields in left.items() if cluster.has(folder.name, fields)}
        here = _owners({folder: fields for folder, fields in left.items() if folder.name not in in_jobs})
        unsure = [folder for folder in left if folder not in here and cluster.is_unsure(folder.name, left[folder])]
        if unsure:
            jobs = ", ".join(sorted({cluster.jobs[folder.name].name for folder in unsure})[:3])
            raise UserError(
                f"Slurm cannot be asked from here about the jobs of {len(unsure)} runs ({jobs}), so nothing was "
                "cancelled; do so on a login node of the cluster, or in a moment, if its controller is away"
            )
        for folder, about in here.items():
            _interrupt(folder, about)
        if in_jobs:
            require_slurm()
            whole = _jobs_without_others(out, cluster, in_jobs)
            if whole:
                cancel_jobs(whole)
            _remember(out, in_jobs)
    return [folder for folder in folders if folder.name in in_jobs or folder in here]


def _jobs_without_others(out: Path, cluster: Cluster, chosen: Collection[str]) -> list[str]:
    """The jobs that work on some runs and on no other."""
    jobs = dict.fromkeys(cluster.jobs[run] for run in chosen)

    def is_needed(run: str, job: JobOf) -> bool:
        is_its = cluster.jobs[run].name == job.name and pending(out / run)
        return run not in chosen and is_its and cluster.has(run, read_status(out / run))

    return list(dict.fromkeys(job.name for job in jobs if not any(is_needed(run, job) for run in job.runs)))


def _owners(left: Mapping[Path, Mapping[str, Any]]) -> dict[Path, dict[str, Any]]:
    """The processes of this machine that work on folders, whose status is given.

    One elsewhere that belongs to a job is on its way out: its job has ended, was cancelled, or has seen it die.
    """
    owners = {}
    for folder, fields in left.items():
        about = owner(folder)
        if about is None or (is_alive(about) is None and "job" in fields):
            continue
        if is_alive(about) is None:
            who = f"process {about['pid']} on {about['host']}" if about else "a process that could not say which it is"
            raise UserError(f"{folder} is worked on by {who}: end it there")
        owners[folder] = about
    return owners


def _interrupt(folder: Path, about: Mapping[str, Any]) -> None:
    """Ask the process of this machine that owns a folder to end; one that just has ended does not mind."""
    if not is_offmap(about["pid"]):
        raise UserError(
            f"{folder}: its lock names process {about['pid']}, which is none of offmap's, so nobody was asked to end; "
            f"if nobody works on that run, delete {folder}/lock-*"
        )
    try:
        os.kill(about["pid"], signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise UserError(
            f"{folder} is worked on by process {about['pid']}, which is not yours; have its owner end it"
        ) from None


def _remember(out: Path, runs: Collection[str]) -> None:
    """Write into the ledger that runs were cancelled: Slurm soon forgets it, and never knew of single runs of a job."""
    last = jobs_of_runs(read_submissions(out))
    for submission in read_submissions(out):
        names = {submission.name(element): packed for element, packed in enumerate(submission.runs)}
        gone = {run for name, packed in names.items() for run in packed if run in runs and last[run].name == name}
        if gone:
            write_submission(out, submission._replace(cancelled=tuple(sorted({*submission.cancelled, *gone}))))
