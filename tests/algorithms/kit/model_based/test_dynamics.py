"""The model's inner step against autograd, its meta-gradient against finite differences, and its statistics by hand."""

import numpy as np
import pytest
import torch

from algorithms.kit.model_based import dynamics
from algorithms.kit.networks import glorot_uniform, mlp
from algorithms.kit.replay import Transitions

RATE = 0.3


def problem(dtype=torch.float64, tasks=3, past=4, seed=0):
    """A network shared by all tasks, and data to adapt on and to judge on, with uneven weights."""
    generator = torch.Generator().manual_seed(seed)
    theta = [p.to(dtype) + 0.05 for p in glorot_uniform([5, 7, 6, 3], generator)]
    drawn = torch.randn((2, tasks, past, 8), generator=generator).to(dtype)
    weights = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=dtype)[:tasks, :past]
    weights = weights / weights.sum(1, keepdim=True)
    return theta, (drawn[0, ..., :5], drawn[0, ..., 5:], weights), (drawn[1, ..., :5], drawn[1, ..., 5:], weights)


def stepped_by_autograd(theta, data, rates):
    """One network per task after a step of plain gradient descent, the long way."""
    inputs, targets, weights = data
    copies = [p.expand(len(inputs), *p.shape[1:]).clone().requires_grad_(True) for p in theta]
    errors = (mlp(copies, inputs) - targets).square().mean(-1)
    gradients = torch.autograd.grad((errors * weights).sum(), copies)
    return [copy.detach() - rates * gradient for copy, gradient in zip(copies, gradients)]


@pytest.mark.parametrize("rates", [RATE, torch.tensor([0.3, 0.0, 0.1], dtype=torch.float64).reshape(3, 1, 1)])
def test_the_inner_step_is_a_step_of_gradient_descent_per_task(rates):
    theta, past, future = problem()
    gradient = dynamics.inner_step(theta, *past)
    expected = stepped_by_autograd(theta, past, rates)
    for found, wanted in zip(dynamics.adapted_parameters(theta, gradient, rates), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    found = dynamics.adapted_outputs(theta, gradient, rates, future[0])
    torch.testing.assert_close(found, mlp(expected, future[0]), rtol=1e-10, atol=1e-12)
    assert (found - dynamics.outputs(theta, future[0])).abs().amax() > 0.01


def test_the_step_lowers_the_loss_that_it_descends():
    theta, past, _ = problem()
    gradient = dynamics.inner_step(theta, *past)
    before = dynamics.losses(dynamics.outputs(theta, past[0]), *past[1:])
    after = dynamics.losses(dynamics.adapted_outputs(theta, gradient, 0.01, past[0]), *past[1:])
    assert (after < before).all()


def test_transitions_without_weight_change_nothing():
    theta, (inputs, targets, weights), future = problem()
    other = inputs.clone()
    other[weights == 0] += 9.0
    results = [
        dynamics.adapted_outputs(theta, dynamics.inner_step(theta, given, targets, weights), RATE, future[0])
        for given in (inputs, other)
    ]
    assert torch.equal(*results)


def test_the_meta_gradient_is_exact_to_second_order(finite_differences):
    theta, past, future = problem()
    for parameter in theta:
        parameter.requires_grad_(True)

    def loss():
        gradient = dynamics.inner_step(theta, *past)
        return dynamics.losses(dynamics.adapted_outputs(theta, gradient, RATE, future[0]), *future[1:]).mean()

    gradients = torch.autograd.grad(loss(), theta)
    with torch.no_grad():
        differences = [finite_differences(loss, parameter) for parameter in theta]
        fixed = dynamics.inner_step(theta, *past)
    first_order = torch.autograd.grad(
        dynamics.losses(dynamics.adapted_outputs(theta, fixed, RATE, future[0]), *future[1:]).mean(), theta
    )
    for gradient, difference in zip(gradients, differences):
        torch.testing.assert_close(gradient, difference, rtol=1e-5, atol=1e-8)
    assert max(float((a - b).abs().max()) for a, b in zip(gradients, first_order)) > 1e-2, "second order matters here"


def transitions(observations, actions, following):
    values = [torch.as_tensor(np.array(field), dtype=torch.float32) for field in (observations, actions, following)]
    nothing = torch.zeros(len(values[0]))
    return Transitions(values[0], values[1], nothing, values[2], nothing)


def test_statistics_are_those_of_all_data_whenever_they_came():
    sums = dynamics.empty_sums(2, 1, torch.device("cpu"))
    dynamics.add_to_sums(sums, transitions([[1, 5], [3, 5]], [[-1], [1]], [[2, 5], [7, 5]]))
    first = dynamics.normalisation_of(sums, 3)
    assert first.input_mean.tolist() == [2, 5, 0]
    assert first.input_scale.tolist() == [1, 1, 1]  # deviations 1, 0 and 1: what never varies is not scaled
    assert first.change_mean.tolist() == [2.5, 0]
    assert first.change_scale.tolist() == [1.5, 1]
    dynamics.add_to_sums(sums, transitions([[11, 5]], [[0]], [[11, 5]]))
    later = dynamics.normalisation_of(sums, 3)
    assert later.input_mean.tolist() == [5, 5, 0]
    np.testing.assert_allclose(later.input_scale, [np.std([1, 3, 11]), 1, np.std([-1, 1, 0])], rtol=1e-6)
    data = transitions([[11, 5]], [[0]], [[11, 5]])
    np.testing.assert_allclose(later.inputs(data)[0], [(11 - 5) / np.std([1, 3, 11]), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(later.targets(data)[0], [(0 - 5 / 3) / np.std([1, 4, 0]), 0], rtol=1e-6)


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05)])
def test_predictions_in_raw_units_are_the_networks_undone(at_once, precision, tolerance):
    theta, past, _ = problem(torch.float32)
    generator = torch.Generator().manual_seed(1)
    normalisation = dynamics.Normalisation(
        torch.randn(5, generator=generator), torch.rand(5, generator=generator) + 0.5,
        torch.randn(3, generator=generator), torch.rand(3, generator=generator) + 0.5,
    )  # fmt: skip
    adapted = dynamics.adapted_parameters(theta, dynamics.inner_step(theta, *past), 0.1)
    model = dynamics.predictor(adapted, normalisation, 3, at_once, precision)
    observations, actions = torch.randn((3, 6, 3), generator=generator), torch.randn((3, 6, 2), generator=generator)
    inputs = (torch.cat([observations, actions], -1) - normalisation.input_mean) / normalisation.input_scale
    change = mlp(adapted, inputs) * normalisation.change_scale + normalisation.change_mean
    torch.testing.assert_close(model(observations, actions), observations + change, rtol=tolerance, atol=tolerance)
    shared = dynamics.predictor(theta, normalisation, 3, at_once, precision)(observations, actions)
    change = mlp(theta, inputs.flatten(0, 1)[None])[0].unflatten(0, (3, 6))
    expected = observations + change * normalisation.change_scale + normalisation.change_mean
    torch.testing.assert_close(shared, expected, rtol=tolerance, atol=tolerance)


