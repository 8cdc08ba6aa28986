"""What a latent task says of a transition: decoders of rewards and of next observations (Zintgraf et al. 2020).

    reward:  r' = f([m, e(s'), e(s), e(a)]),    state:  s' = f([m, e(s), e(a)]),

with a ReLU embedding each of observations and actions, none shared with the encoder or with the other decoder (code).
Likelihoods are Gaussian of a fixed variance of a half, so that minus their logarithm is the squared error and a
constant; that of a next observation is the mean over its dimensions, of the observation itself and not of its change
(code).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.belief import Embeddings, Histories, linear, rectified
from algorithms.kit.networks import Parameters, as_leaves, fan_in_uniform, mlp_from_first
from algorithms.kit.state import Part

Target = Literal["reward", "state"]


class DecoderSizes(NamedTuple):
    """What a decoder is built for."""

    target: Target
    observations: int
    actions: int
    latent: int
    embeddings: Embeddings  # the reward's is not used
    hidden: tuple[int, ...]


class Decoder:
    """Predicts rewards, or next observations, of any transitions of a trial given latents of that trial."""

    def __init__(self, sizes: DecoderSizes, generator: torch.Generator) -> None:
        self.sizes = sizes
        observed = 2 if sizes.target == "reward" else 1
        features = observed * sizes.embeddings.observation + sizes.embeddings.action
        outputs = 1 if sizes.target == "reward" else sizes.observations
        self.of_observations = as_leaves(fan_in_uniform([sizes.observations, sizes.embeddings.observation], generator))
        self.of_actions = as_leaves(fan_in_uniform([sizes.actions, sizes.embeddings.action], generator))
        self.trunk = as_leaves(fan_in_uniform([sizes.latent + features, *sizes.hidden, outputs], generator))

    @property
    def parameters(self) -> Parameters:
        """All that is trained."""
        return [*self.of_observations, *self.of_actions, *self.trunk]

    def squared_errors(self, latents: Tensor, histories: Histories, steps: Tensor) -> Tensor:
        """Of the predictions for steps (trial, time, number) given the trial's latents (trial, time, latent), alike.

        The first layer is a sum of what the latent and what the transition adds, each of which is worked out once.
        """
        rows = steps + histories.rewards.shape[1] * torch.arange(len(steps), device=steps.device).reshape(-1, 1, 1)
        of_steps = self._first_layer_of_steps(histories).flatten(0, 1).index_select(0, rows.flatten())
        of_latents = latents @ self.trunk[0][0, : self.sizes.latent]
        first = of_steps.unflatten(0, steps.shape) + of_latents.unsqueeze(2)
        predicted = mlp_from_first(self.trunk, first.flatten(0, 2).unsqueeze(0))[0]
        wanted = histories.next_observations if self.sizes.target == "state" else histories.rewards.unsqueeze(-1)
        wanted = wanted.flatten(0, 1).index_select(0, rows.flatten())
        return (predicted - wanted).square().mean(-1).unflatten(0, steps.shape)

    def _first_layer_of_steps(self, histories: Histories) -> Tensor:
        """What each transition adds to the first layer, its bias included, (trial, step, hidden)."""
        parts = [rectified(self.of_observations, histories.observations), rectified(self.of_actions, histories.actions)]
        if self.sizes.target == "reward":
            parts.insert(0, rectified(self.of_observations, histories.next_observations))
        return linear([self.trunk[0][:, self.sizes.latent :], self.trunk[1]], torch.cat(parts, dim=-1))

    def parts(self) -> dict[str, Part]:
        """The weights."""
        return {name: getattr(self, name) for name in ("of_observations", "of_actions", "trunk")}
