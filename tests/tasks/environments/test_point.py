"""The point families: their arithmetic, and that only the reward or the dynamics tell the task."""

import math

import numpy as np
import pytest

from tasks.registry import get_family, get_split, make_batch


def returns_of(split_name, act, episodes=20):
    """Mean return per test task of a policy `act(positions, angles)`."""
    split = get_split(split_name)
    family = get_family(split.family)
    values = np.repeat(np.array(split.test), episodes, axis=0)
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    observations = environment.reset(
        np.arange(len(values)), [np.random.default_rng([5, row]) for row in range(len(values))]
    )
    total = np.zeros(len(values))
    for _ in range(family.horizon):
        observations, rewards, _ = environment.step(act(observations, values[:, 0]).astype(np.float32))
        total += rewards
    return total.reshape(-1, episodes).mean(axis=1)


def towards(goal):
    return lambda positions, angles: 4.0 * (goal(angles) - positions)


def on_circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rotated_back(positions, angles):
    cosine, sine = np.cos(angles), np.sin(angles)
    x, y = -4.0 * positions.T
    return np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1)


def test_one_step_by_hand():
    environment = make_batch("point-goal", 2)
    environment.set_tasks(np.array([[0.0], [math.pi / 2]]))
    environment.reset(np.arange(2), [np.random.default_rng(0)] * 2)
    step = environment.step(np.array([[1.0, 0.0], [3.0, 4.0]], np.float32))
    assert step.observations == pytest.approx(np.array([[0.25, 0.0], [0.15, 0.2]]))
    assert step.rewards == pytest.approx([-0.75, -math.hypot(0.15, 0.8)])


def test_an_action_is_rotated():
    environment = make_batch("point-dynamics", 1)
    environment.set_tasks(np.array([[math.pi / 2]]))
    start = environment.reset(np.arange(1), [np.random.default_rng(0)])
    step = environment.step(np.array([[1.0, 0.0]], np.float32))
    assert step.observations - start == pytest.approx(np.array([[0.0, 0.25]]), abs=1e-6)


@pytest.mark.parametrize("name", ["point-goal.standard", "point-goal.ood"])
def test_goal_knowing_the_task_is_much_better(name):
    aware = returns_of(name, towards(on_circle))
    assert aware == pytest.approx(np.full(10, -1.5), abs=1e-4)
    for angle in np.linspace(0, 1.5 * math.pi, 7):  # one fixed place for all tasks, as good as a blind policy can do
        blind = returns_of(
            name, towards(lambda angles, angle=angle: np.full((len(angles), 1), 1.0) * on_circle([angle]))
        )
        assert blind.mean() < -14


@pytest.mark.parametrize("name", ["point-dynamics.standard", "point-dynamics.ood"])
def test_dynamics_knowing_the_task_is_much_better(name):
    aware = returns_of(name, rotated_back, episodes=200)
    assert aware.mean() == pytest.approx(get_split(name).references.ceiling, abs=0.05)


def test_what_fits_the_training_quadrants_fails_in_the_unseen_one():
    def mean_training_rotation(positions, angles):
        return rotated_back(positions, np.full_like(angles, 0.75 * math.pi))

    assert returns_of("point-dynamics.ood", mean_training_rotation).mean() < -40


def test_idle_rows_rest():
    environment = make_batch("point-goal", 2)
    before = environment.reset(np.arange(2), [np.random.default_rng(0)] * 2)
    step = environment.step(np.ones((2, 2), np.float32), np.array([True, False]))
    assert np.array_equal(step.observations[1], before[1])
    assert step.rewards[1] == 0
    assert not np.array_equal(step.observations[0], before[0])
