"""Compute: processor time in units of the speed at which this machine multiplies matrices.

A second of one core counts as much as its float32 product rate is of the reference core's, so that what runs took can
be put side by side although they ran on different machines, or beside other work.
"""

from __future__ import annotations

import functools
import time

REFERENCE_RATE = 105.0  # GFLOP/s, float32: of the core that limits of time were set on
PRODUCT_SIZE = 512  # three matrices of 1 MB each
ROUNDS = 10


@functools.cache
def product_rate() -> float:
    """GFLOP/s of this machine's products of float32 matrices on one thread, timed once per process (20 ms)."""
    import torch

    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE, generator=torch.Generator().manual_seed(0))
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        torch.mm(left, right)
        least = min(least, time.process_time() - started)
    return 2 * PRODUCT_SIZE**3 / 1e9 / least


class Compute:
    """A clock of core-minutes at `REFERENCE_RATE`; it has none for another device, which no processor time measures."""

    def __init__(self, device: str) -> None:
        self._is_measured = device == "cpu"
        self._last = time.process_time()

    def minutes(self) -> float | None:
        """Core-minutes since the clock was made or last read."""
        now = time.process_time()
        spent, self._last = now - self._last, now
        return spent / 60 * product_rate() / REFERENCE_RATE if self._is_measured else None


def total(parts: list[float | None]) -> float | None:
    """The sum of core-minutes; None where one of them was not measured."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