def test_predicted_changes_are_bounded():
    theta, _, _ = problem(torch.float32)
    normalisation = dynamics.Normalisation(torch.zeros(5), torch.ones(5), torch.ones(3), 2 * torch.ones(3))
    model = dynamics.predictor([1e9 * p for p in theta], normalisation, 1, 1, "fp32")
    observations = torch.randn(1, 50, 3)
    change = model(observations, torch.randn(1, 50, 2)) - observations
    assert change.min() == pytest.approx(1 - 20, abs=1e-4)
    assert change.max() == pytest.approx(1 + 20, abs=1e-4)


def test_rectifying_bfloat16_as_integers_is_the_same():
    values = torch.tensor([-torch.inf, -3.5, -1e-38, -0.0, 0.0, 1e-38, 0.25, torch.inf]).bfloat16()
    expected = torch.relu(values)
    assert torch.equal(dynamics._relu_(values.clone()), expected)
    drawn = torch.randn(1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(dynamics._relu_(drawn.clone()), torch.relu(drawn))


def test_gradients_are_measured_and_clipped_as_one_vector():
    theta, past, _ = problem()
    gradient = dynamics.inner_step(theta, *past)
    steps = [new - old for new, old in zip(stepped_by_autograd(theta, past, 1.0), theta)]
    expected = torch.cat([step.flatten(1) for step in steps], 1).norm(dim=1)
    torch.testing.assert_close(dynamics.gradient_norms(gradient), expected, rtol=1e-8, atol=1e-8)
    limit = float(expected.median())
    sizes = dynamics.step_sizes(gradient, RATE, limit)
    assert sizes.shape == (3, 1, 1)
    taken = (sizes.flatten() * expected) / RATE
    assert taken.tolist() == pytest.approx(expected.clamp_max(limit).tolist())
    assert dynamics.step_sizes(gradient, RATE, None).flatten().tolist() == [RATE] * 3
