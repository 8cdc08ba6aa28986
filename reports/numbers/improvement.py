"""The probability that one variant does better than another in a test task: the Mann-Whitney statistic, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.aggregates import ALL_SPLITS, KEPT, units
from reports.numbers.intervals import Estimate, bootstrapped, resamples
from reports.numbers.scores import task_results
from reports.results import Results


class Pair(NamedTuple):
    """Two variants on one split: which meta-trainings they are from, and how often the first does better.

    Attributes:
        first: Number of each meta-training of the first, (first,).
        second: The same of the second, (second,).
        better: The share of tasks in which the first's return is higher, ties counting half, (first, second).
    """

    first: np.ndarray
    second: np.ndarray
    better: np.ndarray


def probability_of_improvement(a: Mapping[str, pd.DataFrame], b: Mapping[str, pd.DataFrame]) -> Estimate:
    """How probable it is that a meta-training of `a` does better than one of `b` in a test task that both have.

    The Mann-Whitney statistic of each task, averaged over tasks, then over splits. Returns serve, as they are compared
    within a task only. Where the two share meta-trainings (MIER and MIER-wR do), these are drawn for both at once.

    Args:
        a: The returns of one variant on each split, (meta-training, task), with their hashes and indices.
        b: Those of another, on the same splits.
    """
    first, second = ({split: set(table.index) for split, table in tables.items()} for tables in (a, b))
    if set().union(*first.values()) & set().union(*second.values()):
        trainings, sizes = units({split: first[split] | second[split] for split in first})
    else:
        (some, of_first), (others, of_second) = units(first), units(second)
        trainings, sizes = some + others, of_first + of_second
    pairs = [_pair(a[split], b[split], pd.Index(trainings)) for split in sorted(a)]
    samples = resamples(sizes)
    number = float(_chances(pairs, np.ones((1, len(trainings))))[0])
    estimate = bootstrapped(number, samples.spread(_chances(pairs, samples.draws)), sizes)
    return estimate._replace(n=min(min(pair.better.shape) for pair in pairs))


def _pair(a: pd.DataFrame, b: pd.DataFrame, trainings: pd.Index[str]) -> Pair:
    """Two variants' returns on one split, compared in the tasks that both have."""
    tasks = a.columns.intersection(b.columns)
    x, y = a[tasks].to_numpy()[:, None], b[tasks].to_numpy()[None]
    both = np.isfinite(x) & np.isfinite(y)
    with np.errstate(invalid="ignore"):
        better = np.where(both, (x > y) + 0.5 * (x == y), 0.0).sum(axis=2) / both.sum(axis=2)
    return Pair(trainings.get_indexer(a.index), trainings.get_indexer(b.index), better)


def _chances(pairs: list[Pair], draws: np.ndarray) -> np.ndarray:
    """The probability of improvement in each draw, (draw,); NaN where one leaves a variant without seeds."""
    with np.errstate(invalid="ignore"):
        of_split = [
            ((draws[:, p.first] @ p.better) * draws[:, p.second]).sum(axis=1)
            / (draws[:, p.first].sum(axis=1) * draws[:, p.second].sum(axis=1))
            for p in pairs
        ]
    return np.mean(of_split, axis=0)


@lru_cache(maxsize=KEPT)
def improvements(results: Results) -> pd.DataFrame:
    """How probable it is that one variant does better than another on test, for all pairs but the references.

    Columns: variant, other, split (or "all splits": all that both have results on), mean (the probability), low,
    high, n, method.
    """
    rows = task_results(results)
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for (variant, split), part in rows.groupby(["variant", "split"], sort=True):
        returns = part.pivot(index="training", columns="task", values="value")
        tables.setdefault(str(variant), {})[str(split)] = returns
    estimates = []
    for a, b in combinations((variant for variant in style.ordered(tables) if not style.is_reference(variant)), 2):
        both = sorted(tables[a].keys() & tables[b].keys())
        for split, splits in [*((split, [split]) for split in both), *([(ALL_SPLITS, both)] if len(both) > 1 else [])]:
            first = probability_of_improvement(*({name: tables[v][name] for name in splits} for v in (a, b)))
            estimates.append((a, b, split, *first))
            estimates.append((b, a, split, 1 - first.mean, 1 - first.high, 1 - first.low, first.n, first.method))
    frame = pd.DataFrame(estimates, columns=["variant", "other", "split", *Estimate._fields])
    frame = frame.astype({"mean": float, "low": float, "high": float, "n": int})  # also where there are no rows
    places = [ALL_SPLITS, *style.ordered(tables), *sorted(set(rows["split"]))]
    return frame.sort_values(
        ["split", "other", "variant"], key=lambda names: names.map(places.index), ignore_index=True
    )
