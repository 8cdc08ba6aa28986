"""Figures of `offmap bench`: a run at the papers' scale, its memory and its checkpoints."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from suite.bench.measurement import Figure
from suite.run.processes import worker_environment

MEMORY_LIMIT = 1.0  # GB beside the frames themselves, of which the humanoid's 376 numbers take 2.4
TRANSITIONS = 1_500_000
NUM_TASKS = 100
# Longer collections than a real iteration's, so that it takes few of them, and few transitions at first.
SCALE: dict[str, Any] = {"steps_per_iteration": 1, "adapted_transitions": 1600, "initial_transitions": 400}
RELABELED_TASKS, RELABELED = 10, 1_000_000  # test tasks fine-tuned at once, relabeled transitions held for each
MEMORY_FAMILIES = ("cheetah-velocity", "humanoid-direction")
CHECKPOINT_LIMIT = 2.0  # % of the time between two checkpoints, which is `checkpoint_seconds`
CHECKPOINTS, NEW_TRANSITIONS = 3, 30_000  # timed; collected between two of them, more than any run does in that time


def memory_figures() -> list[Figure]:
    """Peak memory and the cost of checkpoints of a paper-scale run per body."""
    figures = []
    for family in MEMORY_FAMILIES:
        command = [sys.executable, "-P", "-m", "suite.bench.memory", family, str(TRANSITIONS)]
        done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
        measured = json.loads(done.stdout)
        frames = frames_gb(family, TRANSITIONS)
        note = f"peak, MIER, {frames:.2f} GB of transitions, then {RELABELED_TASKS} tasks fine-tuned at once"
        figures.append(Figure(f"memory, {family}", measured["memory"], "GB", frames + MEMORY_LIMIT, note=note))
        note = f"of run time, a replay of {TRANSITIONS:,} and {NEW_TRANSITIONS:,} new ones each time"
        figures.append(Figure(f"checkpoints, {family}", measured["checkpoints"], "%", CHECKPOINT_LIMIT, note=note))
    return figures


def frames_gb(family_name: str, transitions: int) -> float:
    """What so many transitions take in memory, GB: observation, action, reward and whether it was the last, float32."""
    from tasks.registry import get_family

    spaces = get_family(family_name).spaces
    return transitions * 4 * (spaces.observation_dim + spaces.action_dim + 2) / 1e9


def at_scale(family_name: str, transitions: int) -> dict[str, float]:
    """The most memory, GB, that this process ever held in a run of that scale, and what its checkpoints cost, %.

    Trains MIER until its store holds `transitions`, with one gradient step per outer iteration and checkpoints near the
    end, then fine-tunes as a meta-test does, with as much relabeled experience as its replay can hold.
    """
    import torch

    from algorithms.kit.model_based.relabeling import RelabeledReplay
    from algorithms.mier import Mier, MierTrain
    from suite.bench.random_source import RandomSource
    from suite.bench.training import MIER_SIZES, adaptation_step
    from tasks.registry import get_family

    source = RandomSource(get_family(family_name), NUM_TASKS)
    config = MierTrain(**MIER_SIZES | SCALE)
    device = torch.device("cpu")
    algorithm = Mier(config, source, seed=0, device=device, capacity=transitions)
    new = min(NEW_TRANSITIONS, transitions // 10)
    while source.steps + algorithm.steps_of_next_iteration() <= transitions - CHECKPOINTS * new:
        algorithm.iterate()
    checkpoints = checkpoint_share(algorithm, source, new)
    replay = RelabeledReplay(RELABELED_TASKS, RELABELED, device)
    for task in range(RELABELED_TASKS):
        slots = torch.randint(algorithm.store.size - 1, (RELABELED,), generator=algorithm.generator)
        replay.add(task, slots, [torch.zeros(RELABELED)])
    adaptation_step(algorithm, RELABELED_TASKS)()
    return {
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, "checkpoints": 100 * checkpoints
    }  # fmt: skip


def checkpoint_share(algorithm: Any, source: Any, new: int) -> float:
    """What share of run time checkpoints take: the least of some, over the time that lies between two by default.

    The first one, which writes the whole replay, is that of no run: each has written what was there before it.
    """
    from suite.experiment.specs import Execution
    from suite.run.saving.checkpoints import save_checkpoint

    between = Execution.model_fields["checkpoint_seconds"].default
    least = float("inf")
    with tempfile.TemporaryDirectory(prefix="offmap-checkpoints-") as scratch:
        for number in range(1 + CHECKPOINTS):
            until = source.steps + (new if number else 0)
            while source.steps < until:
                algorithm.iterate()
            started = time.perf_counter()
            save_checkpoint(Path(scratch) / "checkpoints", f"{number:012d}", algorithm.state(), algorithm.log(), {})
            if number:
                least = min(least, time.perf_counter() - started)
    return least / between


if __name__ == "__main__":
    print(json.dumps(at_scale(sys.argv[1], int(sys.argv[2]))))
