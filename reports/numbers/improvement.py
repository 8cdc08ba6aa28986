"""The probability that one variant does better than another in a test task: the Mann-Whitney statistic, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.aggregates import ALL_SPLITS, KEPT
from reports.numbers.intervals import WILSON, Estimate, wilson
from reports.numbers.samples import effective_seeds
from reports.numbers.scores import task_results
from reports.results import Results

Returns = Mapping[str, pd.DataFrame]
"""The returns of one variant on each split, (meta-training, task), with their hashes and indices."""


def probability_of_improvement(a: Returns, b: Returns) -> Estimate:
    """How probable it is that a meta-training of `a` does better than one of `b` in a test task that both have.

    The Mann-Whitney statistic of each task, averaged over tasks, then over splits. Returns serve, as they are compared
    within a task only. The interval is Wilson's, with the seeds as its number of independent units: with m and n seeds
    the variance of the statistic is at most p (1 - p) / min(m, n) (Birnbaum and Klose, 1957), and averaging over tasks
    makes it no larger. So it covers what it says however tasks hang together, and is no point at 0 or at 1.

    Args:
        a: The returns of one variant.
        b: Those of another, on the same splits.
    """
    shares = {split: better(a[split], b[split]) for split in sorted(a)}
    number = float(np.mean([share.mean() for share in shares.values()]))
    n = min(min(share.shape) for share in shares.values())
    if n < 2 or np.isnan(number):
        return Estimate(number, np.nan, np.nan, n)
    seeds = effective_seeds([({*a[split].index, *b[split].index}, min(share.shape)) for split, share in shares.items()])
    return Estimate(number, *wilson(number, seeds), n, WILSON)


def better(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """The share of tasks in which each seed of `a` does better than each of `b`, ties counting half, (first, second).

    Args:
        a: Returns on one split, (meta-training, task).
        b: Those of another variant; only tasks that both have are compared.
    """
    tasks = a.columns.intersection(b.columns)
    x, y = a[tasks].to_numpy()[:, None], b[tasks].to_numpy()[None]
    both = np.isfinite(x) & np.isfinite(y)
    with np.errstate(invalid="ignore"):
        share: np.ndarray = np.where(both, (x > y) + 0.5 * (x == y), 0.0).sum(axis=2) / both.sum(axis=2)
    return share


@lru_cache(maxsize=KEPT)
def returns_of(results: Results) -> dict[str, dict[str, pd.DataFrame]]:
    """The returns of each variant on `test`, references aside, by split: (meta-training, task)."""
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for (variant, split), part in task_results(results).groupby(["variant", "split"], sort=True):
        if not style.is_reference(str(variant)):
            returns = part.pivot(index="training", columns="task", values="value")
            tables.setdefault(str(variant), {})[str(split)] = returns
    return tables


@lru_cache(maxsize=KEPT)
def improvements(results: Results) -> pd.DataFrame:
    """How probable it is that one variant does better than another on test, for all pairs but the references.

    Columns: variant, other, split (or "all splits": all that both have results on), mean (the probability), low,
    high, n, method.
    """
    tables = returns_of(results)
    estimates = []
    for a, b in combinations(style.ordered(tables), 2):
        both = sorted(tables[a].keys() & tables[b].keys())
        for split, splits in [*((split, [split]) for split in both), *([(ALL_SPLITS, both)] if len(both) > 1 else [])]:
            first = probability_of_improvement(*({name: tables[v][name] for name in splits} for v in (a, b)))
            estimates.append((a, b, split, *first))
            estimates.append((b, a, split, 1 - first.mean, 1 - first.high, 1 - first.low, first.n, first.method))
    frame = pd.DataFrame(estimates, columns=["variant", "other", "split", *Estimate._fields])
    frame = frame.astype({"mean": float, "low": float, "high": float, "n": int})  # also where there are no rows
    places = [ALL_SPLITS, *style.ordered(tables), *results.splits]
    return frame.sort_values(
        ["split", "other", "variant"], key=lambda names: names.map(places.index), ignore_index=True
    )
