"""Passes and gradients by hand against `mlp` and autograd, whole and in pieces."""

import pytest
import torch

from algorithms.kit import perceptron
from algorithms.kit.networks import as_leaves, glorot_uniform, mlp
from algorithms.kit.perceptron import backward, by_learners, forward, input_gradient, ready

ROWS = 6


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(sizes, ensemble, seed=0):
    start = glorot_uniform(sizes, torch.Generator().manual_seed(seed), ensemble)
    return [parameter.double() + 0.2 * drawn(*parameter.shape, seed=i) for i, parameter in enumerate(start)]


@pytest.fixture(params=[1, 2**20], ids=["one at a time", "together"])
def at_once(request, monkeypatch):
    monkeypatch.setitem(perceptron.AT_ONCE, "cpu", request.param)


@pytest.mark.parametrize("sizes", [(3, 5, 4, 1), (3, 5, 4, 2), (3, 16, 16, 16), (3, 7, 2), (3, 5, 6, 4, 3)])
@pytest.mark.parametrize("ensemble", [1, 3])
def test_values_and_gradients_are_autograds_in_float64(at_once, sizes, ensemble):
    parameters, inputs = network(sizes, ensemble), drawn(ensemble, ROWS, 3, seed=20)
    direction = drawn(ensemble, ROWS, sizes[-1], seed=21)
    leaves, given = as_leaves(parameters), inputs.clone().requires_grad_()
    outputs = mlp(leaves, given)
    *expected, of_given = torch.autograd.grad(outputs, [*leaves, given], direction)
    weights = ready(parameters, "fp32", ROWS)
    own, past = forward(weights, inputs)
    torch.testing.assert_close(own, outputs.detach(), rtol=1e-12, atol=1e-12)
    gradients, of_inputs = backward(weights, past, direction, with_inputs=True)
    for gradient, reference in zip(gradients, expected):
        assert gradient.is_contiguous()
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(of_inputs, of_given, rtol=1e-10, atol=1e-12)
    alone = input_gradient(weights, past, direction, first=1)
    torch.testing.assert_close(alone, of_given[..., 1:], rtol=1e-10, atol=1e-12)
    assert backward(weights, past, direction)[1] is None


@pytest.mark.parametrize("outputs", [1, 6])
def test_bf16_rounds_as_mlp_does(outputs):
    parameters = glorot_uniform([20, 64, 64, 64, outputs], torch.Generator().manual_seed(0), 2)
    inputs, leaves = torch.randn((2, 50, 20), generator=torch.Generator().manual_seed(1)), as_leaves(parameters)
    expected = torch.autograd.grad(mlp(leaves, inputs, "bf16").square().sum(), leaves)
    weights = ready(parameters, "bf16", 50)
    own, past = forward(weights, inputs)
    torch.testing.assert_close(own, mlp(parameters, inputs, "bf16"), rtol=1e-2, atol=1e-3)
    for gradient, reference in zip(backward(weights, past, 2 * own)[0], expected):
        assert gradient.dtype == torch.float32
        assert float((gradient - reference).norm() / reference.norm()) < 0.02


def test_ready_weights_do_not_follow_a_later_change_in_bf16():
    parameters = glorot_uniform([3, 8, 8, 2], torch.Generator().manual_seed(0))
    weights = ready(parameters, "bf16", ROWS)
    parameters[2].zero_()
    assert bool(weights[0][1].weight.any())


def test_learners_get_what_is_theirs_and_come_back_in_order(monkeypatch):
    """Two tensors per learner in the network, one in what else is given; calls of one learner, then of all."""
    parameters, inputs = network((3, 4, 1), 6), drawn(3, ROWS, 3)
    extra, seen = [torch.tensor([[10.0], [20.0], [30.0]])], []

    def function(critics, given, more):
        seen.append((len(critics[0]), len(given)))
        return given.sum((1, 2)) + more[0][:, 0], critics[0].sum((1, 2))

    results = []
    for most in (1, 2**20):
        monkeypatch.setitem(perceptron.AT_ONCE, "cpu", most)
        results.append(by_learners(function, parameters, inputs, extra))
    assert seen == [(2, 1)] * 3 + [(6, 3)]
    for apart, together in zip(*results):
        assert torch.equal(apart, together)
    assert torch.equal(results[0][0], inputs.sum((1, 2)) + torch.tensor([10.0, 20.0, 30.0]))
