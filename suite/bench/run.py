"""The declared speed and memory figures, measured on one thread and judged against this machine's own product rate.

How fast a step may be is stated in units of matrix products of 2048 x 2048 timed in the same run, of float32 or of the
precisions that the step computes in, so the limits hold on any machine. Measurements are interleaved, processor time is
measured rather than the clock on the wall, and the least of each counts: other processes on the machine disturb the
figures little.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

from suite.bench.measurement import Figure
from suite.run.processes import worker_environment

PARTS = ("training", "lite", "on-policy", "rl2", "planning", "simulation", "commands", "report", "memory", "scale")
"""Each a module, whose figures are what its function of that name returns (`lite.lite_figures`)."""

PEER = "peer"
"""A further part, for who has the extra `bench`: another package's step beside ours."""

ON_DEVICE = ("training", "rl2", "planning")
"""Parts that can be measured on another device than the processor."""


def measure(part: str, device: str = "cpu") -> list[Figure]:
    """The figures of one of `PARTS`, or of `PEER`, measured in this process, which should be a worker's: one thread."""
    name = part.replace("-", "_")
    figures: list[Figure] = getattr(import_module(f"suite.bench.{name}"), f"{name}_figures")(
        **({"device": device} if part in ON_DEVICE else {})
    )
    return figures


def run_bench(
    parts: tuple[str, ...] = PARTS, device: str = "cpu", on_part: Callable[[str], None] = lambda part: None
) -> list[Figure]:
    """All figures, each part in a process of its own that is set up as a worker; `on_part` is called as each begins.

    Raises:
        RuntimeError: a measurement failed; the message holds what it printed.
    """
    figures = []
    for part in parts:
        on_part(part)
        command = [sys.executable, "-P", "-m", "suite.bench.run", part, device]
        done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=False)
        if done.returncode != 0:
            raise RuntimeError(f"measuring {part} failed:\n{done.stderr}")
        figures += [Figure(*fields) for fields in json.loads(done.stdout.splitlines()[-1])]
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
