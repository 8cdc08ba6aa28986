"""A model of the dynamics that one gradient step adapts to the last transitions, exactly and cheaply.

The network predicts the normalised change of the observation from the normalised observation and action; its loss is
the squared error, mean over dimensions and (weighted) transitions. The gradient of that loss in a layer's weights is a
sum of outer products, one per transition: inputs X (row, in) times errors E (row, out), the gradients in the layer's
pre-activations. So a network after one step of plain gradient descent,

    h (W - rate X' E) + b - rate sum(E)  =  h W + b - rate (h X' + 1) E,

is the meta-trained one plus a correction of rank `past`. Meta-training uses the right side, which never builds a
network per window: less than half the time of doing so, and autograd still gives the exact second-order gradient.
Planning uses the left side, one network per task. (Finn et al. 2017 for the two levels; Nagabandi, Clavera et al.
2018, equations 2-4, for the model.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.networks import Parameters, Precision, mlp
from algorithms.kit.replay import Transitions

MOST_CHANGE = 10.0  # standard deviations that a prediction may change in a step: planners exploit extrapolation
CONSTANT = 1e-6  # a quantity with a smaller standard deviation is not scaled


class Normalisation(NamedTuple):
    """Mean and scale per dimension of inputs (observation, then action) and of changes of the observation."""

    input_mean: Tensor
    input_scale: Tensor
    change_mean: Tensor
    change_scale: Tensor

    def inputs(self, batch: Transitions) -> Tensor:
        """Normalised observations and actions, (..., input)."""
        return (torch.cat([batch.observations, batch.actions], dim=-1) - self.input_mean) / self.input_scale

    def targets(self, batch: Transitions) -> Tensor:
        """Normalised changes of the observation, (..., observation)."""
        return (batch.next_observations - batch.observations - self.change_mean) / self.change_scale


def empty_sums(observation_dim: int, action_dim: int, device: torch.device) -> Tensor:
    """Running sums (count, sum, sum of squares; quantity) over inputs and changes, float64, before any transition."""
    return torch.zeros((3, 2 * observation_dim + action_dim), dtype=torch.float64, device=device)


def add_to_sums(sums: Tensor, batch: Transitions) -> None:
    """Add transitions, fields (row, ...), in place; what was added earlier counts as much as what is new."""
    changes = batch.next_observations - batch.observations
    values = torch.cat([batch.observations, batch.actions, changes], dim=-1).double()
    sums += torch.stack([torch.full_like(values[0], len(values)), values.sum(0), values.square().sum(0)])


def normalisation_of(sums: Tensor, input_dim: int) -> Normalisation:
    """Mean and standard deviation of everything added; the scale of what never varied is 1, the mean of nothing 0."""
    number = sums[0].clamp_min(1)
    mean = sums[1] / number
    deviation = (sums[2] / number - mean.square()).clamp_min(0).sqrt()
    scale = torch.where(deviation < CONSTANT, torch.ones_like(deviation), deviation)
    mean, scale = mean.float(), scale.float()
    return Normalisation(mean[:input_dim], scale[:input_dim], mean[input_dim:], scale[input_dim:])


def outputs(parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Outputs (task, row, out) of a network that all tasks share (an ensemble of one) on inputs (task, row, in)."""
    return mlp(parameters, inputs.flatten(0, 1).unsqueeze(0))[0].unflatten(0, inputs.shape[:2])


class InnerStep(NamedTuple):
    """The gradient of each task's loss in a shared network's parameters, as factors, one pair per layer.

    inputs: (task, row, in) of each layer; errors: (task, row, out), the loss's gradients in its pre-activations.
    """

    inputs: list[Tensor]
    errors: list[Tensor]


def inner_step(parameters: Sequence[Tensor], inputs: Tensor, targets: Tensor, weights: Tensor) -> InnerStep:
    """The factors of the gradient of `losses` on (task, row, ...) data, differentiable in the parameters.

    parameters: an ensemble of one with ReLU between the layers; weights: (task, row).
    """
    layers, hidden = list(zip(parameters[::2], parameters[1::2])), inputs
    entering = [inputs]
    for weight, bias in layers[:-1]:
        hidden = torch.relu(hidden @ weight[0] + bias)
        entering.append(hidden)
    predicted = hidden @ layers[-1][0][0] + layers[-1][1]
    error = (2 / predicted.shape[-1]) * weights.unsqueeze(-1) * (predicted - targets)
    errors = [error]
    for (weight, _), activated in zip(layers[:0:-1], entering[:0:-1]):
        error = (error @ weight[0].T) * (activated > 0)
        errors.append(error)
    return InnerStep(entering, errors[::-1])


def gradient_norms(gradient: InnerStep) -> Tensor:
    """The norm of each task's whole gradient, (task,), differentiable: <X'E, X'E> = sum over rows of (XX')(EE')."""
    squares = [
        ((entered @ entered.mT + 1) * (error @ error.mT)).sum((1, 2))
        for entered, error in zip(gradient.inputs, gradient.errors)
    ]
    return (torch.stack(squares).sum(0) + 1e-12).sqrt()


