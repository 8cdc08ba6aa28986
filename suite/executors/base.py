"""What all executors share: how the work on a folder ended, and what is told of the work meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """How the worker of a folder ended: its exit code, negative for the signal that killed it."""

    folder: Path
    code: int


class Pool(NamedTuple):
    """What an executor is doing: folders that wait, folders that run, how the others ended, and what runs elsewhere."""

    waiting: tuple[Path, ...]
    running: tuple[Path, ...]
    outcomes: tuple[Outcome, ...]
    elsewhere: tuple[Path, ...] = ()  # another process, or a job, works on them


class Interrupted(Exception):
    """The user, or the system, asked the executor to stop; its workers have ended."""


Tick = Callable[[Pool], None]
"""Called by an executor now and then, and once after the last change."""
