"""What tests of several floors share: small experiments on the point families, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

TINY = {
    "mier": {"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20, "steps_per_iteration": 3,
             "policy_hidden": [16, 16, 16], "model_hidden": [16, 16, 16], "task_batch": 10, "meta_batch": 4},
    "pearl": {"initial_transitions": 20, "prior_transitions": 20, "posterior_transitions": 40, "steps_per_iteration": 3,
              "policy_hidden": [16, 16, 16], "encoder_hidden": [16, 16, 16], "meta_batch": 4, "batch": 8,
              "context_batch": 10},
    "maml": {"tasks_per_iteration": 4, "rollouts_per_task": 2, "rollout_transitions": 20, "policy_hidden": [16, 16],
             "action_scale": 1.0},
    "promp": {"tasks_per_iteration": 4, "rollouts_per_task": 2, "rollout_transitions": 20, "policy_hidden": [16, 16],
              "action_scale": 1.0},
    "rl2": {"trial_transitions": 40, "trials_per_iteration": 3, "hidden": 8, "epochs": 2, "backpropagation": 16},
    "mql": {"initial_transitions": 20, "burn_in": 0, "initial_episode": 1.0, "steps_per_iteration": 3,
            "full_steps_from": 0, "hidden": [16, 16], "context_hidden": 4, "history_length": 5, "batch": 16},
    "grbal": {"initial_transitions": 20, "tasks_per_iteration": 4, "transitions": 20, "steps_per_iteration": 3,
              "model_hidden": [16, 16, 16], "past": 4, "future": 4, "meta_batch": 4, "validation_windows": 8,
              "candidates": 20, "plan_horizon": 3},
    "null": {},
    "random": {},
    "oracle": {"initial_transitions": 20, "transitions_per_task": 20, "steps_per_iteration": 3, "hidden": [16, 16],
               "batch": 16},
}  # fmt: skip
TINY_ADAPT = {
    "mier": {"context_steps": 3, "model_steps": 4, "gate": None, "relabel_updates": 6, "relabel_transitions": 200,
             "relabel_interval": 4, "batch": 32},
    "mier-wr": {"context_steps": 3},
    "pearl": {}, "maml": {"gradient_steps": 4}, "promp": {"gradient_steps": 4},
    "rl2": {},
    "mql": {"new_data_updates": 2, "replay_updates": 4, "replay_batch": 32},
    "grbal": {},
    "null": {},
    "random": {},
    "oracle": {},
}  # fmt: skip


@pytest.fixture
def tiny_experiment():
    """A function (algorithms, split, **fields) -> Experiment with the smallest networks that exercise everything.

    `train` and `adapt` change the blocks of every algorithm.
    """
    from algorithms.registry import get_algorithm
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
