"""Real worker processes that count their own simulator steps and can be made to die at a chosen moment.

The count is kept apart from the suite: every call of the point environments' `step` appends a number to a file. Death
is a SIGKILL, before a chosen simulator step or before a chosen change of the file system.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import signal
import struct
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
# What a worker imports sooner or later (an optimiser imports torch._dynamo), so that one starts in no time.
_context.set_forkserver_preload(["suite.worker", "algorithms.mier", "algorithms.pearl", "tasks.point", "torch._dynamo"])


def run_worker(folder: Path, counts: Path, die_at_step: int = 0, die_at_write: int = 0, seconds: float = 120.0) -> int:
    """Exit code of a worker process on a training folder, -9 if it was killed; 0 stands for never to die."""
    process = _context.Process(target=_work, args=(str(folder), str(counts), die_at_step, die_at_write))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{folder}: not done after {seconds} s")
    assert process.exitcode is not None
    return process.exitcode


def steps_in(counts: Path) -> int:
    """Simulator steps that were counted in a file."""
    held = counts.read_bytes() if counts.exists() else b""
    return sum(struct.unpack(f"<{len(held) // 8}q", held))


def _work(folder: str, counts: str, die_at_step: int, die_at_write: int) -> None:
    from suite.worker import main

    count_steps(Path(counts), die_at_step)
    if die_at_write:
        _die_at_write(die_at_write)
    raise SystemExit(main([folder]))


def count_steps(counts: Path, die_at_step: int = 0) -> None:
    """From now on append the steps of every point environment of this process to a file; die before step so many."""
    from tasks.point import Point

    handle = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    step, left = Point.step, die_at_step

    @functools.wraps(step)
    def counted(self, actions, active=None):
        nonlocal left
        number = self.num_rows if active is None else int(active.sum())
        if die_at_step and (left := left - number) < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(handle, struct.pack("<q", number))
        return step(self, actions, active)

    Point.step = counted


def _die_at_write(number: int) -> None:
    """Die before the so-manieth change of the file system: a sync, a rename, a removal of a folder."""
    left = number

    def mortal(function):
        @functools.wraps(function)
        def wrapped(*arguments, **keywords):
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return wrapped

    os.fsync, os.replace, shutil.rmtree = mortal(os.fsync), mortal(os.replace), mortal(shutil.rmtree)
