"""Signals by which a worker is asked to end, which then keeps what it has done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)  # SIGUSR2 is what submitit asks Slurm for


class Stopped(BaseException):
    """The run was asked to end. No `Exception`, so that nothing on the way takes it for a failure of its own."""


class Stop:
    """Whether this process was asked to end. A request ends the work at once, but within `postponed`."""

    def __init__(self) -> None:
        self._requested = False
        self._is_postponed = False

    def requested(self) -> bool:
        """Whether there was a request."""
        return self._requested

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Within, a request is only noted; whoever works there looks at `requested` and raises `Stopped` itself."""
        self._is_postponed = True
        try:
            yield
        finally:
            self._is_postponed = False
        if self._requested:
            raise Stopped

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Take a request; a second one changes nothing."""
        if not self._requested:
            self._requested = True
            if not self._is_postponed:
                raise Stopped


@contextmanager
def listening() -> Iterator[Stop]:
    """Within, SIGTERM and SIGUSR2 are requests to stop. Only the main thread may ask for signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.receive) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
