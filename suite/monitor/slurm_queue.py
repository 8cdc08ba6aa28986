"""What Slurm knows of jobs: from `squeue`, and for those it has forgotten from `sacct` where accounting is kept.

Many clusters keep none, so nothing here relies on it; what the runs write themselves comes first (`job_states`).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

SECONDS = 60.0  # to wait for an answer


class QueueEntry(NamedTuple):
    """A job's state in Slurm's words, such as PENDING, and its reason, such as Resources."""

    state: str
    reason: str = ""


def read_queue(jobs: Iterable[str]) -> dict[str, QueueEntry] | None:
    """The state of jobs, or of array elements such as `123_4`, as far as Slurm knows them; None: it cannot be asked."""
    numbers = sorted({name.partition("_")[0] for name in jobs})
    if not numbers:
        return {}
    told = _ask(["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r", f"--jobs={','.join(numbers)}"])
    if told is None:
        return None
    found = _parse(told)
    forgotten = [number for number in numbers if not any(name.partition("_")[0] == number for name in found)]
    if forgotten:
        asked = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]
        found |= _parse(_ask([*asked, f"--jobs={','.join(forgotten)}"]) or "")
    return found


def _ask(command: list[str]) -> str | None:
    """What a command prints; nothing where it knows none of the jobs; None where it cannot answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return "" if "Invalid job id" in done.stderr else None
    return done.stdout


def _parse(text: str) -> dict[str, QueueEntry]:
    """Lines of `job|state|reason`; sacct says `CANCELLED by 1000`."""
    rows = [line.strip().split("|") for line in text.splitlines() if "|" in line]
    return {row[0]: QueueEntry(row[1].split()[0], " ".join(row[2:])) for row in rows if len(row) >= 2 and row[1]}
