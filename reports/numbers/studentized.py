"""Tukey's studentized range: how far apart the highest and the lowest of several means lie that are alike."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special  # `scipy.stats` has it too, and takes a second to import and a tenth of one for each quantile

NORMAL = np.linspace(-8, 8, 321)
RANGES = np.linspace(0, 20, 801)
"""Of so many standard normal numbers: none exceeds the last of them in a billion draws."""

TAILS = (np.arange(4000) + 0.5) / 4000
"""Of the standard deviation that is divided by, in equal shares."""


@lru_cache(maxsize=1024)
def quantile(number: int, freedom: int, level: float) -> float:
    """What the range of `number` normal means stays below in a share `level`, in standard errors of one mean.

    Args:
        number: Means that are compared.
        freedom: Degrees of freedom of the standard error.
        level: The share.
    """
    shares = _shares(number)
    deviations = np.sqrt(special.chdtri(freedom, TAILS) / freedom)
    low, high = 0.0, 1e4
    for _ in range(50):
        middle = (low + high) / 2
        is_below = np.interp(middle * deviations, RANGES, shares).mean() < level
        low, high = (middle, high) if is_below else (low, middle)
    return high


@lru_cache(maxsize=64)
def _shares(number: int) -> np.ndarray:
    """How often the range of so many standard normal numbers is below each of `RANGES`."""
    between = (special.ndtr(NORMAL) - special.ndtr(NORMAL - RANGES[:, None])) ** (number - 1)
    density = np.exp(-(NORMAL**2) / 2) / np.sqrt(2 * np.pi)
    shares: np.ndarray = number * (between @ density) * (NORMAL[1] - NORMAL[0])
    return shares
