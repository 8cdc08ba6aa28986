"""The numbers behind figures that show meta-training: returns against env_steps, and against wall-clock time.

Frames are as those of `series`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.intervals import Estimate, estimates, mean_over_seeds
from reports.numbers.series import KEPT, on
from reports.results import Results, value_at
from reports.returns import seed_means

WINDOWS = 40
"""Most points of an averaged training curve."""

TRAINING_RETURN = "return"
"""The metric that holds the return of training episodes."""

CHECKPOINT = ["variant", "env_steps", "update"]


@lru_cache(maxsize=KEPT)
def training(results: Results, split: str) -> pd.DataFrame:
    """The return of training episodes (exploring policy, training tasks) against env_steps.

    Columns: variant (names joined where several variants share one training), env_steps, mean, low, high, n.
    Seeds log at steps of their own, so each is averaged in windows around a common grid over the range that all have.
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
    rows = on(results.records, split)[["training", "variant"]].drop_duplicates()
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
    rows_out = [(name, step, *mean_over_seeds(values[:, index])) for index, step in enumerate(grid)]
    return pd.DataFrame(rows_out, columns=["variant", "env_steps", *Estimate._fields])


def _windowed(grid: np.ndarray, steps: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """The mean of one seed's returns around each grid point; interpolated where its window is empty.

    All arguments are one-dimensional and ascending in env_steps; the result has one value per grid point.
    """
    middles = (grid[1:] + grid[:-1]) / 2
    inside = (steps >= grid[0]) & (steps <= grid[-1])
    window = np.searchsorted(middles, steps[inside])
    counts = np.bincount(window, minlength=len(grid))
    sums = np.bincount(window, weights=returns[inside], minlength=len(grid))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.interp(grid, steps, returns))


@lru_cache(maxsize=KEPT)
def checkpoints(results: Results, split: str, task_list: str) -> pd.DataFrame:
    """The return after adaptation of every meta-tested checkpoint, against its env_steps; a lone one is no curve.

    Columns: variant, env_steps, update, tasks, mean, low, high, n. Checkpoints on the way may be tested on fewer
    tasks and with fewer adaptation updates than the last one; only tasks and a number of updates that all of a
    variant's checkpoints have are compared.
    """
    parts = [part for part in _alike(results, split, task_list) if part["env_steps"].nunique() > 1]
    columns = [*CHECKPOINT, "tasks", *Estimate._fields]
    return _over_seeds(pd.concat(parts))[columns] if parts else pd.DataFrame(columns=columns)


def in_distribution_list(results: Results, split: str) -> str:
    """The task list that holds tasks of the training distribution: `test_id`, or `test` where nothing shifts."""
    return "test" if results.split_document(split).get("shift") in ("in_distribution", "same_tasks") else "test_id"


@lru_cache(maxsize=KEPT)
def sample_efficiency(results: Results, split: str) -> pd.DataFrame:
    """`checkpoints` on tasks of the training distribution."""
    return checkpoints(results, split, in_distribution_list(results, split))


@lru_cache(maxsize=KEPT)
def shifted_samples(results: Results, split: str) -> pd.DataFrame:
    """`checkpoints` on test tasks outside the training distribution; empty for a split without a shift."""
    frame = checkpoints(results, split, "test")
    return frame if in_distribution_list(results, split) == "test_id" else frame.iloc[:0]


@lru_cache(maxsize=KEPT)
def wall_time(results: Results, split: str) -> pd.DataFrame:
    """The return after adaptation on `test` against the wall-clock hours of the meta-training behind it.

    Columns: variant, env_steps, update, tasks, hours (mean over seeds), mean, low, high, n. Compared alike, as in
    `checkpoints`; a lone checkpoint is a point. Rows whose runs recorded no time are left out.
    """
    return _against_cost(results, split, "hours", "train_wall_seconds", 1 / 3600)


@lru_cache(maxsize=KEPT)
def compute(results: Results, split: str) -> pd.DataFrame:
    """`wall_time` with core_minutes for hours: minutes of a core of the reference speed (`suite.run.compute`)."""
    return _against_cost(results, split, "core_minutes", "train_core_minutes", 1.0)


def _against_cost(results: Results, split: str, column: str, cost: str, unit: float) -> pd.DataFrame:
    """The return against what meta-training took: `cost` of a run's document times a unit, under the name `column`."""
    columns = [*CHECKPOINT, "tasks", column, *Estimate._fields]
    parts = _alike(results, split, "test")
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=[*results.records.columns])
    costly = rows.assign(cost=_cost(results, rows, cost) * unit).dropna(subset="cost")
    if costly.empty:
        return pd.DataFrame(columns=columns)
    costs = costly.drop_duplicates("run").groupby(["variant", "env_steps"])["cost"].mean()
    means = _over_seeds(costly)
    at = pd.MultiIndex.from_frame(means[["variant", "env_steps"]])
    return means.assign(**{column: costs.reindex(at).to_numpy()})[columns]


def _cost(results: Results, rows: pd.DataFrame, name: str) -> pd.Series:
    """What training took for each row, missing where its run recorded the cost of another checkpoint, or none."""
    steps = {run: value_at(results.runs.get(run), "env_steps") for run in sorted(rows["run"].unique())}
    costs = {run: value_at(results.runs.get(run), "cost", name) for run in steps}
    numbers = pd.to_numeric(rows["run"].map(costs), errors="coerce")
    return numbers.where(rows["run"].map(steps) == rows["env_steps"])


@lru_cache(maxsize=KEPT)
def _alike(results: Results, split: str, task_list: str) -> tuple[pd.DataFrame, ...]:
    """Per variant its records after adaptation, of tasks and of a number of updates that all its checkpoints have."""
    rows = on(results.records, split)
    rows = rows[(rows["task_list"] == task_list) & rows["phase"].isin(["during", "after"])]
    parts = []
    for _, part in rows.groupby("variant", sort=True):
        by_checkpoint = part.groupby(["seed", "env_steps"])
        tasks = set.intersection(*by_checkpoint["task"].agg(set))
        updates = set.intersection(*by_checkpoint["update"].agg(set))
        if tasks and updates:
            parts.append(part[part["task"].isin(tasks) & (part["update"] == max(updates))])
    return tuple(parts)


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Estimates of every checkpoint of each variant, with the number of tasks that all of the variant's have."""
    means = estimates(seed_means(rows, [*CHECKPOINT, "seed"]), CHECKPOINT, "value")
    return means.assign(tasks=means["variant"].map(rows.groupby("variant")["task"].nunique()))
