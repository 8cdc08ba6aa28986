"""95 % intervals with the seed as the unit of replication.

Episodes and tasks of one seed share one meta-training and are no replications of it: treating them as such makes
intervals several times too narrow. So every function here takes one number per seed, or draws whole seeds.

Below `BOOTSTRAP_FROM` seeds a mean has Student's interval, which is right for so few where they scatter normally; from
there on whole seeds are drawn with replacement. Differences have Student's (paired) or Welch's at every number. What is
no mean of per-seed numbers has an interval of its own: IQM and median in `aggregates`, shares of wins in `improvement`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special  # `scipy.stats` has the same functions and takes a second to import

from reports.numbers import studentized

LEVEL = 0.95

ENOUGH_SEEDS = 5
"""Below this, an interval is printed with a caution."""

BOOTSTRAP_FROM = 20
"""From this many seeds on, the interval of a statistic is a bootstrap's; that of a difference never is."""

RESAMPLES = 10_000

ROUNDING = 1e-9
"""What is smaller is no scatter of seeds."""

SEED = 20_201_006
"""Of the bootstrap's own generator, the same for every interval: no number depends on what else is in a report."""

STUDENT = "Student's t over seeds"
PAIRED = "Student's t over the differences of shared meta-trainings"
WELCH = "Welch's t, meta-trainings independent"
COMBINED = "Student's t over seeds, splits combined (Satterthwaite)"
JACKKNIFE = "jackknife over seeds with Student's t"
WILSON = "Wilson's, the seeds as the effective number"
BOOTSTRAP = f"bootstrap over seeds, stratified by split ({RESAMPLES:,} resamples, expanded percentiles)"


class Estimate(NamedTuple):
    """A number over `n` seeds and the ends of its interval, made by `method`.

    Ends are NaN and the method is empty where there is no interval: with one seed, and where no seed changes the
    number; it is NaN where n = 0.
    """

    mean: float
    low: float
    high: float
    n: int
    method: str = ""


NO_ESTIMATE = Estimate(np.nan, np.nan, np.nan, 0)


@lru_cache(maxsize=4096)
def _t_quantile(freedom: float, level: float = LEVEL) -> float:
    """The upper end of the middle share `level` of Student's t."""
    return float(special.stdtrit(freedom, 0.5 + level / 2))


class Rivals(NamedTuple):
    """The variants that a best is picked from: how many, and how many pairs of them share meta-trainings."""

    number: int = 2
    sharing: int = 0


TWO = Rivals()


def rivals(trainings: Iterable[Iterable[str]]) -> Rivals:
    """The rivals whose meta-trainings these are, by their hashes."""
    sets = [set(part) for part in trainings]
    return Rivals(len(sets), sum(not one.isdisjoint(other) for one, other in combinations(sets, 2)))


def critical(freedom: float, among: Rivals = TWO, shared: bool = False) -> float:
    """How many standard errors from zero a difference of means is shown, where one of them was picked as the best.

    Of two that is Student's t. Of more it is the studentized range's (Games and Howell, 1976), which holds for all
    pairs, and so whichever is the best. It takes their means to be independent: with the same meta-trainings and few
    seeds it fails (18 % false differences among eight at 2), so all pairs that share some hold together by themselves
    too (Bonferroni).

    Args:
        freedom: Degrees of freedom of the standard error.
        among: What the best is picked from.
        shared: Whether the two share meta-trainings.
    """
    if among.number <= 2:
        return _t_quantile(freedom)
    of_all = studentized.quantile(among.number, int(freedom + ROUNDING), LEVEL) / 2**0.5
    return max(of_all, _t_quantile(freedom, 1 - (1 - LEVEL) / among.sharing)) if shared else of_all


