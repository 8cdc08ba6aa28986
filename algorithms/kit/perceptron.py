"""What a multi-layer perceptron of `networks` gives, and its gradient written out: for steps taken 100,000 times.

At the sizes of off-policy methods (256 rows, 256 x 2) most of a step under autograd is not arithmetic: casts of every
weight in every pass, a graph of small operations, an optimiser's bookkeeping. Here weights are cast once for as long as
they stay what they are (`ready`), a pass leaves what its gradient reads, the gradient is the products themselves, and
an ensemble whose activations would not stay in the cache is evaluated a few members at a time. Numbers are those of
`networks.mlp` and autograd up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, Precision

AT_ONCE = {"cpu": 2**20, "cuda": 2**26}  # activations of a layer: what stays in the last cache, or in a GPU's memory

rectifier_gradient = torch.ops.aten.threshold_backward.grad_input


class Layer(NamedTuple):
    """Weights as a product takes them: (member, in, out), (member, out, in) and (member, 1, out)."""

    weight: Tensor
    transposed: Tensor
    bias: Tensor


Weights = list[list[Layer]]
"""An ensemble's layers in pieces, each some members that are evaluated together."""

Pass = list[list[Tensor]]
"""What a gradient reads: for each piece what its layers have read, (member, row, unit), the inputs first."""


def ready(parameters: Sequence[Tensor], precision: Precision, rows: int) -> Weights:
    """The weights for passes over inputs (ensemble, `rows`, in), where no gradients are recorded.

    Hidden layers are in bfloat16 if `precision` is that. What is changed of the parameters later does not reach them.
    """
    weights, number = list(parameters), len(parameters[0])
    if precision == "bf16":
        weights[2:-2] = [weight.to(torch.bfloat16) for weight in weights[2:-2]]
    most = _at_once(parameters, rows)
    if number <= most:
        return [_layers(weights)]
    return [_layers([weight[members] for weight in weights]) for members in _pieces(number, most)]


def forward(weights: Weights, inputs: Tensor) -> tuple[Tensor, Pass]:
    """Outputs (ensemble, row, out) for inputs (ensemble, row, in), and what the gradient reads."""
    parts = [_forward(layers, given) for layers, given in zip(weights, _split(weights, inputs))]
    return _joined([outputs for outputs, _ in parts]), [read for _, read in parts]


def backward(
    weights: Weights, past: Pass, gradient: Tensor, with_inputs: bool = False
) -> tuple[Parameters, Tensor | None]:
    """Gradients of all parameters, and `with_inputs` of the inputs, from that of the outputs (ensemble, row, out)."""
    of_parameters, of_inputs = [], []
    for layers, read, given in zip(weights, past, _split(weights, gradient)):
        own: Parameters = []
        before = _backward(layers, read, given, own)
        of_parameters.append(own[::-1])
        if with_inputs:
            of_inputs.append(product(before, layers[0].transposed))
    return [_joined(parts) for parts in zip(*of_parameters)], _joined(of_inputs) if with_inputs else None


def input_gradient(weights: Weights, past: Pass, gradient: Tensor, first: int) -> Tensor:
    """The gradient of the inputs alone, from number `first` on, (ensemble, row, some of in), from that of outputs."""
    of_inputs = []
    for layers, read, given in zip(weights, past, _split(weights, gradient)):
        of_inputs.append(product(_backward(layers, read, given, None), layers[0].transposed[:, :, first:]))
    return _joined(of_inputs)


def by_learners(
    function: Callable[..., Sequence[Tensor]], network: Parameters, inputs: Tensor, *given: Any
) -> tuple[Tensor, ...]:
    """What `function` gives for all learners, called for a few at a time, as many as stay in the cache together.

    What it takes are tensors, or lists of them, or lists of lists, and what it gives are tensors, all learner-major.
    network: the widest of those that it evaluates, on inputs (learner, row, in).
    """
    learners, rows = inputs.shape[:2]
    most = _at_once(network, rows)
    if learners <= most:
        return tuple(function(network, inputs, *given))
    parts = [
        function(*(_share(held, learners, share) for held in (network, inputs, *given)))
        for share in _pieces(learners, most)
    ]
    return tuple(map(torch.cat, zip(*parts)))


def _share(given: Any, learners: int, share: slice) -> Any:
    """What belongs to some of the learners."""
    if not isinstance(given, Tensor):
        parts = [_share(part, learners, share) for part in given]
        return type(given)(*parts) if hasattr(given, "_fields") else parts
    each = len(given) // learners
    return given[each * share.start : each * share.stop]


def _at_once(network: Sequence[Tensor], rows: int) -> int:
    """How many members of an ensemble to evaluate at a time."""
    widest = max(weight.shape[2] for weight in network[:-2:2])
    return max(1, AT_ONCE[network[0].device.type] // (rows * widest))


def _pieces(number: int, most: int) -> list[slice]:
    """All of a number of members, `most` at a time."""
    return [slice(first, min(first + most, number)) for first in range(0, number, most)]


def _layers(weights: Sequence[Tensor]) -> list[Layer]:
    return [Layer(weight, weight.transpose(1, 2), bias) for weight, bias in zip(weights[::2], weights[1::2])]


def _split(weights: Weights, given: Tensor) -> Sequence[Tensor]:
    """What belongs to each of the pieces."""
    return [given] if len(weights) == 1 else given.split([len(layers[0].weight) for layers in weights])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _forward(layers: list[Layer], inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs, and what each layer has read."""
    read = [inputs]
    for layer, following in zip(layers, layers[1:]):
        values = torch.baddbmm(layer.bias, read[-1], layer.weight)
        # Rectifying is fastest in float32: before the cast to bfloat16, after the cast from it.
        is_half, dtype = values.dtype == torch.bfloat16, following.weight.dtype
        read.append(values.to(dtype).relu_() if is_half else values.relu_().to(dtype))
    last = layers[-1]
    if len(last.weight) > 1 and last.weight.shape[2] == 1:
        # Batched products with one column are slower than the same sums written out.
        return (read[-1] * last.transposed).sum(-1, keepdim=True).add_(last.bias), read
    return torch.baddbmm(last.bias, read[-1], last.weight), read


def _backward(layers: list[Layer], read: list[Tensor], gradient: Tensor, into: Parameters | None) -> Tensor:
    """The gradient before the first rectifier, (member, row, unit); those of parameters are appended, last first."""
    dtype = layers[0].weight.dtype
    for index in range(len(layers) - 1, -1, -1):
        inputs, backwards = read[index], layers[index].transposed
        if into is not None:
            into.append(gradient.sum(1, keepdim=True, dtype=dtype))
            into.append(product(inputs.transpose(1, 2), gradient).to(dtype).contiguous())
        if index:
            before = gradient * backwards if backwards.shape[1] == 1 else torch.bmm(gradient, backwards)
            rectifier_gradient(before, inputs, 0, grad_input=before)
            gradient = before.to(layers[index - 1].weight.dtype)
    return gradient


def product(left: Tensor, right: Tensor) -> Tensor:
    """The batched product, computed the other way round where it has few columns: processors work along rows."""
    if right.shape[2] % 16 == 0:
        return torch.bmm(left, right)
    return torch.bmm(right.transpose(1, 2), left.transpose(1, 2)).transpose(1, 2)
