"""Sampling with adapted policies, and the agent that takes the inner step in test tasks."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Transition
from algorithms.kit.on_policy.policy_gradient import distribution, inner_step, log_density, policy_per_task
from algorithms.kit.on_policy.rollouts import Rollouts
from algorithms.maml import MamlAdapt
from suite.run.rollout import Meter

SPLIT = "point-goal.ood"


def learner(**changes):
    return build_algorithm("promp", SPLIT, **({"policy_hidden": [8], "action_scale": 2.0} | changes))


def test_every_task_is_drawn_as_often_as_any_other():
    algorithm = learner(tasks_per_iteration=4)
    number = algorithm.source.num_tasks
    assert len(set(algorithm._tasks())) == 4
    many = learner(tasks_per_iteration=2 * number + 3)
    counts = np.bincount(many._tasks(), minlength=number)
    assert sorted(counts) == [2] * (number - 3) + [3] * 3


def test_what_is_stored_is_what_the_policies_drew_task_by_task():
    algorithm = learner()
    sent = []
    collect = algorithm.source.collect

    def watched(act, tasks, transitions):
        def seen(observations):
            sent.append(act(observations))
            return sent[-1]

        batch = collect(seen, tasks, transitions)
        seen_tasks.append(tasks)
        return batch

    seen_tasks = []
    algorithm.source.collect = watched
    policy = [p + 0.3 * torch.randn(3, *p.shape[1:]) for p in algorithm.theta]
    data, mean_return = algorithm.collect([p.detach() for p in policy], np.array([5, 6, 7]), 2)
    assert seen_tasks == [[5, 5, 6, 6, 7, 7]]
    assert data.observations.shape == (3, 40, 2)
    assert np.isfinite(mean_return)
    # the environment got the policy's actions, halved and cut; rows are task-major, steps in order
    drawn = data.actions.unflatten(1, (2, 20))
    applied = np.stack(sent, axis=1).reshape(3, 2, 20, 2)
    np.testing.assert_array_equal(applied, (drawn / 2).clamp(-1, 1))
    assert drawn.abs().max() > 2
    # and the stored distribution is that of each task's own policy on the stored observations
    means, log_std = distribution([p.detach() for p in policy], data.observations)
    torch.testing.assert_close(data.means, means, rtol=1e-4, atol=1e-5)
    assert torch.equal(data.log_std, log_std)
    torch.testing.assert_close(data.advantages.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(data.advantages.std(1, unbiased=False), torch.ones(3), rtol=1e-3, atol=0)


def test_advantages_are_those_of_each_tasks_own_baseline_by_hand():
    algorithm = learner(discount=0.9, gae_lambda=0.7, baseline_regularisation=0.5)
    generator = torch.Generator().manual_seed(0)
    observations, rewards = torch.randn(2, 3, 20, 2, generator=generator), torch.randn(2, 3, 20, generator=generator)
    last = torch.zeros(2, 3, 20, dtype=torch.bool)
    last[:, :, -1] = True
    nothing = torch.zeros(2, 3, 20, 2)
    data = algorithm.judged(Rollouts(observations, rewards, last), nothing, nothing, torch.zeros(1, 1, 2))
    times = np.tile(np.arange(20)[:, None] / 100, (3, 1))
    for task in (0, 1):
        returns, raw = np.zeros((3, 21)), np.zeros((3, 21))
        for step in reversed(range(20)):
            returns[:, step] = rewards[task, :, step].numpy() + 0.9 * returns[:, step + 1]
        states = observations[task].reshape(-1, 2).double().numpy()
        features = np.hstack([states, states**2, times, times**2, times**3, np.ones((60, 1))])
        gram = features.T @ features + 0.5 * np.eye(8)
        values = (features @ np.linalg.solve(gram, features.T @ returns[:, :20].reshape(-1))).reshape(3, 20)
        values = np.hstack([values, np.zeros((3, 1))])
        for step in reversed(range(20)):
            delta = rewards[task, :, step].numpy() + 0.9 * values[:, step + 1] - values[:, step]
            raw[:, step] = delta + 0.9 * 0.7 * raw[:, step + 1]
        raw = raw[:, :20].reshape(-1)
        np.testing.assert_allclose(data.advantages[task], (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", ["maml", "promp"])
def test_each_inner_step_meets_fresh_data_of_the_policy_it_adapts(training):
    meter = Meter()
    algorithm = build_algorithm(training, SPLIT, meter=meter, inner_steps=2, adaptation_rollouts=3)
    seen = {}
    algorithm.outer_step = lambda inner, outer: seen.update(inner=inner, outer=outer) or {}
    algorithm.iterate()
    assert meter.steps == 4 * 20 * (3 + 3 + 2) == algorithm.steps_of_next_iteration()
    first, second, after = *seen["inner"], seen["outer"]
    assert (first.advantages.shape, after.advantages.shape) == ((4, 60), (4, 40))
    policy = policy_per_task(algorithm.theta, 4)
    for data, following in ((first, second), (second, after)):
        torch.testing.assert_close(distribution(policy, data.observations).means, data.means, rtol=1e-4, atol=1e-5)
        policy = inner_step(policy, data, algorithm.inner_loss, 0.1).policy
        torch.testing.assert_close(
            distribution(policy, following.observations).means, following.means, rtol=1e-4, atol=1e-5
        )
        assert not torch.equal(data.observations, following.observations)


def explored(agent, tasks=2, steps=40, rewards=None, horizon=20):
    """Let an agent see random transitions, its own actions in them. Returns these, (task, step, action)."""
    draw, taken = np.random.default_rng(0), []
    agent.begin(tasks)
    for step in range(steps):
        observations = draw.standard_normal((5, 2)).astype(np.float32)[:tasks]
        actions = agent.act(observations, explore=True)
        taken.append(actions)
        reward = (draw.standard_normal(5) if rewards is None else rewards(observations, actions)).astype(np.float32)
        transition = Transition(observations, actions, reward[:tasks], observations, np.zeros(tasks, bool))
        agent.observe(transition, np.ones(tasks, bool), np.full(tasks, step % horizon == horizon - 1))
    return np.stack(taken, axis=1)


def test_the_agent_takes_the_inner_step_of_meta_training():
    algorithm = learner()
    agent = algorithm.agent(MamlAdapt(), seed=0)
    taken = explored(agent)
    data = agent._judged_data()
    np.testing.assert_array_equal((data.actions / 2).clamp(-1, 1), taken)
    assert data.actions.abs().max() > 2  # the density is that of the action before it was cut
    points = list(agent.adapt(every=1))
    assert [point.updates for point in points] == [0, 1]
    expected = inner_step(policy_per_task(algorithm.theta, 2), data, "likelihood_ratio", 0.1)
    for found, parameter in zip(agent.policy, expected.policy):
        torch.testing.assert_close(found, parameter)
    norm = torch.cat([slope.flatten(1) for slope in expected.gradient], dim=1).norm(dim=1)
    np.testing.assert_allclose(points[1].diagnostics["gradient_norm"], norm, rtol=1e-4)
    assert (points[1].diagnostics["kl"] > 0).all()


def test_a_limit_caps_the_steps_and_later_steps_have_a_rate_of_their_own():
    algorithm = learner()
    config = MamlAdapt(gradient_steps=5, learning_rate=0.2, late_learning_rate=0.05)
    for limit, expected in ((None, [0, 2, 4, 5]), (3, [0, 2, 3]), (0, [0])):
        agent = algorithm.agent(config, seed=0)
        explored(agent)
        assert [point.updates for point in agent.adapt(every=2, limit=limit)] == expected
    agent = algorithm.agent(config, seed=0)
    explored(agent)
    data, policy = agent._judged_data(), policy_per_task(algorithm.theta, 2)
    for rate in (0.2, 0.05, 0.05, 0.05, 0.05):
        policy = inner_step(policy, data, "likelihood_ratio", rate).policy
    list(agent.adapt(every=1))
    torch.testing.assert_close(agent.policy[0], policy[0].detach())


def test_rewarded_actions_become_likelier_in_the_task_that_rewards_them():
    """Opposite rewards: after one step the mean action has moved towards what each task paid for."""
    agent = learner(inner_learning_rate=0.5).agent(MamlAdapt(), seed=0)

    def opposite(observations, actions):
        return actions[:, 0] * np.array([1.0, -1.0])

    explored(agent, steps=200, rewards=opposite, horizon=1)  # bandits: each action has its own return
    probe = np.zeros((2, 2), np.float32)
    before = agent.act(probe, explore=False)
    data = agent._judged_data()
    list(agent.adapt(every=1))
    moved = agent.act(probe, explore=False)[:, 0] - before[:, 0]
    assert moved[0] > 0.01 > -0.01 > moved[1]
    gain = log_density(distribution(agent.policy, data.observations), data.actions)
    gain = gain - log_density(data.behaviour, data.actions)
    assert ((gain * data.advantages).mean(1) > 0).all()


def test_a_batch_of_tasks_adapts_as_each_task_alone():
    algorithm = learner()
    results = []
    for tasks in (1, 2):
        agent = algorithm.agent(MamlAdapt(), seed=0)
        agent.generator = None  # the mean: the same actions, however many tasks act
        explored(agent, tasks=tasks)
        list(agent.adapt(every=1))
        results.append(agent.policy)
    for alone, together in zip(*results):
        torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-6)


def test_a_fork_acts_with_its_tasks_policy():
    agent = learner().agent(MamlAdapt(learning_rate=5.0), seed=0)
    explored(agent)
    list(agent.adapt(every=1))
    own = agent.act(np.ones((2, 2), np.float32), explore=False)
    assert np.abs(own[0] - own[1]).max() > 1e-3
    wide = agent.fork(3).act(np.ones((6, 2), np.float32), explore=False)
    np.testing.assert_allclose(wide, np.repeat(own, 3, axis=0), rtol=1e-5)


def test_adaptation_data_are_judged_episode_by_episode_as_in_meta_training():
    """Two episodes, or one and the beginning of another: no reward is credited to the episode before."""
    algorithm = learner()
    for steps in (40, 30):
        agent = algorithm.agent(MamlAdapt(), seed=0)
        explored(agent, steps=steps)
        data, seen = agent._judged_data(), agent.data.everything(torch.device("cpu"))
        last = torch.zeros_like(seen.rewards, dtype=torch.bool)
        last[:, [19, steps - 1]] = True
        rollouts = Rollouts(seen.observations.unsqueeze(1), seen.rewards.unsqueeze(1), last.unsqueeze(1))
        expected = algorithm.judged(rollouts, seen.actions[:, None], data.means[:, None], data.log_std)
        torch.testing.assert_close(data.advantages, expected.advantages)
        whole = rollouts._replace(last=torch.zeros_like(rollouts.last))
        other = algorithm.judged(whole, seen.actions[:, None], data.means[:, None], data.log_std)
        assert (data.advantages - other.advantages).abs().max() > 0.1
        assert len(list(agent.adapt(every=1))) == 2


def test_bfloat16_is_refused_by_name():
    with pytest.raises(ValueError, match="fp32"):
        learner(precision="bf16")
