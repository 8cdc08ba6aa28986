"""A measured figure, and how time is measured: interleaved, processor time, the least of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

PRODUCT_SIZE = 2048
PRODUCT_GFLOP = 2 * PRODUCT_SIZE**3 / 1e9
REFERENCE_RATE = 105.0  # GFLOP/s, float32, of the core on which limits in seconds were set
IN_A_ROW = 4


class Figure(NamedTuple):
    """One measured figure against its limit: at most, or with `at_least` at least, `reference`."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in units of its limit."""
        return None if self.reference is None else self.value / self.reference

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        if self.ratio is None:
            return None
        return self.ratio >= 1 if self.at_least else self.ratio <= 1

    def as_json(self) -> dict[str, Any]:
        """All fields, derived ones included."""
        return {**self._asdict(), "ratio": self.ratio, "holds": self.holds}


def least_seconds(
    work: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """The least time of one call of each piece of work, s, over `rounds` rounds in which they take turns.

    A piece is called `IN_A_ROW` times per turn, as a training calls it; the first call finds the caches full of
    another's data and does not count.
    """
    least = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, function in work.items():
            function()
            for _ in range(IN_A_ROW - 1):
                started = clock()
                function()
                least[name] = min(least[name], clock() - started)
    return least
