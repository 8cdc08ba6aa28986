"""A measured figure, and how things are measured: calls by interleaved processor time, processes as wholes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from suite.run.compute import REFERENCE_RATE

PRODUCT_SIZE = 2048
PRODUCT_GFLOP = 2 * PRODUCT_SIZE**3 / 1e9
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


def slowness(rounds: int = 1) -> float:
    """How many times as long a float32 product takes here and now as on the core that limits in seconds were set on."""
    import torch

    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE)
    return REFERENCE_RATE * least_seconds({"product": lambda: torch.mm(left, right)}, rounds)["product"] / PRODUCT_GFLOP


class Spent(NamedTuple):
    """What a process took: processor seconds of all its threads, and the most memory that it held, GB."""

    seconds: float
    memory: float


def spent(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """What a command takes from its start to its end; `environment` adds to the variables of this process.

    A small process starts it: Linux counts the memory of whoever starts a process as the process's own.

    Raises:
        RuntimeError: it failed.
    """
    starter = [sys.executable, "-P", "-m", "suite.bench.measurement", *command]
    added = os.environ | dict(environment or {})
    done = subprocess.run(starter, stdout=subprocess.PIPE, text=True, env=added, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}")
    return Spent(*json.loads(done.stdout))


def offmap(*words: object) -> list[str]:
    """The command line `offmap WORDS`, run by this Python on this code."""
    return [sys.executable, "-P", "-m", "suite.cli", *map(str, words)]


def _start(command: Sequence[str]) -> int:
    """Run a command, print what it took, and return its exit code."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    print(json.dumps(Spent(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9)))
    return process.returncode


if __name__ == "__main__":
    sys.exit(_start(sys.argv[1:]))
