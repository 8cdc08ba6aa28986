"""Linear baselines, of each task alone and pooled, against numbers by hand and in numpy, and on ant-goal."""

import numpy as np
import pytest
import torch

from algorithms.kit.on_policy.advantages import discounted_sums, generalised_advantages
from algorithms.kit.on_policy.baselines import (
    PooledBaseline,
    _solve,
    fit_linear_baseline,
    linear_features,
    linear_values,
    values_behind,
)
from algorithms.kit.on_policy.rollouts import Rollouts, TimeLimit, rollouts_between, rollouts_of
from algorithms.kit.state import load_state_of, state_of

CPU = torch.device("cpu")


def rollouts(tasks=3, number=4, steps=30, dim=3, horizon=30, seed=0, bootstrapped=False):
    """Rollouts of random observations and rewards."""
    generator = torch.Generator().manual_seed(seed)
    walk = torch.randn(tasks, number, steps + 1, dim, generator=generator)
    rewards = torch.randn(tasks, number, steps, generator=generator)
    never = torch.zeros(tasks, number, steps, dtype=torch.bool)
    limit = TimeLimit(horizon, bootstrapped)
    return rollouts_between(walk[..., :-1, :], rewards, walk[..., 1:, :], never, limit)


def features_by_hand(observations, times):
    state, time = np.clip(observations.double().numpy(), -10, 10), times[..., None] / 100
    return np.concatenate([state, state**2, time, time**2, time**3, np.ones_like(time)], axis=-1)


# Each task alone ------------------------------------------------------------------------------------------------


def test_features_are_clipped_before_they_are_squared_and_time_is_in_hundreds():
    found = linear_features(torch.tensor([[2.0, -30.0]]), torch.tensor([50]))
    assert found.tolist() == [[2.0, -10.0, 4.0, 100.0, 0.5, 0.25, 0.125, 1.0]]
    assert found.dtype == torch.float64


def test_the_baseline_is_the_regularised_least_squares_solution_of_each_task_alone():
    data = rollouts()
    fitted = fit_linear_baseline(data, 0.9, regularisation=0.1)
    returns = discounted_sums(data.rewards, data.last, 0.9)
    for task in range(3):
        features = features_by_hand(data.observations[task], data.times[task].numpy()).reshape(120, 10)
        expected = np.linalg.solve(
            features.T @ features + 0.1 * np.eye(10), features.T @ returns[task].flatten().numpy()
        )
        np.testing.assert_allclose(fitted[task], expected, rtol=1e-5, atol=1e-6)
    alone = fit_linear_baseline(Rollouts(*(field[1:2] for field in data)), 0.9, regularisation=0.1)
    torch.testing.assert_close(fitted[1:2], alone)


def test_features_that_depend_on_one_another_leave_the_baseline_finite():
    data = rollouts()
    twice = torch.cat([data.observations, data.observations * 0, data.observations[..., :1] * 0 + 3], dim=-1)
    fitted = fit_linear_baseline(data._replace(observations=twice, next_observations=twice), 0.9)
    assert fitted.isfinite().all()
    plain = linear_values(fit_linear_baseline(data, 0.9), data.observations, data.times)
    torch.testing.assert_close(linear_values(fitted, twice, data.times), plain, rtol=1e-2, atol=1e-2)


def test_the_regularisation_grows_only_where_the_equations_have_no_solution():
    grams = torch.tensor([[[1.0]], [[-5e-5]]], dtype=torch.float64)  # the second is solvable from 1e-4 on
    moments = torch.ones(2, 1, 1, dtype=torch.float64)
    np.testing.assert_allclose(_solve(grams, moments, 1e-5)[:, 0, 0], [1 / (1 + 1e-5), 1 / (1e-4 - 5e-5)], rtol=1e-9)


def test_data_that_are_not_finite_are_refused():
    data = rollouts()
    with pytest.raises(ValueError, match="not finite"):
        fit_linear_baseline(data._replace(rewards=data.rewards / 0), 0.9)


# Cuts -----------------------------------------------------------------------------------------------------------


def countdown(lengths, horizon=4, bootstrapped=False):
    """One task in which every step pays 1: rollouts with a quota of 6, whose episodes terminate after `lengths`."""
    terminated = torch.zeros(1, len(lengths), 6, dtype=torch.bool)
    for row, length in enumerate(lengths):
        terminated[0, row, length - 1 :: length] = True
    still = torch.zeros(1, len(lengths), 6, 1)
    return rollouts_between(still, torch.ones(1, len(lengths), 6), still, terminated, TimeLimit(horizon, bootstrapped))


