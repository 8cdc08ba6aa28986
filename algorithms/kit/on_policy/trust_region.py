"""Trust-region policy optimisation: conjugate gradients and the line search (Schulman et al. 2015, appendix C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


def conjugate_gradient(product: Product, target: Tensor, iterations: int) -> Tensor:
    """An approximate x of H x = target, (number,), from x = 0, for the product with a positive definite H.

    Goes through all iterations without asking the device how far it is: where nothing is left, steps are zero.
    """
    solution, residual, direction = torch.zeros_like(target), target.clone(), target.clone()
    left = residual @ residual
    for _ in range(iterations):
        image = product(direction)
        along = direction @ image
        rate = torch.where(along > 0, left / along, 0.0)
        solution = solution + rate * direction
        residual = residual - rate * image
        now = residual @ residual
        direction = residual + torch.where(left > 0, now / left, 0.0) * direction
        left = now
    return solution


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """One float64 vector of several tensors: dot products of gradients are taken in double precision."""
    return torch.cat([tensor.detach().reshape(-1).double() for tensor in tensors])


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that `flatten` made a vector of, in the shapes and precision of `like`."""
    pieces = vector.split([tensor.numel() for tensor in like])
    return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, like)]


class LineSearch(NamedTuple):
    """How a line search ended: the fraction of the full step taken (0: it failed), and loss and KL there."""

    fraction: float
    loss: float
    kl: float


@torch.no_grad()
def line_search(
    parameters: Sequence[Tensor], step: Sequence[Tensor], evaluate: Callable[[], tuple[float, float]], *,
    loss_before: float, max_kl: float, shrink: float, attempts: int,
) -> LineSearch:  # fmt: skip
    """Move `parameters` in place by the largest of 1, shrink, shrink^2, ... times `step` that is good enough.

    `evaluate` gives loss and KL of the parameters as they are; good enough is a lower loss than before and a KL of at
    most `max_kl`. If none of the attempts is, or a step is not finite, the parameters keep their bits.
    """
    kept = [parameter.detach().clone() for parameter in parameters]
    for attempt in range(attempts):
        fraction = shrink**attempt
        for parameter, start, direction in zip(parameters, kept, step):
            parameter.copy_(start + fraction * direction)
        loss, kl = evaluate()
        if loss < loss_before and kl <= max_kl:  # False for NaN
            return LineSearch(fraction, loss, kl)
    for parameter, start in zip(parameters, kept):
        parameter.copy_(start)
    return LineSearch(0.0, loss_before, 0.0)
