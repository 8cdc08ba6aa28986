"""How good the planner is by itself: with the true simulator in the place of GrBAL's model, on training tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms.grbal import planner_settings
from algorithms.kit.model_based.planning import PlannerSettings, advanced, plan
from algorithms.registry import get_algorithm
from suite.experiment.presets import resolve_blocks
from tasks.registry import get_family, get_split, make_batch

SPLIT = get_split("cheetah-negated-joints.ood")
TASKS, STEPS = 2, 200
JUDGED = 2000  # simulator steps per action and task that either planner may judge sequences with


class Simulator:
    """Predicts returns of action sequences by living through them, from the state of a running batch of tasks."""

    def __init__(self, tasks: np.ndarray, candidates: int) -> None:
        self.candidates = candidates
        self.rehearsal = make_batch(get_family(SPLIT.family), len(tasks) * candidates)
        self.rehearsal.set_tasks(np.repeat(tasks, candidates, axis=0))
        self.rehearsal.reset(np.arange(len(tasks) * candidates), [np.random.default_rng(0)] * len(tasks) * candidates)

    def returns(self, running, sequences: torch.Tensor) -> torch.Tensor:
        """Sums of rewards (task, candidate) of sequences (task, candidate, step, action)."""
        for name in ("qpos", "qvel"):
            getattr(self.rehearsal, name)[...] = np.repeat(getattr(running, name), self.candidates, axis=0)
        steps = sequences.flatten(0, 1).transpose(0, 1).numpy()
        total = sum(self.rehearsal.step(actions).rewards.astype(np.float64) for actions in steps)
        return torch.as_tensor(total.reshape(sequences.shape[:2]))


def episode_return(settings: PlannerSettings) -> float:
    """Mean return of an episode in some training tasks; as many simulator steps per action whatever the horizon."""
    settings = settings._replace(candidates=JUDGED // settings.horizon)
    tasks = np.array(SPLIT.train[:TASKS])
    running = make_batch(get_family(SPLIT.family), TASKS)
    running.set_tasks(tasks)
    running.reset(np.arange(TASKS), [np.random.default_rng([7, row]) for row in range(TASKS)])
    model, generator = Simulator(tasks, settings.candidates // settings.iterations), torch.Generator().manual_seed(0)
    plans, total = torch.zeros(TASKS, settings.horizon, get_family(SPLIT.family).action_dim), np.zeros(TASKS)
    for _ in range(STEPS):
        plans = plan(settings, lambda sequences: model.returns(running, sequences).float(), plans, generator)
        total += running.step(plans[:, 0].numpy()).rewards
        plans = advanced(plans)
    return float(total.mean())


def configured(preset: str | None) -> PlannerSettings:
    """The planner of a preset."""
    train, adapt = resolve_blocks(get_algorithm("grbal"), SPLIT, preset, {}, {}, "cpu")
    return planner_settings(train, adapt)


@pytest.mark.slow
def test_far_plans_beat_a_near_one_by_half_at_the_same_cost():
    least = 1.5 * episode_return(configured("paper"))
    assert least > 100  # it does run
    assert episode_return(configured("far-planning")) > least
    assert episode_return(configured(None)) > least
