"""Statistics over many tasks and splits: mean, median, IQM, optimality gap, performance profiles.

As in Agarwal et al., 2021 (Deep RL at the Edge of the Statistical Precipice), with one difference: what is drawn is
a whole meta-training with all its tasks, not each task's runs for themselves, since the tasks of a meta-training rise
and fall together. Meta-trainings are drawn within strata, a stratum being the splits that share them. All splits
weigh the same, and in a split all seeds, and in a seed all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from reports.numbers.intervals import (
    BOOTSTRAP_FROM,
    COMBINED,
    JACKKNIFE,
    STUDENT,
    TWO,
    WILSON,
    Estimate,
    Rivals,
    bootstrapped,
    resamples,
    satterthwaite,
    wilson,
)
from reports.numbers.samples import Sample, effective_seeds, merged, sample_of, weights
from reports.numbers.scores import scored_splits, task_results
from reports.results import Results

KEPT = 8
"""Answers kept for the next caller, who must not change them."""

ALL_SPLITS = "all splits"

TARGET = 1.0
"""The score below which the optimality gap counts what is missing."""

THRESHOLDS = np.linspace(0, 1, 101)
"""Of the profiles: the same whatever was run, so that no variant's profile depends on another."""

AT_ONCE = 250
"""Resamples computed side by side: so many that the arrays stay in the processor's cache."""


Statistic = Callable[[Sample, np.ndarray], np.ndarray]
"""(items, weights (draw, item)) -> one number per draw."""


def mean(sample: Sample, weight: np.ndarray) -> np.ndarray:
    """The mean score."""
    return weight @ sample.scores


def optimality_gap(sample: Sample, weight: np.ndarray) -> np.ndarray:
    """How much of the target is missing on average; what is above the target makes up for nothing below it."""
    return weight @ np.maximum(TARGET - sample.scores, 0)


def median(sample: Sample, weight: np.ndarray) -> np.ndarray:
    """The median over tasks of the mean over seeds."""
    by_task = np.argsort(sample.task, kind="stable")
    starts = np.flatnonzero(np.diff(sample.task[by_task], prepend=-1))
    of_task, total = (np.add.reduceat(part[:, by_task], starts, axis=1) for part in (weight, weight * sample.scores))
    with np.errstate(invalid="ignore"):
        means = np.where(of_task > 0, total / of_task, np.inf)
    order = np.argsort(means, axis=1)
    below = np.cumsum(np.take_along_axis(of_task, order, axis=1), axis=1)
    ranked = np.take_along_axis(means, order, axis=1)
    # Halfway between the last task of the lower half and the first of the upper, which are one where they are odd.
    ends = [np.argmax(below > 0.5 + slack, axis=1) for slack in (-1e-9, 1e-9)]
    medians = sum(np.take_along_axis(ranked, end[:, None], axis=1)[:, 0] for end in ends) / 2
    return np.where(np.isnan(weight).any(axis=1), np.nan, medians)


def interquartile_mean(sample: Sample, weight: np.ndarray) -> np.ndarray:
    """The mean of the middle half of all scores (of seeds and tasks); a score on its edge counts in part."""
    order = np.argsort(sample.scores, kind="stable")
    reached = np.clip(np.cumsum(weight[:, order], axis=1), 0.25, 0.75)
    reached[:, 1:] -= reached[:, :-1].copy()
    reached[:, 0] -= 0.25
    return reached @ sample.scores[order] / 0.5


STATISTICS: dict[str, Statistic] = {
    "mean": mean,
    "median": median,
    "IQM": interquartile_mean,
    "optimality gap": optimality_gap,
}

LOWER_IS_BETTER = ("optimality gap",)

LINEAR = ("mean", "optimality gap")
"""Means over seeds of something of each score: their jackknife is Student's interval, digit by digit."""


@lru_cache(maxsize=512)
def distribution(sample: Sample, name: str) -> np.ndarray:
    """A statistic by its name in every resample, (resample,)."""
    return _drawn(sample, STATISTICS[name])


def _drawn(sample: Sample, statistic: Statistic) -> np.ndarray:
    drawn = resamples(sample.sizes)
    parts = [drawn.draws[start : start + AT_ONCE] for start in range(0, len(drawn.draws), AT_ONCE)]
    return drawn.spread(np.concatenate([statistic(sample, weights(sample, part)) for part in parts]))


def _as_it_is(sample: Sample, statistic: Statistic) -> np.ndarray:
    """The statistic of the data, without any draw."""
    return statistic(sample, weights(sample, np.ones((1, len(sample.trainings)))))[0]


def estimate(sample: Sample, name: str) -> Estimate:
    """A statistic by its name in `STATISTICS`, with the interval that suits it and the number of seeds."""
    number = float(_as_it_is(sample, STATISTICS[name]))
    if min(sample.sizes) >= BOOTSTRAP_FROM:
        return bootstrapped(number, distribution(sample, name), sample.sizes)._replace(n=_seeds(sample))
    method = JACKKNIFE if name not in LINEAR else STUDENT if sample.split.max() == 0 else COMBINED
    return _jackknifed(number, [sample], name, method)


def difference(a: Sample, b: Sample, name: str, among: Rivals = TWO) -> Estimate:
    """A statistic of one variant minus that of another: paired where they share meta-trainings, else Welch's.

    On one split and of means it is `intervals.difference`.

    Args:
        a: The scores of the first.
        b: The scores of the second.
        name: Of the statistic, in `STATISTICS`.
        among: The variants that one of them was picked from as the best (`intervals.critical`).
    """
    number = float(_as_it_is(a, STATISTICS[name]) - _as_it_is(b, STATISTICS[name]))
    return _jackknifed(number, [a, b], name, JACKKNIFE, among)


