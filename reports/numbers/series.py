"""The numbers behind each figure: results in, one tidy frame out. It is what a figure draws and what its CSV holds.

Every frame has `mean`, `low`, `high` and `n` over seeds (see `intervals`); without rows there is no figure.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from reports import style
from reports.numbers import aggregates
from reports.numbers.common import COMMON_SPLITS, common_aggregates, common_profiles
from reports.numbers.intervals import NO_ESTIMATE, Estimate, estimates
from reports.results import Results, named_rows
from reports.returns import SEED_KEY, results_of, seed_means

KEPT = 64
"""Frames kept for the next caller (a figure, its CSV and its words need the same one), who must not change them."""

TASK_OF_RUN = ["run", "task_list", "task"]

HELD_OUT_LOSSES = ("held_out_loss", "held_out_nll")
"""Names of the diagnostic that says how well an adapted model explains its task, the preferred one first."""


def on(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split."""
    return frame[frame["split"] == split]


@lru_cache(maxsize=KEPT)
def adaptation(results: Results, split: str, *, task_list: str = "test") -> pd.DataFrame:
    """The return of the final checkpoint before, during and after adaptation, against adaptation updates.

    Columns: variant, phase (before, during, after), update, mean, low, high, n.
    """
    rows = on(results.records, split)
    rows = rows[rows["is_final"] & (rows["task_list"] == task_list)]
    rows = rows[rows["phase"].isin(["before", "during", "after"])]
    seeds = seed_means(rows, ["variant", "phase", "update", "seed"])
    frame = estimates(seeds, ["variant", "phase", "update"], "value")
    rank = frame["phase"].map({"before": 0, "during": 1, "after": 2})
    order = frame.assign(rank=rank).sort_values(["variant", "rank", "update"]).index
    return frame.loc[order].reset_index(drop=True)


@lru_cache(maxsize=KEPT)
def adaptation_data(results: Results, split: str) -> pd.DataFrame:
    """The return of the final checkpoint on `test` against the adaptation transitions seen.

    Columns: variant, kind, transitions, mean, low, high, n. `kind` is `evaluated` (deterministic, before and after
    adapting) or `collected`: the adaptation episodes themselves, at their ends, without those that the budget cut.
    """
    rows = on(results.records, split)
    rows = rows[rows["is_final"] & (rows["task_list"] == "test")]
    collected = rows[(rows["phase"] == "collect") & ~rows["cut"].astype(bool)]
    parts = {"evaluated": rows[rows["phase"].isin(["before", "after"])], "collected": collected}
    frames = []
    for kind, part in parts.items():
        if part.empty:
            continue
        seeds = seed_means(part, ["variant", "transitions", "seed"])
        frames.append(estimates(seeds, ["variant", "transitions"], "value").assign(kind=kind))
    columns = ["variant", "kind", "transitions", *Estimate._fields]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True).sort_values(columns[:3], ignore_index=True)[columns]


@lru_cache(maxsize=KEPT)
def per_task(results: Results, split: str) -> pd.DataFrame:
    """The result in every single task of `test` and `test_id`.

    Columns: variant, task_list, task, parameter (value on the split's axis, NaN where it has none), mean, low,
    high, n; sorted by parameter.
    """
    rows = results_of(on(results.records, split))
    rows = rows[rows["task_list"].isin(["test", "test_id"])]
    seeds = seed_means(rows, ["variant", "task_list", "task", "seed"])
    frame = estimates(seeds, ["variant", "task_list", "task"], "value")
    parameters = rows.groupby(["task_list", "task"])["parameter"].first().reset_index()
    frame = frame.merge(parameters, on=["task_list", "task"], how="left")
    columns = ["variant", "task_list", "task", "parameter", *Estimate._fields]
    return frame.sort_values(["variant", "task_list", "parameter", "task"], ignore_index=True)[columns]


@lru_cache(maxsize=KEPT)
def outcome(results: Results, split: str) -> pd.DataFrame:
    """The result on `test` of every variant of the grid, with why there is none where there is none.

    Columns: variant, mean, low, high, n, why (empty where there is a number).
    """
    seeds = on(results.seeds, split)
    means = estimates(seeds[seeds["task_list"] == "test"], ["variant"], "after")
    numbers = {row.variant: tuple(row[1:]) for row in named_rows(means) if row.n > 0}
    cells = on(results.cells, split)
    rows = []
    for variant in style.ordered(cells["variant"]):
        statuses = sorted(set(cells.loc[cells["variant"] == variant, "status"]))
        why = "" if variant in numbers else _no_number(statuses)
        rows.append((variant, *numbers.get(variant, NO_ESTIMATE), why))
    return pd.DataFrame(rows, columns=["variant", *Estimate._fields, "why"]).astype({"n": int})


def _no_number(statuses: list[str]) -> str:
    words = {"unsupported": "not supported", "done": "no number"}
    return ", ".join(words.get(status, status) for status in statuses)


