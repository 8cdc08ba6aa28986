"""Sampling with adapted policies, and the agent that takes the inner step in test tasks."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Transition
from algorithms.kit.on_policy.advantages import discounted_sums
from algorithms.kit.on_policy.baselines import linear_values
from algorithms.kit.on_policy.policy_gradient import distribution, inner_step, log_density, policy_per_task
from algorithms.kit.on_policy.policy_inputs import acted_on
from algorithms.kit.on_policy.rollouts import TimeLimit, rollouts_between, rollouts_of_trial
from algorithms.maml import Maml, MamlAdapt, MamlTrain
from algorithms.promp import Promp, PrompTrain
from suite.run.rollout import Meter
from tasks.registry import get_family
from tasks.spec import EpisodeBatch

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
    data, batch = algorithm.collect([p.detach() for p in policy], np.array([5, 6, 7]), 2, adapted=True)
    assert seen_tasks == [[5, 5, 6, 6, 7, 7]]
    assert data.observations.shape == (3, 40, 2)
    assert batch.tasks.tolist() == [5, 5, 6, 6, 7, 7]
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


def random_rollouts(tasks=2, number=3, steps=20, limit=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    walk = torch.randn(tasks, number, steps + 1, 2, generator=generator)
    rewards = torch.randn(tasks, number, steps, generator=generator)
    never = torch.zeros(tasks, number, steps, dtype=torch.bool)
    return rollouts_between(walk[..., :-1, :], rewards, walk[..., 1:, :], never, limit or TimeLimit(20))


def judged(algorithm, rollouts):
    nothing = torch.zeros(*rollouts.rewards.shape, 2)
    return algorithm.judged(rollouts, nothing, nothing, torch.zeros(1, 1, 2), adapted=False)


@pytest.mark.parametrize(("steps", "bootstrap"), [(20, False), (20, True), (30, False)])
def test_advantages_are_those_of_each_tasks_own_baseline_by_hand(steps, bootstrap):
    """Whole episodes, the same with what is behind their time limit, and whole ones followed by cut ones."""
    algorithm = learner(discount=0.9, gae_lambda=0.7, baseline_regularisation=0.5, bootstrap_time_limits=bootstrap)
    rollouts = random_rollouts(steps=steps, limit=algorithm.time_limit)
    data = judged(algorithm, rollouts)
    for task in (0, 1):
        known, returns, ends = [], [], []
        for row in range(3):
            for start in range(0, steps, 20):
                end = min(start + 20, steps)
                behind = features_of(rollouts.next_observations[task, row, end - 1], end - start)
                behind = behind if bootstrap or end - start < 20 else 0 * behind
                for step in range(start, end):
                    own = features_of(rollouts.observations[task, row, step], step - start)
                    known.append(own - 0.9 ** (end - step) * behind)
                    rewards = rollouts.rewards[task, row, step:end].double().numpy()
                    returns.append((0.9 ** np.arange(end - step) * rewards).sum())
                ends.append((row, start, end, behind))
        known = np.array(known)
        weights = np.linalg.solve(known.T @ known + 0.5 * np.eye(8), known.T @ np.array(returns))
        raw = []
        for row, start, end, behind in ends:
            values = [features_of(rollouts.observations[task, row, step], step - start) @ weights
                      for step in range(start, end)] + [behind @ weights]  # fmt: skip
            following, backwards = 0.0, []
            for step in reversed(range(end - start)):
                delta = float(rollouts.rewards[task, row, start + step]) + 0.9 * values[step + 1] - values[step]
                following = delta + 0.9 * 0.7 * following
                backwards.append(following)
            raw += backwards[::-1]
        raw = np.array(raw)
        np.testing.assert_allclose(data.advantages[task], (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-4)


def features_of(observation, time):
    state, time = observation.double().numpy(), time / 100
    return np.concatenate([state, state**2, [time, time**2, time**3, 1.0]])


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


def explored(agent, tasks=2, steps=40, rewards=None, bandits=False):
    """Let an agent see random transitions, its own actions in them. Returns these, (task, step, action)."""
    draw, taken = np.random.default_rng(0), []
    agent.begin(tasks)
    for step in range(steps):
        observations = draw.standard_normal((5, 2)).astype(np.float32)[:tasks]
        actions = agent.act(observations, explore=True)
        taken.append(actions)
        reward = (draw.standard_normal(5) if rewards is None else rewards(observations, actions)).astype(np.float32)
        terminated = np.full(tasks, bandits)
        transition = Transition(observations, actions, reward[:tasks], observations, terminated)
        agent.observe(transition, np.ones(tasks, bool), terminated | (step % 20 == 19))
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

    explored(agent, steps=200, rewards=opposite, bandits=True)  # each action has its own return
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
    """Two episodes, or one and the beginning of another, which is cut: no reward is credited to the one before."""
    algorithm = learner()
    for steps, cut in ((40, 0), (30, 2)):
        agent = algorithm.agent(MamlAdapt(), seed=0)
        explored(agent, steps=steps)
        data, seen = agent._judged_data(), agent.data.everything(torch.device("cpu"))
        rollouts = rollouts_of_trial(seen, TimeLimit(20))
        assert torch.nonzero(rollouts.last[0, 0]).flatten().tolist() == [19, steps - 1]
        assert int(rollouts.cut.sum()) == cut
        means, log_std = data.means[:, None], data.log_std
        expected = algorithm.judged(rollouts, seen.actions[:, None], means, log_std, adapted=False)
        torch.testing.assert_close(data.advantages, expected.advantages)
        whole = rollouts._replace(last=torch.zeros_like(rollouts.last))
        other = algorithm.judged(whole, seen.actions[:, None], means, log_std, adapted=False)
        assert (data.advantages - other.advantages).abs().max() > 0.1
        assert len(list(agent.adapt(every=1))) == 2


# The pooled baseline ---------------------------------------------------------------------------------------------


def test_a_pooled_baseline_is_that_of_the_meta_trained_policy_and_is_used_in_tests():
    algorithm, given = learner(baseline="pooled", inner_steps=2, gae_lambda=1.0), []
    update = algorithm.baseline.update
    algorithm.baseline.update = lambda rollouts: given.append(rollouts) or update(rollouts)
    judge, adapted = algorithm.judged, []
    algorithm.judged = lambda *arguments: adapted.append(arguments[-1]) or judge(*arguments)
    for _ in range(2):
        algorithm.iterate()
    assert adapted == [False, True, True] * 2
    assert len(given) == 2
    del algorithm.judged
    # a test's advantages are by the baseline of training and the rewards of the test, which leaves the baseline alone
    agent = algorithm.agent(MamlAdapt(), seed=0)
    before = algorithm.baseline.weights(random_rollouts()).clone()
    explored(agent)
    data = agent._judged_data()
    assert len(given) == 2
    assert torch.equal(algorithm.baseline.weights(random_rollouts()), before)
    rollouts = rollouts_of_trial(agent.data.everything(torch.device("cpu")), TimeLimit(20))
    values = linear_values(algorithm.baseline.weights(rollouts), rollouts.observations, rollouts.times)
    returns = discounted_sums(rollouts.rewards, rollouts.last, 0.99)
    raw = (returns - values).flatten(1)
    expected = (raw - raw.mean(1, keepdim=True)) / raw.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(data.advantages, expected, rtol=1e-3, atol=1e-4)
    # not so for an adapted policy, whose baseline is its own
    plain = judged(learner(gae_lambda=1.0), rollouts).advantages
    nothing = torch.zeros(*rollouts.rewards.shape, 2)
    adapted = algorithm.judged(rollouts, nothing, nothing, torch.zeros(1, 1, 2), True)
    torch.testing.assert_close(adapted.advantages, plain)
    assert (plain - data.advantages).abs().max() > 0.1


def test_a_checkpoint_from_before_there_were_views_and_pooled_baselines_still_loads():
    kept = learner().state()
    older = {name: kept[name] for name in ("theta", "random")}
    algorithm = build_algorithm("promp", SPLIT, seed=1, policy_hidden=[8], action_scale=2.0)
    algorithm.load_state(older | {"optimiser": [], "kl_weights": kept["kl_weights"]}, ())
    assert all(map(torch.equal, algorithm.theta, kept["theta"]))


# What is observed ------------------------------------------------------------------------------------------------


class CheetahSource:
    """Random data of the cheetah's sizes, in which the torso's position grows without bound."""

    num_tasks, spaces = 4, get_family("cheetah-direction").spaces

    def __init__(self, shift):
        self.shift = shift  # of the torso

    def collect(self, act, tasks, transitions):
        draw, rows = np.random.default_rng(0), len(tasks)
        observations = draw.standard_normal((rows, transitions + 1, 20)).astype(np.float32)
        observations[..., 17:] += self.shift
        actions = np.stack([act(observations[:, step]) for step in range(transitions)], axis=1)
        rewards = (observations[:, :-1, 8] * np.sign(np.asarray(tasks) - 1.5)[:, None]).astype(np.float32)
        lengths, number = np.full(rows, transitions), np.arange(rows)
        return EpisodeBatch(observations, actions, rewards, lengths, np.zeros(rows, bool), number, np.asarray(tasks))


@pytest.mark.parametrize("baseline", ["per_task", "pooled"])
@pytest.mark.parametrize(("algorithm", "config"), [(Maml, MamlTrain), (Promp, PrompTrain)])
def test_with_a_view_nothing_depends_on_what_it_does_not_show(algorithm, config, baseline):
    """Neither policy nor baseline: shifted by 1000 m the same is learnt, bit for bit; with the full view another."""
    learnt = {}
    for view in ("full", "without_position"):
        for shift in (0.0, 1000.0):
            sizes = {"tasks_per_iteration": 4, "rollouts_per_task": 2, "policy_hidden": (4,), "baseline": baseline}
            kwargs = {"seed": 0, "device": torch.device("cpu"), "capacity": 1}
            built = algorithm(config(view=view, **sizes), CheetahSource(shift), **kwargs)
            built.iterate()
            agent = built.agent(MamlAdapt(), seed=0)
            agent.begin(1)
            acted = agent.act(np.full((1, 20), 0.3, np.float32) + shift * (np.arange(20) >= 17), explore=False)
            learnt[view, shift] = [*(p.detach() for p in built.theta), torch.as_tensor(acted)]
    assert learnt["without_position", 0.0][0].shape == (1, 17, 4)
    assert all(map(torch.equal, learnt["without_position", 0.0], learnt["without_position", 1000.0]))
    assert not any(map(torch.equal, learnt["full", 0.0][:1], learnt["full", 1000.0][:1]))


def test_normalised_observations_are_the_policys_alone_and_change_between_iterations():
    algorithm = learner(normalise_observations=True, adaptation_rollouts=3)
    datas, batches = [], []
    collect = algorithm.collect

    def watched(*arguments, **named):
        data, batch = collect(*arguments, **named)
        datas.append(data)
        batches.append(batch)
        return data, batch

    algorithm.collect = watched
    algorithm.iterate()
    assert torch.equal(datas[0].observations.flatten(0, 1), torch.as_tensor(acted_on(batches[0])))  # nothing is known
    seen = np.concatenate([acted_on(batch) for batch in batches])
    algorithm.iterate()
    raw = acted_on(batches[2])
    expected = (raw - seen.mean(0)) / seen.std(0)
    np.testing.assert_allclose(datas[2].observations.flatten(0, 1), expected, rtol=1e-3, atol=1e-4)
    agent = algorithm.agent(MamlAdapt(), seed=0)
    agent.begin(1)
    np.testing.assert_allclose(
        agent.act(raw[:1], explore=False),
        (distribution(algorithm.theta, algorithm.inputs(raw[:1])[None]).means[0] / 2).clamp(-1, 1).detach(),
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip
    explored(agent)
    rollouts = rollouts_of_trial(agent.data.everything(torch.device("cpu")), TimeLimit(20))
    plain = judged(learner(), rollouts)
    torch.testing.assert_close(agent._judged_data().advantages, plain.advantages)  # the baseline's scale stays


def test_bfloat16_is_refused_by_name():
    with pytest.raises(ValueError, match="fp32"):
        learner(precision="bf16")
