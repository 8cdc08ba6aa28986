import numpy as np
import pytest
import torch

from algorithms.kit.replay import Transitions
from algorithms.kit.trial_data import TrialData, random_split, rows_of

CPU = torch.device("cpu")


def numbered(num_tasks, steps):
    """Data in which the reward of step t of task k is 100 k + t and every other field follows from it."""
    data = TrialData(num_tasks)
    for step in range(steps):
        number = 100.0 * np.arange(num_tasks) + step
        column = number[:, None]
        data.add((column, column + 0.25, number, column + 0.5, number % 2 == 1), np.ones(num_tasks, bool))
    return data


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_everything_is_kept_in_order_as_float32():
    data = numbered(3, 4).everything(CPU)
    assert data.rewards.tolist() == [[0, 1, 2, 3], [100, 101, 102, 103], [200, 201, 202, 203]]
    assert data.observations.shape == (3, 4, 1)
    assert torch.equal(data.actions[..., 0], data.rewards + 0.25)
    assert torch.equal(data.next_observations[..., 0], data.rewards + 0.5)
    assert data.terminated.tolist() == [[0, 1, 0, 1]] * 3
    assert {field.dtype for field in data} == {torch.float32}


def test_only_active_tasks_are_stored_and_later_changes_of_the_arrays_do_not_reach_the_data():
    data = TrialData(2)
    rewards = np.array([1.0, 2.0])
    transition = (np.zeros((2, 3)), np.zeros((2, 1)), rewards, np.zeros((2, 3)), np.zeros(2, bool))
    data.add(transition, np.array([True, False]))
    rewards += 10
    data.add(transition, np.array([False, True]))
    assert data.everything(CPU).rewards.tolist() == [[1.0], [12.0]]
    assert data.of_task(1, CPU).rewards.tolist() == [[12.0]]


@pytest.mark.parametrize("active", [(True, False), (False, False)])
def test_uneven_or_missing_data_is_an_error_that_says_how_much_there_is(active):
    data = TrialData(2)
    transition = (np.zeros((2, 3)), np.zeros((2, 1)), np.zeros(2), np.zeros((2, 3)), np.zeros(2, bool))
    data.add(transition, np.array(active))
    with pytest.raises(ValueError, match=r"same amount of data in every task, got \[0"):
        data.everything(CPU)


def test_a_split_is_a_partition_of_every_tasks_own_transitions():
    data = numbered(3, 50)
    fit, held_out = data.split(0.8, seeded(), CPU)
    assert fit.rewards.shape == (3, 40)
    assert held_out.rewards.shape == (3, 10)
    everything = data.everything(CPU)
    for task in range(3):
        together = torch.cat([fit.rewards[task], held_out.rewards[task]]).sort().values
        assert torch.equal(together, everything.rewards[task])
    for part in (fit, held_out):
        assert torch.equal(part.actions[..., 0], part.rewards + 0.25)
        assert torch.equal(part.next_observations[..., 0], part.rewards + 0.5)
        assert torch.equal(part.terminated, part.rewards % 2)


def test_a_split_is_random_and_differs_between_tasks():
    data = numbered(2, 50)
    held_out = data.split(0.8, seeded(0), CPU)[1].rewards
    assert torch.equal(held_out, data.split(0.8, seeded(0), CPU)[1].rewards)
    assert not torch.equal(held_out, data.split(0.8, seeded(1), CPU)[1].rewards)
    assert set((held_out[0] % 100).tolist()) != set((held_out[1] % 100).tolist())
    chosen = np.zeros(50)
    for seed in range(300):
        chosen[data.split(0.8, seeded(seed), CPU)[1].rewards[0].int().numpy()] += 1
    # Each of 50 transitions is held out 60 times of 300 on average; five standard deviations are 35.
    assert np.abs(chosen - 60).max() < 35


def test_rows_of_takes_each_tasks_own_rows():
    data = Transitions(*(torch.arange(6.0).reshape(2, 3) for _ in range(5)))
    assert rows_of(data, torch.tensor([[2, 2], [0, 1]])).rewards.tolist() == [[2, 2], [3, 4]]


def test_data_from_elsewhere_are_split_as_a_trials_are():
    data = numbered(3, 10)
    own, given = data.split(0.8, seeded(4), CPU), random_split(data.everything(CPU), 0.8, seeded(4))
    assert data.number == 10
    for left, right in zip(own, given):
        assert torch.equal(left.rewards, right.rewards)
    assert [part.rewards.shape for part in given] == [(3, 8), (3, 2)]
    for task in range(3):
        rewards = torch.cat([part.rewards[task] for part in given]).sort().values
        assert rewards.tolist() == [100.0 * task + step for step in range(10)]
