"""Soft actor-critic with twin target critics and an optional tuned temperature (Haarnoja et al. 2018b).

Every network carries a leading learner axis L: one learner in meta-training, one per test task in adaptation, each
with its own loss, so that gradients never mix (the losses are sums over learners of means over rows).
"""

from __future__ import annotations

import math
from functools import partial
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
    polyak,
    repeat_ensemble,
    step_by,
)  # fmt: skip
from algorithms.kit.off_policy.gaussian_policy import (
    Draw,
    draw_gradient,
    drawn,
    halves,
    sample_one,
    standard_normal,
)  # fmt: skip
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

CRITIC_WEIGHT = 0.5  # of the twins' squared errors


class SacSettings(NamedTuple):
    """Hyper-parameters of one learner."""

    discount: float
    target_rate: float
    learning_rate: float
    reward_scale: float
    temperature: float | Literal["auto"]
    target_entropy: float
    precision: Precision


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
        self.log_temperature = self.policy[0].new_full((self.num_learners,), initial).detach()
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

    @torch.no_grad()
    def update(self, batch: Transitions, generator: torch.Generator, also: Also | None = None) -> dict[str, Tensor]:
        """One step of critics, policy, temperature and targets; returns losses, each (learner,).

        batch: fields (learner, row, ...), both observations with the embedding appended. Only the critics' loss
        reaches the embedding, and only if `also` names what is to be trained through it.
        """
        noise = torch.cat([standard_normal(batch.actions, generator) for _ in range(2)], dim=1)
        temperature = self.log_temperature.detach().exp().unsqueeze(1)
        for optimiser in (self.critic_optimiser, self.policy_optimiser):
            optimiser.begin_step()
        critic_losses, policy_losses, entropy, of_observations = by_learners(
            partial(self._update, also is not None), self.critics, batch.observations.detach(),
            detached(batch), noise, temperature, self.policy, self.targets, self.critic_optimiser.moments,
            self.policy_optimiser.moments,
        )  # fmt: skip
        if also is not None:
            also_step(also, batch.observations, of_observations)
        if self.temperature_optimiser is not None:
            step_by(self.temperature_optimiser, [self.log_temperature], [entropy - self.settings.target_entropy])
        polyak(self.targets, self.critics, self.settings.target_rate)
        losses = {"critic_loss": critic_losses, "policy_loss": policy_losses}
        return losses | {"entropy": entropy, "temperature": temperature.squeeze(1)}

    def _update(
        self, reaches_inputs: bool, critics: Parameters, observations: Tensor, batch: Transitions, noise: Tensor,
        temperature: Tensor, policy: Parameters, targets: Parameters, of_critics: Moments, of_policy: Moments,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """The step of critics, then of policies, of some learners: their losses and entropies, each (learner,).

        noise: (learner, twice the rows, action), for the next actions first. Also the critics' gradient of the
        observations if it is to reach them.
        """
        settings, rows = self.settings, observations.shape[1]
        actor = ready(policy, settings.precision, 2 * rows)
        # The policy changes last: one pass serves next and current actions.
        outputs, past = forward(actor, torch.cat([batch.next_observations, observations], dim=1))
        following, draw = halves(drawn(outputs, noise))
        bellman = self._bellman(targets, batch, following, temperature)
        critic_losses, gradients, of_observations = critic_gradients(
            ready(critics, settings.precision, rows), observations, batch.actions, bellman, CRITIC_WEIGHT,
            reaches_inputs,
        )  # fmt: skip
        self.critic_optimiser.move(of_critics, gradients)
        judges = ready(critics, settings.precision, rows)
        values, judged = twin_pass(judges, observations, draw.actions)
        entropy = draw.log_density.sum(1).mul_(-1 / rows)
        policy_losses = values.amin(1).sum(1).mul_(-1 / rows).sub_(temperature.squeeze(1) * entropy)
        of_actions = action_gradient(judges, judged, least_gradient(values, -1 / rows), observations.shape[2])
        of_outputs = draw_gradient(draw, of_actions, temperature.unsqueeze(2) / rows)
        current = [[layer[:, rows:] for layer in read] for read in past]
        self.policy_optimiser.move(of_policy, backward(actor, current, of_outputs)[0])
        return critic_losses, policy_losses, entropy, of_observations

    @torch.no_grad()
    def bellman_error(self, batch: Transitions, generator: torch.Generator) -> Tensor:
        """The critics' loss on a batch (learner, row, ...), without a step: (learner,)."""
        noise, temperature = standard_normal(batch.actions, generator), self.log_temperature.exp().unsqueeze(1)
        rows, precision = noise.shape[1], self.settings.precision
        draw = drawn(forward(ready(self.policy, precision, rows), batch.next_observations)[0], noise)
        bellman = self._bellman(self.targets, batch, draw, temperature)
        values, _ = twin_pass(ready(self.critics, precision, rows), batch.observations, batch.actions)
        return CRITIC_WEIGHT * (values - bellman.unsqueeze(1)).square().mean(2).sum(1)

    def _bellman(self, targets: Parameters, batch: Transitions, draw: Draw, temperature: Tensor) -> Tensor:
        """scale * r + discount * (min Q'(s', a') - temperature * log density(a')), (learner, row)."""
        settings, following = self.settings, batch.next_observations
        values, _ = twin_pass(ready(targets, settings.precision, following.shape[1]), following, draw.actions)
        bootstrap = values.amin(1).sub_(temperature * draw.log_density).mul_(1 - batch.terminated)
        return torch.add(settings.reward_scale * batch.rewards, bootstrap, alpha=settings.discount)

    def sample_one(self, learner: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Actions (1, row, action) of one learner's policy for its inputs (1, row, input)."""
        return sample_one(self.policy, learner, inputs, self.settings.precision, generator)

    def parts(self) -> dict[str, Part]:
        """All weights and optimiser moments, for a checkpoint."""
        names = ("policy", "critics", "targets", "log_temperature")
        optimisers = ("policy_optimiser", "critic_optimiser", "temperature_optimiser")
        return {name: getattr(self, name) for name in (*names, *optimisers)}
