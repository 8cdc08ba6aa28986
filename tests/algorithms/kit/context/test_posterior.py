import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from algorithms.kit.context.posterior import gaussian_factors, kl_to_standard_normal, product_of_gaussians


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_product_of_two_factors_by_hand():
    """Precisions 1 and 1/2 add up to 3/2; the mean is (1 + 3/2) * 2/3."""
    means = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    mean, variance = product_of_gaussians(means, torch.tensor([[1.0], [2.0]], dtype=torch.float64))
    assert variance.item() == pytest.approx(2 / 3)
    assert mean.item() == pytest.approx(5 / 3)


def test_the_product_is_proportional_to_the_product_of_densities():
    means, variances = drawn(2, 6, 3), drawn(2, 6, 3, seed=1).exp()
    mean, variance = product_of_gaussians(means, variances)
    assert mean.shape == variance.shape == (2, 3)
    places = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(-1, 1, 1)
    factors = Normal(means, variances.sqrt()).log_prob(places.unsqueeze(1)).sum(2)
    ratio = factors - Normal(mean, variance.sqrt()).log_prob(places)
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_the_prior_is_not_multiplied_in_and_order_does_not_matter():
    means, variances = drawn(1, 5, 2), drawn(1, 5, 2, seed=1).exp()
    alone = product_of_gaussians(means[:, :1], variances[:, :1])
    torch.testing.assert_close(alone[0], means[:, 0])
    torch.testing.assert_close(alone[1], variances[:, 0])
    order = torch.tensor([3, 0, 4, 1, 2])
    for left, right in zip(
        product_of_gaussians(means, variances), product_of_gaussians(means[:, order], variances[:, order])
    ):
        torch.testing.assert_close(left, right)


def test_the_same_evidence_n_times_divides_the_variance_by_n():
    mean, variance = product_of_gaussians(torch.full((100, 1), 0.7), torch.full((100, 1), math.log(2)))
    assert mean.item() == pytest.approx(0.7, rel=1e-5)
    assert variance.item() == pytest.approx(math.log(2) / 100, rel=1e-5)


def test_factors_are_means_then_softplus_variances_bounded_below():
    outputs = torch.tensor([[5.0, -6.0, 0.0, -50.0]], dtype=torch.float64)
    mean, variance = gaussian_factors(outputs)
    assert mean.tolist() == [[5.0, -6.0]]
    assert variance.tolist() == [[pytest.approx(math.log(2)), 1e-7]]


def test_kl_by_hand_and_against_torch():
    assert kl_to_standard_normal(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0.0
    by_hand = 0.5 * (4 + 1 - 1 - math.log(4))
    assert kl_to_standard_normal(torch.tensor([1.0]), torch.tensor([4.0])).item() == pytest.approx(by_hand)
    mean, variance = drawn(4, 5), drawn(4, 5, seed=1).exp()
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = kl_divergence(Normal(mean, variance.sqrt()), prior).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(mean, variance), expected)


def test_gradients_match_finite_differences():
    outputs = drawn(2, 4, 6).requires_grad_()

    def posterior_and_kl(values):
        mean, variance = product_of_gaussians(*gaussian_factors(values))
        return mean, variance, kl_to_standard_normal(mean, variance)

    assert torch.autograd.gradcheck(posterior_and_kl, [outputs])
