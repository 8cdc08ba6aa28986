"""Executors carry out prepared training folders. Here: N worker processes on this machine, one thread each.

A worker is a process of its own (`python -P -m suite.worker FOLDER`), so that a crash takes nothing else with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0  # between asking a worker to end and killing it
LEASH = "OFFMAP_LEASH"  # tells a worker that its standard input closes when whoever started it is gone

ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}
# Large tensors from the heap, and the heap never given back: without this glibc maps and unmaps every large
# temporary of a gradient step, and the page faults cost 10 to 15 % of it. Huge pages, where the kernel leaves them to
# programs, save another 1 to 4 %.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "10000000000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class Outcome(NamedTuple):
    """How the worker of a folder ended: its exit code, negative for the signal that killed it."""

    folder: Path
    code: int


class Pool(NamedTuple):
    """What a local executor is doing: folders that wait, folders that run, and how the others ended."""

    waiting: tuple[Path, ...]
    running: tuple[Path, ...]
    outcomes: tuple[Outcome, ...]


class Interrupted(Exception):
    """The user, or the system, asked the executor to stop; its workers have ended."""


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_command(folder: Path) -> list[str]:
    """The command that does all the work of a training folder. `-P`: the user's own folders shadow none of ours."""
    return [sys.executable, "-P", "-m", "suite.worker", str(folder)]


def worker_environment() -> dict[str, str]:
    """The environment variables of a worker: one thread, and an allocator that suits gradient steps."""
    return {**ALLOCATOR, **os.environ, **ONE_THREAD}


def run_local(
    folders: Sequence[Path],
    workers: int,
    on_tick: Callable[[Pool], None] = lambda pool: None,
    command: Callable[[Path], list[str]] = worker_command,
) -> list[Outcome]:
    """How each folder's worker ended, in the order they ended; at most `workers` run at once, a failure stops none.

    What a worker prints is appended to `worker.log` in its folder. `on_tick` is called a few times per second.

    Raises:
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all workers have been ended.
    """
    waiting = list(folders)
    running: dict[Path, subprocess.Popen[bytes]] = {}
    outcomes: list[Outcome] = []
    with _interruptible():
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    folder = waiting.pop(0)
                    running[folder] = _start(folder, command(folder))
                for folder, process in list(running.items()):
                    if process.poll() is not None:
                        outcomes.append(Outcome(folder, process.returncode))
                        _release(running.pop(folder))
                on_tick(Pool(tuple(waiting), tuple(running), tuple(outcomes)))
                if running:
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            _end(list(running.values()))
    return outcomes


def end_with_parent() -> None:
    """End this process when the one that started it is gone; workers call it first.

    A worker that outlived its executor would hold its folder, and the next `offmap run` could not continue it.
    """
    if LEASH not in os.environ:
        return

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _start(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, so that a Ctrl-C in the terminal reaches it through the executor alone."""
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=worker_environment() | {LEASH: "1"},
            start_new_session=True,
        )


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    until = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _release(process)


def _release(process: subprocess.Popen[bytes]) -> None:
    """Let go of the leash of a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they are ignored, as `nohup` asks.

    Only the main thread may ask for signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
