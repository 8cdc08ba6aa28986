"""RL2: what its policy reads, how long its hidden state lives, and that an agent does what training did."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm, tensors_of

from algorithms.base import Diverged, Transition
from algorithms.rl2 import Rl2Adapt

HORIZON, EPISODES, TRIALS = 20, 3, 5
STRONG = {
    "cell": "gru", "head_hidden": (6,), "observations_to_heads": True, "normalise_observations": True,
    "boundary_flag": True, "across_episodes": True, "baseline": "learned", "standardise": "batch", "minibatches": 2,
    "backpropagation": None, "gradient_clip": 0.5, "entropy_weight": 0.01,
}  # fmt: skip
VARIANTS = {"pearl": {}, "strong": STRONG}
variants = pytest.mark.parametrize("variant", VARIANTS)


def build(variant="strong", split="point-dynamics.ood", **changes):
    sizes = {"trial_transitions": EPISODES * HORIZON, "trials_per_iteration": TRIALS}
    return build_algorithm("rl2", split, **(sizes | VARIANTS[variant] | changes))


def lived(variant, **changes):
    """An RL2 past its first iterations, the trials of its next, and their episodes as (trial, episode, ...)."""
    rl2 = build(variant, **changes)
    for _ in range(2):
        rl2.iterate()
    trials, batch = rl2.collect(np.arange(TRIALS))
    order = np.lexsort((np.arange(len(batch.rows)), batch.rows))
    fields = (field[order].reshape(TRIALS, EPISODES, *field.shape[1:])
              for field in (batch.observations, batch.actions, batch.rewards))  # fmt: skip
    return rl2, trials, tuple(fields)


# What the policy reads ------------------------------------------------------------------------------------------


@variants
def test_inputs_are_observation_previous_action_previous_reward_and_flag(variant):
    rl2, trials, (observations, actions, rewards) = lived(variant)
    inputs = trials.inputs.transpose(0, 1).unflatten(1, (EPISODES, HORIZON)).numpy()
    seen = torch.as_tensor(observations[:, :, :-1])
    seen = rl2.observed.moments.normalised(seen) if variant == "strong" else seen
    np.testing.assert_allclose(inputs[..., :2], seen, rtol=1e-6)
    np.testing.assert_array_equal(inputs[:, :, 1:, 2:4], actions[:, :, :-1])
    np.testing.assert_array_equal(inputs[:, :, 1:, 4], rewards[:, :, :-1])
    assert not inputs[:, :, 1:, 5].any()
    assert not inputs[:, 0, 0, 2:].any()  # nothing came before a trial
    if variant == "strong":
        np.testing.assert_array_equal(inputs[:, 1:, 0, 2:4], actions[:, :-1, -1])
        np.testing.assert_array_equal(inputs[:, 1:, 0, 4], rewards[:, :-1, -1])
        assert (inputs[:, 1:, 0, 5] == 1).all()
    else:
        assert not inputs[:, 1:, 0, 2:].any()


def test_actions_are_cut_where_they_act_and_whole_where_their_density_counts():
    _, trials, (_, actions, _) = lived("strong", initial_std=3.0)
    drawn = trials.actions.transpose(0, 1).unflatten(1, (EPISODES, HORIZON)).numpy()
    assert np.abs(drawn).max() > 2
    np.testing.assert_array_equal(drawn.clip(-1, 1), actions)


# How long the hidden state lives --------------------------------------------------------------------------------


@variants
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_replaying_a_stored_trial_gives_the_stored_log_probabilities(variant, cell):
    rl2, trials, _ = lived(variant, cell=cell)
    with torch.no_grad():
        output = rl2.policy.unroll(trials.inputs, rl2.policy.blank(TRIALS), rl2.config.backpropagation)
        log_probs = rl2.policy.log_probs(output.mean, trials.actions)
    torch.testing.assert_close(log_probs, trials.log_probs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.values * rl2.ppo.unit, trials.values, rtol=1e-4, atol=1e-4)


@variants
def test_the_state_goes_on_over_episodes_and_starts_anew_in_every_trial(variant):
    """A replay that starts from 0 at the second episode differs from there on; each trial's own start is 0."""
    rl2, trials, _ = lived(variant)
    with torch.no_grad():
        state, means, restarted = rl2.policy.blank(TRIALS), [], []
        for episode in trials.inputs.split(HORIZON):
            output = rl2.policy.unroll(episode, state)
            means.append(output.mean)
            restarted.append(rl2.policy.unroll(episode, rl2.policy.blank(TRIALS)).mean)
            state = output.state
        found = [rl2.policy.log_probs(torch.cat(given), trials.actions) for given in (means, restarted)]
    kept, anew = ((given - trials.log_probs).abs() for given in found)
    assert float(kept.max()) < 1e-5
    assert float(anew[:HORIZON].max()) < 1e-5
    assert float(anew[HORIZON : HORIZON + 3].max()) > 1e-3
    again, _ = rl2.collect(np.arange(TRIALS))
    assert not again.inputs[0, :, 2:].any()


