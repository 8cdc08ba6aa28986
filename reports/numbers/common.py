"""The splits that all variants have results on, over which everybody can be compared with everybody."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from reports import style
from reports.numbers import aggregates
from reports.numbers.intervals import Estimate
from reports.numbers.samples import Sample, sample_of
from reports.numbers.scores import scored_splits, task_results
from reports.results import Results

KEPT = 4

COMMON_SPLITS = "common splits"
"""What the panel over them is called; there is one where they are fewer than all splits."""


@lru_cache(maxsize=KEPT)
def common_splits(results: Results) -> tuple[str, ...]:
    """The splits with a scale that every variant has results on, references aside; empty where these are all of them.

    A split that only some variants were run on would otherwise make every other variant one that lacks it.
    """
    scored = scored_splits(results)
    pairs = {key for key in aggregates.samples(results) if key[1] != aggregates.ALL_SPLITS}
    variants = {variant for variant, _ in pairs if not style.is_reference(variant)}
    common = tuple(split for split in scored if all((variant, split) in pairs for variant in variants))
    return common if 0 < len(common) < len(scored) else ()


@lru_cache(maxsize=KEPT)
def common_samples(results: Results) -> dict[str, Sample]:
    """The scores of every variant on the common splits; none of a reference that lacks one of them."""
    splits = common_splits(results)
    rows = task_results(results)
    rows = rows[rows["split"].isin(splits)]
    parts = rows.groupby("variant", sort=True)
    return {str(name): sample_of(part) for name, part in parts if part["split"].nunique() == len(splits)}


def common_aggregates(results: Results) -> pd.DataFrame:
    """The rows of `aggregates.score_aggregates` over the common splits."""
    rows = [
        (variant, COMMON_SPLITS, name, *aggregates.estimate(sample, name))
        for variant, sample in common_samples(results).items()
        for name in aggregates.STATISTICS
    ]
    return pd.DataFrame(rows, columns=["variant", "split", "statistic", *Estimate._fields]).astype({"n": int})


def common_profiles(results: Results) -> pd.DataFrame:
    """The rows of `aggregates.profiles` over the common splits."""
    frames = [
        aggregates.profile(sample).assign(variant=variant, split=COMMON_SPLITS)
        for variant, sample in common_samples(results).items()
    ]
    columns = ["variant", "split", "score", *Estimate._fields]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def where(results: Results, split: str) -> str:
    """What a panel is over, in words: the name of its split, or how many of all splits are common ones."""
    if split != COMMON_SPLITS:
        return split
    return f"{COMMON_SPLITS} ({len(common_splits(results))} of {len(scored_splits(results))})"
