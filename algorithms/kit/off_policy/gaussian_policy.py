"""The tanh-squashed Gaussian policy of soft actor-critic (Haarnoja et al. 2018, appendix C)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.networks import Parameters, Precision, mlp

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
LOG_CONSTANT = 0.5 * math.log(2 * math.pi) + 2 * math.log(2)  # what no draw changes of minus a log density


def split_heads(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation, each (..., action), from a network's outputs (..., 2 * action).

    The log standard deviation is clamped to [-20, 2].
    """
    mean, log_std = outputs.chunk(2, dim=-1)
    return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def squashed_sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Reparameterised actions tanh(mean + std * noise), (..., action), and their log densities, (...).

    log det of the squashing is 2 (log 2 - u - softplus(-2u)) per dimension, exact where log(1 - a^2) overflows.
    """
    pre_tanh = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    log_determinant = 2 * (math.log(2) - pre_tanh - functional.softplus(-2 * pre_tanh))
    return torch.tanh(pre_tanh), (gaussian - log_determinant).sum(-1)


class Draw(NamedTuple):
    """Actions drawn from a policy, and what the gradient of the draw reads; each (..., action) but the densities."""

    actions: Tensor
    log_density: Tensor  # (...)
    pre_tanh: Tensor
    log_std: Tensor
    spread: Tensor  # std * noise
    is_unclamped: Tensor  # False where the log standard deviation was clamped


def drawn(outputs: Tensor, noise: Tensor) -> Draw:
    """`squashed_sample` of a network's outputs (..., 2 * action), to be followed by `draw_gradient`."""
    mean, raw = outputs.chunk(2, dim=-1)
    log_std = raw.clamp(LOG_STD_MIN, LOG_STD_MAX)
    spread = log_std.exp().mul_(noise)
    pre_tanh = mean + spread
    terms = functional.softplus(-2 * pre_tanh).add_(pre_tanh).mul_(2).sub_(log_std)
    log_density = terms.addcmul_(noise, noise, value=-0.5).sum(-1).sub_(noise.shape[-1] * LOG_CONSTANT)
    return Draw(torch.tanh(pre_tanh), log_density, pre_tanh, log_std, spread, raw == log_std)


def halves(draw: Draw) -> tuple[Draw, Draw]:
    """The draws of the first and of the second half of the rows, (learner, row, action) each."""
    pairs = [part.chunk(2, dim=1) for part in draw]
    return Draw(*(first for first, _ in pairs)), Draw(*(second for _, second in pairs))


def draw_gradient(draw: Draw, of_actions: Tensor, of_log_density: Tensor, of_pre_tanh: Tensor | None = None) -> Tensor:
    """The gradient of a network's outputs (..., 2 * action), from those of the actions and of the densities (..., 1).

    d log density / d pre-tanh is 2 tanh(pre-tanh), as the noise does not depend on it. of_pre_tanh: what else comes
    back to the pre-tanh values.
    """
    into = torch.addcmul(of_actions, draw.actions, 2 * of_log_density - of_actions * draw.actions)
    if of_pre_tanh is not None:
        into += of_pre_tanh
    of_log_std = (into * draw.spread).sub_(of_log_density).mul_(draw.is_unclamped)
    return torch.cat([into, of_log_std], dim=-1)


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of the shape and device of `like`."""
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


@torch.no_grad()
def act(policy: Parameters, inputs: Tensor, *, explore: bool, generator: torch.Generator) -> np.ndarray:
    """Actions (row, action) float32 of an ensemble of policies for inputs (row, input) in ensemble-major order.

    Always in float32; tanh(mean) unless asked to explore.
    """
    mean, log_std = split_heads(mlp(policy, inputs.unflatten(0, (len(policy[0]), -1))))
    if not explore:
        return torch.tanh(mean).flatten(0, 1).cpu().numpy()
    return squashed_sample(mean, log_std, standard_normal(mean, generator))[0].flatten(0, 1).cpu().numpy()


@torch.no_grad()
def sample_one(
    policies: Parameters, learner: int, inputs: Tensor, precision: Precision, generator: torch.Generator
) -> Tensor:
    """Actions (1, row, action) of one of an ensemble of policies for its inputs (1, row, input)."""
    mean, log_std = split_heads(mlp([parameter[learner : learner + 1] for parameter in policies], inputs, precision))
    return squashed_sample(mean, log_std, standard_normal(mean, generator))[0]