def test_the_critics_last_value_is_that_of_another_episodes_start():
    """Where the last episode is over the next observation would be a start: the trial's own stands for it."""
    rl2, trials, (observations, actions, rewards) = lived("strong")
    last = torch.as_tensor(np.column_stack([actions[:, -1, -1], rewards[:, -1, -1], np.ones(TRIALS, np.float32)]))
    start = rl2.observed.moments.normalised(torch.as_tensor(observations[:, 0, 0]))
    inputs = torch.cat([trials.inputs, torch.cat([start, last], dim=1).unsqueeze(0)])
    with torch.no_grad():
        values = rl2.policy.unroll(inputs, rl2.policy.blank(TRIALS)).values[-1] * rl2.ppo.unit
    torch.testing.assert_close(trials.final_values, values, rtol=1e-4, atol=1e-5)
    assert trials.ends.sum() == TRIALS * EPISODES
    assert trials.ends[-1].all()


def test_a_trial_may_be_cut_in_the_middle_of_an_episode():
    rl2 = build("strong", trial_transitions=HORIZON + 7)
    for _ in range(2):
        rl2.iterate()
    trials, batch = rl2.collect(np.arange(TRIALS))
    assert trials.rewards.shape == (HORIZON + 7, TRIALS)
    cut = np.flatnonzero(batch.lengths == 7)
    assert sorted(batch.rows[cut]) == list(range(TRIALS))
    # the cut is no end: what is behind it is read as the next step of the same episode
    assert trials.ends.sum(0).tolist() == [1] * TRIALS
    assert trials.ends[HORIZON - 1].all()
    reached = np.stack([batch.observations[cut][batch.rows[cut] == row][0, 7] for row in range(TRIALS)])
    expected = torch.cat([rl2.observed(reached), trials.actions[-1].clamp(-1, 1), trials.rewards[-1:].T], dim=1)
    torch.testing.assert_close(trials.final_inputs[0, :, :5], expected)
    assert not trials.final_inputs[0, :, 5].any()  # no boundary
    inputs = torch.cat([trials.inputs, trials.final_inputs])
    with torch.no_grad():
        values = rl2.policy.unroll(inputs, rl2.policy.blank(TRIALS)).values[-1] * rl2.ppo.unit
    torch.testing.assert_close(trials.final_values, values, rtol=1e-4, atol=1e-5)
    assert not np.isnan(rl2.iterate()["return"])


def test_with_a_view_it_reads_what_that_shows():
    sizes = {"trial_transitions": 200, "trials_per_iteration": 2}
    rl2 = build_algorithm("rl2", "cheetah-direction.standard", view="without_position", **sizes)
    trials, batch = rl2.collect(np.arange(2))
    assert trials.inputs.shape == (200, 2, 17 + 6 + 2)
    np.testing.assert_array_equal(trials.inputs[:, 0, :17], batch.observations[batch.rows == 0][0, :-1, :17])
    agent, here = rl2.agent(Rl2Adapt(), seed=0), batch.observations[:, 3]
    agent.begin(2)
    elsewhere = here + 1000.0 * (np.arange(20) >= 17).astype(np.float32)
    assert (agent.act(here, explore=False) == agent.act(elsewhere, explore=False)).all()
    with pytest.raises(ValueError, match="no view 'without_position': set `view` to 'full'"):
        build(view="without_position")


# Training -------------------------------------------------------------------------------------------------------


def test_every_task_comes_as_often_as_any_other():
    rl2 = build(trials_per_iteration=100, trial_transitions=20)
    tasks = rl2.trial_tasks(100)
    assert len(tasks) == 100
    assert set(np.bincount(tasks, minlength=40)) == {2, 3}
    assert tasks.tolist() != rl2.trial_tasks(100).tolist()


def test_the_returns_are_those_of_first_and_last_episodes():
    rl2 = build()
    _, batch = rl2.collect(np.arange(TRIALS))
    returns = rl2.trial_returns(batch)
    order = np.lexsort((np.arange(len(batch.rows)), batch.rows))
    sums = batch.rewards.sum(1, dtype=np.float64)[order].reshape(TRIALS, EPISODES)
    assert returns["return_before_adaptation"] == pytest.approx(sums[:, 0].mean())
    assert returns["return"] == pytest.approx(sums[:, -1].mean())


def test_the_moments_of_observations_change_between_iterations_alone():
    rl2 = build("strong")
    trials, _ = rl2.collect(np.arange(TRIALS))
    before = {name: value.clone() for name, value in tensors_of(rl2.state()).items() if "moments" in name}
    rl2.ppo.update(trials)
    after = tensors_of(rl2.state())
    assert before
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    rl2.iterate()
    assert float(rl2.observed.moments.parts()["count"]) == TRIALS * EPISODES * HORIZON


