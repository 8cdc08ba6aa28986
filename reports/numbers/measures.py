"""In which unit a figure shows results: the return itself, or the score between the ends that a split declares."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from reports.numbers.scores import score_ends
from reports.reading.load import Results
from reports.reading.metrics import normalised_score

METRICS = {"return": "return per episode", "score": "score (0: doing nothing, 1: best known)"}
"""Labels of the y axis by the name that figures take as `metric`."""


@lru_cache(maxsize=2)
def measured(results: Results, metric: str = "return") -> Results:
    """The results with their returns in the unit of `metric`.

    A score's ends are declared for the test list alone, so scored results hold no other list, and no training
    episodes; a split without declared ends has no rows.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"no metric {metric!r}; there are {', '.join(METRICS)}")
    if metric == "return":
        return results
    records = results.records[results.records["task_list"] == "test"].copy()
    for split in sorted(set(records["split"])):
        ends, rows = score_ends(results, split), records["split"] == split
        if not ends.known:
            records = records[~rows]
        else:
            scores = [normalised_score(value, ends.null, ends.best) for value in records.loc[rows, "return"]]
            records.loc[rows, "return"] = scores
    return replace(results, records=records.reset_index(drop=True), metrics=results.metrics.iloc[:0])
