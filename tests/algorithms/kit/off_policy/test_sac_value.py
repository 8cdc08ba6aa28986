import math

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from algorithms.kit.networks import adam, as_leaves
from algorithms.kit.off_policy.sac_value import ValueSacSettings, ValueSoftActorCritic
from algorithms.kit.off_policy.twin_critics import Also
from algorithms.kit.replay import Transitions
from algorithms.kit.state import load_state_of, state_of

INPUT, ACTION, ROWS = 3, 2, 5
SETTINGS = ValueSacSettings(
    discount=0.9, target_rate=0.1, learning_rate=0.01, reward_scale=5.0, mean_weight=0.03, log_std_weight=0.02,
    pre_tanh_weight=0.07, precision="fp32",
)  # fmt: skip
NETWORKS = ("policy", "critics", "value", "target")


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(settings=SETTINGS, seed=0):
    """A learner in float64, with weights of ordinary size and a target value of its own."""
    learner = ValueSoftActorCritic.initial(settings, INPUT, ACTION, (5, 4), torch.Generator().manual_seed(seed))
    for offset, name in enumerate(NETWORKS):
        values = [
            parameter.detach().double() + 0.3 * drawn(*parameter.shape, seed=seed + 50 * offset + index)
            for index, parameter in enumerate(getattr(learner, name))
        ]
        setattr(learner, name, values if name == "target" else as_leaves(values))
    learner.optimisers = {
        name: adam(getattr(learner, name), settings.learning_rate) for name in ("policy", "critics", "value")
    }
    return learner


def batch_of(seed=100, learners=1):
    return Transitions(
        drawn(learners, ROWS, INPUT, seed=seed), torch.tanh(drawn(learners, ROWS, ACTION, seed=seed + 1)),
        drawn(learners, ROWS, seed=seed + 2), drawn(learners, ROWS, INPUT, seed=seed + 3),
        (drawn(learners, ROWS, seed=seed + 4) > 0).double(),
    )  # fmt: skip


def forward(network, member, inputs):
    hidden = inputs
    for layer in range(0, len(network), 2):
        hidden = hidden @ network[layer][member] + network[layer + 1][member]
        hidden = torch.relu(hidden) if layer < len(network) - 2 else hidden
    return hidden


def critic_values(critics, observations, actions):
    joined = torch.cat([observations, actions], dim=-1)
    return [forward(critics, twin, joined)[:, 0] for twin in (0, 1)]


def act(policy, observations, noise):
    mean, log_std = forward(policy, 0, observations).split(ACTION, dim=-1)
    actions = torch.tanh(mean + log_std.exp() * noise)
    squashed = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=0)])
    return actions, squashed.log_prob(actions).sum(-1), mean, log_std


def copied(tensors):
    return [tensor.detach().clone() for tensor in tensors]


def critic_loss(critics, target_network, batch, observations=None):
    """Twin squared errors against 5 r + 0.9 (1 - terminated) V'(s')."""
    observations = batch.observations[0] if observations is None else observations
    following = forward(target_network, 0, batch.next_observations[0])[:, 0]
    bellman = 5 * batch.rewards[0] + 0.9 * (1 - batch.terminated[0]) * following
    return sum((values - bellman).square().mean() for values in critic_values(critics, observations, batch.actions[0]))


def policy_loss(policy, critics, batch, noise):
    actions, log_density, mean, log_std = act(policy, batch.observations[0], noise)
    least = torch.minimum(*critic_values(critics, batch.observations[0], actions))
    pre_tanh = mean + log_std.exp() * noise
    regulariser = 0.03 * mean.square().mean() + 0.02 * log_std.square().mean()
    regulariser = regulariser + 0.07 * pre_tanh.square().sum(1).mean()
    return (log_density - least).mean(), regulariser


def value_loss(value, policy, critics, batch, noise):
    actions, log_density, _, _ = act(policy, batch.observations[0], noise)
    least = torch.minimum(*critic_values(critics, batch.observations[0], actions))
    return (forward(value, 0, batch.observations[0])[:, 0] - (least - log_density)).square().mean()


