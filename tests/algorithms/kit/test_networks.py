import math

import pytest
import torch

from algorithms.kit.networks import (
    adam,
    as_leaves,
    fan_out_uniform,
    frozen,
    glorot_uniform,
    mlp,
    native_precision,
    norm_clipped,
    polyak,
    repeat_ensemble,
    resolve_precision,
    step,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tensors(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def test_a_small_network_by_hand():
    """Input (2, -1): hidden (2*1 + 1*1 + 0, -2*1 - 1*3 + 1) = (3, -4), then relu, then 10 * h0 + 100 * h1 + 0.5."""
    network = tensors([[[1.0, -1.0], [-1.0, 3.0]]], [[[0.0, 1.0]]], [[[10.0], [100.0]]], [[[0.5]]])
    inputs = torch.tensor([[[2.0, -1.0]]], dtype=torch.float64)
    assert mlp(network, inputs).item() == 30.5
    assert mlp(network, inputs, negative_slope=0.2).item() == pytest.approx(30.5 - 0.2 * 400)


@pytest.mark.parametrize("outputs", [1, 4])
def test_an_ensemble_is_its_members_side_by_side(outputs):
    network = [parameter.double() for parameter in fan_out_uniform([3, 8, 7, outputs], seeded(), 4, last_bound=1.0)]
    inputs = torch.randn((4, 6, 3), generator=seeded(1), dtype=torch.float64)
    together = mlp(network, inputs)
    assert together.shape == (4, 6, outputs)
    for member in range(4):
        weights = [parameter[member] for parameter in network]
        hidden = torch.relu(inputs[member] @ weights[0] + weights[1])
        hidden = torch.relu(hidden @ weights[2] + weights[3])
        torch.testing.assert_close(together[member], hidden @ weights[4] + weights[5])


def test_a_column_written_out_has_the_gradients_of_the_product():
    network = as_leaves([parameter.double() for parameter in glorot_uniform([3, 5, 5, 1], seeded(), 2)])
    inputs = torch.randn((2, 4, 3), generator=seeded(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *parameters: mlp(parameters, inputs), network)


def test_bf16_rounds_the_hidden_products_and_little_else():
    network = glorot_uniform([20, 64, 64, 64, 6], seeded(), ensemble=2)
    inputs = torch.randn((2, 50, 20), generator=seeded(1))
    exact, rounded = mlp(network, inputs), mlp(network, inputs, "bf16")
    assert rounded.dtype == torch.float32
    error = float((rounded - exact).norm() / exact.norm())
    assert 1e-5 < error < 0.02
    assert not torch.equal(rounded, rounded.bfloat16().float())


def test_bf16_leaves_a_network_without_hidden_products_alone():
    network = glorot_uniform([20, 64, 6], seeded())
    inputs = torch.randn((1, 50, 20), generator=seeded(1))
    assert torch.equal(mlp(network, inputs), mlp(network, inputs, "bf16"))


@pytest.mark.parametrize("head", ["weights", "bias"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_last_layer_keeps_minus_300_and_minus_299_apart(head, outputs):
    """In bfloat16 neighbours of 300 lie 2 apart. Hidden units are all exactly one."""
    hidden = [torch.zeros(1, 3, 8), torch.ones(1, 1, 8), torch.zeros(1, 8, 8), torch.ones(1, 1, 8)]
    for value in (-300.0, -299.0, -299.5):
        weight, bias = torch.zeros(1, 8, outputs), torch.zeros(1, 1, outputs)
        (weight[:, 0] if head == "weights" else bias)[:] = value
        result = mlp([*hidden, weight, bias], torch.zeros(1, 1, 3), "bf16")
        assert result.flatten().tolist() == [value] * outputs
    assert float(torch.tensor(-299.0).bfloat16()) == -300.0


def test_the_first_layer_keeps_300_and_299_apart():
    network = [torch.ones(1, 1, 1), torch.full((1, 1, 1), -299.0), torch.ones(1, 1, 1), torch.zeros(1, 1, 1)]
    network += [torch.ones(1, 1, 1), torch.zeros(1, 1, 1)]
    assert mlp(network, torch.tensor([[[299.0], [300.0]]]), "bf16").flatten().tolist() == [0.0, 1.0]


def test_bf16_gradients_are_float32_and_close():
    inputs = torch.randn((1, 200, 10), generator=seeded(1))
    gradients = []
    for precision in ("fp32", "bf16"):
        network = as_leaves(glorot_uniform([10, 64, 64, 3], seeded()))
        gradients.append(torch.autograd.grad(mlp(network, inputs, precision).square().mean(), network))
    for exact, rounded in zip(*gradients):
        assert rounded.dtype == torch.float32
        assert float((rounded - exact).norm() / exact.norm()) < 0.05


def test_glorot_uniform_has_its_bounds_and_zero_biases():
    network = glorot_uniform([30, 50, 20], seeded(), ensemble=3)
    assert [tuple(parameter.shape) for parameter in network] == [(3, 30, 50), (3, 1, 50), (3, 50, 20), (3, 1, 20)]
    for weight, bound in ((network[0], math.sqrt(6 / 80)), (network[2], math.sqrt(6 / 70))):
        assert 0.98 * bound < float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not torch.equal(weight[0], weight[1])
    assert not any(bias.any() for bias in network[1::2])
    assert all(torch.equal(a, b) for a, b in zip(network, glorot_uniform([30, 50, 20], seeded(), ensemble=3)))


def test_fan_out_uniform_has_the_released_bounds():
    network = fan_out_uniform([30, 50, 40, 20], seeded(), ensemble=2, last_bound=1e-3)
    for weight, bound in ((network[0], 50**-0.5), (network[2], 40**-0.5), (network[4], 1e-3), (network[5], 1e-3)):
        assert 0.9 * bound < float(weight.abs().max()) <= bound
        assert float(weight.min()) < -0.5 * bound
    assert all((bias == 0.1).all() for bias in (network[1], network[3]))


def test_leaves_are_copies_and_frozen_tensors_are_not():
    source = [torch.ones(2, requires_grad=True)]
    (leaf,), (view,) = as_leaves(source), frozen(source)
    with torch.no_grad():
        source[0] += 1
    assert leaf.tolist() == [1.0, 1.0]
    assert leaf.requires_grad
    assert leaf.is_leaf
    assert view.tolist() == [2.0, 2.0]
    assert not view.requires_grad


def test_an_ensemble_repeats_as_a_whole():
    twins = [torch.tensor([[[1.0]], [[2.0]]])]
    (repeated,) = repeat_ensemble(twins, 3)
    assert repeated.flatten().tolist() == [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
    repeated[0] = 9.0
    assert twins[0].flatten().tolist() == [1.0, 2.0]
    assert repeated.flatten().tolist()[2] == 1.0


def test_polyak_by_hand():
    targets, sources = (
        [torch.tensor([1.0, 0.0]), torch.tensor([[4.0]])],
        [torch.tensor([3.0, -1.0]), torch.tensor([[4.0]])],
    )
    polyak(targets, sources, 0.25)
    assert targets[0].tolist() == [1.5, -0.25]
    assert targets[1].tolist() == [[4.0]]
    assert sources[0].tolist() == [3.0, -1.0]


def test_a_step_is_adams_and_touches_only_what_is_named():
    """Adam's first step is lr * g / (|g| + eps); the loss is 3 a^2 + 5 a b, so g_a = 6 a + 5 b = 22."""
    (a, b) = as_leaves([torch.tensor([2.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)])
    optimiser = adam([a], 0.1)
    step(optimiser, [a], (3 * a.square() + 5 * a * b).sum())
    assert float(a.grad) == 22.0
    assert float(a.detach()) == pytest.approx(2.0 - 0.1 * 22 / (22 + 1e-8), rel=1e-12)
    assert b.grad is None
    assert float(b.detach()) == 2.0
    first, second = 22.0, 6 * float(a.detach()) + 10
    step(optimiser, [a], (3 * a.square() + 5 * a * b).sum())
    moment, square = (
        0.1 * (0.9 * first + second) / (1 - 0.9**2),
        0.001 * (0.999 * first**2 + second**2) / (1 - 0.999**2),
    )
    before = 2.0 - 0.1 * 22 / (22 + 1e-8)
    assert float(a.detach()) == pytest.approx(before - 0.1 * moment / (math.sqrt(square) + 1e-8), rel=1e-9)


def test_auto_stands_for_what_the_device_multiplies_natively():
    assert resolve_precision("fp32", "cpu") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    assert resolve_precision("auto", "cpu") == native_precision("cpu")
    native = torch.cpu._is_avx512_bf16_supported()
    assert native_precision("cpu") == ("bf16" if native else "fp32")


def test_gradients_are_scaled_down_together_to_a_norm_and_never_up():
    given = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]
    for most, factor in ((1.0, 0.2), (5.0, 1.0), (50.0, 1.0), (None, 1.0)):
        for gradient, clipped in zip(given, norm_clipped(given, most)):
            torch.testing.assert_close(clipped, factor * gradient)
