"""The local executor, which is the default: N worker processes at once on this machine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from suite.executors.base import Interrupted, Outcome, Pool, Tick
from suite.run.processes import Process, end_workers, release, start_worker, worker_command

POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0  # between asking a worker to end and killing it


def run_local(
    folders: Sequence[Path],
    workers: int,
    on_tick: Tick = lambda pool: None,
    command: Callable[[Path], list[str]] = worker_command,
) -> list[Outcome]:
    """How each folder's worker ended, in the order they ended; at most `workers` run at once, a failure stops none.

    What a worker prints is appended to `worker.log` in its folder. `on_tick` is called a few times per second.

    Raises:
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all workers have been ended.
    """
    waiting = list(folders)
    running: dict[Path, Process] = {}
    outcomes: list[Outcome] = []
    with interruptible():
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    folder = waiting.pop(0)
                    running[folder] = start_worker(folder, command(folder))
                for folder, process in list(running.items()):
                    if process.poll() is not None:
                        outcomes.append(Outcome(folder, process.returncode))
                        release(running.pop(folder))
                on_tick(Pool(tuple(waiting), tuple(running), tuple(outcomes)))
                if running:
                    time.sleep(POLL_SECONDS)
        finally:
            end_workers(list(running.values()), GRACE_SECONDS)
    return outcomes


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they are ignored, as `nohup` asks.

    Only the main thread may ask for signals.

    Raises:
        Interrupted: one of them came.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
