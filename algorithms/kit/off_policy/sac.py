"""Soft actor-critic with twin target critics and an optional tuned temperature (Haarnoja et al. 2018b).

Every network carries a leading learner axis L: one learner in meta-training, one per test task in adaptation, each
with its own loss, so that gradients never mix (the losses are sums over learners of means over rows).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import (
    Parameters,
    Precision,
    adam,
    as_leaves,
    frozen,
    glorot_uniform,
    mlp,
    polyak,
    repeat_ensemble,
    step,
)  # fmt: skip
from algorithms.kit.off_policy.gaussian_policy import split_heads, squashed_sample, standard_normal
from algorithms.kit.replay import Transitions
from algorithms.kit.state import Part


class SacSettings(NamedTuple):
    """Hyper-parameters of one learner."""

    discount: float
    target_rate: float
    learning_rate: float
    reward_scale: float
    temperature: float | Literal["auto"]
    target_entropy: float
    precision: Precision


class Also(NamedTuple):
    """Further parameters that the critics' loss trains, such as an encoder's, with a loss of their own."""

    parameters: Parameters
    optimiser: torch.optim.Adam
    loss: Tensor


class SoftActorCritic:
    """L learners with the same architecture, trained by `update` on batches (learner, row, ...).

    Observations given to it already carry the task embedding.
    """

    def __init__(self, settings: SacSettings, policy: Parameters, critics: Parameters, targets: Parameters) -> None:
        self.settings = settings
        self.policy = as_leaves(policy)
        self.critics = as_leaves(critics)  # ensemble of 2 L, learner-major
        self.targets = frozen(targets)
        self.num_learners = len(self.policy[0])
        initial = 0.0 if settings.temperature == "auto" else math.log(settings.temperature)
        self.log_temperature = torch.full((self.num_learners,), initial, device=self.policy[0].device)
        self.log_temperature.requires_grad_(settings.temperature == "auto")
        self.reset_optimisers()

    @classmethod
    def initial(
        cls,
        settings: SacSettings,
        input_dim: int,
        action_dim: int,
        hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> SoftActorCritic:
        """One fresh learner, Glorot-uniform weights; targets start as copies of the critics."""
        policy = glorot_uniform([input_dim, *hidden, 2 * action_dim], generator)
        critics = glorot_uniform([input_dim + action_dim, *hidden, 1], generator, ensemble=2)
        return cls(settings, policy, critics, [parameter.clone() for parameter in critics])

    def copies(self, number: int) -> SoftActorCritic:
        """`number` independent learners that start here, with target critics equal to the critics and fresh
        optimiser moments: how adaptation begins (MIER code, section 5 of the specification).
        """  # noqa: D205
        critics = repeat_ensemble(self.critics, number)
        learners = SoftActorCritic(
            self.settings, repeat_ensemble(self.policy, number), critics, [parameter.clone() for parameter in critics]
        )
        with torch.no_grad():
            learners.log_temperature.copy_(self.log_temperature.expand(number))
        return learners

    def reset_optimisers(self) -> None:
        """Fresh Adam moments for policy, critics and temperature."""
        self.policy_optimiser = adam(self.policy, self.settings.learning_rate)
        self.critic_optimiser = adam(self.critics, self.settings.learning_rate)
        self.temperature_optimiser = (
            adam([self.log_temperature], self.settings.learning_rate) if self.log_temperature.requires_grad else None
        )

    def update(self, batch: Transitions, generator: torch.Generator, also: Also | None = None) -> dict[str, Tensor]:
        """One step of critics, policy, temperature and targets; returns detached losses, each (learner,).

        batch: fields (learner, row, ...), both observations with the embedding appended. Only the critics' loss
        reaches the embedding, and only if `also` names what is to be trained through it.
        """
        temperature = self.log_temperature.detach().exp().unsqueeze(1)
        critic_losses = self._critic_losses(batch, temperature, generator)
        critic_step(self.critic_optimiser, self.critics, critic_losses.sum(), also)
        inputs = batch.observations.detach()
        actions, log_density = self.sample(inputs, generator)
        values = self.values(frozen(self.critics), inputs, actions).amin(1)
        policy_losses = (temperature * log_density - values).mean(1)
        step(self.policy_optimiser, self.policy, policy_losses.sum())
        if self.temperature_optimiser is not None:
            gap = log_density.detach().mean(1) + self.settings.target_entropy
            step(self.temperature_optimiser, [self.log_temperature], -(self.log_temperature * gap).sum())
        polyak(self.targets, self.critics, self.settings.target_rate)
        return {
            "critic_loss": critic_losses.detach(),
            "policy_loss": policy_losses.detach(),
            "entropy": -log_density.detach().mean(1),
            "temperature": temperature.squeeze(1),
        }

    @torch.no_grad()
    def bellman_error(self, batch: Transitions, generator: torch.Generator) -> Tensor:
        """The critics' loss on a batch (learner, row, ...), without a step: (learner,)."""
        return self._critic_losses(batch, self.log_temperature.detach().exp().unsqueeze(1), generator)

    def _critic_losses(self, batch: Transitions, temperature: Tensor, generator: torch.Generator) -> Tensor:
        """Sum over the twins of 0.5 * mean squared Bellman error, (learner,)."""
        with torch.no_grad():
            next_actions, next_log_density = self.sample(batch.next_observations, generator)
            next_values = self.values(self.targets, batch.next_observations, next_actions).amin(1)
            bootstrap = (1 - batch.terminated) * (next_values - temperature * next_log_density)
            bellman = self.settings.reward_scale * batch.rewards + self.settings.discount * bootstrap
        values = self.values(self.critics, batch.observations, batch.actions)
        return 0.5 * (values - bellman.unsqueeze(1)).square().mean(2).sum(1)

    def sample(self, inputs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Reparameterised actions (learner, row, action) and log densities (learner, row)."""
        mean, log_std = split_heads(mlp(self.policy, inputs, self.settings.precision))
        return squashed_sample(mean, log_std, standard_normal(mean, generator))

    @torch.no_grad()
    def sample_one(self, learner: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (1, row, action) of one learner's policy for its inputs (1, row, input)."""
        return sample_one(self.policy, learner, inputs, self.settings.precision, generator)

    def values(self, critics: Parameters, inputs: Tensor, actions: Tensor) -> Tensor:
        """Both critics' values, (learner, twin, row), of inputs (learner, row, ...) and actions."""
        return twin_values(critics, inputs, actions, self.settings.precision)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        names = ("policy", "critics", "targets", "log_temperature")
        optimisers = ("policy_optimiser", "critic_optimiser", "temperature_optimiser")
        return {name: getattr(self, name) for name in (*names, *optimisers)}


def sample_one(
    policies: Parameters, learner: int, inputs: Tensor, precision: Precision, generator: torch.Generator
) -> Tensor:
    """Actions (1, row, action) of one of an ensemble of policies for its inputs (1, row, input)."""
    mean, log_std = split_heads(mlp([parameter[learner : learner + 1] for parameter in policies], inputs, precision))
    return squashed_sample(mean, log_std, standard_normal(mean, generator))[0]


def twin_values(critics: Parameters, inputs: Tensor, actions: Tensor, precision: Precision) -> Tensor:
    """Values (learner, twin, row) of twin critics, an ensemble of 2 * learner in learner-major order."""
    joined = torch.cat([inputs, actions], dim=-1)
    twice = joined.unsqueeze(1).expand(-1, 2, -1, -1).flatten(0, 1)
    return mlp(critics, twice, precision).squeeze(-1).unflatten(0, (-1, 2))


def critic_step(optimiser: torch.optim.Adam, critics: Parameters, loss: Tensor, also: Also | None) -> None:
    """A step on the critics' loss, for the critics and for what `also` names."""
    if also is None:
        step(optimiser, critics, loss)
        return
    gradients = torch.autograd.grad(loss + also.loss, [*critics, *also.parameters])
    for parameter, gradient in zip([*critics, *also.parameters], gradients):
        parameter.grad = gradient
    optimiser.step()
    also.optimiser.step()
