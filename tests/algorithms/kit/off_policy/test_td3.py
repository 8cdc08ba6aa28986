import math

import pytest
import torch

from algorithms.kit.context.recurrent_context import Windowed, gru_uniform
from algorithms.kit.networks import fan_in_uniform
from algorithms.kit.off_policy.td3 import Network, Td3Settings, TwinDelayed, Weighting, policy_actions, squared_distance
from algorithms.kit.replay import Transitions
from algorithms.kit.state import load_state_of, state_of

OBSERVATION, ACTION, CONTEXT, ROWS, TIME = 3, 2, 2, 4, 3
TOKEN = OBSERVATION + ACTION + 1
SETTINGS = Td3Settings(
    discount=0.9, target_rate=0.1, learning_rate=0.01, policy_noise=0.5, noise_clip=0.3, precision="fp32"
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def doubled(parameters):
    return [parameter.double() for parameter in parameters]


def build(number=1, seed=0):
    """Learners in float64 with targets of their own, so that a mistaken target shows."""

    def pair(seed):
        generator = seeded(seed)
        inputs = OBSERVATION + CONTEXT
        actor = fan_in_uniform([inputs, 5, 4, ACTION], generator, number)
        critics = fan_in_uniform([inputs + ACTION, 5, 4, 1], generator, 2 * number)
        grus = [gru_uniform(TOKEN, CONTEXT, generator, number) for _ in range(2)]
        return Network(grus[0], actor).map(doubled), Network(grus[1], critics).map(doubled)

    learners = TwinDelayed(SETTINGS, *pair(seed))
    learners.actor_target, learners.critic_target = pair(seed + 50)
    return learners


def batch_of(number=1, seed=100):
    data = Transitions(
        drawn(number, ROWS, OBSERVATION, seed=seed), torch.tanh(drawn(number, ROWS, ACTION, seed=seed + 1)),
        drawn(number, ROWS, seed=seed + 2), drawn(number, ROWS, OBSERVATION, seed=seed + 3),
        (drawn(number, ROWS, seed=seed + 4) > 0.5).double(),
    )  # fmt: skip
    return Windowed(data, drawn(TIME + 1, number, ROWS, TOKEN, seed=seed + 5))


def forward(network, member, inputs):
    hidden = inputs
    for layer in range(0, len(network), 2):
        hidden = hidden @ network[layer][member] + network[layer + 1][member]
        hidden = torch.relu(hidden) if layer < len(network) - 2 else hidden
    return hidden


def context(gru, learner, tokens):
    """The GRU step by step, as its definition is written."""
    weight, hidden_weight, bias, hidden_bias = (parameter[learner] for parameter in gru)
    state = torch.zeros((ROWS, CONTEXT), dtype=torch.float64)
    for token in tokens[:, learner]:
        entering, kept = token @ weight.T + bias[:, 0], state @ hidden_weight.T + hidden_bias[:, 0]
        (reset, update, new), (reset_, update_, new_) = entering.split(CONTEXT, 1), kept.split(CONTEXT, 1)
        update = torch.sigmoid(update + update_)
        new = torch.tanh(new + torch.sigmoid(reset + reset_) * new_)
        state = (1 - update) * new + update * state
    return state


def act(actor, learner, observations, tokens):
    joined = torch.cat([observations[learner], context(actor.gru, learner, tokens)], dim=-1)
    return torch.tanh(forward(actor.mlp, learner, joined))


def values(critics, learner, observations, tokens, actions):
    joined = torch.cat([observations[learner], context(critics.gru, learner, tokens), actions], dim=-1)
    return [forward(critics.mlp, 2 * learner + twin, joined)[:, 0] for twin in (0, 1)]


def bellman(learners, learner, batch, noise):
    data = batch.transitions
    actions = act(learners.actor_target, learner, data.next_observations, batch.tokens[1:])
    actions = (actions + (0.5 * noise[learner]).clamp(-0.3, 0.3)).clamp(-1, 1)
    least = torch.minimum(*values(learners.critic_target, learner, data.next_observations, batch.tokens[1:], actions))
    return data.rewards[learner] + 0.9 * (1 - data.terminated[learner]) * least


def critic_loss(learners, learner, batch, target, weights=None, strength=0.0, anchor=None):
    data = batch.transitions
    both = values(learners.critics, learner, data.observations, batch.tokens[:-1], data.actions[learner])
    weights = torch.ones(ROWS, dtype=torch.float64) if weights is None else weights[learner]
    loss = sum((weights * (value - target).square()).mean() for value in both)
    return loss + (strength * distance(learners.critics, anchor) if anchor is not None else 0.0)


def distance(network, anchor):
    return sum((held - kept).square().sum() for held, kept in zip(network.parameters, anchor.parameters))


def policy_loss(learners, learner, batch, weights=None, strength=0.0, anchor=None):
    observations, tokens = batch.transitions.observations, batch.tokens[:-1]
    actions = act(learners.actor, learner, observations, tokens)
    value = values(learners.critics, learner, observations, tokens, actions)[0]
    weights = torch.ones(ROWS, dtype=torch.float64) if weights is None else weights[learner]
    return -(weights * value).mean() + (strength * distance(learners.actor, anchor) if anchor is not None else 0.0)


def everything(learners):
    networks = (learners.actor, learners.critics, learners.actor_target, learners.critic_target)
    return [parameter.detach().clone() for network in networks for parameter in network.parameters]


def test_bellman_targets_of_smoothed_actions(fixed_noise):
    learners, batch, noise = build(2), batch_of(2), 2 * drawn(2, ROWS, ACTION, seed=7)
    assert (0.5 * noise).abs().max() > 0.3  # some of it is clipped
    assert 0 < batch.transitions.terminated.mean() < 1
    fixed_noise(noise)
    targets = learners.bellman_targets(batch, seeded())
    for learner in (0, 1):
        torch.testing.assert_close(targets[learner], bellman(learners, learner, batch, noise))


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_gradients_against_finite_differences(fixed_noise, finite_differences, weighted):
    learners, batch, noise = build(), batch_of(), drawn(1, ROWS, ACTION, seed=7)
    weighting, keywords = None, {}
    if weighted:
        anchor = build(seed=9)
        weights, strength = torch.tensor([[0.0, 0.5, 1.0, 2.0]]).double(), torch.tensor([0.7]).double()
        weighting = Weighting(weights, strength, anchor.actor, anchor.critics)
        keywords = {"weights": weights, "strength": 0.7}
    target = bellman(learners, 0, batch, noise)

    def of_critics():
        return critic_loss(learners, 0, batch, target, **keywords, anchor=anchor.critics if weighted else None)

    def of_policy():
        return policy_loss(learners, 0, batch, **keywords, anchor=anchor.actor if weighted else None)

    trained = learners.critics.parameters
    expected, loss = [finite_differences(of_critics, parameter) for parameter in trained], float(of_critics().detach())
    fixed_noise(noise)
    found = learners.update(batch, seeded(), True, weighting)
    assert float(found["critic_loss"]) == pytest.approx(loss)
    for parameter, gradient in zip(trained, expected):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
    # The actor was judged by the critics after their step: undo its own step, and nothing else.
    moved = [parameter.detach().clone() for parameter in learners.actor.parameters]
    for parameter, kept in zip(learners.actor.parameters, build().actor.parameters):
        parameter.data.copy_(kept)
    assert float(found["policy_loss"]) == pytest.approx(float(of_policy().detach()))
    for parameter, after in zip(learners.actor.parameters, moved):
        gradient = finite_differences(of_policy, parameter)
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
        step = 0.01 * gradient / (gradient.abs() + 1e-8)  # Adam's first
        torch.testing.assert_close(after, parameter - step, rtol=0, atol=1e-6)


def test_actor_and_targets_wait_for_the_policy_step():
    learners, batch = build(), batch_of()
    before = everything(learners)
    late = len(learners.actor.parameters), len(learners.actor.parameters) + len(learners.critics.parameters)
    learners.update(batch, seeded(), with_policy=False)
    after = everything(learners)
    for index, (held, kept) in enumerate(zip(after, before)):
        assert torch.equal(held, kept) == (not late[0] <= index < late[1])
    learners.update(batch, seeded(), with_policy=True)
    targets = everything(learners)
    half = len(targets) // 2
    for source, old, new in zip(targets[:half], after[half:], targets[half:]):
        torch.testing.assert_close(new, old + 0.1 * (source - old))
    assert not any(torch.equal(held, kept) for held, kept in zip(targets[: late[0]], after[: late[0]]))


def test_learners_side_by_side_are_learners_alone(fixed_noise):
    """Other data, weights or noise of one learner change nothing in another."""
    together, batch, noise = build(2), batch_of(2), drawn(2, ROWS, ACTION, seed=7)
    weights, strength = drawn(2, ROWS, seed=8).exp(), torch.tensor([0.1, 0.9]).double()
    anchor = build(seed=9)
    alone = build()
    for network, whole in zip(
        (alone.actor, alone.critics, alone.actor_target, alone.critic_target),
        (together.actor, together.critics, together.actor_target, together.critic_target),
    ):
        for parameter, both in zip(network.parameters, whole.parameters):
            parameter.data.copy_(both.detach().unflatten(0, (2, -1))[1])
    data = Transitions(*(field[1:] for field in batch.transitions))
    fixed_noise(noise, noise[1:])
    losses = together.update(batch, seeded(), True, Weighting(weights, strength, anchor.actor, anchor.critics))
    single = alone.update(
        Windowed(data, batch.tokens[:, 1:]), seeded(), True,
        Weighting(weights[1:], strength[1:], anchor.actor, anchor.critics),
    )  # fmt: skip
    for name, value in single.items():
        torch.testing.assert_close(value[0], losses[name][1])
    for parameter, both in zip(everything(alone), everything(together)):
        torch.testing.assert_close(parameter, both.unflatten(0, (2, -1))[1], rtol=1e-6, atol=1e-9)


def test_copies_start_where_the_learner_is_with_targets_and_without_moments():
    learner = build()
    learner.update(batch_of(), seeded(), True)
    copies = learner.copies(3, learning_rate=0.5)
    for held, kept in zip(everything(copies), everything(learner)):
        for index in range(3):
            assert torch.equal(held.unflatten(0, (3, -1))[index], kept)
    assert not copies.actor_optimiser.steps
    assert copies.critic_optimiser.learning_rate == copies.settings.learning_rate == 0.5
    before = everything(learner)
    copies.update(batch_of(3), seeded(), True)
    assert all(torch.equal(held, kept) for held, kept in zip(everything(learner), before))


def test_a_distance_by_hand():
    network = Network([torch.tensor([[1.0], [2.0]])], [torch.tensor([[3.0], [4.0], [5.0], [6.0]])])
    anchor = Network([torch.tensor([[1.5]])], [torch.tensor([[3.0], [3.0]])])
    assert squared_distance(network, anchor).tolist() == [0.25 + 0 + 1, 0.25 + 4 + 9]


def test_actions_depend_on_the_history():
    learner, batch = build(), batch_of()
    actions = policy_actions(learner.actor, batch.transitions.observations, batch.history)
    expected = act(learner.actor, 0, batch.transitions.observations, batch.history)
    torch.testing.assert_close(actions[0], expected)
    other = policy_actions(learner.actor, batch.transitions.observations, batch.history.roll(1, 2))
    assert (other - actions).abs().min(2)[0].max() > 1e-3


def test_a_state_continues_bit_for_bit():
    learner, again = build(), build(seed=3)
    learner.update(batch_of(), seeded(1), True)
    load_state_of(again.parts(), state_of(learner.parts()))
    for held in (learner, again):
        held.update(batch_of(seed=200), seeded(2), True)
    assert all(torch.equal(left, right) for left, right in zip(everything(learner), everything(again)))
    assert all(math.isfinite(float(parameter.sum())) for parameter in everything(again))
