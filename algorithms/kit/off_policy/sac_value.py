"""Soft actor-critic with a state-value network and a fixed temperature of one (Haarnoja et al. 2018a).

The variant that PEARL was published with: the entropy trade-off is set by the reward scale.
"""

from __future__ import annotations

from functools import partial
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
    polyak,
    repeat_ensemble,
)  # fmt: skip
from algorithms.kit.off_policy.gaussian_policy import Draw, draw_gradient, drawn, sample_one, standard_normal
from algorithms.kit.off_policy.twin_critics import (
    Also,
    action_gradient,
    also_step,
    critic_gradients,
    detached,
    least_gradient,
    twin_pass,
)  # fmt: skip
from algorithms.kit.optimiser import Moments
from algorithms.kit.perceptron import backward, by_learners, forward, ready
from algorithms.kit.replay import Transitions
from algorithms.kit.state import Part

NAMES = ("critics", "value", "policy")  # in the order of their steps


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
        self.optimisers = {name: adam(getattr(self, name), settings.learning_rate) for name in NAMES}

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

    @torch.no_grad()
    def update(self, batch: Transitions, generator: torch.Generator, also: Also | None = None) -> dict[str, Tensor]:
        """One step of critics (and `also`), value, target and policy; losses, each (learner,).

        batch: fields (learner, row, ...), both observations with the embedding appended; see `SoftActorCritic.update`.
        """
        noise = standard_normal(batch.actions, generator)
        for optimiser in self.optimisers.values():
            optimiser.begin_step()
        *losses, of_observations = by_learners(
            partial(self._update, also is not None), self.critics, batch.observations.detach(), detached(batch), noise,
            self.policy, self.value, self.target, *(self.optimisers[name].moments for name in NAMES),
        )  # fmt: skip
        if also is not None:
            also_step(also, batch.observations, of_observations)
        polyak(self.target, self.value, self.settings.target_rate)
        return dict(zip(("critic_loss", "value_loss", "policy_loss", "entropy"), losses))

    def _update(
        self, reaches_inputs: bool, critics: Parameters, inputs: Tensor, batch: Transitions, noise: Tensor,
        policy: Parameters, value: Parameters, target: Parameters, of_critics: Moments, of_value: Moments,
        of_policy: Moments,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """The step of critics, values and policies of some learners: losses and entropies, each (learner,).

        Also the critics' gradient of the observations if it is to reach them.
        """
        precision, rows = self.settings.precision, inputs.shape[1]
        critic_losses, gradients, of_observations = critic_gradients(
            ready(critics, precision, rows), inputs, batch.actions, self._bellman(target, batch), 1.0, reaches_inputs
        )
        self.optimisers["critics"].move(of_critics, gradients)
        actor, judges = ready(policy, precision, rows), ready(critics, precision, rows)
        outputs, past = forward(actor, inputs)
        draw = drawn(outputs, noise)
        values, judged = twin_pass(judges, inputs, draw.actions)
        least = values.amin(1)
        value_losses, of_values = self._value_gradients(value, inputs, least - draw.log_density)
        self.optimisers["value"].move(of_value, of_values)
        of_actions = action_gradient(judges, judged, least_gradient(values, -1 / rows), inputs.shape[2])
        of_outputs = self._with_regularisers(outputs, draw, of_actions)
        self.optimisers["policy"].move(of_policy, backward(actor, past, of_outputs)[0])
        policy_losses, entropy = (draw.log_density - least).mean(1), -draw.log_density.mean(1)
        return critic_losses, value_losses, policy_losses, entropy, of_observations

    def _value_gradients(self, value: Parameters, inputs: Tensor, wanted: Tensor) -> tuple[Tensor, Parameters]:
        """Of the mean squared distance from what is `wanted` (learner, row): that loss, (learner,), and gradients."""
        rows = inputs.shape[1]
        weights = ready(value, self.settings.precision, rows)
        outputs, past = forward(weights, inputs)
        errors = outputs.sub_(wanted.unsqueeze(2))
        return errors.square().mean((1, 2)), backward(weights, past, errors * (2 / rows))[0]

    def _with_regularisers(self, outputs: Tensor, draw: Draw, of_actions: Tensor) -> Tensor:
        """The gradient of the policy's outputs: of log density, value, and squared mean, log std and pre-tanh value."""
        settings, (_, rows, number) = self.settings, of_actions.shape
        of_pre_tanh = draw.pre_tanh * (2 * settings.pre_tanh_weight / rows) if settings.pre_tanh_weight else None
        density = torch.full_like(of_actions[:, :1, :1], 1 / rows)
        gradient = draw_gradient(draw, of_actions, density, of_pre_tanh)
        of_mean, of_log_std = gradient.chunk(2, dim=-1)
        of_mean.add_(outputs[..., :number], alpha=2 * settings.mean_weight / (rows * number))
        log_std = draw.log_std * draw.is_unclamped
        of_log_std.add_(log_std, alpha=2 * settings.log_std_weight / (rows * number))
        return gradient

    @torch.no_grad()
    def bellman_error(self, batch: Transitions, generator: torch.Generator) -> Tensor:
        """The critics' loss on a batch (learner, row, ...), without a step: (learner,). It needs no noise."""
        del generator
        critics = ready(self.critics, self.settings.precision, batch.rewards.shape[1])
        values, _ = twin_pass(critics, batch.observations, batch.actions)
        return (values - self._bellman(self.target, batch).unsqueeze(1)).square().mean(2).sum(1)

    def _bellman(self, target: Parameters, batch: Transitions) -> Tensor:
        """scale * r + discount * V'(s'), (learner, row)."""
        settings, following = self.settings, batch.next_observations
        values, _ = forward(ready(target, settings.precision, following.shape[1]), following)
        bootstrap = values.squeeze(-1).mul_(1 - batch.terminated)
        return torch.add(settings.reward_scale * batch.rewards, bootstrap, alpha=settings.discount)

    def sample_one(self, learner: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (1, row, action) of one learner's policy for its inputs (1, row, input)."""
        return sample_one(self.policy, learner, inputs, self.settings.precision, generator)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        networks = {name: getattr(self, name) for name in ("policy", "critics", "value", "target")}
        return {**networks, **{f"{name}_optimiser": held for name, held in self.optimisers.items()}}
