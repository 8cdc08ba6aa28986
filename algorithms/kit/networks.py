"""Multi-layer perceptrons as plain lists of tensors, with a leading ensemble axis everywhere.

`[weight_1, bias_1, ...]` with weights (ensemble, in, out) and biases (ensemble, 1, out). One network is an
ensemble of one, twin critics an ensemble of two, and one policy per test task an ensemble over tasks, so the same
two batched matrix products serve meta-training and the adaptation of many tasks at once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.optimiser import Adam

Parameters = list[Tensor]
Precision = Literal["fp32", "bf16"]


@functools.cache
def native_precision(device_type: str) -> Precision:
    """`bf16` where the device multiplies bfloat16 natively, else `fp32`. What `precision: auto` resolves to."""
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def resolve_precision(asked: Literal["auto", "fp32", "bf16"], device_type: str) -> Precision:
    """The precision of the hidden layers that `asked` stands for on this device."""
    return native_precision(device_type) if asked == "auto" else asked


def glorot_uniform(sizes: Sequence[int], generator: torch.Generator, ensemble: int = 1) -> Parameters:
    """A network with Glorot-uniform weights and zero biases (TensorFlow's default, as in the MIER code)."""
    parameters = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:]):
        bound = (6.0 / (fan_in + fan_out)) ** 0.5
        parameters += [uniform((ensemble, fan_in, fan_out), bound, generator), zeros((ensemble, 1, fan_out), generator)]
    return parameters


def fan_out_uniform(
    sizes: Sequence[int], generator: torch.Generator, ensemble: int = 1, last_bound: float = 3e-3
) -> Parameters:
    """A network initialised as the public PEARL code does.

    Hidden weights U(+-1/sqrt(fan out)), hidden biases 0.1, the last layer's weights and biases
    U(+-`last_bound`).
    """
    parameters = []
    for fan_in, fan_out in zip(sizes[:-2], sizes[1:-1]):
        weight = uniform((ensemble, fan_in, fan_out), fan_out**-0.5, generator)
        parameters += [weight, zeros((ensemble, 1, fan_out), generator) + 0.1]
    for shape in ((ensemble, sizes[-2], sizes[-1]), (ensemble, 1, sizes[-1])):
        parameters.append(uniform(shape, last_bound, generator))
    return parameters


def fan_in_uniform(sizes: Sequence[int], generator: torch.Generator, ensemble: int = 1) -> Parameters:
    """A network with torch's default initialisation: weights and biases U(+-1/sqrt(fan in))."""
    parameters = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:]):
        for shape in ((ensemble, fan_in, fan_out), (ensemble, 1, fan_out)):
            parameters.append(uniform(shape, fan_in**-0.5, generator))
    return parameters


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> Tensor:
    """Draws from U(-bound, bound) on the generator's device."""
    return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1) * bound


def zeros(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Zeros on the generator's device."""
    return torch.zeros(shape, device=generator.device)


def mlp(
    parameters: Sequence[Tensor], inputs: Tensor, precision: Precision = "fp32", negative_slope: float = 0.0
) -> Tensor:
    """The outputs (ensemble, row, out) of an ensemble on `inputs` (ensemble, row, in).

    Hidden activations are ReLU, or leaky ReLU with `negative_slope`. With precision `bf16` the products between
    hidden layers run in bfloat16 and everything else, the first and the last layer included, in float32: plain
    autocast also rounds a head's outputs, so that -300 and -299 become one value.
    """
    return mlp_from_first(parameters, torch.baddbmm(parameters[1], inputs, parameters[0]), precision, negative_slope)


def mlp_from_first(
    parameters: Sequence[Tensor], first: Tensor, precision: Precision = "fp32", negative_slope: float = 0.0
) -> Tensor:
    """The rest of `mlp`, from the first layer's pre-activations (ensemble, row, hidden) on."""
    hidden = _activate(first, negative_slope)
    if len(parameters) > 4:
        dtype = torch.bfloat16 if precision == "bf16" else hidden.dtype
        hidden = hidden.to(dtype)
        for weight, bias in zip(parameters[2:-2:2], parameters[3:-2:2]):
            hidden = _activate(torch.baddbmm(bias.to(dtype), hidden, weight.to(dtype)), negative_slope)
    return _last_layer(hidden.to(parameters[-1].dtype), parameters[-2], parameters[-1])


def _last_layer(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.shape[-1] > 1:
        return torch.baddbmm(bias, hidden, weight)
    # A batched product with one column is an order of magnitude slower backwards than the same sum written out.
    return (hidden * weight.transpose(1, 2)).sum(-1, keepdim=True) + bias


def _activate(values: Tensor, negative_slope: float) -> Tensor:
    return functional.leaky_relu(values, negative_slope) if negative_slope else torch.relu_(values)


def as_leaves(parameters: Sequence[Tensor]) -> Parameters:
    """The same values as leaves that an optimiser can train."""
    return [parameter.detach().clone().requires_grad_(True) for parameter in parameters]


def frozen(parameters: Sequence[Tensor]) -> Parameters:
    """The same storage without gradients."""
    return [parameter.detach() for parameter in parameters]


def repeat_ensemble(parameters: Sequence[Tensor], times: int) -> Parameters:
    """Copies for `times` tasks: an ensemble of E becomes one of times * E, task-major."""
    return [
        parameter.detach().unsqueeze(0).expand(times, *parameter.shape).reshape(-1, *parameter.shape[1:]).clone()
        for parameter in parameters
    ]


@torch.no_grad()
def polyak(targets: Sequence[Tensor], sources: Sequence[Tensor], rate: float) -> None:
    """Move targets towards sources in place: target += rate * (source - target)."""
    torch._foreach_lerp_(list(targets), list(frozen(sources)), rate)


def adam(parameters: Sequence[Tensor], learning_rate: float) -> Adam:
    """An Adam with the default moments."""
    return Adam(parameters, learning_rate)


def norm_clipped(gradients: Sequence[Tensor], most: float | None) -> list[Tensor]:
    """The gradients, all scaled down by one factor where their norm together is greater than `most`; None: as given."""
    if most is None:
        return list(gradients)
    norm = torch.stack(torch._foreach_norm(list(gradients))).norm()
    scale = (most / norm.clamp_min(1e-12)).clamp_max(1.0)
    return [gradient * scale for gradient in gradients]


def step(optimiser: Adam, parameters: Sequence[Tensor], loss: Tensor) -> None:
    """One optimiser step on `loss` for `parameters` alone; no other tensor gets a gradient."""
    step_by(optimiser, parameters, torch.autograd.grad(loss, list(parameters)))


def step_by(optimiser: Adam, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """One optimiser step with the gradients of its parameters, which become their `grad`."""
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient
    optimiser.step()
