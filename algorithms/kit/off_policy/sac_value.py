"""Soft actor-critic with a state-value network and a fixed temperature of one (Haarnoja et al. 2018a).

The variant that PEARL was published with: the entropy trade-off is set by the reward scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, Precision, adam, as_leaves, fan_out_uniform, frozen, mlp, polyak, step
from algorithms.kit.off_policy.gaussian_policy import split_heads, squashed_sample, standard_normal
from algorithms.kit.off_policy.sac import Also, critic_step, twin_values
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
    """Policy, twin critics, value network and its target; the same interface as `sac.SoftActorCritic`, one learner."""

    def __init__(
        self, settings: ValueSacSettings, input_dim: int, action_dim: int, hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.policy = as_leaves(fan_out_uniform([input_dim, *hidden, 2 * action_dim], generator, last_bound=1e-3))
        self.critics = as_leaves(fan_out_uniform([input_dim + action_dim, *hidden, 1], generator, ensemble=2))
        self.value = as_leaves(fan_out_uniform([input_dim, *hidden, 1], generator))
        self.target = [parameter.clone() for parameter in frozen(self.value)]
        self.optimisers = {
            name: adam(getattr(self, name), settings.learning_rate) for name in ("policy", "critics", "value")
        }

    def update(self, batch: Transitions, generator: torch.Generator, also: Also | None = None) -> dict[str, Tensor]:
        """One step of critics (and `also`), value, target and policy; detached losses, each (1,).

        batch: fields (1, row, ...), both observations with the embedding appended; see `SoftActorCritic.update`.
        """
        settings = self.settings
        critic_loss = self._critic_loss(batch)
        critic_step(self.optimisers["critics"], self.critics, critic_loss, also)
        inputs = batch.observations.detach()
        outputs = mlp(self.policy, inputs, settings.precision)
        mean, log_std = split_heads(outputs)
        noise = standard_normal(mean, generator)
        actions, log_density = squashed_sample(mean, log_std, noise)
        values = twin_values(frozen(self.critics), inputs, actions, settings.precision).amin(1)
        value_loss = (self._state_value(self.value, inputs) - (values - log_density).detach()).square().mean()
        step(self.optimisers["value"], self.value, value_loss)
        polyak(self.target, self.value, settings.target_rate)
        regulariser = settings.mean_weight * mean.square().mean() + settings.log_std_weight * log_std.square().mean()
        if settings.pre_tanh_weight:
            pre_tanh = mean + log_std.exp() * noise
            regulariser = regulariser + settings.pre_tanh_weight * pre_tanh.square().sum(-1).mean()
        policy_loss = (log_density - values).mean()
        step(self.optimisers["policy"], self.policy, policy_loss + regulariser)
        losses = {"critic_loss": critic_loss, "value_loss": value_loss, "policy_loss": policy_loss}
        return {name: loss.detach().reshape(1) for name, loss in losses.items()} | {
            "entropy": -log_density.detach().mean().reshape(1)
        }

    def _critic_loss(self, batch: Transitions) -> Tensor:
        """Sum over the twins of the mean squared Bellman error, with target scale * r + gamma * V'(s')."""
        with torch.no_grad():
            next_values = self._state_value(self.target, batch.next_observations)
            bootstrap = self.settings.discount * (1 - batch.terminated) * next_values
            bellman = self.settings.reward_scale * batch.rewards + bootstrap
        values = twin_values(self.critics, batch.observations, batch.actions, self.settings.precision)
        return (values - bellman.unsqueeze(1)).square().mean(2).sum()

    def _state_value(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        return mlp(parameters, inputs, self.settings.precision).squeeze(-1)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        networks = {name: getattr(self, name) for name in ("policy", "critics", "value", "target")}
        return {**networks, **{f"{name}_optimiser": held for name, held in self.optimisers.items()}}
