"""Recurrent SAC: what it collects and learns from, and that an agent remembers what training reads."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Diverged, Transition
from algorithms.kit.off_policy.recurrent_actor_critic import Tokens
from algorithms.recurrent_sac import RecurrentSacAdapt, RecurrentSacTrain
from suite.run.rollout import Meter

HORIZON, EPISODES, TRIALS = 20, 3, 4
STEPS = HORIZON * EPISODES


def build(split="point-dynamics.ood", **changes):
    sizes = {"trial_transitions": STEPS, "trials_per_iteration": TRIALS, "initial_steps": 6 * STEPS}
    return build_algorithm("recurrent-sac", split, **(sizes | changes))


def lived(**changes):
    """A recurrent SAC past its first iterations, and the newest trials of its replay."""
    built = build(**changes)
    for _ in range(2):
        built.iterate()
    slots = built.replay._slots.newest(0, TRIALS * built.config.trial_transitions)
    return built, built.replay.gather(slots.unflatten(0, (TRIALS, -1)).T)


def shown(built, trials):
    """Tokens of trials, as the networks read them."""
    return Tokens.of(built.view(trials.observations), trials.previous)


# Collecting and learning ----------------------------------------------------------------------------------------


def test_the_first_trials_are_uniformly_random_and_whole():
    meter = Meter()
    built = build(meter=meter, initial_steps=9 * STEPS + 1)
    assert (built.config.initial_trials, built.steps_of_next_iteration()) == (10, 10 * STEPS)
    sizes, collect = [], built.source.collect

    def watching(act, tasks, transitions, **keywords):
        sizes.append(len(tasks))
        return collect(act, tasks, transitions, **keywords)

    built.source.collect = watching
    metrics = built.iterate()
    assert meter.steps == 10 * STEPS
    assert sizes == [TRIALS, TRIALS, 2]  # no more side by side than later
    assert len(built.replay) == 10
    actions = built.replay.sample(500, built.generator).actions
    assert actions.abs().max() <= 1
    assert abs(float(actions.std()) - 3**-0.5) < 0.02
    assert metrics.keys() == {"return"}


def test_later_trials_are_the_policys_own_samples_given_its_memory():
    """Its actions are likely under the distribution that a replay of the trial gives, and are no means."""
    built, trials = lived(updates_per_step=1e-9)  # a single gradient step, on a policy that hardly moves
    read = shown(built, trials)
    with torch.no_grad():
        mean, log_std = built.learner.distribution(built.learner.actor.states(read), read.observations, "fp32")
    standard = (torch.atanh(trials.actions.clamp(-0.999999, 0.999999)) - mean[:-1]) / log_std[:-1].exp()
    assert abs(float(standard.mean())) < 0.15
    assert abs(float(standard.std()) - 1) < 0.1


def test_an_iteration_takes_its_updates_by_environment_step():
    config = RecurrentSacTrain()
    assert config.gradient_steps == 200
    assert config.later_steps(1, 200) == 10_000
    assert config.first_steps(1) == 200_000
    assert config.initial_trials == 500
    assert config.shortened(7, 10**12).gradient_steps == 7
    built, calls = build(updates_per_step=0.05), []
    built.iterate()
    built.gradient_step = lambda: calls.append(1) or {"critic_loss": torch.tensor(1.0)}
    built.iterate()
    assert len(calls) == 12


def test_a_fall_ends_what_is_expected_unless_declared_otherwise():
    found = []
    for fall_ends in (True, False):
        built = build("walker-parameters.ood", trial_transitions=400, trials_per_iteration=2, initial_steps=800,
                      fall_ends=fall_ends)  # fmt: skip
        built.iterate()
        built.learner.update = lambda trials, generator: found.append(trials) or {}
        built.gradient_step()
    falls, none = (trials.terminated for trials in found)
    assert falls.sum() > 2
    assert not none.any()
    flags = found[0].previous[1:, :, -1].bool()
    assert flags[falls.bool()].all()  # and the memory reads on in the next episode
    assert torch.equal(found[0].previous, found[1].previous)


def test_with_a_view_it_reads_what_that_shows():
    sizes = {"trial_transitions": 200, "trials_per_iteration": 2, "initial_steps": 400}
    built = build("cheetah-direction.standard", view="without_position", **sizes)
    built.iterate()
    assert built.replay.sample(2, built.generator).observations.shape == (201, 2, 20)
    assert built.learner.sizes.observations == 17 + 1
    built.gradient_step()
    agent, here = built.agent(RecurrentSacAdapt(), seed=0), np.zeros((2, 20), np.float32)
    agent.begin(2)
    elsewhere = here + 1000.0 * (np.arange(20) >= 17).astype(np.float32)
    assert (agent.act(here, explore=False) == agent.act(elsewhere, explore=False)).all()


@pytest.mark.parametrize(("changes", "words"), [
    ({"trial_transitions": 19}, "trial_transitions is 19, less than one episode of 20.*set it to 40 or more"),
    ({"replay_capacity": 59}, "replay_capacity is 59, less than one trial of 60"),
    ({"view": "without_position"}, "no view 'without_position'"),
])  # fmt: skip
def test_sizes_that_cannot_train_are_refused_before_training(changes, words):
    with pytest.raises(ValueError, match=words):
        build(**changes)


def test_a_loss_that_is_not_finite_stops_the_run():
    built = build()
    built.iterate()
    with torch.no_grad():
        built.learner.critic.heads[0][:] = float("nan")
    with pytest.raises(Diverged, match="critic_loss"):
        built.iterate()


# The agent ------------------------------------------------------------------------------------------------------


def steps_of(trials):
    """The transitions of trials, one step after the other, with the rows whose episode ended."""
    observations = trials.observations.numpy()
    for step in range(STEPS):
        transition = Transition(
            observations[step], trials.actions[step].numpy(), trials.rewards[step].numpy(), observations[step + 1],
            np.zeros(TRIALS, bool),
        )  # fmt: skip
        yield transition, trials.previous[step + 1, :, -1].numpy() == 1


def test_an_agent_that_observes_a_trial_remembers_what_training_reads():
    """Over its episodes' ends, from zero; it acts by the mean, which the memory moves on from."""
    built, trials = lived()
    read = shown(built, trials)
    with torch.no_grad():
        states = built.learner.actor.states(read)
        means = built.learner.distribution(states, read.observations, "fp32")[0].tanh().numpy()
    agent = built.agent(RecurrentSacAdapt(), seed=0)
    agent.begin(TRIALS)
    for step, (transition, ended) in enumerate(steps_of(trials)):
        assert ended.all() == ended.any() == (step % HORIZON == HORIZON - 1)
        for explore in (False, True):
            np.testing.assert_allclose(agent.act(transition.observations, explore), means[step], atol=1e-5)
        agent.observe(transition, np.ones(TRIALS, bool), ended)
        torch.testing.assert_close(agent.memory.state, states[step], rtol=1e-4, atol=1e-5)
        assert torch.equal(agent.memory.previous, trials.previous[step + 1])
    (point,) = agent.adapt(every=1)
    assert point.updates == 0
    fork = agent.fork(2)
    behind = np.repeat(trials.observations[-1].numpy(), 2, axis=0)
    np.testing.assert_allclose(fork.act(behind, explore=False), means[-1].repeat(2, axis=0), atol=1e-5)
    agent.begin(2)
    assert not agent.memory.state.any()
    assert not agent.memory.previous.any()


