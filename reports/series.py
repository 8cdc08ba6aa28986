"""The numbers behind each figure: results in, one tidy frame out. It is what a figure draws and what its CSV holds.

Every frame has `mean`, `low`, `high` and `n` over seeds (see `intervals`); an empty frame means that there is
nothing to draw.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from reports import style
from reports.intervals import Estimate, estimates, student_t
from reports.load import Results
from reports.metrics import SEED_KEY, per_seed, results_of, seed_means

KEPT = 64
"""Frames kept for the next caller (a figure, its CSV and its words need the same one), who must not change them."""

WINDOWS = 40
"""Most points of an averaged training curve."""

TASK_OF_RUN = ["run", "task_list", "task"]

HELD_OUT_LOSSES = ("held_out_loss", "held_out_nll")
"""Names of the diagnostic that a relabeling gate judges, the preferred one first."""

TRAINING_RETURN = "return"
"""The metric that holds the return of training episodes."""


def _on(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    return frame[frame["split"] == split]


@lru_cache(maxsize=KEPT)
def training(results: Results, split: str) -> pd.DataFrame:
    """The return of training episodes (exploring policy, training tasks) against env_steps.

    Columns: variant (names joined where several variants share one training), env_steps, mean, low, high, n.
    Seeds log at steps of their own, so each is averaged in windows around a common grid over the range all share.
    """
    names = _training_names(results, split)
    rows = results.metrics
    rows = rows[(rows["name"] == TRAINING_RETURN) & np.isfinite(rows["value"].astype(float))]
    rows = rows[rows["training"].isin(names) | (rows["split"] == split)]
    labels = rows["training"].map(names)
    rows = rows.assign(variant=labels.where(labels.notna(), rows["algorithm"]))
    frames = [_average_curve(str(name), part) for name, part in rows.groupby("variant", sort=True)]
    columns = ["variant", "env_steps", *Estimate._fields]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _training_names(results: Results, split: str) -> dict[str, str]:
    """What each training that serves this split is called: the variants that were meta-tested from it."""
    rows = _on(results.records, split)[["training", "variant"]].drop_duplicates()
    return {
        str(training): " / ".join(style.ordered(part["variant"]))
        for training, part in rows.groupby("training", sort=True)
    }


def _average_curve(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    curves = []
    for _, part in rows.groupby(["training", "seed"], sort=True):
        points = part.groupby("env_steps", sort=True)["value"].mean()
        curves.append((points.index.to_numpy(dtype=float), points.to_numpy(dtype=float)))
    first = max(steps[0] for steps, _ in curves)
    last = min(steps[-1] for steps, _ in curves)
    grid = np.unique(np.concatenate([steps[(steps >= first) & (steps <= last)] for steps, _ in curves]))
    if len(grid) > WINDOWS:
        grid = np.linspace(first, last, WINDOWS)
    values = np.array([_windowed(grid, steps, returns) for steps, returns in curves])
    rows_out = [(name, step, *student_t(values[:, index])) for index, step in enumerate(grid)]
    return pd.DataFrame(rows_out, columns=["variant", "env_steps", *Estimate._fields])


def _windowed(grid: np.ndarray, steps: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """The mean of one seed's returns around each grid point; interpolated where the window holds none.

    All arguments are one-dimensional and ascending in env_steps; the result has one value per grid point.
    """
    middles = (grid[1:] + grid[:-1]) / 2
    shared = (steps >= grid[0]) & (steps <= grid[-1])
    window = np.searchsorted(middles, steps[shared])
    counts = np.bincount(window, minlength=len(grid))
    sums = np.bincount(window, weights=returns[shared], minlength=len(grid))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.interp(grid, steps, returns))


@lru_cache(maxsize=KEPT)
def checkpoints(results: Results, split: str, task_list: str = "test") -> pd.DataFrame:
    """The return after adaptation of every meta-tested checkpoint, against its env_steps.

    Columns: variant, env_steps, update, tasks, mean, low, high, n. Checkpoints on the way may be tested on fewer
    tasks and with fewer adaptation updates than the last one; only tasks and a number of updates that all of a
    variant's checkpoints have are compared.
    """
    rows = _on(results.records, split)
    rows = rows[(rows["task_list"] == task_list) & rows["phase"].isin(["during", "after"])]
    frames = []
    for _, part in rows.groupby("variant", sort=True):
        if part["env_steps"].nunique() < 2:
            continue
        by_checkpoint = part.groupby(["seed", "env_steps"])
        tasks = set.intersection(*by_checkpoint["task"].agg(set))
        updates = set.intersection(*by_checkpoint["update"].agg(set))
        if tasks and updates:
            alike = part[part["task"].isin(tasks) & (part["update"] == max(updates))]
            seeds = seed_means(alike, ["variant", "env_steps", "update", "seed"])
            counted = estimates(seeds, ["variant", "env_steps", "update"], "value")
            frames.append(counted.assign(tasks=len(tasks)))
    columns = ["variant", "env_steps", "update", "tasks", *Estimate._fields]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


@lru_cache(maxsize=KEPT)
def adaptation(results: Results, split: str, task_list: str = "test") -> pd.DataFrame:
    """The return of the final checkpoint before, during and after adaptation, against adaptation updates.

    Columns: variant, phase (before, during, after), update, mean, low, high, n.
    """
    rows = _on(results.records, split)
    rows = rows[rows["is_final"] & (rows["task_list"] == task_list)]
    rows = rows[rows["phase"].isin(["before", "during", "after"])]
    seeds = seed_means(rows, ["variant", "phase", "update", "seed"])
    frame = estimates(seeds, ["variant", "phase", "update"], "value")
    rank = frame["phase"].map({"before": 0, "during": 1, "after": 2})
    order = frame.assign(rank=rank).sort_values(["variant", "rank", "update"]).index
    return frame.loc[order].reset_index(drop=True)


@lru_cache(maxsize=KEPT)
def per_task(results: Results, split: str) -> pd.DataFrame:
    """The result in every single task of `test` and `test_id`.

    Columns: variant, task_list, task, parameter (value on the split's axis, NaN where it has none), mean, low,
    high, n; sorted by parameter.
    """
    rows = results_of(_on(results.records, split))
    rows = rows[rows["task_list"].isin(["test", "test_id"])]
    seeds = seed_means(rows, ["variant", "task_list", "task", "seed"])
    frame = estimates(seeds, ["variant", "task_list", "task"], "value")
    parameters = rows.groupby(["task_list", "task"])["parameter"].first().reset_index()
    frame = frame.merge(parameters, on=["task_list", "task"], how="left")
    columns = ["variant", "task_list", "task", "parameter", *Estimate._fields]
    return frame.sort_values(["variant", "task_list", "parameter", "task"], ignore_index=True)[columns]


@lru_cache(maxsize=KEPT)
def in_and_out(results: Results, split: str) -> pd.DataFrame:
    """The result on `test_id` next to that on `test`; a variant without both is left out.

    Columns: variant, task_list, mean, low, high, n.
    """
    seeds = per_seed(_on(results.records, split))
    frame = estimates(seeds, ["variant", "task_list"], "after")
    frame = frame[frame["task_list"].isin(["test", "test_id"]) & (frame["n"] > 0)]
    both = frame.groupby("variant")["task_list"].transform("nunique") == 2
    return frame[both].reset_index(drop=True)


@lru_cache(maxsize=KEPT)
def gate(results: Results, split: str) -> pd.DataFrame:
    """Per task of a run with a gate: the held-out loss, whether the gate was open, and what relabeling gained.

    Columns: variant, seed, task_list, task, held_out_loss, gate_open (share of the gate's decisions that were
    "open"), gain, baseline. The gain is the return after the last adaptation update minus that of the same agent
    before the first (in MIER: with its context adapted, without relabeling); where that was not recorded, minus the
    return before any adaptation data. `baseline` says which.
    """
    columns = ["variant", "seed", "task_list", "task", "held_out_loss", "gate_open", "gain", "baseline"]
    final = _on(results.records, split)
    final = final[final["is_final"]]
    found = results.diagnostics.merge(final[["run", "env_steps"]].drop_duplicates(), on=["run", "env_steps"])
    tasks = _diagnostic(found, ("gate_open",), "gate_open")
    if tasks.empty:
        return pd.DataFrame(columns=columns)
    losses = _diagnostic(found, HELD_OUT_LOSSES, "held_out_loss")
    gains = _gains(final[final["run"].isin(tasks["run"])])
    tasks = tasks.merge(losses, on=TASK_OF_RUN, how="left").merge(gains, on=TASK_OF_RUN, how="left")
    tasks = tasks.merge(final[["run", "variant", "seed"]].drop_duplicates(), on="run")
    return tasks.sort_values(columns[:4], ignore_index=True)[columns]


def _diagnostic(found: pd.DataFrame, names: tuple[str, ...], column: str) -> pd.DataFrame:
    """The mean over adaptation points of a diagnostic, per task of a run, under the first of its names that occurs."""
    named = next((rows for name in names if len(rows := found[found["name"] == name])), found.iloc[:0])
    return named.groupby(TASK_OF_RUN, sort=True)["value"].mean().rename(column).reset_index()


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


def seeds_behind(results: Results, split: str) -> pd.DataFrame:
    """The per-seed results that `in_and_out` averages: variant, task_list, seed, after."""
    seeds = per_seed(_on(results.records, split))
    return seeds[[key for key in SEED_KEY if key != "split"] + ["after"]]
