"""How sure we are: 95 % intervals with the seed as the unit of replication.

Episodes and tasks of one seed share one meta-training and are no replications of it: treating them as such makes
intervals several times too narrow. So every function here takes one number per seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95

ENOUGH_SEEDS = 5
"""Below this, an interval is printed with a caution."""


class Estimate(NamedTuple):
    """A mean over `n` seeds and the ends of its interval; NaN where there is none (n < 2), or no number (n = 0)."""

    mean: float
    low: float
    high: float
    n: int


def student_t(values: np.ndarray, level: float = LEVEL) -> Estimate:
    """The mean of per-seed values with Student's t interval (Student, 1908); values that are not finite are left out.

    Args:
        values: One number per seed, (seed,).
        level: Coverage of the interval.
    """
    kept = np.asarray(values, dtype=float)
    kept = np.sort(kept[np.isfinite(kept)])
    n = len(kept)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    mean = float(np.mean(kept))
    if n == 1:
        return Estimate(mean, np.nan, np.nan, 1)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1) * np.std(kept, ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate:
    """The mean of a - b over the seeds that both have; for results that share one meta-training per seed."""
    return student_t(np.array([a[seed] - b[seed] for seed in sorted(set(a) & set(b))]))


def welch_difference(a: np.ndarray, b: np.ndarray, level: float = LEVEL) -> Estimate:
    """The difference of two means over independent seeds, with Welch's interval (Welch, 1947).

    `n` is the smaller of the two numbers of seeds; there is no interval where it is below 2.

    Args:
        a: One number per seed of the first variant, (seed,).
        b: One number per seed of the second variant, (seed,).
        level: Coverage of the interval.
    """
    first, second = (np.asarray(v, dtype=float)[np.isfinite(np.asarray(v, dtype=float))] for v in (a, b))
    n = min(len(first), len(second))
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    mean = float(np.mean(first) - np.mean(second))
    if n == 1:
        return Estimate(mean, np.nan, np.nan, 1)
    parts = [np.var(values, ddof=1) / len(values) for values in (first, second)]
    total = float(sum(parts))
    if total == 0:
        return Estimate(mean, mean, mean, n)
    freedom = total**2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (first, second)))
    half = float(stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(total))
    return Estimate(mean, mean - half, mean + half, n)


def estimates(frame: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """One row per group with columns mean, low, high, n: Student's t over the group's seeds.

    Args:
        frame: One row per seed and group.
        by: The columns that make a group.
        column: The per-seed number.
    """
    rows = [(*group, *student_t(part[column].to_numpy())) for group, part in frame.groupby(by, sort=True)]
    return pd.DataFrame(rows, columns=[*by, *Estimate._fields]).astype({"n": int})


def caution(smallest_n: int) -> str:
    """What a reader must know about intervals over so few seeds; empty from `ENOUGH_SEEDS` on."""
    if smallest_n >= ENOUGH_SEEDS:
        return ""
    if smallest_n <= 1:
        return (
            "With one seed there is no interval, and no statement about whether a difference would repeat: "
            "episodes and tasks of one seed are no replications of its meta-training."
        )
    return (
        f"With fewer than {ENOUGH_SEEDS} seeds the intervals are rough: they lean on the assumption that seeds "
        "scatter normally, which so few cannot show."
    )