def test_behind_a_cut_the_baseline_goes_on_by_hand():
    """Every row: an episode of 4 steps, and one of 2 that its row cuts, where two rewards of 1 are to come.

    An undiscounted return is 4 - t. What the cut episodes show, 2 - t as if they had ended, must not pull it down.
    """
    data = countdown([9, 9])  # none terminates
    assert data.cut[0].int().tolist() == [[0, 0, 0, 0, 0, 1]] * 2
    weights = fit_linear_baseline(data, discount=1.0, regularisation=1e-9)
    values = linear_values(weights, data.observations, data.times)
    expected = torch.tensor([4.0, 3.0, 2.0, 1.0, 4.0, 3.0]).expand(1, 2, 6)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-3)
    behind = values_behind(weights, data)
    torch.testing.assert_close(behind[0, 0], torch.tensor([0.0, 0, 0, 0, 0, 2]), rtol=1e-3, atol=1e-3)
    advantages = generalised_advantages(data.rewards, values, data.last, 1.0, 1.0, behind)
    assert advantages.abs().max() < 1e-2
    as_ended = data._replace(cut=torch.zeros_like(data.cut))
    biased = linear_values(fit_linear_baseline(as_ended, 1.0, 1e-9), data.observations, data.times)
    assert biased[0, 0, 0] == pytest.approx(3.0, abs=0.1)  # the mean of 4 and 2
    assert values_behind(weights, as_ended) is None


def test_an_episode_that_terminates_with_its_row_is_not_cut():
    data = countdown([3, 3])
    values = linear_values(fit_linear_baseline(data, 1.0, 1e-9), data.observations, data.times)
    torch.testing.assert_close(
        values, torch.tensor([3.0, 2.0, 1.0, 3.0, 2.0, 1.0]).expand(1, 2, 6), rtol=1e-3, atol=1e-3
    )


def test_a_cut_joins_the_unknown_side_of_the_least_squares():
    """c_t by hand: discount^n times the features of the state, and the time, behind the cut."""
    data = rollouts(tasks=1, number=2, steps=25, horizon=20)
    found = fit_linear_baseline(data, 0.9, regularisation=0.1)[0]
    times = np.arange(25) % 20
    known, returns = [], []
    for row in range(2):
        observations = data.observations[0, row]
        features = features_by_hand(observations, times)
        behind = features_by_hand(data.next_observations[0, row, -1:], np.array([5]))[0]
        for step in range(25):
            end = 20 if step < 20 else 25
            going_on = 0.0 if step < 20 else 0.9 ** (end - step)
            known.append(features[step] - going_on * behind)
            returns.append(sum(0.9 ** (k - step) * float(data.rewards[0, row, k]) for k in range(step, end)))
    known, returns = np.array(known), np.array(returns)
    expected = np.linalg.solve(known.T @ known + 0.1 * np.eye(10), known.T @ returns)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


# Pooled ---------------------------------------------------------------------------------------------------------


def pooled(dim=3, **changes):
    settings = {"discount": 0.9, "decay": 0.5, "reward_prior": 0.1, "regularisation": 1e-5} | changes
    return PooledBaseline(dim, device=CPU, **settings)


@pytest.mark.parametrize("prior", [None, 7.0])
def test_it_is_the_successor_features_of_all_tasks_times_each_tasks_rewards(prior):
    """W and u by hand; older data count by their decay, and a task's own rewards beside n of the pool."""
    baseline, older, newer = pooled(reward_prior=prior, regularisation=0.1), rollouts(seed=0), rollouts(seed=1)
    judged = rollouts(tasks=2, seed=5)
    assert not baseline.weights(judged).any()
    baseline.update(older)
    baseline.update(newer)
    gram, successors, reward_gram, rewards, number = np.zeros((10, 10)), np.zeros((10, 10)), np.zeros((10, 10)), 0, 0
    for data, weight in ((older, 0.5), (newer, 1.0)):
        times = data.times.numpy()
        features = features_by_hand(data.observations, times)
        reached = features_by_hand(data.next_observations, times + 1)
        ahead = np.zeros((3, 4, 31, 10))
        for step in reversed(range(30)):
            ahead[:, :, step] = reached[:, :, step] + 0.9 * ahead[:, :, step + 1]
        flat, flat_reached = features.reshape(-1, 10), reached.reshape(-1, 10)
        gram += weight * flat.T @ flat
        successors += weight * flat.T @ ahead[:, :, :30].reshape(-1, 10)
        reward_gram += weight * flat_reached.T @ flat_reached
        rewards = rewards + weight * flat_reached.T @ data.rewards.double().numpy().reshape(-1)
        number += weight * len(flat)
    ridge = 0.1 * np.eye(10)
    shared = np.linalg.solve(reward_gram + ridge, rewards)
    weights = baseline.weights(judged)
    for task in (0, 1):
        own = shared
        if prior is not None:
            reached = features_by_hand(judged.next_observations[task], judged.times[task].numpy() + 1).reshape(-1, 10)
            surplus = reached.T @ (judged.rewards[task].double().numpy().reshape(-1) - reached @ shared)
            own = shared + np.linalg.solve(reached.T @ reached + prior * reward_gram / number + ridge, surplus)
        np.testing.assert_allclose(weights[task], np.linalg.solve(gram + ridge, successors) @ own, rtol=1e-5, atol=1e-6)


