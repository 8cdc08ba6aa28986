"""What tests of several floors share: small experiments on the point families, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from algorithms.registry import ALGORITHMS, get_algorithm

torch.set_num_threads(1)

TINY = {entry.training: dict(entry.tiny_train) for entry in reversed(ALGORITHMS.values())}
TINY_ADAPT = {name: dict(entry.tiny_adapt) for name, entry in ALGORITHMS.items()}
"""The smallest configurations that exercise everything, as each algorithm's file declares them."""


@pytest.fixture
def tiny_experiment():
    """A function (algorithms, split, **fields) -> Experiment with the smallest networks that exercise everything.

    `train` and `adapt` change the blocks of every algorithm.
    """
    from suite.experiment.declaration import Experiment

    def build(algorithms=("mier",), split="point-goal.ood", env_steps=1600, train=None, adapt=None, **fields):
        choices = [
            {"name": name, "train": TINY[get_algorithm(name).training] | (train or {}),
             "adapt": TINY_ADAPT[name] | (adapt or {})}
            for name in algorithms
        ]  # fmt: skip
        protocol = {"evaluate_every": 3, "evaluation_episodes": 2} | fields.pop("protocol", {})
        return Experiment.model_validate(
            {"name": "tiny", "splits": [split], "algorithms": choices, "budget": {"env_steps": env_steps},
             "protocol": protocol, "checkpoint_seconds": 1e-6} | fields
        )  # fmt: skip

    return build


@pytest.fixture
def run_here():
    """A function (experiment, out) -> training folders, all work done in this process."""
    from suite.results.prepare import prepare
    from suite.run.worker import main

    def run(experiment, out: Path) -> list[Path]:
        folders = prepare(experiment, out)
        for folder in folders:
            assert main([str(folder)]) == 0
        return folders

    return run
