"""PEARL's permutation-invariant posterior over a latent embedding (Rakelly et al. 2019, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MIN_VARIANCE = 1e-7


def gaussian_factors(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Means and variances (..., latent) of per-transition factors from encoder outputs (..., 2 * latent)."""
    mean, raw = outputs.chunk(2, dim=-1)
    return mean, functional.softplus(raw).clamp_min(MIN_VARIANCE)


def product_of_gaussians(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., latent) of the normalised product of factors (..., row, latent).

    1 / S = sum_n 1 / s_n and m = S sum_n m_n / s_n; the prior is not multiplied in.
    """
    variance = 1 / (1 / variances).sum(-2)
    return variance * (means / variances).sum(-2), variance


def kl_to_standard_normal(mean: Tensor, variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, summed over the latent axis: (..., latent) -> (...)."""
    return 0.5 * (variance + mean.square() - 1 - torch.log(variance)).sum(-1)
