"""The exact second-order meta-gradient of MIER's model, written out (Mendonca et al. 2020, Algorithm 1, line 9).

phi is adapted by steps phi - rate * clip(grad_phi L(phi)), and theta moves by the gradient of the judged loss through
these steps. What comes back through a step to phi and theta is the derivative of their gradients of L along one
direction v per task: a forward pass of tangents and a backward pass of two streams (Pearlmutter, "Fast Exact
Multiplication by the Hessian", 1994). Autograd gets the same numbers, up to rounding, in a fifth more time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.model_based.context_model import BOUND_WEIGHT, ContextModel
from algorithms.kit.networks import Parameters
from algorithms.kit.perceptron import product, ready
from algorithms.kit.replay import Transitions

rectifier_gradient = torch.ops.aten.leaky_relu_backward


class MetaGradient(NamedTuple):
    """What a meta-step needs."""

    likelihood: Tensor  # mean over tasks of the judged loss, without the bound term
    contexts: Tensor  # adapted, (task, context)
    theta: Parameters  # gradients of the likelihood and the bound term
    initial: Tensor  # gradient of the contexts that were started from, (task, context)


class Outcome(NamedTuple):
    """The loss of outputs, each (1, row, target) unless said otherwise, and what its derivatives read."""

    losses: Tensor  # per task, (task,)
    error: Tensor  # mean - target
    inverse: Tensor  # 1 / variance
    of_log_variance: Tensor
    upper: Tensor  # sigmoid of (max - raw)
    lower: Tensor  # sigmoid of (bounded from above - min)
    weight: Tensor  # of each target in the loss of a row, over the number of rows, (target,)


class Step(NamedTuple):
    """An evaluation of the loss: what layers read, and gradients before each layer's activation, first layer first."""

    read: list[Tensor]
    gradients: list[Tensor]
    outcome: Outcome
    of_context: Tensor  # (task, context)


class _Data(NamedTuple):
    """Transitions of all tasks as one batch: inputs, targets, and what the first layer makes of them, (1, row, ...)."""

    inputs: Tensor
    targets: Tensor
    first: Tensor


