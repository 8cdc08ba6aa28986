"""Collections as rows of consecutive steps."""

import numpy as np
import torch

from algorithms.kit.on_policy.rollouts import rollouts_of
from tasks.spec import EpisodeBatch


def test_a_rows_episodes_follow_one_another_whatever_the_order_in_which_they_ended():
    # two tasks of one rollout each, 5 steps per row: row 1 ended episodes after 2 and 3 steps, row 0 after 4 and 1
    lengths, rows = np.array([2, 4, 1, 3]), np.array([1, 0, 0, 1])
    observations, rewards = np.full((4, 5, 1), -1, np.float32), np.full((4, 4), -1, np.float32)
    begun = {1: [10, 12], 0: [0, 4]}
    for episode, (row, length) in enumerate(zip(rows, lengths)):
        first = begun[row].pop(0)
        rewards[episode, :length] = np.arange(first, first + length)
        observations[episode, : length + 1, 0] = 100 + np.arange(first, first + length + 1)
    batch = EpisodeBatch(
        observations,
        np.zeros((4, 4, 1), np.float32),
        rewards,
        lengths,
        np.array([True, False, True, False]),
        rows,
        rows,
    )
    found = rollouts_of(batch, 2, torch.device("cpu"))
    assert found.rewards.tolist() == [[[0, 1, 2, 3, 4]], [[10, 11, 12, 13, 14]]]
    assert (found.observations[..., 0] == found.rewards + 100).all()
    assert found.last.int().tolist() == [[[0, 0, 0, 1, 1]], [[0, 1, 0, 0, 1]]]
