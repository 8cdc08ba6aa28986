"""The declared speed and memory figures, measured on one thread and judged against this machine's own product rate.

How fast a step may be is stated in units of a float32 matrix product of 2048 x 2048 timed in the same run, so the
limits hold on any machine. Measurements are interleaved, processor time is measured rather than the clock on the
wall, and the least of each counts: other processes on the machine disturb the figures little.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from suite.executor import worker_environment

PRODUCT_SIZE = 2048
PRODUCT_GFLOP = 2 * PRODUCT_SIZE**3 / 1e9
IN_A_ROW = 4
PARTS = ("training", "simulation", "process")


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


def measure(part: str, device: str = "cpu") -> list[Figure]:
    """The figures of one of `PARTS`, measured in this process, which should be a worker's: one thread."""
    if part == "training":
        from suite.bench_training import training_figures

        return training_figures(device)
    if part == "simulation":
        from suite.bench_simulation import simulation_figures

        return simulation_figures()
    from suite.bench_process import process_figures

    return process_figures()


def run_bench(
    parts: tuple[str, ...] = PARTS, device: str = "cpu", on_part: Callable[[str], None] = lambda part: None
) -> list[Figure]:
    """All figures, each part in a process of its own that is set up as a worker; `on_part` hears which one begins.

    Raises:
        RuntimeError: a measurement failed; the message holds what it printed.
    """
    figures = []
    for part in parts:
        on_part(part)
        command = [sys.executable, "-P", "-m", "suite.bench", part, device]
        done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=False)
        if done.returncode != 0:
            raise RuntimeError(f"measuring {part} failed:\n{done.stderr}")
        figures += [Figure(*fields) for fields in json.loads(done.stdout.splitlines()[-1])]
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
