"""Scores: returns on a scale that a split declares, so that they can be averaged over splits.

0 is the return of the zero action, 1 the stated best return (`TaskSplit.references`). Both are part of a split's
declaration: a scale made of whatever happened to be run would change every score when an algorithm is added. Only
where a split declares no best return does an oracle that was run stand for it, and every such score says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from reports.reading.comparability import dig
from reports.reading.load import Results
from reports.reading.metrics import normalised_score, results_of, task_means

KEPT = 64
"""Answers kept for the next caller, who must not change them."""

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
    def known(self) -> bool:
        """Whether there is a scale: both ends, apart from one another."""
        return self.null is not None and self.best is not None and abs(self.best - self.null) > SMALLEST_SCALE

    @property
    def note(self) -> str:
        """What a reader of a single score has to know of its scale; empty where the split declares it."""
        return f"score 1: {ORACLE}" if self.known and self.best_source == ORACLE else ""


@lru_cache(maxsize=KEPT)
def score_ends(results: Results, split: str) -> ScoreEnds:
    """What the split declares; where it declares no best return, the oracle's, if it was run and beats the null."""
    null, best = declared_references(results, split)
    said = dig(split_document(results, split), "references", "source") or "declared"
    if best is not None:
        return ScoreEnds(null, best, said, said)
    oracle = _oracle_return(results, split)
    if oracle is not None and null is not None and oracle > null:
        return ScoreEnds(null, oracle, said, ORACLE)
    return ScoreEnds(null, None, said, said)


def _oracle_return(results: Results, split: str) -> float | None:
    """The result of the oracle on a split's test list, of several runs the highest; None where there is none."""
    seeds = results.seeds
    oracles = set(results.records.loc[results.records["algorithm"] == "oracle", "run"])
    means = seeds.loc[(seeds["split"] == split) & (seeds["task_list"] == "test") & seeds["run"].isin(oracles), "after"]
    return float(means.max()) if means.notna().any() else None


def declared_references(results: Results, split: str) -> tuple[float | None, float | None]:
    """The returns of the zero action and of the declared best on a split's test list, None where not declared."""
    document = split_document(results, split)
    null, ceiling = (dig(document, "references", key) for key in ("null", "ceiling"))
    return (None if null is None else float(null), None if ceiling is None else float(ceiling))


def split_document(results: Results, split: str) -> dict[str, Any]:
    """What the records say about a split, from the first of its runs; empty where they say nothing."""
    runs = sorted(set(results.records.loc[results.records["split"] == split, "run"]))
    return next((d for run in runs if isinstance(d := dig(results.runs.get(run), "split"), dict)), {})


def scored_splits(results: Results) -> list[str]:
    """The splits that have a scale."""
    return [split for split in sorted(set(results.records["split"])) if score_ends(results, split).known]


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
    scale = {split: score_ends(results, split) for split in sorted(set(tasks["split"]))}
    ends = tasks["split"].map(scale)
    tasks["score"] = [normalised_score(value, e.null, e.best) for value, e in zip(tasks["value"], ends)]
    return tasks
