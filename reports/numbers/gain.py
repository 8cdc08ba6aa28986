"""What adapting gained, the same for every algorithm: the return after adaptation minus that of the unadapted twin.

The twin is the same meta-training in the same episodes of the same tasks, with an agent that nothing of a trial can
change. Records name their twin's run by its hash. Where `before` is declared to be unadapted, it is the twin's return
already, bit for bit (a contract test holds algorithms to that), so that no twin has to be run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from reports.results import Results, named_rows, value_at
from reports.returns import results_of, task_means

KEPT = 4
"""Answers kept for the next caller, who must not change them."""

NEVER_ADAPTS = "not defined: it never adapts"
IS_TWIN = "is itself an unadapted twin"
NOT_RUN = "not defined: its unadapted twin was not run (`twin: true` beside the algorithm adds it)"
NOT_NAMED = "not defined: its records are older than twins"
NO_RESULT = "not defined: its unadapted twin has no result"
NOT_A_NUMBER = "not defined: a return of its unadapted twin is not a number, or a task has none"


@lru_cache(maxsize=KEPT)
def gains(results: Results) -> pd.DataFrame:
    """One row per (variant, split, task list, seed): the columns of `returns.per_seed`, unadapted, gain and why.

    unadapted is the twin's return, a mean over tasks; gain the mean over tasks of the difference, paired by task (NaN
    where there is none of either); why says why there is no gain, and is empty where there is one.
    """
    after = _by_task(results, "after")
    before = _by_task(results, "before")
    numbers = [_gain(results, row, after, before) for row in named_rows(results.seeds)]
    columns = ["unadapted", "gain", "why"]
    table = pd.DataFrame(numbers, columns=columns, index=results.seeds.index)
    return pd.concat([results.seeds, table.astype({"unadapted": float, "gain": float})], axis=1)


def _by_task(results: Results, phase: str) -> dict[tuple[str, str], pd.Series]:
    """The mean return in each task (the index), in one phase, by run and task list."""
    means = task_means(results_of(results.records, phase), ["run", "task_list"])  # in the order of its keys
    starts = np.flatnonzero(~means.duplicated(["run", "task_list"]))
    values = means.set_index("task")["value"]
    keys = means[["run", "task_list"]].iloc[starts].itertuples(index=False, name=None)
    return {key: values.iloc[start:end] for key, start, end in zip(keys, starts, [*starts[1:], len(means)])}


def _gain(
    results: Results, seed: Any, after: dict[tuple[str, str], pd.Series], before: dict[tuple[str, str], pd.Series]
) -> tuple[float, float, str]:
    """The twin's return, the gain, and why there is none, of a row of `returns.per_seed`."""
    own = (seed.run, seed.task_list)
    facts = value_at(results.runs.get(seed.run), "gain")
    if not isinstance(facts, dict):
        return np.nan, np.nan, NOT_NAMED
    twin, kind = facts.get("twin"), value_at(facts, "before", "kind")
    if twin is None:
        return np.nan, np.nan, NEVER_ADAPTS
    if facts.get("is_twin"):
        return np.nan, np.nan, IS_TWIN
    unadapted = after.get((twin, seed.task_list))
    if unadapted is None and kind == "unadapted":
        unadapted = before.get(own)
    if unadapted is None:
        return np.nan, np.nan, NO_RESULT if (results.cells["run"] == twin).any() else NOT_RUN
    adapted = after[own]
    paired = unadapted.reindex(adapted.index)  # also in the order of its tasks, so that sums are the same
    if paired.isna().any():
        return np.nan, np.nan, NOT_A_NUMBER
    return float(paired.mean()), float((adapted - paired).mean(skipna=False)), ""
