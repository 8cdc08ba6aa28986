import numpy as np
import pytest
import torch

from algorithms.base import Transition
from algorithms.kit.context.recurrent_context import RunningHistory, TrialWindows, last_hidden
from algorithms.mql import FineTuning, Mql, MqlAdapt, MqlTrain

CPU = torch.device("cpu")
HORIZON = 10
ADAPT = {"new_data_updates": 2, "replay_updates": 3, "replay_batch": 16}


def small_mql(source, seed=0, **changes):
    config = {"hidden": (8, 8), "context_hidden": 3, "history_length": 4, "batch": 6, "initial_transitions": 20}
    config |= {"burn_in": 0, "initial_episode": 1.0, "episodes_per_iteration": 2, "steps_per_iteration": 3}
    config |= {"full_steps_from": 0, "precision": "fp32"}
    return Mql(MqlTrain(**(config | changes)), source, seed=seed, device=CPU, capacity=1000)


@pytest.fixture
def mql(random_source):
    trained = small_mql(random_source, initial_transitions=200)
    trained.iterate()
    return trained


def agent_with_data(mql, tasks=2, rows=HORIZON * 2, change=lambda task, transition: transition, **config):
    """An agent that has seen episodes of noise like the training's, changed as asked."""
    agent = mql.agent(MqlAdapt(**(ADAPT | config)), seed=3)
    agent.begin(tasks)
    spaces, draw = mql.source.spaces, np.random.default_rng(5)
    for step in range(rows):
        transition = Transition(
            draw.standard_normal((tasks, spaces.observation_dim)).astype(np.float32),
            draw.uniform(-1, 1, (tasks, spaces.action_dim)).astype(np.float32),
            draw.standard_normal(tasks).astype(np.float32),
            draw.standard_normal((tasks, spaces.observation_dim)).astype(np.float32),
            np.zeros(tasks, bool),
        )
        for task in range(tasks):
            transition = change(task, transition)
        agent.observe(transition, np.ones(tasks, bool), np.full(tasks, step % HORIZON == HORIZON - 1))
    return agent


def tuning_of(agent):
    new = TrialWindows(agent.data.everything(CPU), torch.tensor(agent.steps), agent.mql.config.history_length)
    return FineTuning(agent.mql, agent.config, new, agent.generator)


def copied(network):
    return [parameter.detach().clone() for parameter in network.parameters]


def equal(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right))


# Collecting and training -----------------------------------------------------------------------------------------


def test_random_exploration_fills_the_burn_in_with_episodes_cut_short(random_source):
    config = MqlTrain(initial_transitions=7, burn_in=42)
    assert [config.exploration(tasks) for tasks in (1, 4, 6, 100)] == [42, 11, 7, 7]
    assert config.first_steps(4) == 44
    asked, original = [], random_source.collect

    def collect(act, tasks, transitions, before_episode=None, after_step=None):
        asked.append((list(tasks), transitions))
        assert (np.abs(act(np.zeros((len(tasks), 3), np.float32))) <= 1).all()
        return original(act, tasks, HORIZON)

    random_source.collect = collect
    mql = small_mql(random_source, initial_transitions=12, initial_episode=0.5)
    assert mql.steps_of_next_iteration() == 48
    mql.iterate()
    assert asked == [([0, 1, 2, 3], 5), ([0, 1, 2, 3], 5), ([0, 1, 2, 3], 2)]


def test_few_transitions_mean_few_gradient_steps(random_source, monkeypatch):
    """As many as a row collects, until the replay holds enough; the first of each iteration moves the actor."""
    mql = small_mql(random_source, full_steps_from=120, steps_per_iteration=5)
    calls, original = [], mql.learner.update

    def update(batch, generator, with_policy, weighting=None):
        calls.append(with_policy)
        return original(batch, generator, with_policy, weighting)

    monkeypatch.setattr(mql.learner, "update", update)
    mql.iterate()
    assert not calls  # 80 transitions
    mql.iterate()
    assert calls == [True, False] * 5  # 100: a horizon
    calls.clear()
    mql.iterate()
    assert calls == [True, False, True, False, True]  # 120


def test_one_replay_for_all_tasks_and_a_snapshot_of_each(random_source):
    mql = small_mql(random_source, snapshot=15)
    mql.iterate()
    assert mql.everything.lengths.tolist() == [80]
    assert mql.snapshots.lengths.tolist() == [15] * 4
    slots = mql.everything.sample(np.array([0]), 2000, torch.Generator().manual_seed(0))[0]
    assert len(slots.unique()) == 80
    assert mql.store.size == 8 * (HORIZON + 1)  # each frame once


