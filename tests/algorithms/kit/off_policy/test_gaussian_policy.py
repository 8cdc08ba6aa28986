import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from algorithms.kit.networks import glorot_uniform
from algorithms.kit.off_policy.gaussian_policy import (
    act,
    draw_gradient,
    drawn,
    halves,
    split_heads,
    squashed_sample,
    standard_normal,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_heads_are_mean_then_clamped_log_standard_deviation():
    outputs = torch.tensor([[1.0, -30.0, 5.0, -25.0, 0.5, 3.0]])
    mean, log_std = split_heads(outputs)
    assert mean.tolist() == [[1.0, -30.0, 5.0]]
    assert log_std.tolist() == [[-20.0, 0.5, 2.0]]


def test_log_density_is_that_of_the_change_of_variables():
    mean = torch.randn((4, 5, 3), generator=seeded(0), dtype=torch.float64)
    log_std = 0.5 * torch.randn((4, 5, 3), generator=seeded(1), dtype=torch.float64) - 0.5
    noise = torch.randn((4, 5, 3), generator=seeded(2), dtype=torch.float64)
    actions, log_density = squashed_sample(mean, log_std, noise)
    squashed = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=1)])
    torch.testing.assert_close(actions, torch.tanh(mean + log_std.exp() * noise))
    assert log_density.shape == (4, 5)
    torch.testing.assert_close(log_density, squashed.log_prob(actions).sum(-1), rtol=1e-9, atol=1e-9)


def test_the_density_integrates_to_one():
    action = torch.linspace(-1, 1, 200_003, dtype=torch.float64)[1:-1].unsqueeze(-1)
    mean, log_std = torch.tensor([0.4], dtype=torch.float64), torch.tensor([-0.3], dtype=torch.float64)
    noise = (torch.atanh(action) - mean) / log_std.exp()
    again, log_density = squashed_sample(mean.expand_as(noise), log_std.expand_as(noise), noise)
    torch.testing.assert_close(again, action)
    assert float(torch.trapezoid(log_density.exp(), action[:, 0])) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_saturated_action_keeps_a_finite_exact_density_in_float32(sign):
    """tanh(40) is 1 in float32, where log(1 - a^2) is -inf; the true value is 2 (log 2 - 40)."""
    action, log_density = squashed_sample(torch.tensor([sign * 40.0]), torch.tensor([0.0]), torch.tensor([0.0]))
    assert action.tolist() == [sign]
    expected = -0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 40.0)
    assert float(log_density) == pytest.approx(expected, rel=1e-6)


def test_samples_are_reparameterised():
    noise = torch.randn((3, 2), generator=seeded(), dtype=torch.float64)
    inputs = [torch.randn((3, 2), generator=seeded(seed), dtype=torch.float64, requires_grad=True) for seed in (1, 2)]
    assert torch.autograd.gradcheck(lambda mean, log_std: squashed_sample(mean, log_std, noise), inputs)


def test_each_policy_of_an_ensemble_serves_its_own_rows():
    """Six rows, three policies: rows 0 and 1 belong to policy 0."""
    policies = glorot_uniform([4, 8, 8, 2 * 2], seeded(0), ensemble=3)
    inputs = torch.randn((6, 4), generator=seeded(1))
    together = act(policies, inputs, explore=False, generator=seeded(2))
    assert together.dtype == np.float32
    assert together.shape == (6, 2)
    for member in range(3):
        alone = [parameter[member : member + 1] for parameter in policies]
        rows = slice(2 * member, 2 * member + 2)
        np.testing.assert_allclose(
            together[rows], act(alone, inputs[rows], explore=False, generator=seeded()), rtol=1e-5
        )
    assert (
        np.abs(together[:2] - act([p[1:2] for p in policies], inputs[:2], explore=False, generator=seeded())).max()
        > 0.01
    )


def test_acting_is_tanh_of_the_mean_and_exploring_adds_the_generators_noise():
    mean, log_std = torch.tensor([0.3, -2.0]), torch.tensor([-1.0, 0.2])
    policy = [torch.zeros(1, 3, 4), torch.cat([mean, log_std]).reshape(1, 1, 4)]
    policy = [torch.zeros(1, 3, 5), torch.zeros(1, 1, 5), torch.zeros(1, 5, 4), policy[1]]
    inputs = torch.ones(7, 3)
    generator = seeded(5)
    still = act(policy, inputs, explore=False, generator=generator)
    np.testing.assert_allclose(still, np.tile(np.tanh(mean.numpy()), (7, 1)), rtol=1e-6)
    assert torch.equal(generator.get_state(), seeded(5).get_state())
    noise = standard_normal(torch.empty(1, 7, 2), seeded(5))[0]
    expected = torch.tanh(mean + log_std.exp() * noise)
    explored = act(policy, inputs, explore=True, generator=generator)
    np.testing.assert_allclose(explored, expected.numpy(), rtol=1e-5)


def test_noise_has_the_type_of_what_it_is_for_and_comes_from_the_generator():
    like = torch.empty((200, 100), dtype=torch.float64)
    noise = standard_normal(like, seeded(3))
    assert noise.dtype == torch.float64
    assert torch.equal(noise, standard_normal(like, seeded(3)))
    assert abs(float(noise.mean())) < 5 / math.sqrt(20_000)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.03)


def test_a_draw_and_its_gradient_are_autograds_of_the_squashed_sample():
    """Log standard deviations below, within and above their bounds: beyond these nothing comes back."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn((2, 5, 6), generator=generator, dtype=torch.float64)
    outputs[0, 0, 3:], outputs[1, 2, 3:] = 2.5, -21.0
    outputs[0, 1, 4] = 2.0
    noise, of_actions = torch.randn((2, 2, 5, 3), generator=generator, dtype=torch.float64)
    of_density = torch.randn((2, 1, 1), generator=generator, dtype=torch.float64)
    given = outputs.clone().requires_grad_()
    actions, density = squashed_sample(*split_heads(given), noise)
    draw = drawn(outputs, noise)
    torch.testing.assert_close(draw.actions, actions.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(draw.log_density, density.detach(), rtol=1e-12, atol=1e-12)
    loss = (of_actions * actions).sum() + (of_density[..., 0] * density).sum()
    (expected,) = torch.autograd.grad(loss, given)
    torch.testing.assert_close(draw_gradient(draw, of_actions, of_density), expected, rtol=1e-9, atol=1e-12)
    assert not expected[0, 0, 3:].any()
    first, second = halves(drawn(outputs.expand(2, -1, -1)[:, :4], noise[:, :4]))
    assert torch.equal(first.actions, draw.actions[:, :2])
    assert torch.equal(second.log_density, draw.log_density[:, 2:4])
