"""Collections laid out as rows of consecutive steps, for on-policy learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.on_policy.advantages import episode_times
from algorithms.kit.replay import Transitions
from tasks.spec import EpisodeBatch


class Rollouts(NamedTuple):
    """Rows of equally many steps, episodes one after the other: fields (task, rollout, step, ...).

    `last` marks the final step of each episode, for whatever reason it ended. `cut` marks those behind which the
    return goes on, unseen: its rest is what a baseline expects of `next_observations` there.
    """

    observations: Tensor
    rewards: Tensor
    next_observations: Tensor
    last: Tensor
    cut: Tensor

    @property
    def times(self) -> Tensor:
        """The number of steps taken before each step in its episode, (task, rollout, step) int64."""
        return episode_times(self.last)

    def of(self, task: int) -> Rollouts:
        """One task's, fields (rollout, step, ...)."""
        return Rollouts(*(field[task] for field in self))


class TimeLimit(NamedTuple):
    """After how many `steps` an episode is over, and whether its return is `bootstrapped` there.

    It is not where returns are measured up to the limit: then nothing is behind it. An episode that the end of its
    row cuts sooner always goes on behind it.
    """

    steps: int
    bootstrapped: bool = False


def episode_ends(terminated: Tensor, horizon: int) -> Tensor:
    """The final step of each episode, (..., step) bool, where one ends by its rule, at the horizon, or with its row."""
    last = torch.zeros_like(terminated)
    age = torch.zeros_like(terminated[..., 0], dtype=torch.int64)
    for step in range(terminated.shape[-1]):
        age = age + 1
        last[..., step] = terminated[..., step] | (age == horizon)
        age = age * ~last[..., step]
    last[..., -1] = True
    return last


def rollouts_between(
    observations: Tensor, rewards: Tensor, next_observations: Tensor, terminated: Tensor, limit: TimeLimit
) -> Rollouts:
    """Rollouts of steps (task, rollout, step, ...), the ends of their episodes worked out."""
    last = episode_ends(terminated, limit.steps)
    whole = terminated | (episode_times(last) + 1 == limit.steps) & (not limit.bootstrapped)
    return Rollouts(observations, rewards, next_observations, last, last & ~whole)


def rollouts_of(batch: EpisodeBatch, tasks: int, limit: TimeLimit, device: torch.device) -> Rollouts:
    """The steps of a collection whose rows were task-major and filled the same quota."""
    order = np.argsort(batch.rows, kind="stable")  # a row's episodes ended one after the other
    lengths, shape = batch.lengths[order], (tasks, len(np.unique(batch.rows)) // tasks, -1)
    inside = np.arange(batch.rewards.shape[1]) < lengths[:, None]
    terminated = np.zeros(int(lengths.sum()), bool)
    terminated[np.cumsum(lengths) - 1] = batch.terminated[order]

    def rows(steps: np.ndarray) -> Tensor:
        return torch.from_numpy(steps).to(device).unflatten(0, shape)

    seen, reached = batch.observations[order, :-1][inside], batch.observations[order, 1:][inside]
    return rollouts_between(rows(seen), rows(batch.rewards[order][inside]), rows(reached), rows(terminated), limit)


def rollouts_of_trial(seen: Transitions, limit: TimeLimit) -> Rollouts:
    """All transitions of a trial, (task, step, ...), as one rollout per task."""
    observations, _, rewards, following, terminated = (field.unsqueeze(1) for field in seen)
    return rollouts_between(observations, rewards, following, terminated > 0, limit)