@lru_cache(maxsize=KEPT)
def in_and_out(results: Results, split: str) -> pd.DataFrame:
    """The result on `test_id` next to that on `test`; a variant without both is left out.

    Columns: variant, task_list, mean, low, high, n.
    """
    seeds = on(results.seeds, split)
    frame = estimates(seeds, ["variant", "task_list"], "after")
    frame = frame[frame["task_list"].isin(["test", "test_id"]) & (frame["n"] > 0)]
    both = frame.groupby("variant")["task_list"].transform("nunique") == 2
    return frame[both].reset_index(drop=True)


def profile(results: Results, split: str) -> pd.DataFrame:
    """The performance profiles (`aggregates.profiles`) on one split, on "all splits", or on "common splits"."""
    if split == COMMON_SPLITS:
        return common_profiles(results)
    return on(aggregates.profiles(results), split).reset_index(drop=True)


def overall(results: Results, split: str) -> pd.DataFrame:
    """The statistics of the scores (`aggregates.score_aggregates`) on one split, all, or those that are common."""
    if split == COMMON_SPLITS:
        return common_aggregates(results)
    return on(aggregates.score_aggregates(results), split).reset_index(drop=True)


@lru_cache(maxsize=KEPT)
def gate(results: Results, split: str) -> pd.DataFrame:
    """Per task of a run that relabels: the held-out loss, whether a gate was open, and what relabeling gained.

    Columns: variant, seed, task_list, task, held_out_loss, gate_open (share of the gate's decisions that were "open",
    NaN where the run has no gate), gain, baseline. The gain is the return after the last adaptation update minus that
    of the same agent before the first (in MIER: with its context adapted, without relabeling); where that was not
    recorded, minus the return before any adaptation data. `baseline` says which.
    """
    columns = ["variant", "seed", "task_list", "task", "held_out_loss", "gate_open", "gain", "baseline"]
    final = on(results.records, split)
    final = final[final["is_final"]]
    diagnostics = results.diagnostics.merge(final[["run", "env_steps"]].drop_duplicates(), on=["run", "env_steps"])
    losses = _diagnostic(diagnostics, HELD_OUT_LOSSES, "held_out_loss")
    tasks = losses.merge(_diagnostic(diagnostics, ("gate_open",), "gate_open"), on=TASK_OF_RUN, how="outer")
    if tasks.empty:
        return pd.DataFrame(columns=columns)
    gains = _gains(final[final["run"].isin(tasks["run"])])
    tasks = tasks.merge(gains, on=TASK_OF_RUN)  # a damaged folder may have diagnostics of tasks without returns
    tasks = tasks.merge(final[["run", "variant", "seed"]].drop_duplicates(), on="run")
    return tasks.sort_values(columns[:4], ignore_index=True)[columns]


def _diagnostic(diagnostics: pd.DataFrame, names: tuple[str, ...], column: str) -> pd.DataFrame:
    """The mean over adaptation points of a diagnostic, per task of a run, under the first of its names that occurs."""
    of_name = (diagnostics[diagnostics["name"] == name] for name in names)
    rows = next((rows for rows in of_name if len(rows)), diagnostics.iloc[:0])
    return rows.groupby(TASK_OF_RUN, sort=True)["value"].mean().rename(column).reset_index()


def _gains(final: pd.DataFrame) -> pd.DataFrame:
    """Per task of a run: `gain` after the last adaptation update, and over which `baseline`."""
    first = final[(final["phase"] == "during") & (final["update"] == 0)]
    points = {
        "after": final[final["phase"] == "after"],
        "before the first update": first,
        "before adaptation": final[final["phase"] == "before"],
    }
    means = {
        name: seed_means(rows, TASK_OF_RUN).set_index(TASK_OF_RUN)["value"].rename(name)
        for name, rows in points.items()
    }
    table = pd.concat(means.values(), axis=1).reset_index()
    own = table["before the first update"].notna()
    base = table["before the first update"].where(own, table["before adaptation"])
    names = np.where(own, "before the first update", "before adaptation")
    return table[TASK_OF_RUN].assign(gain=table["after"] - base, baseline=names)


def open_share(results: Results, split: str, task_list: str = "test") -> dict[str, float]:
    """The share of a gate's decisions that were "open" over the tasks and seeds of each gated variant."""
    frame = gate(results, split)
    frame = frame[(frame["task_list"] == task_list) & frame["gate_open"].notna()]
    return {str(variant): float(part["gate_open"].mean()) for variant, part in frame.groupby("variant", sort=True)}


def seeds_behind(results: Results, split: str) -> pd.DataFrame:
    """The per-seed results that `in_and_out` averages: variant, task_list, seed, after."""
    seeds = on(results.seeds, split)
    return seeds[[key for key in SEED_KEY if key != "split"] + ["after"]]
