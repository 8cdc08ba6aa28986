"""Soft actor-critic on sequences, actor and critic each with a GRU of their own (Ni, Eysenbach, Salakhutdinov 2022).

For a history x_0 ... x_t of tokens x = (observation, action before, reward before), e_* ReLU embeddings,

    h_t = GRU(h_{t-1}, [e_o(o_t), e_a(a_{t-1}), e_r(r_{t-1})]),
    pi(a | h_t, e(o_t)),    Q_i(h'_t, e'(o_t, a)),  i = 1, 2,

with h of the actor, h' of the critic, whose two heads share it, and a target critic of the same shape. "Observation"
is here whatever is seen at a step, a flag for an episode's end included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.context.gru import gru_states, gru_step, orthogonal_gru
from algorithms.kit.networks import (
    Parameters,
    Precision,
    adam,
    as_leaves,
    fan_in_uniform,
    fan_out_uniform,
    frozen,
    mlp,
    polyak,
    step,
)
from algorithms.kit.off_policy.gaussian_policy import split_heads, squashed_sample, standard_normal
from algorithms.kit.off_policy.sac import SacSettings
from algorithms.kit.state import Part
from algorithms.kit.trial_replay import Trials

POLICY_BOUND, VALUE_BOUND = 1e-3, 3e-3  # of the last layers' initial weights (code)


class Sizes(NamedTuple):
    """What actor and critic are built for; the embeddings are of observation, action and reward."""

    observations: int
    actions: int
    hidden: int
    embeddings: tuple[int, int, int]
    heads: tuple[int, ...]


class Tokens(NamedTuple):
    """What a memory reads at each step: observations with the flag, the action and the reward before, (..., size)."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor

    @classmethod
    def of(cls, observations: Tensor, previous: Tensor) -> Tokens:
        """From observations and what was before them, (..., action + 2); the flag joins the observation (code)."""
        actions, rewards, flag = previous.split([previous.shape[-1] - 2, 1, 1], dim=-1)
        return cls(torch.cat([observations, flag], dim=-1), actions, rewards)


class Network(NamedTuple):
    """A reader of sequences and what decides on what it has read; one for the actor, one for the critic.

    embeddings: a layer for each part of a token; cell: of the GRU; shortcut: a layer for what is known of the step
    itself; heads: an ensemble on hidden state and shortcut.
    """

    embeddings: Parameters
    cell: Parameters
    shortcut: Parameters
    heads: Parameters

    @classmethod
    def initial(
        cls, sizes: Sizes, shortcut: tuple[int, int], outputs: int, ensemble: int, bound: float,
        generator: torch.Generator,
    ) -> Network:  # fmt: skip
        """Fresh weights: torch's of embeddings, orthogonal ones of the cell, PEARL's of the heads (code)."""
        widths = zip((sizes.observations, sizes.actions, 1), sizes.embeddings)
        layers = [fan_in_uniform(width, generator) for width in widths]
        cell = orthogonal_gru(sum(sizes.embeddings), sizes.hidden, generator)
        heads = [sizes.hidden + shortcut[1], *sizes.heads, outputs]
        return cls(
            [parameter for layer in layers for parameter in layer], cell, fan_in_uniform(shortcut, generator),
            fan_out_uniform(heads, generator, ensemble, bound),
        ).mapped(as_leaves)  # fmt: skip

    def mapped(self, function: Callable[[Parameters], Parameters]) -> Network:
        """The same with a function applied to each list of parameters."""
        return Network(*map(function, self))

    @property
    def parameters(self) -> Parameters:
        """All of them."""
        return [parameter for part in self for parameter in part]

    def embedded(self, tokens: Tokens) -> Tensor:
        """What the cell reads of tokens, (..., embedding)."""
        layers = zip(self.embeddings[::2], self.embeddings[1::2])
        return torch.cat([rectified(layer, part) for layer, part in zip(layers, tokens)], dim=-1)

    def states(self, tokens: Tokens) -> Tensor:
        """The hidden states (time, row, hidden) after each token (time, row, ...), from zero."""
        return gru_states(self.cell, self.embedded(tokens))

    def outputs(self, states: Tensor, known: Tensor, precision: Precision) -> Tensor:
        """What the heads say, (head, ..., out), given hidden states and what is known of the step itself."""
        inputs = torch.cat([states, rectified(self.shortcut, known)], dim=-1)
        rows = inputs.flatten(0, -2).expand(len(self.heads[0]), -1, -1)
        return mlp(self.heads, rows, precision).unflatten(1, inputs.shape[:-1])


