"""The tanh-squashed Gaussian policy of soft actor-critic (Haarnoja et al. 2018, appendix C)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.networks import Parameters, mlp

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


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