def test_exploration_noise_is_that_of_the_configuration(mql):
    acted, original = [], mql.source.collect

    def collect(act, tasks, transitions, before_episode=None, after_step=None):
        acted.append(np.concatenate([act(np.zeros((len(tasks), 3), np.float32)) for _ in range(500)]))
        return original(act, tasks, transitions)

    mql.source.collect = collect
    mql._collect(np.array([0, 1]), HORIZON, False)
    plain = mql.actions(mql.learner.actor, np.zeros((2, 3), np.float32), RunningHistory(2, 4, mql.source.spaces))
    np.testing.assert_allclose(acted[0].mean(0), plain[0], atol=0.06)
    np.testing.assert_allclose(acted[0].std(0), 0.3, atol=0.05)


# Histories ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [True, False])
def test_actions_while_running_are_those_of_the_stored_windows(mql, padded):
    """Padding is the same in training, adaptation and evaluation, unless the code's way is asked for."""
    agent = mql.agent(MqlAdapt(evaluation_history="padded" if padded else "unpadded"), seed=0)
    agent.begin(1)
    fork = agent.fork(1)
    episode = torch.arange(HORIZON).unsqueeze(0)
    windowed = mql.windows.gather(mql.store, episode)
    data = [field[0].numpy() for field in windowed.transitions]
    with torch.no_grad():
        from algorithms.kit.off_policy.td3 import policy_actions

        expected = policy_actions(mql.learner.actor, windowed.transitions.observations, windowed.history)[0].numpy()
    same = []
    for step in range(HORIZON):
        transition = Transition(*(field[step : step + 1] for field in data))
        acted = fork.act(transition.observations, explore=False)[0]
        same.append(np.allclose(acted, expected[step], atol=1e-6))
        fork.observe(transition, np.array([True]), np.array([False]))
    assert same == ([True] * HORIZON if padded else [False] * 4 + [True] * 6)


def test_only_what_collects_new_data_is_noisy_and_only_if_asked(mql):
    observations = np.zeros((300, 3), np.float32)
    for noise in (0.0, 0.4):
        agent = mql.agent(MqlAdapt(collection_noise=noise), seed=0)
        agent.begin(300)
        plain, noisy = (agent.act(observations, explore) for explore in (False, True))
        assert (agent.fork(1).act(observations, explore=False) == plain).all()
        np.testing.assert_allclose((noisy - plain).std(), noise, atol=0.05)
        assert (np.abs(noisy) <= 1).all()


def test_an_unbounded_history_reads_the_whole_episode(mql):
    fork = mql.agent(MqlAdapt(evaluation_history="unbounded"), seed=0).fork(1)
    assert fork.history.tokens.shape[1] == HORIZON
    assert fork.padded is False


def test_a_history_ends_with_its_episode_and_forks_have_their_own(mql):
    agent = agent_with_data(mql, rows=HORIZON + 3)
    assert agent.history.steps.tolist() == [3, 3]
    assert agent.steps[0] == [*range(HORIZON), 0, 1, 2]
    fork = agent.fork(2)
    assert not fork.history.tokens.any()
    ones = Transition(*(np.ones((4, size), np.float32) for size in (3, 2)), np.ones(4), np.ones((4, 3)), np.zeros(4))
    fork.observe(ones, np.array([True, True, False, True]), np.array([False, True, False, False]))
    assert fork.history.steps.tolist() == [1, 0, 0, 1]
    assert fork.history.tokens.any((1, 2)).tolist() == [True, False, False, True]
    assert agent.history.steps.tolist() == [3, 3]
    assert len(agent.steps[0]) == HORIZON + 3
    with pytest.raises(RuntimeError, match="fork has no data"):
        next(fork.adapt(1))


def test_kept_empty_a_context_is_that_of_an_episodes_start_while_the_data_keep_theirs(mql):
    online, empty = agent_with_data(mql, rows=HORIZON + 3), agent_with_data(mql, rows=HORIZON + 3, online=False)
    probe = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    begun = mql.agent(MqlAdapt(**ADAPT), seed=3)
    begun.begin(2)
    acted = empty.act(probe, explore=False)
    assert np.array_equal(acted, begun.act(probe, explore=False))
    assert not np.array_equal(acted, online.act(probe, explore=False))
    for left, right in zip(tuning_of(empty).new.everything().tokens, tuning_of(online).new.everything().tokens):
        assert torch.equal(left, right)
    fork = empty.fork(2)
    at_first = fork.act(np.repeat(probe, 2, axis=0), explore=False)
    ones = Transition(*(np.ones((4, size), np.float32) for size in (3, 2)), np.ones(4), np.ones((4, 3)), np.zeros(4))
    fork.observe(ones, np.ones(4, bool), np.zeros(4, bool))
    assert np.array_equal(fork.act(np.repeat(probe, 2, axis=0), explore=False), at_first)
    list(empty.adapt(every=5))  # gradient steps are its only adaptation
    assert not np.array_equal(empty.act(probe, explore=False), acted)


