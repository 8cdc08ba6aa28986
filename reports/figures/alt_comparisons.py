"""The alternative text of the figures that set variants against one another: what each shows, with the numbers."""

from __future__ import annotations

import pandas as pd

from reports import style
from reports.numbers import aggregates, from_best, ranks, sweeps
from reports.numbers.common import where
from reports.results import Results, named_rows


def describe_differences(results: Results, split: str) -> str:
    """The alternative text of the differences from the best."""
    frame = from_best.differences(results, split)
    measure = frame["measure"].iloc[0]
    return f"Mean {measure} on {split} minus that of the best, {_against(results, frame, split)}"


def describe_chances(results: Results, split: str) -> str:
    """The alternative text of the probabilities to do better than the best."""
    frame = from_best.chances(results, split)
    return f"Probability to do better than the best in a test task of {split}, {_against(results, frame, split)}"


def describe_ranks(results: Results, split: str) -> str:
    """The alternative text of the average ranks."""
    frame = ranks.average_ranks(results, split).sort_values("mean", kind="stable")
    parts = [f"{_name(row.variant)} {_interval(row)} (n = {row.n})" for row in named_rows(frame)]
    return f"Average rank in a test task of {where(results, split)}, 1 the best of {len(frame)}. {'; '.join(parts)}."


def describe_factors(results: Results, split: str) -> str:
    """The alternative text of the effects of a sweep."""
    frame = sweeps.effects(results, split)
    parts = [
        f"{_name(variant)} {factor} " + ", ".join(f"{row.level}: {_interval(row)}" for row in named_rows(rows))
        for (variant, factor), rows in frame.groupby(["variant", "factor"], sort=False)
    ]
    return f"Return after adaptation on {split}, test tasks, at each value of each factor. {'; '.join(parts)}."


def _against(results: Results, frame: pd.DataFrame, split: str) -> str:
    lacking = aggregates.lacking_splits(results) if split == aggregates.ALL_SPLITS else {}
    parts = [
        f"{_name(row.variant)}{lacking.get(row.variant, '')} {_interval(row)} (n = {row.n})"
        for row in named_rows(frame)
    ]
    return f"{_name(frame['other'].iloc[0])}. {'; '.join(parts)}."


def _interval(row: object) -> str:
    return style.interval(*(getattr(row, name) for name in ("mean", "low", "high")))


def _name(variant: object) -> str:
    return style.look(str(variant)).name
