"""Collections laid out as rows of consecutive steps, for on-policy learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.spec import EpisodeBatch


class Rollouts(NamedTuple):
    """Rows of equally many steps, episodes one after the other: fields (task, rollout, step, ...).

    `last` marks the final step of each episode, for whatever reason it ended.
    """

    observations: Tensor
    rewards: Tensor
    last: Tensor


def rollouts_of(batch: EpisodeBatch, tasks: int, device: torch.device) -> Rollouts:
    """The steps of a collection whose rows were task-major and filled the same quota."""
    order = np.argsort(batch.rows, kind="stable")  # a row's episodes ended one after the other
    lengths = batch.lengths[order]
    inside = np.arange(batch.rewards.shape[1]) < lengths[:, None]
    observations = batch.observations[order, :-1][inside]
    rewards = batch.rewards[order][inside]
    last = np.zeros(len(rewards), bool)
    last[np.cumsum(lengths) - 1] = True
    rows = len(np.unique(batch.rows))
    fields = (torch.from_numpy(field).to(device) for field in (observations, rewards, last))
    return Rollouts(*(field.unflatten(0, (tasks, rows // tasks, -1)) for field in fields))
