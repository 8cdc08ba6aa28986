"""Gaussian policies as ensembles, policy-gradient losses, and inner steps that can be differentiated through.

A policy is a parameter list as in `networks`, (ensemble, ...) throughout: a tanh network for the mean, and last a
log standard deviation (ensemble, 1, action) that does not depend on the observation and is adapted like the rest.
One policy per task is an ensemble over tasks, so that a batch of adapted policies is one batched product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, glorot_uniform, zeros

InnerLoss = Literal["likelihood_ratio", "log_likelihood"]

MIN_LOG_STD = math.log(1e-6)
AT_ONCE = {"cpu": 2**20, "cuda": 2**26}  # activations of a layer: what stays near a core, or in a GPU's memory


class Gaussian(NamedTuple):
    """Diagonal normal distributions over actions: means (task, sample, action), log_std (task, 1, action)."""

    means: Tensor
    log_std: Tensor


class PolicyData(NamedTuple):
    """On-policy samples of a batch of tasks, with the distribution that they were drawn from as it was then.

    observations (task, sample, observation); actions (task, sample, action) as the policy drew them, neither scaled
    nor clipped; means (task, sample, action) and log_std (task, 1, action); advantages (task, sample).
    """

    observations: Tensor
    actions: Tensor
    means: Tensor
    log_std: Tensor
    advantages: Tensor

    @property
    def behaviour(self) -> Gaussian:
        """The distribution that the actions were drawn from."""
        return Gaussian(self.means, self.log_std)

    def of(self, tasks: slice) -> PolicyData:
        """The samples of some of the tasks."""
        return PolicyData(*(field[tasks] for field in self))

    def every(self, stride: int) -> PolicyData:
        """One sample in `stride` of each task, evenly spread."""
        return PolicyData(*(field[:, ::stride] for field in self))


def initial_policy(
    observation_dim: int, hidden: Sequence[int], action_dim: int, std: float, generator: torch.Generator
) -> Parameters:
    """An ensemble of one policy: Glorot-uniform weights, zero biases, every standard deviation `std`."""
    network = glorot_uniform((observation_dim, *hidden, action_dim), generator)
    return [*network, zeros((1, 1, action_dim), generator) + math.log(std)]


def distribution(policy: Sequence[Tensor], observations: Tensor) -> Gaussian:
    """Action distributions for observations (ensemble, sample, observation); deviations are at least 1e-6."""
    return Gaussian(tanh_network(policy[:-1], observations), policy[-1].clamp_min(MIN_LOG_STD))


def tanh_network(network: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """The outputs (ensemble, row, out) of tanh networks on `inputs` (ensemble, row, in).

    tanh(z) is taken as 2 sigmoid(2z) - 1, because torch's sigmoid is ten times as fast on a CPU; the factors are
    folded into the weights, where they cost nothing: layer by layer, h = sigmoid(2z), 2h - 1 enters the next one.
    The last product is written transposed, which is four times as fast where there are few outputs.
    """
    hidden, weight, bias = inputs, network[0], network[1]
    for next_weight, next_bias in zip(network[2::2], network[3::2]):
        hidden = torch.sigmoid(torch.baddbmm(2 * bias, hidden, 2 * weight))
        weight, bias = 2 * next_weight, next_bias - next_weight.sum(1, keepdim=True)
    return torch.baddbmm(bias.transpose(1, 2), weight.transpose(1, 2), hidden.transpose(1, 2)).transpose(1, 2)


def log_density(gaussian: Gaussian, actions: Tensor) -> Tensor:
    """log pi(a | s), summed over the action's dimensions, (task, sample), of actions (task, sample, action)."""
    deviation = (actions - gaussian.means) * (-gaussian.log_std).exp()
    constant = 0.5 * math.log(2 * math.pi) * actions.shape[-1]
    return -0.5 * deviation.square().sum(-1) - gaussian.log_std.sum(-1) - constant


def kl_divergence(old: Gaussian, new: Gaussian) -> Tensor:
    """KL(old || new), summed over the action's dimensions and averaged over samples, (task,)."""
    variance = (2 * (old.log_std - new.log_std)).exp()
    distance = ((old.means - new.means) * (-new.log_std).exp()).square()
    return (0.5 * (variance + distance - 1) + new.log_std - old.log_std).sum(-1).mean(1)


