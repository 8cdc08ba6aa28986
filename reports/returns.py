"""Returns per seed, which every table and figure starts from: means over a task's episodes, then over tasks.

The result of a run is the return after the last declared adaptation update of its final checkpoint: phase `after` of
rows with `is_final`. The seed is the unit of replication, so no function here averages over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

SEED_KEY = ["variant", "split", "task_list", "seed"]


def results_of(records: pd.DataFrame, phase: str = "after") -> pd.DataFrame:
    """The rows of one phase of the final checkpoints."""
    return records[records["is_final"] & (records["phase"] == phase)]


def task_means(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per group and task: `value` (mean over its episodes), `episodes`; NaN if any return is not finite.

    Args:
        rows: Records.
        by: Columns that make a group.
    """
    keys = [*dict.fromkeys([*by, "task"])]
    episodes = rows[keys].assign(value=rows["return"].to_numpy(dtype=float, na_value=np.nan))
    episodes["bad"] = ~np.isfinite(episodes["value"])
    # In one order, so that sums do not depend on the order of rows, down to the last bit.
    episodes = episodes.sort_values([*keys, "value"], ignore_index=True)
    groups = episodes.groupby(keys, sort=True)
    means = groups.agg(value=("value", "first"), episodes=("value", "size"), bad=("bad", "any")).reset_index()
    means["value"] = _means(groups, episodes["value"]).where(~means["bad"])
    return means.drop(columns="bad")


def seed_means(rows: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """One `value` per group, the mean over episodes of each task, then over tasks; NaN if any return is not finite.

    Columns: those of `by`, value, tasks, episodes, failed_tasks (tasks with a return that is not finite).

    Args:
        rows: Records.
        by: Columns that make a group; must hold the seed. Default: variant, split, task list, seed.
    """
    keys = by or SEED_KEY
    tasks = task_means(rows, keys)
    tasks["failed_tasks"] = tasks["value"].isna()
    columns = {"value": ("value", "first"), "tasks": ("task", "size"), "episodes": ("episodes", "sum"),
               "failed_tasks": ("failed_tasks", "sum")}  # fmt: skip
    if "task" in keys:  # a group is one task
        return tasks.assign(tasks=1, failed_tasks=tasks["failed_tasks"].astype(int))[[*keys, *columns]]
    groups = tasks.groupby(keys, sort=True)
    means = groups.agg(**columns).reset_index()
    means["value"] = _means(groups, tasks["value"]).where(means["failed_tasks"] == 0)
    return means


def _means(groups: Any, values: pd.Series) -> pd.Series:
    """The mean of each group, in the groups' order. pandas' own depends, in its last bit, on what other groups hold."""
    numbers = groups.ngroup().to_numpy()
    in_group = numbers >= 0  # a group whose key is not a number is none
    return pd.Series(np.bincount(numbers[in_group], values[in_group]) / np.bincount(numbers[in_group]))


def per_seed(records: pd.DataFrame) -> pd.DataFrame:
    """One row per (variant, split, task list, seed) of the final results.

    Columns: the keys, `run`, `training` (the meta-training it is a result of), `before` (the return of the same agent
    before any adaptation data), `after`, `tasks`, `episodes` and `failed_tasks` (tasks with a return that is not a
    number, for which `after` is NaN). What adapting gained is no difference of the two: see `reports.numbers.gain`.
    """
    after = seed_means(results_of(records)).rename(columns={"value": "after"})
    before = seed_means(results_of(records, "before")).rename(columns={"value": "before"})
    runs = results_of(records)[[*SEED_KEY, "run", "training"]].drop_duplicates(SEED_KEY)
    seeds = after.merge(before[[*SEED_KEY, "before"]], on=SEED_KEY, how="left").merge(runs, on=SEED_KEY)
    return seeds[[*SEED_KEY, "run", "training", "before", "after", "tasks", "episodes", "failed_tasks"]]


def gaps(seeds: pd.DataFrame) -> pd.DataFrame:
    """The generalisation gap of every (variant, split, seed) that has both task lists: what the shift costs.

    Columns: variant, split, seed, training, test, test_id, gap (test_id - test).

    Args:
        seeds: What `per_seed` returns.
    """
    keys = ["variant", "split", "seed", "training"]
    lists = {
        name: seeds.loc[seeds["task_list"] == name, [*keys, "after"]].rename(columns={"after": name})
        for name in ("test", "test_id")
    }
    both = lists["test"].merge(lists["test_id"], on=keys)
    both["gap"] = both["test_id"] - both["test"]
    return both