def satterthwaite(
    number: float,
    variances: Sequence[float],
    freedoms: Sequence[int],
    n: int,
    method: str,
    among: Rivals = TWO,
    shared: bool = False,
) -> Estimate:
    """A number whose variance is a sum of independent parts, with Student's interval (Satterthwaite, 1946).

    There is none where the seeds show no variance: those to come may differ where these are all at a ceiling.

    Args:
        number: The estimate.
        variances: The estimated variance that each stratum of seeds adds, (stratum,).
        freedoms: Degrees of freedom of each of them, (stratum,); there is no interval where one has none.
        n: Seeds.
        method: What the estimate calls its interval.
        among: Of a difference from the best, the variants that it was picked from (`critical`).
        shared: Of a difference, whether the two share meta-trainings.
    """
    total = sum(variances)
    if n < 2 or min(freedoms) < 1 or not total > ROUNDING**2:
        return Estimate(number, np.nan, np.nan, n)
    freedom = total**2 / sum(part**2 / count for part, count in zip(variances, freedoms))
    half = critical(freedom, among, shared) * float(np.sqrt(total))
    return Estimate(number, number - half, number + half, n, method)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Both ends of the interval of a share over `n` independent units (Wilson, 1927); never of zero width."""
    square = special.ndtri(0.5 + LEVEL / 2) ** 2 / n
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def student_t(values: np.ndarray) -> Estimate:
    """The mean of per-seed values, (seed,), with Student's t interval; values that are not finite are left out."""
    finite = _finite(values)
    return _combined(finite[:, None], (1.0,), STUDENT) if len(finite) else NO_ESTIMATE


def mean_over_seeds(values: np.ndarray) -> Estimate:
    """The mean of per-seed values, (seed,), with the interval that suits their number."""
    finite = _finite(values)
    if len(finite) < BOOTSTRAP_FROM:
        return student_t(finite)
    drawn = resamples((len(finite),))
    return bootstrapped(float(np.mean(finite)), drawn.spread(drawn.draws @ finite / len(finite)), drawn.sizes)


def difference(a: Mapping[Any, float], b: Mapping[Any, float], among: Rivals = TWO) -> Estimate:
    """The mean of a minus that of b, with Welch's interval (1947); paired where they share a meta-training.

    `n` is the smaller of the two numbers of seeds; there is no interval where it is below 2.

    Args:
        a: The result of each meta-training of the first variant, by its hash; those not finite are left out.
        b: The same of the second.
        among: The variants that the first or the second was picked from as the best (`critical`).
    """
    trainings = sorted(a.keys() | b.keys())
    values = np.array([[of.get(training, np.nan) for of in (a, b)] for training in trainings], dtype=float)
    finite = np.isfinite(values.reshape(-1, 2))
    if not finite.any(axis=0).all():
        return NO_ESTIMATE
    shared = bool(finite.all(axis=1).any())
    return _combined(np.where(finite, values, np.nan), (1.0, -1.0), PAIRED if shared else WELCH, among, shared)


def _combined(
    values: np.ndarray, weights: Sequence[float], method: str, among: Rivals = TWO, shared: bool = False
) -> Estimate:
    """A weighted sum of means over seeds: a mean (Student, 1908), or a difference, paired where `shared`.

    Args:
        values: (seed, column), NaN where a seed has no value in a column; each column has some.
        weights: Of the columns' means, (column,).
        method: What the estimate calls its interval.
        among: As in `critical`.
        shared: Whether the columns have seeds in common; else they are independent.
    """
    finite = np.isfinite(values)
    counts = finite.sum(axis=0)
    means = np.array([np.sort(column[mask]).mean() for column, mask in zip(values.T, finite.T)])
    # What each seed adds to the deviation of the sum from its expectation, so that squares add up to the variance.
    pulls = np.where(finite, values - means, 0.0) / np.sqrt(counts * np.maximum(counts - 1, 1)) * np.asarray(weights)
    strata = pulls.sum(axis=1, keepdims=True) if shared else pulls
    variances = np.sort(strata**2, axis=0).sum(axis=0).tolist()
    n = int(counts.min())
    freedoms = [n - 1] if shared else (counts - 1).tolist()
    return satterthwaite(float(means @ np.asarray(weights)), variances, freedoms, n, method, among, shared)


def shows_difference(estimate: Estimate) -> bool:
    """Whether the interval of a difference excludes zero; False without an interval."""
    return estimate.low > 0 or estimate.high < 0


class Resamples(NamedTuple):
    """Draws of whole seeds with replacement, within strata of `sizes`.

    `draws` holds how often each seed occurs, (distinct draw, seed); few seeds have few distinct draws, so what is
    computed once per distinct draw is spread over all `RESAMPLES` by `which`, (resample,).
    """

    sizes: tuple[int, ...]
    draws: np.ndarray
    which: np.ndarray

    def spread(self, numbers: np.ndarray) -> np.ndarray:
        """One number per resample from one per distinct draw (first axis)."""
        return numbers[self.which]


