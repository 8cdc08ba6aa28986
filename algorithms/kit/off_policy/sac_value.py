"""Soft actor-critic with a state-value network and a fixed temperature of one (Haarnoja et al. 2018a).

The variant that PEARL was published with: the entropy trade-off is set by the reward scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import (
    Parameters,
    Precision,
    adam,
    as_leaves,
    fan_out_uniform,
    frozen,
    mlp,
    polyak,
    repeat_ensemble,
    step,
)  # fmt: skip
from algorithms.kit.off_policy.gaussian_policy import split_heads, squashed_sample, standard_normal
from algorithms.kit.off_policy.sac import Also, critic_step, sample_one, twin_values
from algorithms.kit.replay import Transitions
from algorithms.kit.state import Part


class ValueSacSettings(NamedTuple):
    """Hyper-parameters; the three weights regularise the policy's outputs."""

    discount: float
    target_rate: float
    learning_rate: float
    reward_scale: float
    mean_weight: float
    log_std_weight: float
    pre_tanh_weight: float
    precision: Precision


class ValueSoftActorCritic:
    """L learners of policy, twin critics, value network and its target; the same interface as `sac.SoftActorCritic`."""

    def __init__(self, settings: ValueSacSettings, policy: Parameters, critics: Parameters, value: Parameters) -> None:
        self.settings = settings
        self.policy = as_leaves(policy)
        self.critics = as_leaves(critics)  # ensemble of 2 L, learner-major
        self.value = as_leaves(value)
        self.target = [parameter.clone() for parameter in frozen(self.value)]
        self.num_learners = len(self.policy[0])
        self.optimisers = {
            name: adam(getattr(self, name), settings.learning_rate) for name in ("policy", "critics", "value")
        }

    @classmethod
    def initial(
        cls, settings: ValueSacSettings, input_dim: int, action_dim: int, hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> ValueSoftActorCritic:  # fmt: skip
        """One fresh learner, initialised as the public PEARL code does; the target starts as a copy."""
        policy = fan_out_uniform([input_dim, *hidden, 2 * action_dim], generator, last_bound=1e-3)
        critics = fan_out_uniform([input_dim + action_dim, *hidden, 1], generator, ensemble=2)
        return cls(settings, policy, critics, fan_out_uniform([input_dim, *hidden, 1], generator))

    def copies(self, number: int) -> ValueSoftActorCritic:
        """`number` independent learners that start here, targets equal to the value networks, fresh moments."""
        networks = (repeat_ensemble(network, number) for network in (self.policy, self.critics, self.value))
        return ValueSoftActorCritic(self.settings, *networks)

    def update(self, batch: Transitions, generator: torch.Generator, also: Also | None = None) -> dict[str, Tensor]:
        """One step of critics (and `also`), value, target and policy; detached losses, each (learner,).

        batch: fields (learner, row, ...), both observations with the embedding appended; see `SoftActorCritic.update`.
        """
        settings = self.settings
        critic_losses = self._critic_losses(batch)
        critic_step(self.optimisers["critics"], self.critics, critic_losses.sum(), also)
        inputs = batch.observations.detach()
        mean, log_std = split_heads(mlp(self.policy, inputs, settings.precision))
        noise = standard_normal(mean, generator)
        actions, log_density = squashed_sample(mean, log_std, noise)
        values = twin_values(frozen(self.critics), inputs, actions, settings.precision).amin(1)
        value_errors = self._state_value(self.value, inputs) - (values - log_density).detach()
        value_losses = value_errors.square().mean(1)
        step(self.optimisers["value"], self.value, value_losses.sum())
        polyak(self.target, self.value, settings.target_rate)
        regularisers = settings.mean_weight * mean.square().mean((1, 2))
        regularisers = regularisers + settings.log_std_weight * log_std.square().mean((1, 2))
        if settings.pre_tanh_weight:
            pre_tanh = mean + log_std.exp() * noise
            regularisers = regularisers + settings.pre_tanh_weight * pre_tanh.square().sum(-1).mean(1)
        policy_losses = (log_density - values).mean(1)
        step(self.optimisers["policy"], self.policy, (policy_losses + regularisers).sum())
        losses = {"critic_loss": critic_losses, "value_loss": value_losses, "policy_loss": policy_losses}
        return {name: loss.detach() for name, loss in losses.items()} | {"entropy": -log_density.detach().mean(1)}

    @torch.no_grad()
    def bellman_error(self, batch: Transitions, generator: torch.Generator) -> Tensor:
        """The critics' loss on a batch (learner, row, ...), without a step: (learner,). It needs no noise."""
        del generator
        return self._critic_losses(batch)

    def _critic_losses(self, batch: Transitions) -> Tensor:
        """Sum over the twins of the mean squared Bellman error, with target scale * r + gamma * V'(s'), (learner,)."""
        with torch.no_grad():
            next_values = self._state_value(self.target, batch.next_observations)
            bootstrap = self.settings.discount * (1 - batch.terminated) * next_values
            bellman = self.settings.reward_scale * batch.rewards + bootstrap
        values = twin_values(self.critics, batch.observations, batch.actions, self.settings.precision)
        return (values - bellman.unsqueeze(1)).square().mean(2).sum(1)

    def _state_value(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        return mlp(parameters, inputs, self.settings.precision).squeeze(-1)

    @torch.no_grad()
    def sample_one(self, learner: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (1, row, action) of one learner's policy for its inputs (1, row, input)."""
        return sample_one(self.policy, learner, inputs, self.settings.precision, generator)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        networks = {name: getattr(self, name) for name in ("policy", "critics", "value", "target")}
        return {**networks, **{f"{name}_optimiser": held for name, held in self.optimisers.items()}}
