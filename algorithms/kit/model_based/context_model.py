"""MIER's model p(r, s' | s, a; theta, phi): a probabilistic network conditioned on a context variable phi.

Targets are the reward first, then the change of the observation (Mendonca et al. 2020, section 4; the loss and the
bounds on the log variance follow the released code, described in the specification's section 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.networks import Parameters, Precision, adam, as_leaves, frozen, glorot_uniform, mlp_from_first, step
from algorithms.kit.replay import Transitions

BOUND_WEIGHT = 0.01  # weight of the regulariser that keeps the variance bounds tight
INITIAL_MAX_LOG_VARIANCE, INITIAL_MIN_LOG_VARIANCE = 0.5, -10.0


class ContextModel:
    """Architecture and losses of the model; the parameters are passed in, so that they can be adapted per task.

    Parameters are a flat list: the network's weights and biases, then `max_log_variance` and `min_log_variance`,
    each (ensemble, 1, target). With an ensemble of one all tasks share the parameters; with an ensemble over tasks
    every task has its own.
    """

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        context_dim: int,
        hidden: tuple[int, ...],
        *,
        predicts_dynamics: bool,
        negative_slope: float,
        precision: Precision,
    ) -> None:
        self.input_dim = observation_dim + action_dim
        self.context_dim = context_dim
        self.hidden = hidden
        self.predicts_dynamics = predicts_dynamics
        self.target_dim = 1 + observation_dim if predicts_dynamics else 1
        self.negative_slope = negative_slope
        self.precision = precision

    def initial(self, generator: torch.Generator) -> Parameters:
        """Fresh parameters (ensemble of one)."""
        network = glorot_uniform([self.input_dim + self.context_dim, *self.hidden, 2 * self.target_dim], generator)
        bound = torch.ones((1, 1, self.target_dim), device=generator.device)
        return [*network, bound * INITIAL_MAX_LOG_VARIANCE, bound * INITIAL_MIN_LOG_VARIANCE]

    def inputs(self, batch: Transitions) -> Tensor:
        """State and action joined, (task, row, input)."""
        return torch.cat([batch.observations, batch.actions], dim=-1)

    def targets(self, batch: Transitions) -> Tensor:
        """What is to be predicted, (task, row, target): the reward, then (if modelled) s' - s."""
        rewards = batch.rewards.unsqueeze(-1)
        if not self.predicts_dynamics:
            return rewards
        return torch.cat([rewards, batch.next_observations - batch.observations], dim=-1)

    def first_layer(self, parameters: Parameters, inputs: Tensor) -> Tensor:
        """The context-free part of the first layer, (task, row, hidden): computed once per batch of data, however
        often phi changes.
        """  # noqa: D205
        weight = parameters[0][:, : self.input_dim]
        return _per_task(inputs, weight) + parameters[1]

    def predict(self, parameters: Parameters, first: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (task, row, target), for phi = `context` (task, context)."""
        num_tasks, rows, _ = first.shape
        shift = _per_task(context.unsqueeze(1), parameters[0][:, self.input_dim :])
        outputs = self._shape_for(parameters, first + shift, rows)
        outputs = mlp_from_first(parameters[:-2], outputs, self.precision, self.negative_slope)
        mean, raw = outputs.reshape(num_tasks, rows, -1).chunk(2, dim=-1)
        high, low = parameters[-2], parameters[-1]
        log_variance = high - functional.softplus(high - raw)
        return mean, low + functional.softplus(log_variance - low)

    def likelihood_losses(self, parameters: Parameters, first: Tensor, context: Tensor, targets: Tensor) -> Tensor:
        """Twice the Gaussian negative log likelihood without constants, per task, (task,).

        The reward's term plus the mean over observation dimensions: the reward weighs as much as the whole state.
        It has no regulariser in it, and says how well data are explained; `bound_term` makes it the authors' total.
        """
        mean, log_variance = self.predict(parameters, first, context)
        terms = ((mean - targets).square() * torch.exp(-log_variance) + log_variance).mean(1)
        return terms[:, 0] + terms[:, 1:].mean(1) if self.predicts_dynamics else terms[:, 0]

    def losses_on(self, parameters: Parameters, batch: Transitions, context: Tensor) -> Tensor:
        """`likelihood_losses` of transitions (task, row, ...), for one phi each, (task,)."""
        first = self.first_layer(parameters, self.inputs(batch))
        return self.likelihood_losses(parameters, first, context, self.targets(batch))

    def bound_term(self, parameters: Parameters) -> Tensor:
        """The regulariser on the variance bounds, (ensemble,); it drifts without limit and says nothing of fit."""
        return BOUND_WEIGHT * (parameters[-2] - parameters[-1]).sum((1, 2))

    def sample(self, parameters: Parameters, batch: Transitions, context: Tensor, noise: Tensor) -> Tensor:
        """Draws (task, row, target) from the predicted Gaussian, for standard normal `noise` of that shape."""
        first = self.first_layer(parameters, self.inputs(batch))
        mean, log_variance = self.predict(parameters, first, context)
        return mean + torch.exp(0.5 * log_variance) * noise

    @staticmethod
    def _shape_for(parameters: Parameters, first: Tensor, rows: int) -> Tensor:
        """(task, row, hidden) as the ensemble wants it: one long batch where all tasks share the parameters."""
        return first.reshape(len(parameters[0]), -1, first.shape[-1]) if len(parameters[0]) != len(first) else first


def _per_task(inputs: Tensor, weight: Tensor) -> Tensor:
    """inputs (task, row, in) times weight (1 or task, in, out)."""
    return torch.matmul(inputs, weight)


def clipped(gradient: Tensor, limit: float) -> Tensor:
    """Rows of `gradient` (task, ...) scaled down to norm `limit` where they are longer; differentiable."""
    norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    scale = (limit / norm).clamp_max(1.0)
    return gradient * scale.reshape(-1, *[1] * (gradient.dim() - 1))


def clipped_gradients(gradients: Sequence[Tensor], others: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Gradients of a model's parameters and of other variables, scaled down as the released code does it.

    The network's are clipped as one vector, and the bounds on the log variance as four, the upper one of the reward and
    of the state and the lower one of each; each of the others by itself.
    """
    network = gradients[:-2]
    norm = torch.cat([gradient.flatten() for gradient in network]).norm().clamp_min(1e-12)
    scale = (limit / norm).clamp_max(1.0)
    bounds = [
        torch.cat([clipped(bound[..., :1], limit), clipped(bound[..., 1:], limit)], -1) for bound in gradients[-2:]
    ]
    return [*(gradient * scale for gradient in network), *bounds, *(clipped(gradient, limit) for gradient in others)]


def context_step(
    model: ContextModel,
    parameters: Parameters,
    context: Tensor,
    first: Tensor,
    targets: Tensor,
    *,
    learning_rate: float,
    clip: float,
    differentiable: bool,
) -> Tensor:
    """phi after one inner step, phi - lr * clip(grad_phi L(phi)), (task, context) (Algorithm 1 of the paper).

    With `differentiable` the result keeps its graph, for the exact second-order meta-gradient.
    """
    if not context.requires_grad:
        context = context.detach().requires_grad_(True)
    losses = model.likelihood_losses(parameters, first, context, targets)
    (gradient,) = torch.autograd.grad(losses.sum(), context, create_graph=differentiable)
    adapted = context - learning_rate * clipped(gradient, clip)
    return adapted if differentiable else adapted.detach()


def adapt_context(
    model: ContextModel,
    parameters: Parameters,
    context: Tensor,
    data: Transitions,
    learning_rates: Sequence[float],
    *,
    clip: float,
    differentiable: bool = False,
) -> Tensor:
    """Phi (task, context) after one full-batch inner step per learning rate on `data`, fields (task, row, ...)."""
    first, targets = model.first_layer(parameters, model.inputs(data)), model.targets(data)
    for rate in learning_rates:
        context = context_step(
            model, parameters, context, first, targets, learning_rate=rate, clip=clip, differentiable=differentiable
        )
    return context


def adapt_model(
    model: ContextModel, parameters: Parameters, context: Tensor, data: Transitions, *, steps: int, learning_rate: float
) -> Parameters:
    """One model per task after full-batch Adam steps on all its parameters, bounds included, phi fixed.

    parameters: an ensemble over tasks, left as it is; context: (task, context); data: fields (task, row, ...).
    """
    adapted = as_leaves(parameters)
    optimiser = adam(adapted, learning_rate)
    inputs, targets = model.inputs(data), model.targets(data)
    for _ in range(steps):
        losses = model.likelihood_losses(adapted, model.first_layer(adapted, inputs), context, targets)
        step(optimiser, adapted, (losses + model.bound_term(adapted)).sum())
    return frozen(adapted)
