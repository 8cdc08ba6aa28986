"""A policy of an observation and a belief, and PPO on single steps, to which it has no memory."""

import math

import pytest
import torch

from algorithms.kit.on_policy.embedded_policy import EmbeddedPolicy, Sizes, normalised_columns
from algorithms.kit.on_policy.recurrent_ppo import PpoSettings, RecurrentPpo, Trials

OBSERVATIONS, BELIEFS, ACTIONS = 3, 4, 2
SETTINGS = PpoSettings(False, "learned", "batch", 0.9, 0.95, 0.2, 2, 3, None, 1e-3, 0.5, 0.25, 0.01)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def policy_of(embedding=5, hidden=(6, 7)):
    return EmbeddedPolicy(Sizes(OBSERVATIONS, BELIEFS, ACTIONS, embedding, hidden), generator())


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed))


def test_actor_and_critic_read_two_embeddings():
    policy, inputs = policy_of(), drawn(2, 8, OBSERVATIONS + BELIEFS)
    output = policy.unroll(inputs, policy.blank(8))
    (seen, _), (believed, _) = policy.embeddings
    features = torch.cat([inputs[..., :OBSERVATIONS] @ seen[0], inputs[..., OBSERVATIONS:] @ believed[0]], -1).tanh()
    for network, given in ((policy.actor, output.mean), (policy.critic, output.values.unsqueeze(-1))):
        hidden = ((features @ network[0][0]).tanh() @ network[2][0]).tanh()
        torch.testing.assert_close(given, hidden @ network[4][0])
    assert output.state.shape == (8, 0)


def test_without_embeddings_they_read_the_inputs_themselves():
    policy, inputs = policy_of(None, (6,)), drawn(1, 8, OBSERVATIONS + BELIEFS)
    mean = (inputs @ policy.actor[0][0]).tanh() @ policy.actor[2][0]
    torch.testing.assert_close(policy.unroll(inputs, policy.blank(8)).mean, mean)
    assert len(policy.parameters) == 4 + 4 + 1


def test_units_start_with_weights_of_the_declared_norm():
    first, _, last, _ = normalised_columns([50, 20, 3], generator(), last_gain=1.0)
    torch.testing.assert_close(first.norm(dim=1), torch.full((1, 20), 5 / 3))
    torch.testing.assert_close(last.norm(dim=1), torch.ones(1, 3))


def trials_of(policy, steps=6, trials=4):
    inputs = drawn(steps + 1, trials, OBSERVATIONS + BELIEFS)
    with torch.no_grad():
        output = policy.unroll(inputs, policy.blank(trials))
        actions = policy.drawn(output.mean, generator(2))
        log_probs = policy.log_probs(output.mean, actions)
    rewards, ends = drawn(steps, trials, seed=3), torch.zeros((steps, trials), dtype=torch.bool)
    return Trials(
        inputs[:-1], actions[:-1], log_probs[:-1], output.values[:-1], rewards, ends, inputs[-1:], output.values[-1]
    )


def test_every_step_as_a_trial_of_its_own_keeps_what_belongs_together():
    trials = trials_of(policy_of())
    steps = trials.single_steps()
    assert steps.rewards.shape == (1, 24)
    for step, trial in ((0, 0), (2, 3), (5, 1)):
        number = 4 * step + trial
        alone = steps.of(torch.tensor([number]))
        for field in Trials._fields[:6]:
            assert torch.equal(getattr(alone, field)[0, 0], getattr(trials, field)[step, trial])
        following = trials.final_inputs[0, trial] if step == 5 else trials.inputs[step + 1, trial]
        value = trials.final_values[trial] if step == 5 else trials.values[step + 1, trial]
        assert torch.equal(alone.final_inputs[0, 0], following)
        assert alone.final_values[0] == value


def test_minibatches_are_of_single_steps_and_cover_all_of_them_once_a_pass():
    policy = policy_of()
    ppo, batches = RecurrentPpo(SETTINGS, policy, generator()), []
    step = ppo.gradient_step
    ppo.gradient_step = lambda trials, *rest: batches.append(trials.actions) or step(trials, *rest)
    trials = trials_of(policy)
    report = ppo.update(trials)
    assert [batch.shape for batch in batches] == 6 * [(1, 8, ACTIONS)]
    for part in (batches[:3], batches[3:]):
        rows = torch.cat(part, dim=1)[0]
        assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, trials.actions.flatten(0, 1).tolist()))
    assert all(math.isfinite(value) for value in report.values())


def test_a_first_step_is_at_ratio_one_and_raises_actions_of_positive_advantage():
    policy = policy_of()
    ppo = RecurrentPpo(SETTINGS._replace(entropy_weight=0.0, value_weight=0.0), policy, generator())
    trials = trials_of(policy).single_steps()
    advantages = drawn(1, 24, seed=5).sign()
    loss, report = ppo.loss(trials, advantages, torch.zeros(1, 24))
    assert loss.item() == pytest.approx(-advantages.mean().item(), abs=1e-5)
    assert report["clipped"] == 0
    for _ in range(50):
        ppo.gradient_step(trials, advantages, torch.zeros(1, 24))
    with torch.no_grad():
        log_probs = policy.log_probs(policy.unroll(trials.inputs, policy.blank(24)).mean, trials.actions)
    assert float(((log_probs - trials.log_probs) * advantages).mean()) > 0.1
