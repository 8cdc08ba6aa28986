"""Waiting for what another process or thread does. The limits only guard against hangs, however slow a machine is."""

import time
from collections.abc import Callable

PATIENCE = 600.0  # seconds


def wait_until(happens: Callable[[], object], goes_on: Callable[[], object] = lambda: True) -> None:
    """Wait until something is so, while something else goes on that has to bring it about."""
    until = time.monotonic() + PATIENCE
    while not happens():
        assert goes_on(), "what was waited for cannot come about any more"
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.01)
