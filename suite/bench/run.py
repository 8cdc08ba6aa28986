"""The declared speed and memory figures, measured on one thread and judged against this machine's own product rate.

How fast a step may be is stated in units of a float32 matrix product of 2048 x 2048 timed in the same run, so the
limits hold on any machine. Measurements are interleaved, processor time is measured rather than the clock on the
wall, and the least of each counts: other processes on the machine disturb the figures little.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from suite.bench.measurement import Figure
from suite.run.processes import worker_environment

PARTS = ("training", "lite", "on-policy", "rl2", "planning", "simulation", "commands", "report", "memory", "scale")

PEER = "peer"
"""A further part, for who has the extra `bench`: another package's step beside ours."""


def measure(part: str, device: str = "cpu") -> list[Figure]:
    """The figures of one of `PARTS`, or of `PEER`, measured in this process, which should be a worker's: one thread."""
    if part == "training":
        from suite.bench.training import training_figures

        return training_figures(device)
    if part == "lite":
        from suite.bench.lite import lite_figures

        return lite_figures()
    if part == "on-policy":
        from suite.bench.on_policy import on_policy_figures

        return on_policy_figures()
    if part == "rl2":
        from suite.bench.rl2 import rl2_figures

        return rl2_figures(device)
    if part == "planning":
        from suite.bench.planning import planning_figures

        return planning_figures(device)
    if part == "simulation":
        from suite.bench.simulation import simulation_figures

        return simulation_figures()
    if part == "scale":
        from suite.bench.scale import scale_figures

        return scale_figures()
    if part == "report":
        from suite.bench.report import report_figures

        return report_figures()
    if part == PEER:
        from suite.bench.peer import peer_figures

        return peer_figures()
    if part == "commands":
        from suite.bench.commands import command_figures

        return command_figures()
    from suite.bench.memory import memory_figures

    return memory_figures()


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
