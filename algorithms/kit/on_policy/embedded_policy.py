"""A policy without memory that reads an observation and a belief, each through an embedding of its own (VariBAD).

Actor and critic share the embeddings and have tanh layers of their own (Zintgraf et al. 2020; code: models/policy.py):

    x = [tanh(W_s s), tanh(W_b b)],    a ~ N(f(x), diag sigma^2),    V = g(x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, as_leaves, zeros
from algorithms.kit.on_policy.recurrent_policy import ActorCritic, Output, tanh_layers
from algorithms.kit.state import Part

TANH_GAIN = 5 / 3


class Sizes(NamedTuple):
    """What an embedded policy is built for; its inputs are observations, then beliefs."""

    observations: int
    beliefs: int
    actions: int
    embedding: int | None  # width of each; None: inputs go to the hidden layers as they are
    hidden: tuple[int, ...]  # tanh layers of actor and of critic
    initial_std: float = 1.0


class EmbeddedPolicy(ActorCritic):
    """Its weights, with the interface of a recurrent policy whose state is empty."""

    recurrent = False

    def __init__(self, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes.actions, sizes.initial_std, generator)
        self.sizes = sizes
        width = sizes.observations + sizes.beliefs
        self.embeddings: list[Parameters] = []
        if sizes.embedding is not None:
            inputs = (sizes.observations, sizes.beliefs)
            self.embeddings = [as_leaves(normalised_columns([dim, sizes.embedding], generator)) for dim in inputs]
            width = 2 * sizes.embedding
        self.actor = as_leaves(normalised_columns([width, *sizes.hidden, sizes.actions], generator, last_gain=1.0))
        self.critic = as_leaves(normalised_columns([width, *sizes.hidden, 1], generator, last_gain=1.0))

    @property
    def parameters(self) -> Parameters:
        """All that is trained."""
        embeddings = [parameter for layer in self.embeddings for parameter in layer]
        return [*embeddings, *self.actor, *self.critic, self._log_std]

    def parts(self) -> dict[str, Part]:
        """The weights."""
        embeddings = {str(number): layer for number, layer in enumerate(self.embeddings)}
        return {"embeddings": embeddings, "actor": self.actor, "critic": self.critic, "log_std": self._log_std}

    def blank(self, rows: int) -> Tensor:
        """A state of nothing, (row, 0)."""
        return self._log_std.new_zeros((rows, 0))

    def unroll(self, inputs: Tensor, state: Tensor, chunk: int | None = None) -> Output:
        """Means and values for inputs (step, row, input); the state is given back as it came."""
        del chunk
        features = inputs
        if self.embeddings:
            parts = inputs.split([self.sizes.observations, self.sizes.beliefs], dim=-1)
            embedded = [torch.tanh(tanh_layers(layer, part)) for layer, part in zip(self.embeddings, parts)]
            features = torch.cat(embedded, dim=-1)
        mean, values = tanh_layers(self.actor, features), tanh_layers(self.critic, features).squeeze(-1)
        return Output(mean, values, state)


def normalised_columns(
    sizes: Sequence[int], generator: torch.Generator, gain: float = TANH_GAIN, last_gain: float = TANH_GAIN
) -> Parameters:
    """A network whose units have normal weights scaled to the norm `gain`, the last layer's `last_gain`; biases 0."""
    parameters = []
    for number, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:]), 2):
        weights = torch.randn((1, fan_in, fan_out), generator=generator, device=generator.device)
        norm = last_gain if number == len(sizes) else gain
        parameters += [norm * weights / weights.norm(dim=1, keepdim=True), zeros((1, 1, fan_out), generator)]
    return parameters