def test_the_new_data_have_the_windows_of_their_own_episodes(mql):
    agent = agent_with_data(mql, tasks=2)
    new = tuning_of(agent).new
    found = new.everything()
    for task in (0, 1):
        for row in (0, 3, 9, 10, 12, 19):
            inside = min(row % HORIZON, 4)
            history = found.history[:, task, row]
            assert not history[: 4 - inside].any()
            rewards = new.data.rewards[task, row - inside : row]
            torch.testing.assert_close(history[4 - inside :, -1], rewards)
            assert found.next_history[-1, task, row, -1] == new.data.rewards[task, row]


# Propensity weights ------------------------------------------------------------------------------------------------


def test_the_classifier_compares_contexts_before_transitions_of_new_and_of_newest_data(random_source):
    """Features are the meta-trained actor's GRU after the history; the replay's are of the newest of every task."""
    mql = small_mql(random_source, snapshot=5)
    mql.iterate()
    tuning = tuning_of(agent_with_data(mql))
    batch = mql.sample(2, 50, torch.Generator().manual_seed(0))
    context = last_hidden(mql.learner.actor.gru, batch.history.flatten(1, 2).unsqueeze(1))[0]
    torch.testing.assert_close(tuning._features(batch), context.detach().unflatten(0, (2, 50)))
    newest = mql.store.gather(torch.cat([mql.snapshots.held(task) for task in range(4)])).rewards
    drawn = tuning._replay.transitions.rewards
    assert drawn.shape == (2, 4 * (HORIZON * 2 // 4 + 2))
    assert torch.isin(drawn, newest).all()
    assert not torch.isin(batch.transitions.rewards, newest).all()


def test_weights_are_uniform_when_both_sets_come_from_one_task(mql):
    tuning = tuning_of(agent_with_data(mql, rows=200))
    fitted = tuning.fitted()
    assert (fitted["effective_sample_size"] > 0.95).all()
    assert (fitted["proximal_weight"] < 0.05).all()
    np.testing.assert_allclose(fitted["weight_mean"], 1, atol=0.1)


def test_weights_prefer_what_looks_like_the_new_task(mql):
    """New data have rewards far from the training's: windows with such rewards in the replay weigh more."""

    def richer(task, transition):
        return transition._replace(rewards=transition.rewards + np.float32(3.0) * (np.arange(2) == task) * (task == 1))

    agent = agent_with_data(mql, rows=1000, change=richer, inverse_penalty=10.0, beta_clip=3.0, beta_floor=0.0)
    tuning = tuning_of(agent)
    size = tuning.fitted()["effective_sample_size"]
    assert size[1] < size[0] - 0.1
    batch = mql.sample(2, 2000, torch.Generator().manual_seed(0))
    weights = tuning._weights(batch)
    recent = batch.history[-1, :, :, -1]
    ratio = [weights[task][recent[task] > 1].mean() / weights[task][recent[task] < -1].mean() for task in (0, 1)]
    assert ratio[1] > 2.0
    assert 0.6 < ratio[0] < 1.6


@pytest.mark.parametrize("corrected", [True, False])
def test_the_prior_is_corrected_for_unequal_sets(mql, corrected):
    """20 new transitions against 4 * (20 // 4 + 2) = 28 of the replay."""
    fixed = {"inverse_penalty": 1e-6, "correct_prior": corrected, "beta_floor": 0.0}
    weights = tuning_of(agent_with_data(mql, **fixed)).fitted()["weight_mean"]
    expected = 1.0 if corrected else 20 / 28
    # So strong a penalty leaves the bias alone, and Newton's method finds the prior in it.
    np.testing.assert_allclose(weights, expected, rtol=0.02)


def test_the_classifier_may_see_observations_and_the_adapted_context(mql):
    tuning = tuning_of(agent_with_data(mql, classify_observations=True))
    assert tuning.classifier.weights.shape == (2, 3 + 3)
    batch = mql.sample(2, 50, torch.Generator().manual_seed(0))
    for mode, same in (("meta-trained", True), ("adapted", False)):
        tuning = tuning_of(agent_with_data(mql, classify_with=mode, learning_rate=0.1))
        before = tuning._weights(batch)
        tuning.update()
        assert torch.equal(tuning._weights(batch), before) == same


# Adaptation --------------------------------------------------------------------------------------------------------


def test_updates_on_new_data_then_on_weighted_replay(mql, monkeypatch):
    agent = agent_with_data(mql, proximal=0.1)
    seen = []
    original = FineTuning.update

    def update(tuning):
        losses = original(tuning)
        seen.append(sorted(losses))
        return losses

    monkeypatch.setattr(FineTuning, "update", update)
    points = list(agent.adapt(every=2))
    assert [point.updates for point in points] == [0, 2, 4, 5]
    assert seen[:2] == [["critic_loss", "policy_loss"]] * 2
    assert seen[2:] == [["critic_loss", "effective_sample_size", "policy_loss", "proximal_weight"]] * 3
    assert all(value.shape == (2,) for point in points for value in point.diagnostics.values())
    np.testing.assert_allclose(points[-1].diagnostics["proximal_weight"], 0.1, rtol=1e-6)
    assert [point.updates for point in agent_with_data(mql).adapt(every=2, limit=1)] == [0, 1]
    assert [point.updates for point in agent_with_data(mql).adapt(every=2, limit=0)] == [0]


def test_learners_have_a_rate_of_their_own_and_each_phase_starts_with_an_actor_step(mql, monkeypatch):
    tuning = tuning_of(agent_with_data(mql, new_data_updates=3, learning_rate=0.123))
    optimisers = (tuning.learners.actor_optimiser, tuning.learners.critic_optimiser)
    assert [optimiser.learning_rate for optimiser in optimisers] == [0.123, 0.123]
    moved, drawn, original = [], [], tuning.learners.update

    def update(batch, generator, with_policy, weighting=None):
        moved.append((with_policy, weighting is not None))
        if weighting is None:
            drawn.append(batch.transitions.rewards)
        else:
            assert torch.equal(weighting.weights, tuning._weights(batch))
            assert weighting.weights.std() > 0
            assert equal(weighting.actor.parameters, mql.learner.actor.parameters)
            assert equal(weighting.critics.parameters, mql.learner.critics.parameters)
        return original(batch, generator, with_policy, weighting)

    monkeypatch.setattr(tuning.learners, "update", update)
    for _ in range(6):
        tuning.update()
    assert moved == [(True, False), (False, False), (True, False), (True, True), (False, True), (True, True)]
    for task, rewards in enumerate(tuning.new.data.rewards):  # of its own data alone, any of them, as many as it has
        found = torch.stack([batch[task] for batch in drawn])
        assert found.shape == (3, 20)
        assert torch.isin(found, rewards).all()
        assert len(found.unique()) > 15


def test_adaptation_changes_the_agents_actors_alone(mql):
    before = copied(mql.learner.actor), copied(mql.learner.critics), mql.everything.counts.copy()
    agent = agent_with_data(mql)
    for point in agent.adapt(every=1):
        fork = agent.fork(2)
        assert len(fork.actor.gru[0]) == (2 if point.updates else 1)
        assert fork.act(np.zeros((4, 3), np.float32), explore=False).shape == (4, 2)
    after = copied(mql.learner.actor), copied(mql.learner.critics), mql.everything.counts
    assert equal(before[0], after[0])
    assert equal(before[1], after[1])
    assert (before[2] == after[2]).all()
    first, second = (parameter.unbind(0) for parameter in agent.actor.gru[:2])
    assert not torch.equal(*first)
    assert not torch.equal(*second)


def test_poisoned_data_of_one_task_reach_no_other(mql):
    def poisoned(task, transition):
        return transition._replace(rewards=transition.rewards + np.float32(50.0) * (np.arange(2) == 1) * (task == 1))

    actors = []
    for change in (lambda task, transition: transition, poisoned):
        agent = agent_with_data(mql, change=change)
        list(agent.adapt(every=10))
        actors.append(agent.actor.parameters)
    for clean, dirty in zip(*actors):
        torch.testing.assert_close(clean[0], dirty[0], rtol=1e-5, atol=1e-7)
    assert any(not torch.allclose(clean[1], dirty[1], atol=1e-4) for clean, dirty in zip(*actors))


def test_a_firm_hold_keeps_learners_near_the_anchor(mql):
    moved = {}
    for strength in (0.0, 1000.0):
        agent = agent_with_data(mql, proximal=strength, new_data_updates=0, replay_updates=100, learning_rate=1e-3)
        list(agent.adapt(every=100))
        pairs = zip(agent.actor.parameters, mql.learner.actor.parameters)
        moved[strength] = max(float((adapted - anchor).detach().abs().max()) for adapted, anchor in pairs)
    assert moved[1000.0] < 0.2 * moved[0.0]


def test_adaptation_with_the_ess_as_lambda(mql):
    diagnostics = list(agent_with_data(mql).adapt(every=100))[-1].diagnostics
    expected = 1 - diagnostics["effective_sample_size"]
    np.testing.assert_allclose(diagnostics["proximal_weight"], expected, atol=1e-6)
