"""Adam in one call for all tensors of a network: of torch's own optimiser half the time is bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """Weights and the running means of their gradients and of the squares of these."""

    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]


class Adam:
    """Adam (Kingma & Ba 2015) with its default moments; a step is that of `torch.optim.Adam(fused=True)`, bit for bit.

    Parameters stay where they are.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self._reset()

    def _reset(self) -> None:
        weights = [parameter.detach() for parameter in self.parameters]
        self.moments = Moments(weights, [torch.zeros_like(one) for one in weights], [*map(torch.zeros_like, weights)])
        self._count = torch.zeros((), device=weights[0].device)

    @property
    def steps(self) -> int:
        """How many have been taken; a GPU is waited for."""
        return int(self._count)

    def step(self) -> None:
        """Move the parameters by their `grad`.

        Raises:
            ValueError: one has none.
        """
        self.begin_step()
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if len(gradients) != len(self.parameters):
            raise ValueError(f"{len(self.parameters) - len(gradients)} parameters have no gradient")
        self.move(self.moments, gradients)

    def begin_step(self) -> None:
        """Count a step, which `move` then takes for every part of the parameters."""
        self._count += 1

    def move(self, part: Moments, gradients: Sequence[Tensor]) -> None:
        """Take the step that has begun for `part`, which is `moments` or the same rows of all of its tensors.

        Gradients of all become the parameters' `grad`.
        """
        if part is self.moments:
            for parameter, gradient in zip(self.parameters, gradients):
                parameter.grad = gradient
        torch._fused_adam_(
            part.weights, list(gradients), part.means, part.squares, [], [self._count] * len(part.weights),
            lr=self.learning_rate, beta1=BETA1, beta2=BETA2, weight_decay=0.0, eps=EPSILON, amsgrad=False,
            maximize=False,
        )  # fmt: skip

    def state(self) -> list[Tensor]:
        """Moments and step count, (mean, mean square, count) per parameter; empty before the first step."""
        if not self.steps:
            return []
        pairs = zip(self.moments.means, self.moments.squares)
        return [tensor for mean, square in pairs for tensor in (mean, square, self._count)]

    def load_state(self, state: Sequence[Tensor]) -> None:
        """Put back what `state` returned, as copies.

        Raises:
            ValueError: it is that of another number of parameters.
        """
        self._reset()
        if not len(state):
            return
        if len(state) != 3 * len(self.parameters):
            raise ValueError(f"moments of {len(state) / 3:g} parameters for {len(self.parameters)}")
        for targets, sources in ((self.moments.means, state[::3]), (self.moments.squares, state[1::3])):
            for target, source in zip(targets, sources):
                target.copy_(source)
        self._count.copy_(state[2])
