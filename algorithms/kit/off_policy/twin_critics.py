"""Twin critics and what trains them: the values, and gradients of the Bellman error and of a policy through the lesser.

A learner's twins lie next to each other in an ensemble of 2 * learner.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, Precision, mlp, step_by
from algorithms.kit.optimiser import Adam
from algorithms.kit.perceptron import Pass, Weights, backward, forward, input_gradient
from algorithms.kit.replay import Transitions


class Also(NamedTuple):
    """Further parameters that the critics' loss trains, such as an encoder's, with a loss of their own."""

    parameters: Parameters
    optimiser: Adam
    loss: Tensor


def twin_values(critics: Parameters, inputs: Tensor, actions: Tensor, precision: Precision) -> Tensor:
    """Values (learner, twin, row) of twin critics, with whatever graph they have."""
    return mlp(critics, _twice(inputs, actions), precision).squeeze(-1).unflatten(0, (-1, 2))


def twin_pass(critics: Weights, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Pass]:
    """Values (learner, twin, row), and what their gradient reads."""
    outputs, past = forward(critics, _twice(inputs, actions))
    return outputs.view(len(inputs), 2, -1), past


def action_gradient(critics: Weights, past: Pass, of_values: Tensor, first: int) -> Tensor:
    """The gradient of the actions, the inputs from number `first` on, from that of the values (learner, twin, row)."""
    of_inputs = input_gradient(critics, past, of_values.view(-1, of_values.shape[2], 1), first)
    return of_inputs.unflatten(0, (-1, 2)).sum(1)


def least_gradient(values: Tensor, weight: float) -> Tensor:
    """`weight` times the gradient of the lesser of two values (learner, twin, row); half to each if they are equal."""
    first, second = values.unbind(1)
    which = torch.sign(first - second).mul_(0.5 * weight)
    return torch.stack([0.5 * weight - which, 0.5 * weight + which], dim=1)


def critic_gradients(
    weights: Weights, inputs: Tensor, actions: Tensor, targets: Tensor, weight: float, reaches_inputs: bool = False
) -> tuple[Tensor, Parameters, Tensor]:
    """Of `weight` times the sum over twins of the mean squared distance from `targets` (learner, row).

    Returns that loss, (learner,), its gradients of the critics, and of the inputs (learner, row, input) if it is to
    reach them; else the inputs.
    """
    rows = inputs.shape[1]
    values, past = twin_pass(weights, inputs, actions)
    errors = values.sub_(targets.unsqueeze(1))
    losses = errors.square().sum((1, 2)).mul_(weight / rows)
    of_values = errors.mul_(2 * weight / rows).view(-1, rows, 1)
    gradients, of_inputs = backward(weights, past, of_values, reaches_inputs)
    if of_inputs is None:
        return losses, gradients, inputs
    return losses, gradients, of_inputs.unflatten(0, (-1, 2)).sum(1)[..., : inputs.shape[2]]


def detached(batch: Transitions) -> Transitions:
    """The batch without the graphs of its observations."""
    return batch._replace(observations=batch.observations.detach(), next_observations=batch.next_observations.detach())


def also_step(also: Also, observations: Tensor, gradient: Tensor) -> None:
    """A step of what `also` names on its own loss and on the one whose `gradient` of the observations is given."""
    gradients = torch.autograd.grad([observations, also.loss], also.parameters, [gradient, None])
    step_by(also.optimiser, also.parameters, gradients)


def _twice(inputs: Tensor, actions: Tensor) -> Tensor:
    """Inputs with actions appended, for both twins of each learner, (2 * learner, row, input + action)."""
    joined = torch.cat([inputs, actions], dim=-1)
    return joined.unsqueeze(1).expand(-1, 2, -1, -1).flatten(0, 1)
