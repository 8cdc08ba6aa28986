"""Windows stay inside one episode, each as likely as any other; the running episode's last transitions by hand."""

import numpy as np
import pytest
import torch

from algorithms.kit.model_based.windows import RecentTransitions, WindowIndex
from tasks.spec import SpaceSpec

CPU = torch.device("cpu")


def index(lengths, past=3, future=2, least_past=1):
    """Episodes one after the other, with the frame between them that a store keeps."""
    found, start = WindowIndex(past, future, least_past, CPU), 0
    for length in lengths:
        found.add(torch.arange(start, start + length))
        start += length + 1
    return found


def contents(windows):
    """Each window as its past and future slots that count, and that their weights are equal and sum to one."""
    found = []
    for past, past_weights, future, future_weights in zip(*windows):
        for weights in (past_weights, future_weights):
            kept = weights[weights > 0]
            assert float(kept.sum()) == pytest.approx(1)
            assert (kept == kept[0]).all()
        found.append((tuple(past[past_weights > 0].tolist()), tuple(future[future_weights > 0].tolist())))
    return found


def test_all_windows_and_no_others_each_as_often():
    windows = index([4, 1, 2])  # slots 0-3, 5, 7-8; the second episode has no step with one before it
    assert windows.number == 4
    drawn = contents(windows.sample(8000, torch.Generator().manual_seed(0)))
    expected = {((0,), (1, 2)), ((0, 1), (2, 3)), ((0, 1, 2), (3,)), ((7,), (8,))}
    assert set(drawn) == expected
    for window in expected:
        assert drawn.count(window) / 8000 == pytest.approx(1 / 4, abs=0.02)


def test_least_past_leaves_out_the_beginnings():
    windows = index([6, 3, 4], past=3, future=9, least_past=3)
    drawn = contents(windows.sample(500, torch.Generator().manual_seed(0)))
    assert set(drawn) == {((0, 1, 2), (3, 4, 5)), ((1, 2, 3), (4, 5)), ((2, 3, 4), (5,)), ((11, 12, 13), (14,))}


def test_every_slot_is_one_of_the_windows_episode_even_where_it_does_not_count():
    windows = index([4, 5], past=8, future=8).sample(300, torch.Generator().manual_seed(1))
    slots = torch.cat([windows.past, windows.future], 1)
    first = (slots < 4).all(1)
    assert (first | ((slots >= 5) & (slots < 10)).all(1)).all()
    assert 0 < first.float().mean() < 1


def test_no_window_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no episode has more than 3 steps"):
        index([3, 2], least_past=3).sample(1, torch.Generator())


def test_a_state_gives_the_same_windows():
    one, other = index([4, 6, 2]), WindowIndex(3, 2, 1, CPU)
    other.load_state(one.state())
    draws = [windows.sample(20, torch.Generator().manual_seed(2)) for windows in (one, other)]
    assert all(torch.equal(left, right) for left, right in zip(*draws))
    other.add(torch.arange(20, 30))
    assert other.number == one.number + 9


def test_recent_transitions_are_the_last_of_the_running_episode_row_by_row():
    recent = RecentTransitions(2, 3, SpaceSpec(observation_dim=1, action_dim=1, horizon=9))

    def seen(step, active):
        values = np.array([[step], [100.0 + step]], np.float32)
        recent.add(values, values + 0.25, values + 1, np.array(active))

    def held():
        data, weights = recent.held(CPU)
        held = weights > 0
        assert torch.equal(data.actions[held], data.observations[held] + 0.25)
        assert torch.equal(data.next_observations[held], data.observations[held] + 1)
        return [sorted(row[w > 0, 0].tolist()) for row, w in zip(data.observations, weights)], weights.sum(1).tolist()

    seen(0, [True, True])
    seen(1, [True, False])
    assert held() == ([[0, 1], [100]], [1, 1])
    for step in range(2, 6):
        seen(step, [True, step < 3])
    assert held() == ([[3, 4, 5], [100, 102]], [1, 1])  # the newest is among them
    recent.clear(np.array([True, False]))
    assert held() == ([[], [100, 102]], [0, 1])
    seen(6, [True, False])
    assert held() == ([[6], [100, 102]], [1, 1])
    assert recent.counts.tolist() == [1, 2]


def test_copies_of_recent_transitions_are_row_major_and_go_their_own_way():
    recent = RecentTransitions(2, 3, SpaceSpec(observation_dim=1, action_dim=1, horizon=9))
    for step in range(2):
        values = np.array([[step], [10.0 + step]], np.float32)
        recent.add(values, values, values, np.array([True, step == 0]))
    copies = recent.repeated(2)
    assert copies.counts.tolist() == [2, 2, 1, 1]
    data, weights = copies.held(torch.device("cpu"))
    assert data.observations[:, :, 0].tolist() == [[0, 1, 0], [0, 1, 0], [10, 0, 0], [10, 0, 0]]
    assert weights.tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [1, 0, 0], [1, 0, 0]]
    ones = np.ones((4, 1), np.float32)
    copies.add(ones, ones, ones, np.ones(4, bool))
    assert recent.counts.tolist() == [2, 1]
    assert recent.held(torch.device("cpu"))[0].observations[:, 2, 0].tolist() == [0, 0]