def step_sizes(gradient: InnerStep, rate: float, limit: float | None) -> Tensor:
    """The rate of each task, (task, 1, 1): less where the gradient is longer than `limit`, as if it were clipped."""
    norms = gradient_norms(gradient).reshape(-1, 1, 1)
    return rate * (torch.ones_like(norms) if limit is None else (limit / norms).clamp_max(1.0))


def adapted_outputs(parameters: Sequence[Tensor], gradient: InnerStep, rates: float | Tensor, inputs: Tensor) -> Tensor:
    """Outputs (task, row, out) after one step of gradient descent per task, on inputs (task, row, in).

    rates: one for all, or (task, 1, 1). Exactly what networks of `adapted_parameters` give; see the module.
    """
    hidden, last = inputs, len(gradient.inputs) - 1
    for layer, (entered, error) in enumerate(zip(gradient.inputs, gradient.errors)):
        correction = (hidden @ entered.transpose(1, 2) + 1) @ (rates * error)
        hidden = hidden @ parameters[2 * layer][0] + parameters[2 * layer + 1] - correction
        hidden = hidden if layer == last else torch.relu(hidden)
    return hidden


def adapted_parameters(parameters: Sequence[Tensor], gradient: InnerStep, rates: float | Tensor) -> Parameters:
    """One network per task, an ensemble over tasks, after one step of gradient descent each."""
    adapted = []
    for layer, (entered, error) in enumerate(zip(gradient.inputs, gradient.errors)):
        stepped = rates * error
        adapted += [
            torch.baddbmm(parameters[2 * layer], entered.transpose(1, 2), stepped, alpha=-1),
            parameters[2 * layer + 1] - stepped.sum(1, keepdim=True),
        ]
    return adapted


def losses(predicted: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Squared errors of outputs (task, row, out), mean over outputs, weighted sum over rows: (task,)."""
    return ((predicted - targets).square().mean(-1) * weights).sum(1)


@dataclass(frozen=True)
class Predictor:
    """Networks that map raw observations and actions to the next observation, one per task."""

    networks: list[Parameters]  # ensembles of as many tasks as are computed at once, in the order of the tasks
    least_change: Tensor
    most_change: Tensor

    def __call__(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Next observations (task, row, observation) of observations and actions (task, row, ...)."""
        inputs, first, changes = torch.cat([observations, actions], dim=-1), 0, []
        for network in self.networks:
            changes.append(_computed(network, inputs[first : first + len(network[0])]))
            first += len(network[0])
        return torch.clamp(torch.cat(changes), self.least_change, self.most_change).add_(observations)


def _computed(network: Parameters, inputs: Tensor) -> Tensor:
    """What `mlp` gives, at the precision of the hidden layers' weights, and faster where no gradient is asked for."""
    hidden = torch.baddbmm(network[1], inputs, network[0])
    for weight, bias in zip(network[2:-2:2], network[3:-2:2]):
        hidden = torch.baddbmm(bias, _relu_(hidden.to(weight.dtype)), weight)
    hidden = _relu_(hidden).to(inputs.dtype)
    return torch.baddbmm(network[-1].mT, network[-2].mT, hidden.mT).mT  # narrow products are faster this way round


def _relu_(values: Tensor) -> Tensor:
    """ReLU in place. A bfloat16 has the sign bit of the integer with its bits, and integers are faster to compare."""
    if values.dtype == torch.bfloat16:
        values.view(torch.int16).clamp_min_(0)
        return values
    return values.relu_()


def predictor(
    parameters: Sequence[Tensor], normalisation: Normalisation, tasks: int, at_once: int, precision: Precision
) -> Predictor:
    """The networks of `tasks` tasks, with the normalisation folded into their first and last layers.

    parameters: an ensemble over the tasks, or of one that all share. `at_once` tasks are computed in one product: on a
    CPU few, so that what is computed stays in its cache. With precision `bf16` the hidden layers' weights are rounded
    here, once, and not in each step of each plan.
    """
    mean, scale = normalisation.change_mean, normalisation.change_scale
    first = parameters[0] / normalisation.input_scale.unsqueeze(-1)
    dtype = torch.bfloat16 if precision == "bf16" else first.dtype
    folded = [
        first, parameters[1] - normalisation.input_mean.unsqueeze(0) @ first,
        *(parameter.to(dtype) for parameter in parameters[2:-2]),
        parameters[-2] * scale, parameters[-1] * scale + mean,
    ]  # fmt: skip
    split = [parameter.expand(tasks, *parameter.shape[1:]).split(at_once) for parameter in folded]
    networks = [list(network) for network in zip(*split)]
    return Predictor(networks, mean - MOST_CHANGE * scale, mean + MOST_CHANGE * scale)
