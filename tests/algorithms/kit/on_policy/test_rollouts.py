"""Collections as rows of consecutive steps, and where the returns of their episodes end."""

import numpy as np
import pytest
import torch

from algorithms.kit.on_policy.rollouts import TimeLimit, episode_ends, rollouts_of, rollouts_of_trial
from algorithms.kit.replay import Transitions
from tasks.spec import EpisodeBatch

CPU = torch.device("cpu")


def two_rows():
    """Two tasks of one rollout each, 5 steps per row, no episode longer than 4.

    Row 0 has one of 4 steps, up to the time limit, and one of 1, which terminated; row 1 one of 2, which terminated,
    and one of 3 that its row cut. In the order in which they ended.
    """
    lengths, rows = np.array([2, 4, 1, 3]), np.array([1, 0, 0, 1])
    observations, rewards = np.full((4, 5, 1), -1, np.float32), np.full((4, 4), -1, np.float32)
    begun = {1: [10, 12], 0: [0, 4]}
    for episode, (row, length) in enumerate(zip(rows, lengths)):
        first = begun[row].pop(0)
        rewards[episode, :length] = np.arange(first, first + length)
        observations[episode, : length + 1, 0] = 100 + np.arange(first, first + length + 1)
    ended = np.array([True, False, True, False])
    return EpisodeBatch(observations, np.zeros((4, 4, 1), np.float32), rewards, lengths, ended, rows, rows)


def test_a_rows_episodes_follow_one_another_whatever_the_order_in_which_they_ended():
    rollouts = rollouts_of(two_rows(), 2, TimeLimit(4), CPU)
    assert rollouts.rewards.tolist() == [[[0, 1, 2, 3, 4]], [[10, 11, 12, 13, 14]]]
    assert (rollouts.observations[..., 0] == rollouts.rewards + 100).all()
    assert (rollouts.next_observations[..., 0] == rollouts.rewards + 101).all()  # of its own episode
    assert rollouts.last.int().tolist() == [[[0, 0, 0, 1, 1]], [[0, 1, 0, 0, 1]]]
    assert rollouts.times.tolist() == [[[0, 1, 2, 3, 0]], [[0, 1, 0, 1, 2]]]
    assert rollouts.of(1).rewards.tolist() == [[10, 11, 12, 13, 14]]


@pytest.mark.parametrize(("bootstrapped", "first"), [(False, [0, 0, 0, 0, 0]), (True, [0, 0, 0, 1, 0])])
def test_a_return_goes_on_where_its_row_cut_it_and_at_the_time_limit_if_asked_to(bootstrapped, first):
    rollouts = rollouts_of(two_rows(), 2, TimeLimit(4, bootstrapped), CPU)
    assert rollouts.cut.int().tolist() == [[first], [[0, 0, 0, 0, 1]]]


def test_a_row_that_ends_with_its_episode_cuts_nothing():
    terminated = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]) > 0
    assert episode_ends(terminated, 2).int().tolist() == [[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1]]
    ones = torch.ones(3, 4)
    seen = Transitions(ones.unsqueeze(-1), ones.unsqueeze(-1), ones, ones.unsqueeze(-1), terminated.float())
    rollouts = rollouts_of_trial(seen, TimeLimit(2))
    assert rollouts.cut.int().tolist() == [[[0, 0, 0, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]]]
    assert rollouts.observations.shape == (3, 1, 4, 1)


def test_a_trial_ends_its_episodes_where_a_collection_does():
    whole = rollouts_of(two_rows(), 2, TimeLimit(4), CPU)
    terminated = torch.tensor([[0, 0, 0, 0, 1], [0, 1, 0, 0, 0]])
    steps = (field[:, 0] for field in (whole.observations, whole.rewards, whole.next_observations))
    observations, rewards, following = steps
    trial = rollouts_of_trial(Transitions(observations, observations, rewards, following, terminated), TimeLimit(4))
    assert all(torch.equal(left, right) for left, right in zip(whole, trial))
