"""A worker's ears: it can be asked to end, and then keeps what it has done."""

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
    """Whether this process was asked to end. A request ends the work at once, or within `held` when it suits."""

    def __init__(self) -> None:
        self._requested = False
        self._held = False

    def requested(self) -> bool:
        """Whether there was a request."""
        return self._requested

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, a request is only noted; whoever works there looks at `requested` and raises `Stopped` itself."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._requested:
            raise Stopped

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take a request; a second one changes nothing."""
        if not self._requested:
            self._requested = True
            if not self._held:
                raise Stopped


@contextmanager
def listening() -> Iterator[Stop]:
    """Within, SIGTERM and SIGUSR2 are requests to stop. Only the main thread may ask for signals."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.hear) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