def ratios(new: Gaussian, data: PolicyData) -> Tensor:
    """pi(a | s) / pi_old(a | s), (task, sample); pi_old is the distribution stored with the data."""
    return (log_density(new, data.actions) - log_density(data.behaviour, data.actions)).exp()


def surrogate_loss(new: Gaussian, data: PolicyData) -> Tensor:
    """Minus the mean of ratio * A, (task,): the likelihood-ratio loss.

    As an inner loss it has ProMP's low-variance curvature (Rothfuss et al. 2019, section 5): its Hessian at the
    policy that collected has the term A grad log pi grad log pi^T, which that of the log-likelihood loss lacks.
    """
    return -(ratios(new, data) * data.advantages).mean(1)


def log_likelihood_loss(new: Gaussian, data: PolicyData) -> Tensor:
    """Minus the mean of log pi(a | s) A, (task,): the inner loss of Finn et al. 2017."""
    return -(log_density(new, data.actions) * data.advantages).mean(1)


def clipped_loss(new: Gaussian, data: PolicyData, clip: float) -> Tensor:
    """Minus the mean of min(ratio A, clip(ratio, 1 - clip, 1 + clip) A), (task,) (Schulman et al. 2017, eq. 7)."""
    ratio = ratios(new, data)
    kept = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * data.advantages, kept * data.advantages).mean(1)


INNER_LOSSES: dict[InnerLoss, Callable[[Gaussian, PolicyData], Tensor]] = {
    "likelihood_ratio": surrogate_loss,
    "log_likelihood": log_likelihood_loss,
}


class InnerStep(NamedTuple):
    """What one gradient step of every task did: its gradient (task, ...) and the policy before and after it.

    `before` is the distribution (task, sample, action) of the policy that took the step, on its own data.
    """

    gradient: tuple[Tensor, ...]
    before: Gaussian
    policy: Parameters


def inner_step(
    policy: Parameters, data: PolicyData, loss: InnerLoss, learning_rate: float, differentiable: bool = False
) -> InnerStep:
    """One gradient step of each task's policy (task, ...) on its own data; with its graph if `differentiable`."""
    if not differentiable:
        policy = [parameter.detach().requires_grad_(True) for parameter in policy]
    before = distribution(policy, data.observations)
    total = INNER_LOSSES[loss](before, data).sum()  # each task's policy meets its own loss alone
    gradient = torch.autograd.grad(total, policy, create_graph=differentiable)
    stepped = [parameter - learning_rate * slope for parameter, slope in zip(policy, gradient)]
    return InnerStep(gradient, before, stepped if differentiable else [parameter.detach() for parameter in stepped])


def policy_per_task(policy: Sequence[Tensor], tasks: int) -> Parameters:
    """Views of one policy (1, ...) as an ensemble over tasks, so that each task gets a gradient of its own."""
    return [parameter.expand(tasks, *parameter.shape[1:]) for parameter in policy]


def task_chunks(data: PolicyData, width: int) -> Iterator[slice]:
    """Slices of the task axis whose hidden layers, `width` wide, stay near a core or fit a GPU's memory."""
    tasks, samples = data.advantages.shape
    at_once = max(1, AT_ONCE[data.advantages.device.type] // (samples * width))
    return (slice(start, min(start + at_once, tasks)) for start in range(0, tasks, at_once))


class Drawn(NamedTuple):
    """Actions of a batch of rows: as the environment gets them, as the policy drew them, and the policy's means."""

    applied: np.ndarray
    actions: Tensor
    means: Tensor


@torch.no_grad()
def draw(policy: Parameters, observations: Tensor, action_scale: float, generator: torch.Generator | None) -> Drawn:
    """Actions (row, action) of an ensemble of policies for observations (row, observation), ensemble-major.

    The environment gets the policy's action divided by `action_scale` and cut to [-1, 1]; densities are those of the
    action before either. Without a generator the action is the mean.
    """
    rows = observations.unflatten(0, (len(policy[0]), -1))
    means, log_std = distribution(policy, rows)
    actions = means
    if generator is not None:
        noise = torch.randn(means.shape, generator=generator, device=means.device)
        actions = means + log_std.exp() * noise
    applied = (actions / action_scale).clamp(-1.0, 1.0).flatten(0, 1).cpu().numpy()
    return Drawn(applied, actions.flatten(0, 1), means.flatten(0, 1))