class MetaStep:
    """The functions of one meta-step, which share the weights; nothing of it is recorded by autograd."""

    def __init__(self, model: ContextModel, theta: Parameters, tasks: int, rows: int) -> None:
        self.model, self.tasks, self.rows = model, tasks, rows
        self.high, self.low = theta[-2].detach(), theta[-1].detach()
        (self.layers,) = ready([parameter.detach() for parameter in theta[:-2]], model.precision, tasks * rows)
        self.of_context = self.layers[0].weight[0, model.input_dim :]  # (context, hidden)
        self.gradients = [torch.zeros_like(parameter) for parameter in theta]

    def data(self, batch: Transitions) -> _Data:
        """The batch (task, row, ...) and what does not depend on phi."""
        inputs, targets = (held.flatten(0, 1)[None] for held in (self.model.inputs(batch), self.model.targets(batch)))
        weight = self.layers[0].weight[:, : self.model.input_dim]
        return _Data(inputs, targets, torch.baddbmm(self.layers[0].bias, inputs, weight))

    def evaluate(self, data: _Data, contexts: Tensor) -> Step:
        """Losses at `contexts` (task, context), and their gradients."""
        outputs, read = self._forward(data.first, contexts)
        outcome = self._outcome(outputs, data.targets)
        gradients = self._backward(self._of_outputs(outcome), read)
        return Step(read, gradients, outcome, self._per_task(gradients[0]) @ self.of_context.T)

    def accumulate(self, data: _Data, contexts: Tensor, step: Step, scale: float) -> None:
        """Add `scale` times theta's gradient of the sum of a step's losses."""
        for index, gradient in enumerate(step.gradients[1:], start=1):
            self._add(index, step.read[index - 1], gradient, scale)
            self.gradients[2 * index + 1].add_(gradient.sum(1, keepdim=True, dtype=data.first.dtype), alpha=scale)
        self._first_layer(data, contexts, step.gradients[0], scale)
        of, upper, lower = step.outcome.of_log_variance, step.outcome.upper, step.outcome.lower
        self.gradients[-2].add_((of * lower * (1 - upper)).sum(1, keepdim=True), alpha=scale)
        self.gradients[-1].add_((of * (1 - lower)).sum(1, keepdim=True), alpha=scale)

    def accumulate_along(self, data: _Data, contexts: Tensor, step: Step, direction: Tensor) -> Tensor:
        """Add theta's gradient of direction . grad_phi L, summed over tasks; return that of phi, (task, context)."""
        tangents, hidden = self._tangents(step.read, direction)
        of_outputs, of_high, of_low = self._outcome_along(step.outcome, tangents)
        along = self._backward(of_outputs, step.read)
        for index in range(1, len(self.layers)):
            self._add(index, hidden[index - 1], step.gradients[index], 1.0)
            self._add(index, step.read[index - 1], along[index], 1.0)
            self.gradients[2 * index + 1].add_(along[index].sum(1, keepdim=True, dtype=data.first.dtype))
        self._first_layer(data, contexts, along[0], 1.0)
        of_context = self.gradients[0][0, self.model.input_dim :]
        of_context.add_(direction.T @ self._per_task(step.gradients[0]))
        self.gradients[-2].add_(of_high)
        self.gradients[-1].add_(of_low)
        return self._per_task(along[0]) @ self.of_context.T

    # Passes ----------------------------------------------------------------------------------------------------

    def _forward(self, first: Tensor, contexts: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs (1, row, out), and what the layers after the first read."""
        slope, read = self.model.negative_slope, []
        values = (first.view(self.tasks, self.rows, -1) + (contexts @ self.of_context).unsqueeze(1)).view(first.shape)
        for layer in self.layers[1:]:
            hidden = functional.leaky_relu_(values.to(layer.weight.dtype), slope)
            read.append(hidden)
            values = torch.baddbmm(layer.bias, hidden, layer.weight) if layer is not self.layers[-1] else hidden
        return product(read[-1], self.layers[-1].weight).contiguous().add_(self.layers[-1].bias), read

    def _backward(self, gradient: Tensor, read: list[Tensor]) -> list[Tensor]:
        """Gradients before each layer's activation, from that of the outputs."""
        gradients = [gradient]
        for index in range(len(self.layers) - 1, 0, -1):
            before = torch.bmm(gradients[-1], self.layers[index].transposed)
            before = rectifier_gradient(before, read[index - 1], self.model.negative_slope, True)
            gradients.append(before.to(self.layers[index - 1].weight.dtype))
        return gradients[::-1]

    def _tangents(self, read: list[Tensor], direction: Tensor) -> tuple[Tensor, list[Tensor]]:
        """How outputs, and what layers read, change along a `direction` (task, context) of phi."""
        shift, hidden = direction @ self.of_context, []
        values = shift.unsqueeze(1).expand(-1, self.rows, -1).reshape(1, self.tasks * self.rows, -1)
        for layer, activations in zip(self.layers[1:], read):
            hidden.append(
                rectifier_gradient(values.to(layer.weight.dtype), activations, self.model.negative_slope, True)
            )
            values = product(hidden[-1], layer.weight)
        return values.contiguous(), hidden

    # The loss --------------------------------------------------------------------------------------------------

    def _outcome(self, outputs: Tensor, targets: Tensor) -> Outcome:
        """`ContextModel.likelihood_losses` of outputs (1, row, 2 * target)."""
        mean, raw = outputs.chunk(2, dim=-1)
        upper = self.high - raw
        bounded = self.high - functional.softplus(upper)
        lower = bounded - self.low
        log_variance = self.low + functional.softplus(lower)
        weight = targets.new_full((targets.shape[2],), 1 / self.rows)
        weight[1:] /= max(targets.shape[2] - 1, 1)
        error, inverse = mean - targets, torch.exp(-log_variance)
        squares = error.square() * inverse
        losses = ((squares + log_variance) * weight).view(self.tasks, -1).sum(1)
        return Outcome(losses, error, inverse, (1 - squares) * weight, upper.sigmoid_(), lower.sigmoid_(), weight)

    @staticmethod
    def _of_outputs(outcome: Outcome) -> Tensor:
        """The gradient of the outputs (1, row, 2 * target) of the sum of losses."""
        of_mean = 2 * outcome.error * outcome.inverse * outcome.weight
        return torch.cat([of_mean, outcome.of_log_variance * outcome.upper * outcome.lower], dim=-1)

    @staticmethod
    def _outcome_along(outcome: Outcome, tangents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How the gradients of outputs, upper and lower bounds change where outputs change by `tangents`."""
        _, error, inverse, of_log_variance, upper, lower, weight = outcome
        of_mean, of_raw = tangents.chunk(2, dim=-1)
        slope = upper * lower
        of_variance = slope * of_raw
        scaled = inverse * weight
        mean_along = 2 * scaled * (of_mean - error * of_variance)
        variance_along = scaled * error * (error * of_variance - 2 * of_mean)
        upper_along = -upper * (1 - upper) * of_raw
        lower_along = lower * (1 - lower) * upper * of_raw
        raw_along = variance_along * slope + of_log_variance * (upper_along * lower + upper * lower_along)
        of_high = variance_along * lower * (1 - upper)
        of_high += of_log_variance * (lower_along * (1 - upper) - lower * upper_along)
        of_low = variance_along * (1 - lower) - of_log_variance * lower_along
        of_outputs = torch.cat([mean_along, raw_along], dim=-1)
        return of_outputs, of_high.sum(1, keepdim=True), of_low.sum(1, keepdim=True)

    # Sums ------------------------------------------------------------------------------------------------------

    def _per_task(self, gradient: Tensor) -> Tensor:
        """Sums over the rows of each task, (task, hidden)."""
        return gradient.view(self.tasks, self.rows, -1).sum(1)

    def _add(self, index: int, read: Tensor, gradient: Tensor, scale: float) -> None:
        """Add to the gradient of a layer's weight that of a product."""
        self.gradients[2 * index].add_(product(read.transpose(1, 2), gradient), alpha=scale)

    def _first_layer(self, data: _Data, contexts: Tensor, gradient: Tensor, scale: float) -> None:
        own = torch.cat([product(data.inputs.transpose(1, 2), gradient)[0], contexts.T @ self._per_task(gradient)])
        self.gradients[0].add_(own, alpha=scale)
        self.gradients[1].add_(gradient.sum(1, keepdim=True), alpha=scale)


@torch.no_grad()
def meta_gradient(
    model: ContextModel, theta: Parameters, contexts: Tensor, adapt: Transitions, judge: Transitions,
    rates: Sequence[float], clip: float,
) -> MetaGradient:  # fmt: skip
    """Gradients of the mean over tasks of the loss on `judge` after a step on `adapt` per rate, plus the bound term.

    theta: shared by all tasks, an ensemble of one; contexts: where they start, (task, context); data: (task, row, ...).
    """
    tasks, rows = adapt.rewards.shape
    meta = MetaStep(model, theta, tasks, rows)
    fitted, steps, starts = meta.data(adapt), [], []
    for rate in rates:
        steps.append(meta.evaluate(fitted, contexts))
        starts.append(contexts)
        contexts = contexts - rate * _scale(steps[-1].of_context, clip) * steps[-1].of_context
    judged = MetaStep(model, theta, tasks, judge.rewards.shape[1]) if judge.rewards.shape[1] != rows else meta
    judged.gradients = meta.gradients
    final_data = judged.data(judge)
    final = judged.evaluate(final_data, contexts)
    judged.accumulate(final_data, contexts, final, 1 / tasks)
    carried = final.of_context / tasks
    for rate, start, step in zip(rates[::-1], starts[::-1], steps[::-1]):
        direction = -rate * _clip_gradient(step.of_context, clip, carried)
        carried = carried + meta.accumulate_along(fitted, start, step, direction)
    meta.gradients[-2] += BOUND_WEIGHT
    meta.gradients[-1] -= BOUND_WEIGHT
    return MetaGradient(final.outcome.losses.mean(), contexts, meta.gradients, carried)


def _scale(gradient: Tensor, limit: float) -> Tensor:
    """What `context_model.clipped` multiplies each task's gradient by, (task, 1)."""
    return (limit / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)


def _clip_gradient(gradient: Tensor, limit: float, carried: Tensor) -> Tensor:
    """The gradient before `clipped`, from the one after it: where it cuts, only across the gradient's direction."""
    scale = _scale(gradient, limit)
    unit = functional.normalize(gradient, dim=1, eps=1e-12)
    across = carried - unit * (unit * carried).sum(1, keepdim=True)
    return torch.where(scale < 1, scale * across, carried)