def test_every_loss_and_gradient_matches_a_plain_reference(fixed_noise, finite_differences):
    learner, batch, noise = build(), batch_of(), drawn(1, ROWS, ACTION, seed=9)
    before = {name: copied(getattr(learner, name)) for name in NETWORKS}
    fixed_noise(noise)
    losses = learner.update(batch, None)
    after = copied(learner.critics)  # value and policy see the critics after their step

    def of_critics():
        return critic_loss(before["critics"], before["target"], batch)

    def of_value():
        return value_loss(before["value"], before["policy"], after, batch, noise[0])

    def of_policy():
        return sum(policy_loss(before["policy"], after, batch, noise[0]))

    assert losses["critic_loss"].item() == pytest.approx(of_critics().item())
    assert losses["value_loss"].item() == pytest.approx(of_value().item())
    assert losses["policy_loss"].item() == pytest.approx(
        policy_loss(before["policy"], after, batch, noise[0])[0].item()
    )
    density = act(before["policy"], batch.observations[0], noise[0])[1]
    assert losses["entropy"].item() == pytest.approx(-density.mean().item())
    for name, loss in (("critics", of_critics), ("value", of_value), ("policy", of_policy)):
        for old, new in zip(before[name], getattr(learner, name)):
            torch.testing.assert_close(new.grad, finite_differences(loss, old), rtol=1e-5, atol=1e-8)
            torch.testing.assert_close(
                new.detach(), old - 0.01 * new.grad / (new.grad.abs() + 1e-8), atol=1e-12, rtol=0
            )
    for old, new, source in zip(before["target"], learner.target, learner.value):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * source.detach())
        assert new.grad is None


def test_the_critic_and_value_targets_by_hand(fixed_noise):
    """Constant networks: Q 2 and 5, V' = 3, V = 1, policy N(0, 1): 5 r + 0.9 * 3 = 7.7, and 0 where terminated."""

    def constant(*outputs, width):
        sizes = [(INPUT, 2), (1, 2), (2, width), (1, width)]
        network = [torch.zeros((len(outputs), *size), dtype=torch.float64) for size in sizes]
        network[-1] += torch.tensor(outputs).double().reshape(-1, 1, 1)
        return network

    learner = build(SETTINGS._replace(mean_weight=0.0, log_std_weight=0.0, pre_tanh_weight=0.0, learning_rate=1e-9))
    for name, network in {
        "policy": constant(0.0, width=2 * ACTION), "value": constant(1.0, width=1), "target": constant(3.0, width=1),
    }.items():  # fmt: skip
        setattr(learner, name, network if name == "target" else as_leaves(network))
    critics = constant(2.0, 5.0, width=1)
    critics[0] = torch.zeros((2, INPUT + ACTION, 2), dtype=torch.float64)
    learner.critics = as_leaves(critics)
    learner.optimisers = {name: adam(getattr(learner, name), 1e-9) for name in ("policy", "critics", "value")}
    batch = batch_of()._replace(
        rewards=torch.ones((1, ROWS), dtype=torch.float64),
        terminated=torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64),
    )
    noise = torch.full((1, ROWS, ACTION), 0.5, dtype=torch.float64)
    fixed_noise(noise)
    losses = learner.update(batch, None)
    expected = sum(0.8 * (value - 7.7) ** 2 + 0.2 * (value - 5.0) ** 2 for value in (2, 5))
    assert losses["critic_loss"].item() == pytest.approx(expected)
    density = 2 * (-0.125 - 0.5 * math.log(2 * math.pi) - math.log(1 - math.tanh(0.5) ** 2))
    assert losses["value_loss"].item() == pytest.approx((1 - (2 - density)) ** 2, rel=1e-6)
    assert losses["policy_loss"].item() == pytest.approx(density - 2, rel=1e-6)


def test_regularisers_weigh_on_the_policy_alone(fixed_noise):
    results = []
    for settings in (SETTINGS, SETTINGS._replace(mean_weight=0.0, log_std_weight=0.0, pre_tanh_weight=0.0)):
        learner = build(settings)
        fixed_noise(drawn(1, ROWS, ACTION, seed=9))
        results.append((learner.update(batch_of(), None), learner))
    for name, value in results[0][0].items():
        assert torch.equal(value, results[1][0][name])
    for name in ("critics", "value", "target"):
        for left, right in zip(getattr(results[0][1], name), getattr(results[1][1], name)):
            assert torch.equal(left, right)
    assert not torch.equal(results[0][1].policy[0].grad, results[1][1].policy[0].grad)


