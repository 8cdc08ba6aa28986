"""ProMP: proximal meta-policy search.

Rothfuss, Lee, Clavera, Asfour, Abbeel, "ProMP: Proximal Meta-Policy Search", 2019, algorithm 1. The inner step
follows the likelihood-ratio loss, whose curvature gives the pre-update policy credit per time step with low variance
(section 5). Outside, with the ratios rho of the adapted policies theta'_i(theta) on the data that they collected,

    minimise over theta   mean_i [ -mean_t min(rho A, clip(rho, 1 - eps, 1 + eps) A)
                                   + eta mean_t KL(pi_old || pi_theta) ]                     (equation 14)

where the KL penalty keeps each pre-update policy near the one that collected its data; several Adam steps are taken on
the same data, the adapted policies computed anew, and differentiated through, in each. With several inner steps the
penalty is the mean over them (code). What MAML and ProMP share, and where that leaves the code, is in
`inner_gradient.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.inner_gradient import InnerGradientAdapt, InnerGradientLearner, InnerGradientTrain
from algorithms.kit.networks import adam
from algorithms.kit.on_policy.policy_gradient import (
    PolicyData,
    clipped_loss,
    distribution,
    inner_step,
    kl_divergence,
    policy_per_task,
    task_chunks,
)
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from tasks.spec import TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="promp", algorithm="Promp", train="PrompTrain", adapt="PrompAdapt",
        summary="as MAML, with low-variance curvature and PPO's clipped loss outside",
        source="Rothfuss, Lee, Clavera, Asfour, Abbeel 2019", cites=("rothfuss2019promp",),
        title="ProMP", colour="#8E2F9E", marker="P", dashes="--", hatch="--",
        tiny_train={"tasks_per_iteration": 4, "rollouts_per_task": 2, "rollout_transitions": 20, "policy_hidden": [16,
                    16], "action_scale": 1.0},
        tiny_adapt={"gradient_steps": 4},
    ),
)  # fmt: skip


class PrompTrain(InnerGradientTrain):
    """Meta-training of ProMP. Defaults: the authors' code as run for the published curves ("code")."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Adam of the outer steps (code)")
    outer_steps: PositiveInt = Field(default=5, description="on the data of an iteration (code; walker 3)")
    clip: float = Field(default=0.3, gt=0, lt=1, description="of the adapted policies' ratios (code)")
    kl_weight: float = Field(default=5e-4, ge=0, description="eta, at the start if adaptive (code; walker 1e-3)")
    target_kl: float | None = Field(
        default=None, gt=0, description="makes eta adaptive, per inner step; None: fixed (code; walker 0.01)"
    )


class PrompAdapt(InnerGradientAdapt):
    """The inner step in a test task."""


class Promp(InnerGradientLearner):
    """Meta-training of ProMP."""

    config: PrompTrain

    def __init__(self, config: PrompTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        self.optimiser = adam(self.theta, config.learning_rate)
        self.kl_weights = torch.full((config.inner_steps,), config.kl_weight, device=self.device)

    def outer_step(self, inner: list[PolicyData], outer: PolicyData) -> dict[str, float]:
        """Adam steps on the clipped loss; then the KL weights, if adaptive. Metrics are the last step's."""
        for _ in range(self.config.outer_steps):
            loss, kls = self.accumulate_gradient(inner, outer)
            self.optimiser.step()
        if self.config.target_kl is not None:
            kls = self._inner_kls(inner)
            self.kl_weights.copy_(adapted_weights(self.kl_weights, kls, self.config.target_kl))
        found = torch.stack([loss, kls.mean(), self.kl_weights.mean()]).tolist()
        return dict(zip(("outer_loss", "inner_kl", "kl_weight"), found))

    def accumulate_gradient(self, inner: list[PolicyData], outer: PolicyData) -> tuple[Tensor, Tensor]:
        """Put the outer loss's gradient into theta's `grad`. Returns the loss and the KL per inner step."""
        for parameter in self.theta:
            parameter.grad = torch.zeros_like(parameter)
        total, kls = outer.advantages.new_zeros(()), torch.zeros_like(self.kl_weights)
        for chunk in task_chunks(outer, max(self.config.policy_hidden)):
            loss, kl = self.outer_loss([data.of(chunk) for data in inner], outer.of(chunk))
            for parameter, gradient in zip(self.theta, torch.autograd.grad(loss.sum(), self.theta)):
                parameter.grad.add_(gradient, alpha=1 / len(outer.advantages))  # type: ignore[union-attr]
            total += loss.detach().sum() / len(outer.advantages)
            kls += kl.detach().sum(1) / len(outer.advantages)
        return total, kls

    def outer_loss(self, inner: list[PolicyData], outer: PolicyData) -> tuple[Tensor, Tensor]:
        """The loss of each task (task,) as a function of theta, and its KL divergences (inner step, task).

        Equation 14 of the paper, with the KL penalty averaged over inner steps (code).
        """
        policy, kls = policy_per_task(self.theta, len(outer.advantages)), []
        for data in inner:
            step = inner_step(policy, data, self.inner_loss, self.config.inner_learning_rate, differentiable=True)
            kls.append(kl_divergence(data.behaviour, step.before))
            policy = step.policy
        kl = torch.stack(kls)
        penalty = (self.kl_weights.unsqueeze(1) * kl).mean(0)
        return clipped_loss(distribution(policy, outer.observations), outer, self.config.clip) + penalty, kl

    @torch.no_grad()
    def _inner_kls(self, inner: list[PolicyData]) -> Tensor:
        """KL of each inner step's policy, as theta now has it, from the one that collected, (inner step,)."""
        policy, kls = policy_per_task(self.theta, len(inner[0].advantages)), []
        for data in inner:
            kls.append(kl_divergence(data.behaviour, distribution(policy, data.observations)).mean())
            policy = self.adapt(policy, data, self.config.inner_learning_rate)
        return torch.stack(kls)

    def parts(self) -> dict[str, Part]:
        """The policy, Adam's moments and the KL weights."""
        return super().parts() | {"optimiser": self.optimiser, "kl_weights": self.kl_weights}


def adapted_weights(weights: Tensor, kls: Tensor, target: float) -> Tensor:
    """KL weights (inner step,), halved where the KL is below 2/3 of the target, doubled above 3/2 of it (code)."""
    lowered = torch.where(kls < target / 1.5, weights / 2, weights)
    return torch.where(kls > 1.5 * target, weights * 2, lowered)