def _jackknifed(number: float, samples: Sequence[Sample], name: str, method: str, among: Rivals = TWO) -> Estimate:
    """The statistic of a sample, or of a first minus a second, with the interval of the jackknife over seeds."""
    pulls = [influence(sample, name) for sample in samples]
    strata = [set(stratum) for sample in samples for stratum in sample.strata]
    n = min(map(_seeds, samples))
    variances, freedoms = [], []
    for joint in merged(strata):
        signed = [pulls[0].get(key, 0.0) - (pulls[1].get(key, 0.0) if pulls[1:] else 0.0) for key in sorted(joint)]
        variances.append(float(np.sum(np.square(signed))))
        freedoms.append(min(len(stratum) for stratum in strata if stratum <= joint) - 1)
    shared = len(samples) > 1 and not set(samples[0].trainings).isdisjoint(samples[1].trainings)
    return satterthwaite(number, variances, freedoms, n, method, among, shared)


@lru_cache(maxsize=2048)
def influence(sample: Sample, name: str) -> dict[str, float]:
    """What each meta-training adds to the deviation of a statistic from its expectation, by the training's hash.

    By leaving one after the other out (Tukey, 1958), and on such a scale that the squares of a stratum add up to the
    variance that it contributes. NaN where a split would be left without seeds. Callers must not change it.
    """
    number = len(sample.trainings)
    left_out = STATISTICS[name](sample, weights(sample, 1 - np.eye(number)))
    pulls = np.empty(number)
    ends = np.cumsum(sample.sizes)
    for end, size in zip(ends, sample.sizes):
        part = left_out[end - size : end]
        pulls[end - size : end] = np.sqrt((size - 1) / size) * (part.mean() - part)
    return dict(zip(sample.trainings, pulls.tolist()))


def _seeds(sample: Sample) -> int:
    """The smallest number of meta-trainings on a split."""
    return min(map(len, _trainings_by_split(sample)))


def _trainings_by_split(sample: Sample) -> list[set[str]]:
    """The meta-trainings on each split."""
    of_split: list[set[str]] = [set() for _ in range(sample.split.max() + 1)]
    for split, unit in {*zip(sample.split.tolist(), sample.unit.tolist())}:
        of_split[split].add(sample.trainings[unit])
    return of_split


@lru_cache(maxsize=KEPT)
def samples(results: Results) -> dict[tuple[str, str], Sample]:
    """The scores of every variant on every split with a scale, and on all of those that it has results on."""
    rows = task_results(results)
    rows = rows[rows["split"].isin(scored_splits(results))]
    by_variant_and_split: dict[tuple[str, str], Sample] = {}
    for variant, of_variant in rows.groupby("variant", sort=True):
        for split, part in of_variant.groupby("split", sort=True):
            by_variant_and_split[str(variant), str(split)] = sample_of(part)
        if rows["split"].nunique() > 1:
            by_variant_and_split[str(variant), ALL_SPLITS] = sample_of(of_variant)
    return by_variant_and_split


def lacking_splits(results: Results) -> dict[str, str]:
    """The variants that have results on some of the splits with a scale only, and how a pooled number says so."""
    splits_of: dict[str, int] = {}
    for variant, split in samples(results):
        splits_of[variant] = splits_of.get(variant, 0) + (split != ALL_SPLITS)
    number = len(scored_splits(results))
    return {variant: f" ({n} of {number} splits)" for variant, n in splits_of.items() if n < number}


@lru_cache(maxsize=KEPT)
def score_aggregates(results: Results) -> pd.DataFrame:
    """Every statistic of the scores on test, for every variant on every split and on all it has results on.

    Columns: variant, split (or "all splits"), statistic, mean (the statistic), low, high, n, method.
    """
    rows = [(*key, name, *estimate(sample, name)) for key, sample in samples(results).items() for name in STATISTICS]
    return pd.DataFrame(rows, columns=["variant", "split", "statistic", *Estimate._fields]).astype({"n": int})


@lru_cache(maxsize=KEPT)
def profiles(results: Results) -> pd.DataFrame:
    """The share of scores (of seeds and tasks) above every threshold: performance profiles, with pointwise intervals.

    Columns: variant, split (or "all splits"), score (the threshold, between the ends of the scale), mean (the share),
    low, high, n, method.
    """
    frames = [
        profile(sample).assign(variant=variant, split=split) for (variant, split), sample in samples(results).items()
    ]
    columns = ["variant", "split", "score", *Estimate._fields]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def profile(sample: Sample, grid: np.ndarray = THRESHOLDS) -> pd.DataFrame:
    """One profile, in the columns of `profiles` but the first two.

    Intervals are Wilson's, with the seeds as the number of independent units, as a share over the tasks of a seed
    varies at most as much as that of a single one: Student's cover 85 % where few scores are above a threshold, and
    have no width where none is.
    """
    shares = weights(sample, np.ones((1, len(sample.trainings))))[0] @ (sample.scores[:, None] > grid)
    of_split = _trainings_by_split(sample)
    n, seeds = _seeds(sample), effective_seeds([(trainings, len(trainings)) for trainings in of_split])
    ends = np.array([wilson(share, seeds) if n > 1 else (np.nan, np.nan) for share in shares])
    method = WILSON if n > 1 else ""
    return pd.DataFrame(
        {"score": grid, "mean": shares, "low": ends[:, 0], "high": ends[:, 1], "n": n, "method": method}
    )
