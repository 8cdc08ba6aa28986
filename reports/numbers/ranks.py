"""Average ranks: the place that a variant takes among all in a test task, over seeds, tasks and splits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.aggregates import ALL_SPLITS
from reports.numbers.common import COMMON_SPLITS, common_splits
from reports.numbers.improvement import Returns, better, returns_of
from reports.numbers.intervals import JACKKNIFE, Estimate, satterthwaite
from reports.numbers.samples import merged
from reports.results import Results

KEPT = 16


@lru_cache(maxsize=KEPT)
def average_ranks(results: Results, split: str) -> pd.DataFrame:
    """The average rank of every variant on one split, on "all splits" of those that have each, or on "common splits".

    Columns: variant, mean (the rank; 1 is the best), low, high, n, method. References take no part. There are no rows
    where fewer than two variants can be compared.
    """
    tables = returns_of(results)
    every = sorted({name for table in tables.values() for name in table})
    splits = {ALL_SPLITS: every, COMMON_SPLITS: [*common_splits(results)]}.get(split, [split])
    whole = {variant: tables[variant] for variant in style.ordered(tables) if {*splits} <= tables[variant].keys()}
    rows = [(variant, *average_rank(variant, whole, splits)) for variant in whole] if splits and len(whole) > 1 else []
    return pd.DataFrame(rows, columns=["variant", *Estimate._fields]).astype({"n": int})


def average_rank(variant: str, tables: Mapping[str, Returns], splits: list[str]) -> Estimate:
    """The expected rank of a meta-training of one variant among one meta-training of each, in a test task.

    That is 1 and the probability of each other variant to do better there, ties counting half, averaged over tasks,
    then splits. The interval is the jackknife's over the seeds of all variants with Student's t, cut off at the first
    and the last rank. It has as many degrees of freedom as the variant with the fewest seeds: its own seeds move a
    rank most, those of the others together little. There is none where no seed makes a difference, as for a variant
    that always is the first.

    Args:
        variant: One of the variants.
        tables: The returns of all of them, on all of the splits.
        splits: What is averaged over.
    """
    others = [name for name in tables if name != variant]
    rank, pulls, strata = 1.0, dict[str, float](), list[tuple[set[str], int]]()
    for split in splits:
        shares = {name: better(tables[name][split], tables[variant][split]) for name in others}  # (other's, own)
        rank += sum(float(share.mean()) for share in shares.values()) / len(splits)
        own = tables[variant][split].index
        influence = [(own, np.sum([share.mean(axis=0) - share.mean() for share in shares.values()], axis=0))]
        influence += [(tables[name][split].index, shares[name].mean(axis=1) - shares[name].mean()) for name in others]
        everyone = {training for trainings, _ in influence for training in trainings}
        strata.append((everyone, min(len(trainings) for trainings, _ in influence)))
        for trainings, deviations in influence:
            number = len(trainings)
            if number > 1:
                for training, deviation in zip(trainings, deviations):
                    pull = deviation / len(splits) / np.sqrt(number * (number - 1))
                    pulls[training] = pulls.get(training, 0.0) + float(pull)
    estimate = _jackknifed(rank, pulls, strata)
    ends = np.clip([estimate.low, estimate.high], 1, len(tables))
    return estimate._replace(low=float(ends[0]), high=float(ends[1]))


def _jackknifed(rank: float, pulls: Mapping[str, float], strata: list[tuple[set[str], int]]) -> Estimate:
    """A rank with its interval, given what each meta-training adds to its deviation from the expectation.

    Args:
        rank: The estimate.
        pulls: By the hash of the training, on such a scale that the squares of a stratum add up to its variance.
        strata: The meta-trainings on each split, and the smallest number of one variant.
    """
    n = min(number for _, number in strata)
    joint = merged(trainings for trainings, _ in strata)
    variances = [float(sum(pulls.get(training, 0.0) ** 2 for training in sorted(stratum))) for stratum in joint]
    freedoms = [min(number for part, number in strata if part <= stratum) - 1 for stratum in joint]
    return satterthwaite(rank, variances, freedoms, n, JACKKNIFE)