def decaying(slopes, starts, steps=12):
    """Rollouts of s' = 0.8 s that pay slope * s' in each task, all cut: their returns go on for ever."""
    ages = 0.8 ** torch.arange(steps + 1)
    walk = (torch.tensor(starts).view(1, -1, 1) * ages).expand(len(slopes), -1, -1).unsqueeze(-1)
    rewards = torch.tensor(slopes).view(-1, 1, 1) * walk[..., 1:, 0]
    never = torch.zeros(rewards.shape, dtype=torch.bool)
    return rollouts_between(walk[..., :-1, :], rewards, walk[..., 1:, :], never, TimeLimit(1000))


def test_the_values_of_an_unseen_task_follow_from_its_rewards():
    """V(s) = slope * 0.8 s / (1 - 0.9 * 0.8), for a slope that was not in training, exactly."""
    baseline = pooled(dim=1, reward_prior=1e-6, regularisation=1e-9)
    baseline.update(decaying([1.0, 2.0], [1.0, -1.0, 0.5]))
    unseen = decaying([-3.0, 7.0], [0.7, -0.4], steps=6)
    values = linear_values(baseline.weights(unseen), unseen.observations, unseen.times)
    expected = torch.tensor([-3.0, 7.0]).view(2, 1, 1) * unseen.observations[..., 0] * 0.8 / (1 - 0.9 * 0.8)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-3)
    shared = pooled(dim=1, reward_prior=None, regularisation=1e-9)
    shared.update(decaying([1.0, 2.0], [1.0, -1.0, 0.5]))
    middle = linear_values(shared.weights(unseen), unseen.observations, unseen.times)
    torch.testing.assert_close(middle, (expected[:1] / -3.0 * 1.5).expand(2, -1, -1), rtol=1e-3, atol=1e-3)


def test_the_more_the_prior_weighs_the_nearer_the_values_are_to_the_pooled_ones():
    data, other = rollouts(tasks=6, seed=2), rollouts(tasks=2, seed=3)
    found = {}
    for prior in (0.1, 100.0, 1e9, None):
        baseline = pooled(reward_prior=prior)
        baseline.update(data)
        found[prior] = baseline.weights(other)
    distances = [float((found[prior] - found[None]).norm()) for prior in (0.1, 100.0, 1e9)]
    assert distances[0] > 1.5 * distances[1] > 1e3 * distances[2]


def test_a_state_goes_on_where_it_was():
    one, two = pooled(), pooled()
    one.update(rollouts(seed=0))
    load_state_of(two.parts(), state_of(one.parts()))
    for baseline in (one, two):
        baseline.update(rollouts(seed=1))
    assert torch.equal(one.weights(rollouts(seed=2)), two.weights(rollouts(seed=2)))


def correlation(left, right):
    """Of each task's advantages, (task,)."""
    left, right = (field - field.mean(1, keepdim=True) for field in (left.flatten(1), right.flatten(1)))
    return (left * right).sum(1) / (left.norm(dim=1) * right.norm(dim=1))


@pytest.mark.slow
def test_on_400_transitions_of_ant_goal_it_judges_as_a_baseline_fitted_to_thirty_times_the_data():
    """A held-out baseline of each task, fitted to 60 other rollouts of it; the pooled one has not seen the tasks."""
    from algorithms.kit.on_policy.policy_gradient import draw, initial_policy
    from suite.run.rollout import Meter, TrainingSource
    from tasks.registry import get_family, get_split

    split, generator = get_split("ant-goal.standard"), torch.Generator().manual_seed(0)
    family = get_family(split.family)
    source = TrainingSource(family, split.train, 0, Meter())
    policy = initial_policy(family.observation_dim, (64, 64), family.action_dim, 1.0, generator)

    def collected(tasks, number):
        def act(observations):
            return draw(policy, torch.as_tensor(observations), 10.0, generator).applied

        batch = source.collect(act, np.repeat(tasks, number).tolist(), family.horizon)
        return rollouts_of(batch, len(tasks), TimeLimit(family.horizon), CPU)

    baseline = PooledBaseline(
        family.observation_dim, discount=0.99, decay=0.9, reward_prior=0.1, regularisation=1e-5, device=CPU
    )
    baseline.update(collected(np.arange(30), 8))
    others = np.arange(40, 44)
    seen, held_out = collected(others, 2), collected(others, 60)
    assert seen.rewards[0].numel() == 400
    returns = discounted_sums(seen.rewards, seen.last, 0.99)

    def advantages(weights):
        return returns - linear_values(weights, seen.observations, seen.times)

    expected = advantages(fit_linear_baseline(held_out, 0.99))
    pooled_one = correlation(advantages(baseline.weights(seen)), expected)
    own = correlation(advantages(fit_linear_baseline(seen, 0.99)), expected)
    assert pooled_one.min() > 0.9
    assert own.max() < 0.6
