"""A recurrent belief over a latent task: the encoder of VariBAD (Zintgraf et al. 2020, sections 3.2 and 4).

A GRU reads what happened, (a_t, r_{t+1}, s_{t+1}) each through an embedding of its own, and two linear heads on its
hidden state h give the belief, a diagonal Gaussian over the task's latent m:

    h_0 = 0,    h_{t+1} = GRU(h_t, [e(a_t), e(s_{t+1}), e(r_{t+1})]),    q_t(m) = N(mu(h_t), diag exp l(h_t)).

The prior is q_0, the heads on a zero state: it is learnt, and the start state is not read (code).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.gru import gru_states, gru_step, orthogonal_gru
from algorithms.kit.networks import Parameters, as_leaves, fan_in_uniform
from algorithms.kit.state import Part


class Belief(NamedTuple):
    """A diagonal Gaussian over the latent: mean and log_variance, both (..., latent)."""

    mean: Tensor
    log_variance: Tensor

    @property
    def vector(self) -> Tensor:
        """Mean and log variance side by side, (..., 2 latent): what a policy reads of a belief."""
        return torch.cat(self, dim=-1)

    def drawn(self, noise: Tensor) -> Tensor:
        """Latents of standard normal noise, (..., latent)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise


def kl_divergence(one: Belief, other: Belief) -> Tensor:
    """KL(one || other) in nats, (...), of beliefs (..., latent)."""
    ratio = (one.log_variance - other.log_variance).exp()
    distance = (one.mean - other.mean).square() * (-other.log_variance).exp()
    return 0.5 * (ratio + distance - 1 + other.log_variance - one.log_variance).sum(-1)


class Histories(NamedTuple):
    """What happened in trials, fields (trial, step, ...) in order, of which the first `lengths` (trial,) steps count.

    A trial holds one episode or several. `next_observations` are what an action led to: after the last step of an
    episode not the next one's start, which is among `observations`. Rewards are (trial, step). Steps beyond a trial's
    length are padding, whatever they hold.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    lengths: Tensor


class Embeddings(NamedTuple):
    """Widths of the linear layers that observations, actions and rewards go through first."""

    observation: int
    action: int
    reward: int


class EncoderSizes(NamedTuple):
    """What an encoder is built for."""

    observations: int
    actions: int
    latent: int
    hidden: int
    embeddings: Embeddings


def linear(layer: Parameters, inputs: Tensor) -> Tensor:
    """Outputs (..., out) of one linear layer, an ensemble of one, on inputs (..., in)."""
    weight, bias = layer
    return inputs @ weight[0] + bias[0]


def rectified(layer: Parameters, inputs: Tensor) -> Tensor:
    """The same, then ReLU."""
    return torch.relu(linear(layer, inputs))


class BeliefEncoder:
    """The weights of the embeddings, of the cell and of its heads."""

    def __init__(self, sizes: EncoderSizes, generator: torch.Generator) -> None:
        """Layers as torch makes them, a GRU with orthogonal weights and zero biases (code)."""
        self.sizes = sizes
        widths = zip((sizes.observations, sizes.actions, 1), sizes.embeddings)
        self.of_observations, self.of_actions, self.of_rewards = (
            as_leaves(fan_in_uniform(pair, generator)) for pair in widths
        )
        self.cell = as_leaves(orthogonal_gru(sum(sizes.embeddings), sizes.hidden, generator))
        self.heads = as_leaves(fan_in_uniform([sizes.hidden, 2 * sizes.latent], generator))

    @property
    def parameters(self) -> Parameters:
        """All that is trained."""
        return [*self.of_observations, *self.of_actions, *self.of_rewards, *self.cell, *self.heads]

    def blank(self, rows: int) -> Tensor:
        """The hidden state before anything happened, (row, hidden): 0."""
        return self.heads[0].new_zeros((rows, self.sizes.hidden))

    def belief(self, hidden: Tensor) -> Belief:
        """The beliefs (..., latent) of hidden states (..., hidden)."""
        return Belief(*linear(self.heads, hidden).chunk(2, dim=-1))

    def after(self, hidden: Tensor, actions: Tensor, rewards: Tensor, next_observations: Tensor) -> Tensor:
        """The hidden state (row, hidden) after one more step: (row, action), (row,), (row, observation)."""
        return gru_step(self.cell, self._embedded(actions, rewards, next_observations), hidden)

    def unrolled(self, histories: Histories, truncation: int | None = None) -> Tensor:
        """Hidden states (trial, step + 1, hidden) before each step of trials and after the last, from 0.

        With `truncation`, gradients stop every so many steps, while the state is carried on. States after a trial's
        length are of padding.
        """
        inputs = self._embedded(histories.actions, histories.rewards, histories.next_observations).transpose(0, 1)
        start = self.blank(inputs.shape[1]).unsqueeze(0)
        if truncation is None:
            return torch.cat([start, gru_states(self.cell, inputs)]).transpose(0, 1)
        pieces = [start]
        for piece in inputs.split(truncation):
            before = pieces[-1][-1:].detach()
            pieces.append(torch.gru(piece, before, self.cell, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0])
        return torch.cat(pieces).transpose(0, 1)

    def _embedded(self, actions: Tensor, rewards: Tensor, next_observations: Tensor) -> Tensor:
        parts = (
            rectified(self.of_actions, actions),
            rectified(self.of_observations, next_observations),
            rectified(self.of_rewards, rewards.unsqueeze(-1)),
        )
        return torch.cat(parts, dim=-1)

    def parts(self) -> dict[str, Part]:
        """The weights."""
        names = ("of_observations", "of_actions", "of_rewards", "cell", "heads")
        return {name: getattr(self, name) for name in names}
