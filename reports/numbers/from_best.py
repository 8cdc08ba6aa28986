"""Every variant against the best one: differences of means, and probabilities to do better, with their intervals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from reports import style
from reports.numbers import aggregates
from reports.numbers.aggregates import ALL_SPLITS
from reports.numbers.contest import contest
from reports.numbers.improvement import improvements
from reports.numbers.intervals import TWO, Estimate, difference, rivals
from reports.numbers.samples import Sample, sample_of
from reports.numbers.scores import score_ends, scored_splits, task_results
from reports.results import Results

KEPT = 16

COLUMNS = ["variant", "other", *Estimate._fields]


@lru_cache(maxsize=KEPT)
def best_of(results: Results, split: str) -> str | None:
    """The variant with the highest mean on the test tasks of a split, or over "all splits"; None without a choice."""
    if split == ALL_SPLITS:
        answer = contest(results)
        is_pooled = len(answer.splits) > 1 and answer.what == "mean score"
        return answer.entries[0][0] if is_pooled and len(answer.entries) > 1 else None
    means = {name: float(np.mean(list(values.values()))) for name, values in _by_training(results, split).items()}
    return max(style.ordered(means), key=lambda name: means[name]) if len(means) > 1 else None


@lru_cache(maxsize=KEPT)
def differences(results: Results, split: str) -> pd.DataFrame:
    """The mean of every variant minus that of the best, paired where they share meta-trainings, else Welch's.

    Columns: variant, other (the best), mean, low, high, n, method, low_all, high_all (ends of intervals that hold for
    all comparisons with the best together), measure ("score", or "return" on a split without a scale). A variant that
    lacks splits is compared on those that it has. References take no part.
    """
    columns = [*COLUMNS, "low_all", "high_all", "measure"]
    best = best_of(results, split)
    if best is None:
        return pd.DataFrame(columns=columns)
    compared = _scores_compared(results, best) if split == ALL_SPLITS else _means_compared(results, split, best)
    measure = "score" if split == ALL_SPLITS or score_ends(results, split).are_apart else "return"
    rows = [
        (variant, best, *single, together.low, together.high, measure)
        for variant, (single, together) in compared.items()
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"n": int})
    return frame.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


@lru_cache(maxsize=KEPT)
def chances(results: Results, split: str) -> pd.DataFrame:
    """How probable it is that each variant does better than the best one in a test task (`improvement.improvements`).

    Columns: variant, other (the best), mean (the probability), low, high, n, method.
    """
    best = best_of(results, split)
    table = improvements(results)
    table = table[(table["split"] == split) & (table["other"] == best)]
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)[COLUMNS]


Compared = dict[str, tuple[Estimate, Estimate]]
"""By variant its difference from the best: with an interval of its own, and with one for all comparisons together."""


def _means_compared(results: Results, split: str, best: str) -> Compared:
    """Differences of the means of one split, in scores where it has a scale."""
    values = _by_training(results, split)
    others = [name for name in style.ordered(values) if name != best]
    among = rivals(values.values())
    return {
        name: (difference(values[name], values[best]), difference(values[name], values[best], among)) for name in others
    }


def _by_training(results: Results, split: str) -> dict[str, dict[str, float]]:
    """The number of each meta-training on `test`, by variant and hash: the score, or the return without a scale."""
    seeds, ends = results.seeds, score_ends(results, split)
    rows = seeds[(seeds["split"] == split) & (seeds["task_list"] == "test") & np.isfinite(seeds["after"].astype(float))]
    return {
        str(name): {
            training: ends.score(value) if ends.are_apart else value
            for training, value in zip(part["training"], part["after"])
        }
        for name, part in rows.groupby("variant", sort=True)
        if not style.is_reference(str(name))
    }


def _scores_compared(results: Results, best: str) -> Compared:
    """Differences of the mean scores over all splits that both have."""
    rows = task_results(results)
    rows = rows[rows["split"].isin(scored_splits(results))]
    parts = {str(name): part for name, part in rows.groupby("variant", sort=True)}
    others = [name for name in style.ordered(parts) if name != best and not style.is_reference(name)]
    together = rivals(set(parts[name]["training"]) for name in [best, *others])
    compared: Compared = {}
    for name in others:
        first = sample_of(parts[name])
        second = _on(parts[best], set(parts[name]["split"]))
        single, of_all = (aggregates.difference(first, second, "mean", among) for among in (TWO, together))
        compared[name] = (single, of_all)
    return compared


def _on(rows: pd.DataFrame, splits: set[str]) -> Sample:
    return sample_of(rows[rows["split"].isin(splits)])