@pytest.mark.parametrize(("changes", "words"), [
    ({"trial_transitions": 19}, "trial_transitions is 19, less than one episode of 20.*set it to 40 or more"),
    ({"minibatches": 6}, "minibatches is 6, more than the 5 trials_per_iteration"),
])  # fmt: skip
def test_sizes_that_cannot_train_are_refused_before_training(changes, words):
    with pytest.raises(ValueError, match=words):
        build("strong", **changes)


def test_a_loss_that_is_not_finite_stops_the_run():
    rl2 = build("strong")
    rl2.iterate()
    with torch.no_grad():
        rl2.policy.critic[0][:] = float("nan")
    with pytest.raises(Diverged, match="critic_loss"):
        rl2.iterate()


# The agent ------------------------------------------------------------------------------------------------------


def steps_of(observations, actions, rewards):
    """The transitions of episodes (trial, episode, step) one after the other, with the rows that ended."""
    for episode in range(EPISODES):
        for step in range(HORIZON):
            transition = Transition(
                observations[:, episode, step], actions[:, episode, step], rewards[:, episode, step],
                observations[:, episode, step + 1], np.zeros(TRIALS, bool),
            )  # fmt: skip
            yield transition, np.full(TRIALS, step == HORIZON - 1)


@variants
def test_an_agent_that_observes_a_trial_remembers_what_training_would(variant):
    rl2, trials, episodes = lived(variant)
    agent = rl2.agent(Rl2Adapt(), seed=0)
    agent.begin(TRIALS)
    assert not agent.memory.state.any()
    with torch.no_grad():
        means = rl2.policy.unroll(trials.inputs, rl2.policy.blank(TRIALS)).mean.clamp(-1, 1).numpy()
    for step, (transition, ended) in enumerate(steps_of(*episodes)):
        np.testing.assert_allclose(agent.act(transition.observations, explore=False), means[step], atol=1e-5)
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    with torch.no_grad():
        state = rl2.policy.unroll(trials.inputs, rl2.policy.blank(TRIALS)).state
    torch.testing.assert_close(agent.memory.state, state, rtol=1e-4, atol=1e-5)
    (point,) = agent.adapt(every=1)
    assert point.updates == 0
    np.testing.assert_allclose(point.diagnostics["embedding_norm"], state.norm(dim=1), rtol=1e-4)
    agent.begin(2)
    assert not agent.memory.state.any()
    assert not agent.memory.previous.any()


def test_an_agent_that_is_not_online_stays_blank():
    rl2, _, episodes = lived("strong")
    agent = rl2.agent(Rl2Adapt(online=False), seed=0)
    agent.begin(TRIALS)
    for transition, ended in steps_of(*episodes):
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    for fork in (agent, agent.fork(2)):
        assert not fork.memory.state.any()
        assert not fork.memory.previous.any()


def test_rows_that_are_not_active_keep_every_bit():
    rl2, _, episodes = lived("strong")
    agent = rl2.agent(Rl2Adapt(), seed=0)
    agent.begin(TRIALS)
    transitions = list(steps_of(*episodes))
    agent.observe(transitions[0][0], np.ones(TRIALS, bool), np.zeros(TRIALS, bool))
    before = agent.memory
    active = np.arange(TRIALS) != 2
    agent.observe(transitions[1][0], active, active)
    for old, new in zip(before, agent.memory):
        assert torch.equal(old[2], new[2])
        assert not (old[active] == new[active]).all(1).any()


def test_forks_go_on_from_the_memory_per_task_and_episode_and_leave_it_alone():
    rl2, _, episodes = lived("strong")
    agent = rl2.agent(Rl2Adapt(), seed=0)
    assert agent.adapts_online
    agent.begin(TRIALS)
    transitions = list(steps_of(*episodes))
    for transition, ended in transitions[:25]:
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    before = [field.clone() for field in agent.memory]
    fork = agent.fork(2)
    doubled = Transition(*(np.repeat(field, 2, axis=0) for field in transitions[25][0]))
    agent_actions = agent.act(transitions[25][0].observations, explore=False)
    np.testing.assert_allclose(fork.act(doubled.observations, explore=False), agent_actions.repeat(2, 0), atol=1e-6)
    fork.observe(doubled, np.ones(2 * TRIALS, bool), np.zeros(2 * TRIALS, bool))
    assert all(torch.equal(old, new) for old, new in zip(before, agent.memory))
    assert not torch.equal(fork.memory.state[::2], before[0])


@pytest.mark.parametrize("stochastic", [True, False])
def test_exploring_samples_unless_declared_otherwise(stochastic):
    rl2 = build()
    agent, observations = rl2.agent(Rl2Adapt(explore_stochastic=stochastic), seed=0), np.ones((2, 2), np.float32)
    agent.begin(2)
    still = agent.act(observations, explore=False)
    assert (agent.act(observations, explore=False) == still).all()
    assert bool((agent.act(observations, explore=True) == still).all()) is not stochastic
