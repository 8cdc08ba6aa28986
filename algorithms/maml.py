"""MAML for reinforcement learning, with a trust-region outer step (MAML-TRPO).

Finn, Abbeel, Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", 2017, algorithm 3. The
meta-trained policy theta is moved so that the policies theta'_i one policy-gradient step away do better:

    minimise over theta   J = -mean_i mean_t [pi_theta'_i(theta) / pi_old,i](a_t|s_t) A_t    on the data of theta'_i
    subject to            mean_i mean_t KL(pi_old,i || pi_theta'_i(theta)) <= delta,

by one TRPO step: conjugate gradients on the KL's curvature, then a line search (Schulman et al. 2015). Both are
differentiated through the inner step.

The inner loss is the likelihood ratio, as in the runs behind the published curves; the paper's log-likelihood is a
knob. Hessian-vector products are exact (those runs used finite differences). What MAML and ProMP share, and where
that leaves the code, is in `inner_gradient.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.inner_gradient import InnerGradientAdapt, InnerGradientLearner, InnerGradientTrain
from algorithms.kit.networks import Parameters
from algorithms.kit.on_policy.policy_gradient import (
    InnerLoss,
    PolicyData,
    distribution,
    inner_step,
    kl_divergence,
    policy_per_task,
    surrogate_loss,
    task_chunks,
)
from algorithms.kit.on_policy.trust_region import conjugate_gradient, flatten, line_search, unflatten
from algorithms.registry import AlgorithmEntry

ALGORITHMS = (
    AlgorithmEntry(
        name="maml", algorithm="Maml", train="MamlTrain", adapt="MamlAdapt",
        summary="a policy that one policy-gradient step per task improves most, meta-trained by TRPO",
        source="Finn, Abbeel, Levine 2017", cites=("finn2017maml",),
        title="MAML", colour="#E36FC0", marker="v", hatch="xx",
        tiny_train={"tasks_per_iteration": 4, "rollouts_per_task": 2, "rollout_transitions": 20, "policy_hidden": [16,
                    16], "action_scale": 1.0},
        tiny_adapt={"gradient_steps": 4},
    ),
)  # fmt: skip


class MamlTrain(InnerGradientTrain):
    """Meta-training of MAML-TRPO. Defaults: the ProMP code as run for the published curves ("code")."""

    inner_loss: InnerLoss = Field(
        default="likelihood_ratio", description="`likelihood_ratio` (code) or `log_likelihood` (paper)"
    )
    max_kl: float = Field(default=0.01, gt=0, description="delta, bound on the adapted policies' mean KL (code)")
    kl_stride: PositiveInt = Field(
        default=1, description="the KL's curvature is taken on one sample in so many; the bound on all (ours; code 1)"
    )
    conjugate_gradients: PositiveInt = Field(default=10, description="iterations (code)")
    damping: float = Field(default=1e-5, ge=0, description="added to the curvature (rllab; code 0)")
    shrink: float = Field(default=0.8, gt=0, lt=1, description="of the step, from one attempt to the next (code)")
    attempts: PositiveInt = Field(default=15, description="of the line search (code)")


class MamlAdapt(InnerGradientAdapt):
    """The inner step in a test task."""


class Maml(InnerGradientLearner):
    """Meta-training of MAML."""

    config: MamlTrain

    @property
    def inner_loss(self) -> InnerLoss:  # type: ignore[override]
        """As configured."""
        return self.config.inner_loss

    def outer_step(self, inner: list[PolicyData], outer: PolicyData) -> dict[str, float]:
        """A trust-region step on theta, which keeps its bits where the line search fails."""
        config = self.config
        loss, slope = self.outer_gradient(inner, outer)
        judged = outer.every(config.kl_stride)
        direction = conjugate_gradient(
            lambda vector: self.curvature_product(vector, inner, judged), slope, config.conjugate_gradients
        )
        curvature = direction @ self.curvature_product(direction, inner, judged)
        length = (2 * config.max_kl / curvature.clamp_min(1e-12)).sqrt()
        step = unflatten(-length * direction, self.theta)
        found = line_search(
            self.theta, step, lambda: self.loss_and_kl(inner, outer), loss_before=loss, max_kl=config.max_kl,
            shrink=config.shrink, attempts=config.attempts,
        )  # fmt: skip
        return {
            "outer_loss": found.loss, "outer_kl": found.kl, "step_fraction": found.fraction,
            "gradient_norm": float(slope.norm()),
        }  # fmt: skip

    def outer_gradient(self, inner: list[PolicyData], outer: PolicyData) -> tuple[float, Tensor]:
        """The mean surrogate loss of the adapted policies, and its gradient in theta, a float64 vector."""
        total = outer.advantages.new_zeros(())
        slope = torch.zeros_like(flatten(self.theta))
        for path, data in self._paths(inner, outer):
            losses = surrogate_loss(distribution(path.policy, data.observations), data)
            slope = slope + path.pull_back(torch.autograd.grad(losses.sum(), path.policy))
            total += losses.detach().sum()
        return float(total) / len(outer.advantages), slope / len(outer.advantages)

    def curvature_product(self, vector: Tensor, inner: list[PolicyData], outer: PolicyData) -> Tensor:
        """(H + damping) vector, for the Hessian H in theta of the adapted policies' mean KL divergence.

        At the theta that collected, the KL divergence has no slope in the adapted parameters theta', so nothing but
        H = J^T H' J remains of it, with J = d theta' / d theta and H' the Hessian in theta'. Exact, in one pass over
        the tasks.
        """
        total, direction = torch.zeros_like(vector), unflatten(vector, self.theta)
        for path, data in self._paths(inner, outer):
            divergence = kl_divergence(data.behaviour, distribution(path.policy, data.observations))
            slope = torch.autograd.grad(divergence.sum(), path.policy, create_graph=True)
            image = torch.autograd.grad(slope, path.policy, path.push_forward(direction))
            total = total + path.pull_back(image)
        return total / len(outer.advantages) + self.config.damping * vector

    def loss_and_kl(self, inner: list[PolicyData], outer: PolicyData) -> tuple[float, float]:
        """Mean surrogate loss and mean KL divergence of the policies that theta, as it is now, adapts to."""
        total = outer.advantages.new_zeros(2)
        for chunk in task_chunks(outer, max(self.config.policy_hidden)):
            policy, data = policy_per_task(self.theta, len(outer.advantages[chunk])), outer.of(chunk)
            for before in inner:
                policy = self.adapt(policy, before.of(chunk), self.config.inner_learning_rate)
            with torch.no_grad():
                new = distribution(policy, data.observations)
                total += torch.stack([surrogate_loss(new, data).sum(), kl_divergence(data.behaviour, new).sum()])
        loss, kl = (total / len(outer.advantages)).tolist()
        return loss, kl

    def _paths(self, inner: list[PolicyData], outer: PolicyData) -> Iterator[tuple[AdaptationPath, PolicyData]]:
        """A few tasks at a time: their inner steps, and their data afterwards."""
        for chunk in task_chunks(outer, max(self.config.policy_hidden)):
            data = [before.of(chunk) for before in inner]
            yield adaptation_path(self.theta, data, self.inner_loss, self.config.inner_learning_rate), outer.of(chunk)


class AdaptationPath(NamedTuple):
    """The inner steps of a few tasks, and the Jacobian J = d theta' / d theta of each task's adapted parameters.

    Step by step J is 1 - alpha H, with the Hessian H of the inner loss, which is symmetric. `starts` holds each
    step's parameters (task, ...), `gradients` the loss's gradient there with its graph, `policy` theta'.
    """

    starts: list[Parameters]
    gradients: list[tuple[Tensor, ...]]
    policy: Parameters
    learning_rate: float

    def push_forward(self, vectors: Sequence[Tensor]) -> Sequence[Tensor]:
        """J v of each task, (task, ...), for one v in theta's shapes (1, ...)."""
        vectors = policy_per_task(vectors, len(self.policy[0]))
        for step in range(len(self.starts)):
            vectors = self._through(step, vectors)
        return vectors

    def pull_back(self, vectors: Sequence[Tensor]) -> Tensor:
        """J^T w summed over tasks, a float64 vector, for each task's w (task, ...)."""
        for step in reversed(range(len(self.starts))):
            vectors = self._through(step, vectors)
        return flatten([vector.sum(0) for vector in vectors])

    def _through(self, step: int, vectors: Sequence[Tensor]) -> list[Tensor]:
        images = torch.autograd.grad(self.gradients[step], self.starts[step], vectors, retain_graph=True)
        return [vector - self.learning_rate * image for vector, image in zip(vectors, images)]


def adaptation_path(
    theta: Parameters, inner: list[PolicyData], loss: InnerLoss, learning_rate: float
) -> AdaptationPath:
    """The inner steps of the tasks of `inner`, which holds their data of each step, from theta (1, ...)."""
    starts, gradients = [], []
    policy = _leaves(policy_per_task(theta, len(inner[0].advantages)))
    for data in inner:
        step = inner_step(policy, data, loss, learning_rate, differentiable=True)
        starts.append(policy)
        gradients.append(step.gradient)
        policy = _leaves(step.policy)
    return AdaptationPath(starts, gradients, policy, learning_rate)


def _leaves(policy: Sequence[Tensor]) -> Parameters:
    return [parameter.detach().requires_grad_(True) for parameter in policy]