@lru_cache(maxsize=32)
def resamples(sizes: tuple[int, ...]) -> Resamples:
    """The draws for strata of these numbers of seeds: the same ones whenever the sizes are the same.

    Counts weigh a statistic's items, which takes unequal seeds and tasks as they come; `scipy.stats.bootstrap`, which
    gathers values instead, needs them equal and is as fast (the tests hold one against the other).
    """
    generator = np.random.default_rng(SEED)
    counts = [generator.multinomial(size, np.full(size, 1 / size), RESAMPLES) for size in sizes]
    draws, which = np.unique(np.concatenate(counts, axis=1), axis=0, return_inverse=True)
    return Resamples(sizes, draws.astype(float), which.reshape(-1))


def bootstrapped(number: float, distribution: np.ndarray, sizes: tuple[int, ...]) -> Estimate:
    """A statistic of the data with the interval of its bootstrap distribution; `n` is the smallest stratum.

    There is none where the statistic is the same in every draw, as in `satterthwaite`.

    Args:
        number: The statistic of the data.
        distribution: The statistic of each resample, (resample,).
        sizes: Seeds per stratum.
    """
    low, high = percentiles(distribution, sizes)
    if not high - low > ROUNDING:
        return Estimate(number, np.nan, np.nan, min(sizes))
    return Estimate(number, float(low), float(high), min(sizes), BOOTSTRAP)


def percentiles(distribution: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the interval that a bootstrap distribution gives; NaN where a stratum has one seed.

    The percentiles are expanded (Hesterberg, 2015, The American Statistician 69:371): so far out that for a mean of
    normal values the interval is as wide as Student's; plain percentiles cover 93 % rather than 95 % at 20 seeds, and
    84 % at 5. Below `BOOTSTRAP_FROM` seeds they reach the most extreme draw and are not used.

    Args:
        distribution: A statistic of each resample, (resample, ...); resamples with a NaN are left out.
        sizes: Seeds per stratum.
    """
    finite = distribution[np.isfinite(distribution).reshape(len(distribution), -1).all(axis=1)]
    if min(sizes) < 2 or len(finite) == 0:
        none = np.full(distribution.shape[1:], np.nan)
        return none, none
    tail = expanded_tail(sizes)
    low, high = np.quantile(finite, [tail, 1 - tail], axis=0)
    return low, high


@lru_cache(maxsize=256)
def expanded_tail(sizes: tuple[int, ...]) -> float:
    """The share of the bootstrap distribution beyond each end of an interval."""
    n, freedom = min(sizes), sum(sizes) - len(sizes)
    return float(special.ndtr(-np.sqrt(n / (n - 1)) * _t_quantile(freedom)))


def estimates(frame: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """One row per group with the fields of `Estimate`: the mean over the group's seeds.

    Args:
        frame: One row per seed and group.
        by: The columns that make a group.
        column: The per-seed number.
    """
    numbers = frame.groupby(by, sort=True).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    order = order[numbers[order] >= 0]  # a group whose key is not a number is none
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    parts = np.split(frame[column].to_numpy()[order], starts[1:]) if len(order) else []
    means = pd.DataFrame([mean_over_seeds(part) for part in parts], columns=Estimate._fields).astype({"n": int})
    return pd.concat([frame[by].iloc[order[starts]].reset_index(drop=True), means], axis=1)


def caution(numbers: Iterable[int], normal: bool = True) -> str:
    """What a reader must know about results over so many seeds each; empty where all have `ENOUGH_SEEDS`.

    Args:
        numbers: Seeds.
        normal: Whether their intervals take seeds to scatter normally, which Wilson's do not.
    """
    counts = set(numbers)
    one = (
        "With one seed there is no interval, and no statement about whether a difference would repeat: "
        "episodes and tasks of one seed are no replications of its meta-training."
    )
    leaning = ", and lean on the assumption that seeds scatter normally, which so few cannot show" if normal else ""
    few = f"With fewer than {ENOUGH_SEEDS} seeds the intervals are wide{leaning}."
    is_few = any(1 < n < ENOUGH_SEEDS for n in counts)
    return " ".join(sentence for sentence, applies in ((one, 1 in counts), (few, is_few)) if applies)


def _finite(values: np.ndarray) -> np.ndarray:
    """The values that are numbers, in ascending order: sums must not depend on the order of seeds."""
    numbers = np.asarray(values, dtype=float)
    return np.sort(numbers[np.isfinite(numbers)])
