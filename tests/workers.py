"""Real worker processes that count their own simulator steps and can be made to die at a chosen moment.

The count is kept apart from the suite: every call of the point environments' `step` appends a number to a file. Death
is a SIGKILL, before a chosen simulator step, before a chosen change of the file system, or from outside at a moment
that no line of the worker chooses.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import shutil
import signal
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from patience import PATIENCE

_context = multiprocessing.get_context("forkserver")
# What a worker imports sooner or later (an optimiser imports torch._dynamo), so that one starts in no time.
_context.set_forkserver_preload(
    ["suite.run.worker", "algorithms.mier", "algorithms.pearl", "tasks.environments.point", "torch._dynamo"]
)


def run_worker(folder: Path, counts: Path, die_at_step: int = 0, die_at_write: int = 0) -> int:
    """Exit code of a worker process on a training folder, -9 if it was killed; 0 stands for never to die."""
    process = _context.Process(target=_work, args=(str(folder), str(counts), die_at_step, die_at_write))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{folder}: not done after {PATIENCE} s")
    assert process.exitcode is not None
    return process.exitcode


class Moment(NamedTuple):
    """`seconds` after the `call`-th call of `function` in `module` begins: in the midst of it, or of what follows."""

    module: str
    function: str
    call: int
    seconds: float


def kill_worker(folder: Path, counts: Path, moment: Moment) -> int:
    """Exit code of a worker that is killed from outside at `moment`: -9, or its own if it was done by then."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = _context.Process(target=_work, args=(str(folder), str(counts)), kwargs={"tell": (there, moment)})
    process.start()
    there.close()
    try:
        if here.poll(PATIENCE):
            here.recv()
            time.sleep(moment.seconds)
    except EOFError:  # it ended without coming there
        pass
    else:
        process.kill()
    process.join(PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


def steps_in(counts: Path) -> int:
    """Simulator steps that were counted in a file."""
    held = counts.read_bytes() if counts.exists() else b""
    return sum(struct.unpack(f"<{len(held) // 8}q", held))


def _work(
    folder: str, counts: str, die_at_step: int = 0, die_at_write: int = 0, tell: tuple[Connection, Moment] | None = None
) -> None:
    from suite.run.worker import main

    count_steps(Path(counts), die_at_step)
    if die_at_write:
        _die_at_write(die_at_write)
    if tell is not None:
        _tell_of(*tell)
    raise SystemExit(main([folder]))


def count_steps(counts: Path, die_at_step: int = 0) -> None:
    """From now on append the steps of every point environment of this process to a file; die before step so many."""
    from tasks.environments.point import Point

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


def _tell_of(listener: Connection, moment: Moment) -> None:
    """Send a word when the so-manieth call of a function begins."""
    place, *names = moment.function.split(".")
    module, left = importlib.import_module(moment.module), moment.call
    holder = getattr(module, place) if names else module
    name = names[0] if names else place
    function: Callable = getattr(holder, name)

    @functools.wraps(function)
    def telling(*arguments, **keywords):
        nonlocal left
        left -= 1
        if left == 0:
            listener.send(None)
        return function(*arguments, **keywords)

    setattr(holder, name, telling)
