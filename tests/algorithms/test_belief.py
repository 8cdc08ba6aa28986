"""The agent of VariBAD, on-policy and off-policy: its belief is that of training, and what changes it."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Transition
from algorithms.belief import BeliefAdapt
from algorithms.kit.context.trials import histories_of

HORIZON, TRIALS = 20, 5
SIZES = {"trial_transitions": 2 * HORIZON, "trials_per_iteration": TRIALS}
NAMES = ["varibad", "varibad-off-policy"]
names = pytest.mark.parametrize("name", NAMES)


def build(name, split="point-dynamics.ood", **changes):
    return build_algorithm(name, split, **(SIZES | changes))


def lived(name):
    """A learner past its first iterations, and trials of two episodes in five tasks."""
    learner = build(name)
    for _ in range(2):
        learner.iterate()
    agent = learner.agent(BeliefAdapt(explore_stochastic=True), seed=1)
    agent.begin(TRIALS)
    batch = learner.source.collect(
        lambda observations: agent.act(observations, True), list(range(TRIALS)), 2 * HORIZON, after_step=agent.observe
    )
    return learner, histories_of(batch, learner.view, torch.device("cpu"))


def prior_of(learner, rows):
    """What is believed of tasks of which nothing is known, (row, 2 latent)."""
    return learner.encoder.heads[1][0].detach().expand(rows, -1)


def steps_of(histories):
    """The transitions of trials one after the other, with whether an episode ends with them."""
    for step in range(2 * HORIZON):
        fields = (field[:, step].numpy() for field in histories[:4])
        ended = np.full(TRIALS, step % HORIZON == HORIZON - 1)
        yield Transition(*fields, np.zeros(TRIALS, bool)), ended


def observing(agent, histories, number):
    agent.begin(TRIALS)
    for (transition, ended), _ in zip(steps_of(histories), range(number)):
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    return agent


@names
def test_an_agent_believes_what_the_encoder_does_of_the_whole_trial(name):
    learner, histories = lived(name)
    with torch.no_grad():
        hidden = learner.encoder.unrolled(histories)
    agent = learner.agent(BeliefAdapt(), seed=0)
    agent.begin(TRIALS)
    for step, (transition, ended) in enumerate(steps_of(histories)):
        torch.testing.assert_close(agent.memory.state, hidden[:, step], rtol=1e-4, atol=1e-5)
        agent.observe(transition, np.ones(TRIALS, bool), ended)
    torch.testing.assert_close(agent.memory.state, hidden[:, -1], rtol=1e-4, atol=1e-5)
    (point,) = agent.adapt(every=1)
    with torch.no_grad():
        belief = learner.encoder.belief(hidden[:, -1])
    assert point.updates == 0
    np.testing.assert_allclose(point.diagnostics["embedding_norm"], belief.mean.norm(dim=1), rtol=1e-3)
    np.testing.assert_allclose(
        point.diagnostics["embedding_std"], (belief.log_variance / 2).exp().mean(dim=1), rtol=1e-3
    )
    agent.begin(2)
    torch.testing.assert_close(
        learner.believed(agent.memory).vector, learner.encoder.heads[1][0].detach().expand(2, -1)
    )


@names
def test_rows_that_are_not_active_keep_every_bit(name):
    learner, histories = lived(name)
    agent = observing(learner.agent(BeliefAdapt(), seed=0), histories, 3)
    before, active = agent.memory.state, np.arange(TRIALS) != 2
    agent.observe(next(steps_of(histories))[0], active, active)
    assert torch.equal(before[2], agent.memory.state[2])
    assert not (before[active] == agent.memory.state[active]).all(1).any()


@names
def test_a_fork_goes_on_from_the_belief_and_leaves_it_alone(name):
    learner, histories = lived(name)
    agent = observing(learner.agent(BeliefAdapt(), seed=0), histories, 25)
    assert agent.adapts_online
    before, fork = agent.memory.state.clone(), agent.fork(2)
    transition = next(steps_of(histories))[0]
    doubled = Transition(*(np.repeat(field, 2, axis=0) for field in transition))
    actions = agent.act(transition.observations, explore=False)
    np.testing.assert_allclose(fork.act(doubled.observations, explore=False), actions.repeat(2, 0), atol=1e-5)
    fork.observe(doubled, np.ones(2 * TRIALS, bool), np.zeros(2 * TRIALS, bool))
    assert torch.equal(agent.memory.state, before)
    assert not (fork.memory.state[::2] == before).all(1).any()


@names
def test_offline_the_belief_stays_the_prior(name):
    learner, histories = lived(name)
    agent = observing(learner.agent(BeliefAdapt(online=False), seed=0), histories, 30)
    for each in (agent, agent.fork(2)):
        torch.testing.assert_close(
            learner.believed(each.memory).vector,
            prior_of(learner, len(each.memory.state)),
        )


@names
@pytest.mark.parametrize("stochastic", [True, False])
def test_exploring_is_by_the_mean_unless_declared_otherwise(name, stochastic):
    agent, observations = build(name).agent(BeliefAdapt(explore_stochastic=stochastic), seed=0), np.ones((2, 2), "f4")
    agent.begin(2)
    still = agent.act(observations, explore=False)
    assert (agent.act(observations, explore=False) == still).all()
    assert bool((agent.act(observations, explore=True) == still).all()) is not stochastic


@names
@pytest.mark.parametrize(("decodes", "targets"), [("reward", ["reward"]), ("state", ["state"]),
                                                  ("both", ["reward", "state"])])  # fmt: skip
def test_what_a_belief_has_to_explain_is_declared(name, decodes, targets):
    assert [each.sizes.target for each in build(name, decodes=decodes).vae.decoders] == targets


@names
def test_the_policys_loss_reaches_no_encoder(name):
    """With no step of its own the belief stays what it was, bit for bit, while the policy learns."""
    learner = build(name)
    learner.vae.update = lambda histories, generator: {"reconstruction": torch.zeros(())}
    before = [parameter.clone() for parameter in learner.vae.parameters]
    for _ in range(2):
        learner.iterate()
    assert all(torch.equal(old, new) for old, new in zip(before, learner.vae.parameters))


@names
def test_a_trial_shorter_than_an_episode_is_refused(name):
    with pytest.raises(ValueError, match=r"trial_transitions is 19, less than one episode of 20.*set it to 40 or more"):
        build(name, trial_transitions=19)


@names
def test_with_a_view_policy_encoder_and_decoders_read_what_that_shows(name):
    sizes = {"trial_transitions": 200, "trials_per_iteration": 2, "view": "without_position"}
    learner = build(name, "cheetah-direction.standard", **sizes, **({} if name == "varibad" else
                                                                    {"initial_transitions": 200}))  # fmt: skip
    for _ in range(2):
        learner.iterate()
    agent, here = learner.agent(BeliefAdapt(), seed=0), np.random.default_rng(0).standard_normal((2, 20)).astype("f4")
    elsewhere = here + 1000.0 * (np.arange(20) >= 17).astype(np.float32)
    agent.begin(2)
    assert (agent.act(here, explore=False) == agent.act(elsewhere, explore=False)).all()
    states = []
    for following in (here, elsewhere):
        agent.begin(2)
        done = np.zeros(2, bool)
        agent.observe(Transition(here, np.ones((2, 6), "f4"), np.ones(2, "f4"), following, done), ~done, done)
        states.append(agent.memory.state)
    assert torch.equal(*states)
    with pytest.raises(ValueError, match="no view 'without_position': set `view` to 'full'"):
        build(name, view="without_position")
