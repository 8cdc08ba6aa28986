"""Figures of `offmap bench`: how soon the command line answers, and the memory of a run at the papers' scale."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Any

from suite.bench.figure import Figure
from suite.executors.processes import worker_environment

HELP_LIMIT = 0.5  # s
HELP_ROUNDS = 5
MEMORY_LIMIT = 3.0  # GB
TRANSITIONS = 1_500_000
NUM_TASKS = 100
# Longer collections than a real iteration's, so that it takes few of them, and few transitions at first.
SCALE: dict[str, Any] = {"steps_per_iteration": 1, "adapted_transitions": 1600, "initial_transitions": 400}
RELABELED_TASKS, RELABELED = 10, 1_000_000  # test tasks fine-tuned at once, relabeled transitions held for each
MEMORY_FAMILIES = ("cheetah-velocity", "humanoid-direction")


def process_figures() -> list[Figure]:
    """Processor seconds of `offmap --help` and the peak memory of a paper-scale run per body."""
    figures = [Figure("offmap --help", help_seconds(), "s", HELP_LIMIT, note="processor time of the whole command")]
    for family in MEMORY_FAMILIES:
        command = [sys.executable, "-P", "-m", "suite.bench.process", family, str(TRANSITIONS)]
        done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
        note = f"peak, MIER, {TRANSITIONS:,} transitions, then {RELABELED_TASKS} tasks fine-tuned at once"
        figures.append(Figure(f"memory, {family}", float(done.stdout), "GB", MEMORY_LIMIT, note=note))
    return figures


def help_seconds(rounds: int = HELP_ROUNDS) -> float:
    """The least processor time, s, that `offmap --help` takes, from the start of Python to its end."""
    command = [sys.executable, "-c", "import sys; from suite.cli import main; sys.argv = ['offmap', '--help']; main()"]
    least = float("inf")
    for _ in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, code, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode != 0:
            raise RuntimeError(f"`offmap --help` ended with {process.returncode}")
        least = min(least, used.ru_utime + used.ru_stime)
    return least


def peak_memory(family_name: str, transitions: int) -> float:
    """The most memory, GB, that this process ever held, after a training and a fine-tuning of that scale.

    Trains MIER until its store holds `transitions`, with one gradient step per outer iteration, then fine-tunes as a
    meta-test does, with as much relabeled experience as its replay can hold.
    """
    import torch

    from algorithms.kit.relabeling import RelabeledReplay
    from algorithms.mier import Mier, MierTrain
    from suite.bench.training import MIER_SIZES, adaptation_step
    from suite.rehearsal import RandomSource
    from tasks.registry import get_family

    source = RandomSource(get_family(family_name), NUM_TASKS)
    config = MierTrain(**MIER_SIZES | SCALE)
    device = torch.device("cpu")
    algorithm = Mier(config, source, seed=0, device=device, capacity=transitions)
    while source.steps + algorithm.steps_of_next_iteration() <= transitions:
        algorithm.iterate()
    replay = RelabeledReplay(RELABELED_TASKS, RELABELED, device)
    for task in range(RELABELED_TASKS):
        slots = torch.randint(algorithm.store.size - 1, (RELABELED,), generator=algorithm.generator)
        replay.add(task, slots, [torch.zeros(RELABELED)])
    adaptation_step(algorithm, RELABELED_TASKS)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    print(peak_memory(sys.argv[1], int(sys.argv[2])))