def rectified(layer: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """relu(x W + b) of one layer (an ensemble of one)."""
    return torch.relu(inputs @ layer[0][0] + layer[1][0])


class RecurrentActorCritic:
    """Actor, twin critic, its target and a temperature, trained by `update` on whole trials."""

    def __init__(self, settings: SacSettings, sizes: Sizes, generator: torch.Generator) -> None:
        self.settings = settings
        self.sizes = sizes
        observation, action, _ = sizes.embeddings
        self.actor = Network.initial(
            sizes, (sizes.observations, observation), 2 * sizes.actions, 1, POLICY_BOUND, generator
        )
        shortcut = (sizes.observations + sizes.actions, observation + action)
        self.critic = Network.initial(sizes, shortcut, 1, 2, VALUE_BOUND, generator)
        self.target = self.critic.mapped(lambda part: [parameter.detach().clone() for parameter in part])
        initial = 0.0 if settings.temperature == "auto" else math.log(settings.temperature)
        self.log_temperature = torch.full((), initial, device=generator.device)
        self.log_temperature.requires_grad_(settings.temperature == "auto")
        # An Adam for both: its moments are each parameter's own.
        self.optimiser = adam(self.parameters, settings.learning_rate)
        self.temperature_optimiser = (
            adam([self.log_temperature], settings.learning_rate) if self.log_temperature.requires_grad else None
        )

    @property
    def parameters(self) -> Parameters:
        """All that the two losses train."""
        return [*self.critic.parameters, *self.actor.parameters]

    # Acting ----------------------------------------------------------------------------------------------------

    def next_states(self, tokens: Tokens, states: Tensor) -> Tensor:
        """The actor's hidden states (row, hidden) once it has read tokens (row, ...)."""
        return gru_step(self.actor.cell, self.actor.embedded(tokens), states)

    def distribution(self, states: Tensor, observations: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (..., action) before squashing, given the actor's hidden states."""
        return split_heads(self.actor.outputs(states, observations, precision)[0])

    # Training --------------------------------------------------------------------------------------------------

    def update(self, trials: Trials, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of critic and actor, temperature and target; returns detached losses, scalars on the device."""
        temperature = self.log_temperature.detach().exp()
        critic_loss, policy_loss, log_density = self.losses(trials, temperature, generator)
        step(self.optimiser, self.parameters, critic_loss + policy_loss)
        if self.temperature_optimiser is not None:
            gap = log_density.detach().mean() + self.settings.target_entropy
            step(self.temperature_optimiser, [self.log_temperature], -self.log_temperature * gap)
        polyak(self.target.parameters, self.critic.parameters, self.settings.target_rate)
        return {
            "critic_loss": critic_loss.detach(),
            "policy_loss": policy_loss.detach(),
            "entropy": -log_density.detach().mean(),
            "temperature": temperature,
        }

    def losses(self, trials: Trials, temperature: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Critic's loss, actor's loss, and the log densities (step, trial) of the actions that it was judged by.

        One pass over the T + 1 observations of a trial gives each network's states for both losses, and one draw of
        actions a_t ~ pi(. | h_t), the targets' at t + 1 and the actor's at t (code: a pass and a draw for each):

            y_t = r_t + gamma (1 - d_t) (min_i Q'_i(h'_{t+1}, a_{t+1}) - alpha log pi(a_{t+1} | h_{t+1}))
            critic:   sum_i mean_t 1/2 (Q_i(h'_t, a^data_t) - y_t)^2
            actor:    mean_t alpha log pi(a_t | h_t) - min_i Q_i(h'_t, a_t)

        with d_t = terminated. An episode's end within a trial is none to it: h_{t+1} has read the next one's start.
        Both losses are taken at the same weights (code: the actor's after the critic's step).
        """
        settings, tokens = self.settings, Tokens.of(trials.observations, trials.previous)
        seen = tokens.observations
        states = self.critic.states(tokens)
        mean, log_std = self.distribution(self.actor.states(tokens), seen, settings.precision)
        actions, log_density = squashed_sample(mean, log_std, standard_normal(mean, generator))
        with torch.no_grad():
            later = self.target.states(tokens)[1:]
            values = self._values(self.target, later, seen[1:], actions[1:]).amin(0)
            behind = (1 - trials.terminated) * (values - temperature * log_density[1:])
            bellman = settings.reward_scale * trials.rewards + settings.discount * behind
        errors = self._values(self.critic, states[:-1], seen[:-1], trials.actions) - bellman
        judged = self._values(self.critic.mapped(frozen), states[:-1].detach(), seen[:-1], actions[:-1]).amin(0)
        policy_loss = (temperature * log_density[:-1] - judged).mean()
        return 0.5 * errors.square().mean((1, 2)).sum(), policy_loss, log_density[:-1]

    def _values(self, critic: Network, states: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
        """Both heads' values, (twin, step, trial)."""
        known = torch.cat([observations, actions], dim=-1)
        return critic.outputs(states, known, self.settings.precision).squeeze(-1)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        networks = {name: getattr(self, name)._asdict() for name in ("actor", "critic", "target")}
        names = ("log_temperature", "optimiser", "temperature_optimiser")
        return networks | {name: getattr(self, name) for name in names}
