"""MAML's outer step: its gradient, curvature and line search, in double precision."""

import numpy as np
import pytest
import torch

from algorithms.kit.on_policy.policy_gradient import distribution, inner_step, kl_divergence, policy_per_task
from algorithms.kit.on_policy.trust_region import flatten, unflatten
from algorithms.maml import Maml, MamlTrain

CASES = [("likelihood_ratio", 1), ("log_likelihood", 1), ("likelihood_ratio", 2)]


@pytest.fixture
def small_maml(random_source):
    def build(**changes):
        config = MamlTrain(**({"policy_hidden": (4, 3), "inner_learning_rate": 0.5, "damping": 0.0} | changes))
        return Maml(config, random_source, seed=0, device=torch.device("cpu"), capacity=1)

    return build


def mean_kl(maml, inner, outer):
    """The constraint as a function of theta, inner steps and all, with its graph."""
    policy = policy_per_task(maml.theta, len(outer.advantages))
    for data in inner:
        rate = maml.config.inner_learning_rate
        policy = inner_step(policy, data, maml.inner_loss, rate, differentiable=True).policy
    return kl_divergence(outer.behaviour, distribution(policy, outer.observations)).mean()


@pytest.mark.parametrize(("loss", "steps"), CASES)
def test_the_outer_gradient_is_that_of_the_adapted_policies_loss(
    small_maml, on_policy, finite_differences, loss, steps
):
    maml = small_maml(inner_loss=loss, inner_steps=steps)
    inner, outer = on_policy(maml, steps)
    value, slope = maml.outer_gradient(inner, outer)
    assert value == pytest.approx(maml.loss_and_kl(inner, outer)[0])

    def judged():
        return torch.tensor(maml.loss_and_kl(inner, outer)[0], dtype=torch.float64)

    for parameter, gradient in zip(maml.theta, unflatten(slope, maml.theta)):
        np.testing.assert_allclose(gradient, finite_differences(judged, parameter), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("loss", "steps"), CASES)
def test_the_curvature_is_the_hessian_of_the_divergence(small_maml, on_policy, loss, steps):
    """Against double backward through everything, and against finite differences of its gradient."""
    maml = small_maml(inner_loss=loss, inner_steps=steps)
    inner, outer = on_policy(maml, steps)
    slope = torch.autograd.grad(mean_kl(maml, inner, outer), maml.theta, create_graph=True)
    generator = torch.Generator().manual_seed(1)
    vectors = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in maml.theta]
    exact = flatten(torch.autograd.grad(slope, maml.theta, vectors))
    found = maml.curvature_product(flatten(vectors), inner, outer)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-12)

    epsilon, slopes = 1e-5, []
    kept = [p.detach().clone() for p in maml.theta]
    for sign in (1, -1):
        for parameter, start, vector in zip(maml.theta, kept, vectors):
            parameter.data = start + sign * epsilon * vector
        slopes.append(flatten(torch.autograd.grad(mean_kl(maml, inner, outer), maml.theta)))
    torch.testing.assert_close(found, (slopes[0] - slopes[1]) / (2 * epsilon), rtol=1e-4, atol=1e-7)


def test_the_curvature_is_symmetric_and_nowhere_negative(small_maml, on_policy):
    maml = small_maml()
    inner, outer = on_policy(maml)
    number = len(flatten(maml.theta))
    columns = [maml.curvature_product(unit, inner, outer) for unit in torch.eye(number, dtype=torch.float64)]
    matrix = torch.stack(columns)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-8, atol=1e-12)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > -1e-12
    assert eigenvalues.max() > 0.1
    damped = small_maml(damping=0.25)
    damped.theta = maml.theta
    unit = torch.eye(number, dtype=torch.float64)[3]
    torch.testing.assert_close(damped.curvature_product(unit, inner, outer), columns[3] + 0.25 * unit)


def test_a_part_of_the_samples_estimates_the_curvature(small_maml, on_policy):
    maml = small_maml()
    inner, outer = on_policy(maml, samples=3000)
    vector = flatten(maml.theta)
    whole, part = (maml.curvature_product(vector, inner, data) for data in (outer, outer.every(3)))
    assert (whole - part).norm() < 0.2 * whole.norm()
    assert not torch.equal(whole, part)


def test_the_direction_comes_of_as_many_products_and_samples_as_configured(small_maml, on_policy, monkeypatch):
    maml = small_maml(kl_stride=3, conjugate_gradients=4)
    inner, outer = on_policy(maml)
    asked, original = [], maml.curvature_product

    def product(vector, before, after):
        asked.append(after.advantages.shape[1])
        return original(vector, before, after)

    monkeypatch.setattr(maml, "curvature_product", product)
    maml.outer_step(inner, outer)
    assert asked == [10] * 5  # of 30 samples; four for the direction, one for its length


def test_no_step_goes_beyond_the_bound_and_every_step_lowers_the_loss(small_maml, on_policy):
    for bound in (1e-4, 0.01, 1.0):
        maml = small_maml(max_kl=bound)
        inner, outer = on_policy(maml)
        before = maml.loss_and_kl(inner, outer)[0]
        metrics = maml.outer_step(inner, outer)
        loss, kl = maml.loss_and_kl(inner, outer)
        assert 0 < metrics["step_fraction"] <= 1
        assert (loss, kl) == (metrics["outer_loss"], metrics["outer_kl"])
        assert loss < before
        assert bound / 5 < kl <= bound
        if bound == 1e-4:  # so near, the divergence is its quadratic: sqrt(2 bound / x H x) of x reaches the bound
            assert kl == pytest.approx(bound * metrics["step_fraction"] ** 2, rel=0.1)


def test_a_failed_line_search_leaves_the_parameters_bit_identical(small_maml, on_policy):
    maml = small_maml()
    inner, outer = on_policy(maml)
    kept = [p.detach().clone() for p in maml.theta]
    nothing = outer._replace(advantages=torch.zeros_like(outer.advantages))  # no direction lowers this loss
    assert maml.outer_step(inner, nothing)["step_fraction"] == 0
    assert all(torch.equal(left, right) for left, right in zip(kept, maml.theta))
    maml.loss_and_kl = lambda *arguments: (float("nan"), 0.0)
    assert maml.outer_step(inner, outer)["step_fraction"] == 0
    assert all(torch.equal(left, right) for left, right in zip(kept, maml.theta))
