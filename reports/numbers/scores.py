"""Scores: returns on a scale that a split declares, so that they can be averaged over splits.

0 is the return of the zero action, 1 the stated best return (`TaskSplit.references`). Both are part of a split's
declaration: a scale made of whatever happened to be run would change every score when an algorithm is added. Only
where a split declares no such return does a reference that was run (`null`, an oracle) stand for it, and every such
score says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import pandas as pd

from reports.results import Results, value_at
from reports.returns import results_of, task_means

KEPT = 64
"""Answers kept for the next caller, who must not change them."""

NULL = "the zero action, measured here"
ORACLE = "the oracle, measured here"

SMALLEST_SCALE = 1e-6
"""Between the returns of score 0 and score 1; what is nearer is no scale."""


class ScoreEnds(NamedTuple):
    """The returns that are score 0 and score 1 on a split's test list, None where unknown, and where they are from."""

    null: float | None
    best: float | None
    null_source: str
    best_source: str

    @property
    def are_apart(self) -> bool:
        """Whether there is a scale: both ends, apart from one another."""
        return self.null is not None and self.best is not None and abs(self.best - self.null) > SMALLEST_SCALE

    @property
    def note(self) -> str:
        """What a reader of a single score has to know of its scale; empty where the split declares it."""
        measured = [
            f"score {score}: {source}"
            for score, source in ((0, self.null_source), (1, self.best_source))
            if source in (NULL, ORACLE)
        ]
        return "; ".join(measured) if self.are_apart else ""

    def score(self, value: float) -> float:
        """The score of a return; NaN where there is no scale."""
        if self.null is None or self.best is None or not self.are_apart:
            return float("nan")
        return (value - self.null) / (self.best - self.null)


@lru_cache(maxsize=KEPT)
def score_ends(results: Results, split: str) -> ScoreEnds:
    """What the split declares; where it declares no end, what `null` or an oracle that beats it return, if they ran."""
    references = value_at(results.split_document(split), "references") or {}
    null, best = (None if references.get(end) is None else float(references[end]) for end in ("null", "ceiling"))
    null_source = best_source = references.get("source") or "declared"
    if null is None and (measured := _return_of("null", results, split)) is not None:
        null, null_source = measured, NULL
    if best is None and null is not None:
        oracle = _return_of("oracle", results, split)
        if oracle is not None and oracle > null:
            best, best_source = oracle, ORACLE
    return ScoreEnds(null, best, null_source, best_source)


def _return_of(reference: str, results: Results, split: str) -> float | None:
    """The result of a reference on a split's test list, of several runs the highest; None where there is none."""
    seeds = results.seeds
    runs = results.records.loc[results.records["algorithm"] == reference, "run"].unique()
    means = seeds.loc[(seeds["split"] == split) & (seeds["task_list"] == "test") & seeds["run"].isin(runs), "after"]
    return float(means.max()) if means.notna().any() else None


@lru_cache(maxsize=KEPT)
def scored_splits(results: Results) -> list[str]:
    """The splits that have a scale."""
    with_results = set(results.records["split"].unique())
    return [split for split in results.splits if split in with_results and score_ends(results, split).are_apart]


@lru_cache(maxsize=KEPT)
def task_results(results: Results) -> pd.DataFrame:
    """The result of every meta-training in every single test task, of those whose returns are all finite.

    Columns: variant, split, training, seed, task, value (the return), score (NaN on a split without a scale).
    """
    rows = results_of(results.records)
    rows = rows[rows["task_list"] == "test"]
    tasks = task_means(rows, ["variant", "split", "training", "seed"]).drop(columns="episodes")
    failed = tasks["value"].isna().groupby([tasks[key] for key in ("variant", "split", "seed")]).transform("any")
    tasks = tasks[~failed].reset_index(drop=True)
    ends = {split: score_ends(results, split) for split in sorted(set(tasks["split"]))}
    tasks["score"] = [ends[split].score(value) for split, value in zip(tasks["split"], tasks["value"])]
    return tasks