def test_what_was_observed_in_an_episode_lives_on_in_the_next():
    built, trials = lived()
    agents = [built.agent(RecurrentSacAdapt(), seed=0) for _ in range(2)]
    for agent, scale in zip(agents, (1, -1)):
        agent.begin(TRIALS)
        for transition, ended in list(steps_of(trials))[:HORIZON]:
            agent.observe(transition._replace(rewards=scale * transition.rewards), np.ones(TRIALS, bool), ended)
    start = trials.observations[HORIZON].numpy()
    assert not np.array_equal(*(agent.fork(1).act(start, explore=False) for agent in agents))


def test_rows_that_are_not_active_keep_every_bit_and_forks_leave_the_agent_alone():
    built, trials = lived()
    agent = built.agent(RecurrentSacAdapt(), seed=0)
    agent.begin(TRIALS)
    first, second = (transition for transition, _ in list(steps_of(trials))[:2])
    agent.observe(first, np.ones(TRIALS, bool), np.zeros(TRIALS, bool))
    before, active = agent.memory, np.arange(TRIALS) != 2
    fork = agent.fork(1)
    fork.observe(second, np.ones(TRIALS, bool), np.zeros(TRIALS, bool))
    assert agent.memory is before
    agent.observe(second, active, active)
    for old, new in zip(before, agent.memory):
        assert torch.equal(old[2], new[2])
        assert not (old[active] == new[active]).all(1).any()


def test_an_agent_that_is_not_online_stays_blank():
    built, trials = lived()
    agent = built.agent(RecurrentSacAdapt(online=False), seed=0)
    agent.begin(TRIALS)
    for transition, ended in steps_of(trials):
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    for one in (agent, agent.fork(2)):
        assert not one.memory.state.any()
        assert not one.memory.previous.any()


@pytest.mark.parametrize("stochastic", [True, False])
def test_exploring_is_deterministic_unless_declared_otherwise(stochastic):
    built = build()
    agent, seen = built.agent(RecurrentSacAdapt(explore_stochastic=stochastic), seed=0), np.ones((2, 2), np.float32)
    assert RecurrentSacAdapt().explore_stochastic is False
    agent.begin(2)
    still = agent.act(seen, explore=False)
    assert (agent.act(seen, explore=False) == still).all()
    assert bool((agent.act(seen, explore=True) == still).all()) is not stochastic