def test_also_trains_the_encoder_by_the_critics_loss_and_its_own_alone(fixed_noise, finite_differences):
    """The gradient that reaches the embedding is that of the critics' loss and the named loss: not V, not policy."""
    learner, plain = build(), batch_of()
    (embedding,) = as_leaves([drawn(1, 1, INPUT, seed=5)])
    start = embedding.detach().clone()
    batch = plain._replace(
        observations=plain.observations + embedding, next_observations=plain.next_observations + embedding
    )
    before = {name: copied(getattr(learner, name)) for name in NETWORKS}
    following = Transitions(*(field.detach() for field in batch))
    optimiser = adam([embedding], 0.05)
    fixed_noise(drawn(1, ROWS, ACTION, seed=9))
    learner.update(batch, None, Also([embedding], optimiser, 3 * embedding.square().sum()))

    def loss():
        observations = plain.observations[0] + start[0]
        return critic_loss(before["critics"], before["target"], following, observations) + 3 * start.square().sum()

    expected = finite_differences(loss, start)
    torch.testing.assert_close(embedding.grad, expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(embedding.detach(), start - 0.05 * expected.sign(), rtol=0, atol=1e-7)


def test_without_also_the_encoder_gets_nothing(fixed_noise):
    learner, plain = build(), batch_of()
    (embedding,) = as_leaves([drawn(1, 1, INPUT, seed=5)])
    fixed_noise(drawn(1, ROWS, ACTION, seed=9))
    learner.update(plain._replace(observations=plain.observations + embedding), None)
    assert embedding.grad is None


def test_the_released_initialisation_and_a_target_that_is_a_copy():
    learner = ValueSoftActorCritic.initial(SETTINGS, INPUT, ACTION, (5, 4), torch.Generator().manual_seed(0))
    largest = [
        float(weight.detach().abs().max()) for weight in (learner.policy[-2], learner.critics[-2], learner.value[-2])
    ]
    assert largest[0] <= 1e-3 < min(largest[1:]) < max(largest) <= 3e-3
    assert not torch.equal(learner.critics[0][0], learner.critics[0][1])
    for value, target in zip(learner.value, learner.target):
        assert torch.equal(value, target)
        assert value.data_ptr() != target.data_ptr()


def test_a_state_continues_bit_exactly():
    learner, again = build(), build(seed=3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        learner.update(batch_of(), generator)
    load_state_of(again.parts(), state_of(learner.parts()))
    for one in (learner, again):
        generator = torch.Generator().manual_seed(1)
        for seed in (1, 2):
            one.update(batch_of(seed), generator)
    for name in NETWORKS:
        for left, right in zip(getattr(learner, name), getattr(again, name)):
            assert torch.equal(left, right)


def test_copies_start_here_with_fresh_moments_and_targets_equal_to_the_values(fixed_noise):
    learner = build()
    fixed_noise(drawn(1, ROWS, ACTION, seed=9))
    learner.update(batch_of(), None)
    before = {name: copied(getattr(learner, name)) for name in NETWORKS}
    copies = learner.copies(3)
    assert copies.num_learners == 3
    for name in ("policy", "critics", "value"):
        for copy, source in zip(getattr(copies, name), before[name]):
            assert torch.equal(copy, source.repeat(3, 1, 1))
    for target, value in zip(copies.target, copies.value):
        assert torch.equal(target, value)
        assert target.data_ptr() != value.data_ptr()
    assert not any(optimiser.steps for optimiser in copies.optimisers.values())
    fixed_noise(drawn(3, ROWS, ACTION, seed=9))
    copies.update(batch_of(learners=3), None)
    for name in NETWORKS:
        assert all(torch.equal(left, right) for left, right in zip(before[name], getattr(learner, name)))
        assert not torch.equal(getattr(copies, name)[0][0], getattr(copies, name)[0][1])


def test_learners_side_by_side_are_learners_one_by_one(fixed_noise):
    """Three updates of two learners on data of their own: weights and losses are those of each alone."""
    together = build().copies(2)
    alone = [build().copies(1) for _ in range(2)]
    for seed in (10, 20, 30):
        batch, noise = batch_of(seed, learners=2), drawn(2, ROWS, ACTION, seed=seed + 7)
        fixed_noise(noise)
        losses = together.update(batch, None)
        for one in (0, 1):
            fixed_noise(noise[one : one + 1])
            own = alone[one].update(Transitions(*(field[one : one + 1] for field in batch)), None)
            for name, value in own.items():
                assert value.shape == (1,)
                torch.testing.assert_close(losses[name][one], value[0])
    for one in (0, 1):
        for name in ("policy", "value", "target"):
            for left, right in zip(getattr(together, name), getattr(alone[one], name)):
                torch.testing.assert_close(left[one], right[0])
        for left, right in zip(together.critics, alone[one].critics):
            torch.testing.assert_close(left[2 * one : 2 * one + 2], right)


def test_one_learners_actions_are_its_policys():
    learners, inputs = build().copies(2), drawn(1, 6, INPUT, seed=8)
    with torch.no_grad():
        learners.policy[0][1] += 0.5
    for one in (0, 1):
        noise = torch.randn((1, 6, ACTION), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        mean, log_std = forward(learners.policy, one, inputs[0]).split(ACTION, dim=-1)
        actions = learners.sample_one(one, inputs, torch.Generator().manual_seed(2))
        assert not actions.requires_grad
        torch.testing.assert_close(actions[0], torch.tanh(mean + log_std.exp() * noise[0]).detach())


def test_the_bellman_error_is_the_critics_loss_without_a_step(fixed_noise):
    learners = build().copies(2)
    before, batch = copied(learners.critics), batch_of(learners=2)
    error = learners.bellman_error(batch, None)
    assert not error.requires_grad
    assert all(torch.equal(left, right) for left, right in zip(before, learners.critics))
    fixed_noise(drawn(2, ROWS, ACTION, seed=9))
    torch.testing.assert_close(error, learners.update(batch, None)["critic_loss"])
