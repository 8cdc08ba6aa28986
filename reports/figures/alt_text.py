"""The alternative text of each figure: what it shows, with the numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pandas as pd

from reports import style
from reports.numbers import aggregates, series, split_tasks, training_curves
from reports.numbers.common import where
from reports.results import Results
from tasks.pictures.task_lists import NAMES


def _name(variant: str) -> str:
    return style.look(variant).name


def _value(row: pd.Series | dict[Hashable, Any]) -> str:
    return style.interval(row["mean"], row["low"], row["high"])


def describe_split(results: Results, split: str) -> str:
    """The alternative text of the picture of a split: how many tasks of which values each list holds."""
    frame = split_tasks.tasks(results, split)
    parts = []
    for task_list, rows in frame.groupby("task_list", sort=False):
        number = rows["task"].nunique()
        unit = str(rows["unit"].iloc[0])
        if (rows["low"] == -1).all() and (rows["high"] == 1).all() and rows["size"].iloc[0] > 1:
            negated = rows[rows["value"] < 0]
            joints = ", ".join(str(int(joint) + 1) for joint in sorted(set(negated["element"])))
            spread = f"with some of the joints {joints} negated"
        else:
            spread = f"from {rows['value'].min():.3g} to {rows['value'].max():.3g} {unit}".rstrip()
        count = f"{number} {NAMES.get(str(task_list), str(task_list))}" if number else str(task_list)
        parts.append(f"{count} {spread}")
    what = ", ".join(dict.fromkeys(name.replace("_", " ") for name in frame["parameter"]))
    return f"Tasks of {split} by {what}: {'; '.join(parts)}."


def describe_outcome(results: Results, split: str) -> str:
    """The alternative text of the figure with all algorithms on the test tasks."""
    frame = series.outcome(results, split)
    parts = [
        f"{_name(row['variant'])}: {row['why']}"
        if row["why"]
        else f"{_name(row['variant'])} {_value(row)} (n = {row['n']})"
        for row in frame.to_dict("records")
    ]
    return f"Return after adaptation on the test tasks of {split}. {'; '.join(parts)}."


def describe_overall(results: Results, split: str) -> str:
    """The alternative text of the statistics of scores: mean and IQM of each variant, the best mean first."""
    frame = series.overall(results, split)
    lacking = aggregates.lacking_splits(results) if split == aggregates.ALL_SPLITS else {}
    rows = {key: row for key, row in zip(zip(frame["variant"], frame["statistic"]), frame.to_dict("records"))}
    names = sorted(set(frame["variant"]), key=lambda name: -rows[name, "mean"]["mean"])
    parts = [
        f"{_name(name)}{lacking.get(name, '')} mean {_value(rows[name, 'mean'])}, IQM {_value(rows[name, 'IQM'])} "
        f"(n = {rows[name, 'mean']['n']})"
        for name in names
    ]
    return f"Statistics of the normalised scores on {where(results, split)}. {'; '.join(parts)}."


def describe_profile(results: Results, split: str) -> str:
    """The alternative text of the performance profiles: the shares above a quarter, a half and three quarters."""
    frame = series.profile(results, split)
    lacking = aggregates.lacking_splits(results) if split == aggregates.ALL_SPLITS else {}
    parts = []
    for name in style.ordered(frame["variant"]):
        rows = frame[frame["variant"] == name]
        shares = [
            f"{rows['mean'].iloc[(rows['score'] - at).abs().argmin()]:.0%} above {at}" for at in (0.25, 0.5, 0.75)
        ]
        parts.append(f"{_name(name)}{lacking.get(name, '')} {', '.join(shares)}")
    return f"Share of tasks and seeds above a score on {where(results, split)}. {'; '.join(parts)}."


def describe_wall_time(results: Results, split: str) -> str:
    """The alternative text of the return against wall-clock time."""
    frame = training_curves.wall_time(results, split)
    return _against_cost(frame, split, "time", "hours", lambda hours: style.duration(3600 * hours))


def describe_compute(results: Results, split: str) -> str:
    """The alternative text of the return against compute."""
    frame = training_curves.compute(results, split)
    return _against_cost(frame, split, "compute", "core_minutes", lambda number: f"{style.number(number)} core-minutes")


def _against_cost(frame: pd.DataFrame, split: str, what: str, column: str, words: Callable[[float], str]) -> str:
    parts = []
    for name in style.ordered(frame["variant"]):
        last = frame[frame["variant"] == name].sort_values("env_steps").iloc[-1]
        parts.append(f"{_name(name)} {_value(last)} after {words(last[column])} (n = {last['n']})")
    return f"Return after adaptation on {split}, test tasks, against meta-training {what}. {'; '.join(parts)}."


def describe_before_and_after(results: Results, split: str) -> str:
    """The alternative text of the slopes from before adaptation to after it."""
    frame = series.adaptation_data(results, split)
    parts = [
        f"{_name(row['variant'])} {row['kind']} at {row['transitions']} transitions {_value(row)}"
        for row in frame.to_dict("records")
    ]
    return f"Return on {split}, test tasks, before and after adaptation. {'; '.join(parts)}."


def describe_curve(results: Results, split: str, kind: str, frame: pd.DataFrame) -> str:
    """What a curve over meta-training steps shows: its first and last points."""
    parts = []
    for name in style.ordered(frame["variant"]):
        rows = frame[frame["variant"] == name].sort_values("env_steps")
        first, last = rows.iloc[0], rows.iloc[-1]
        label = " / ".join(_name(part) for part in name.split(" / "))
        parts.append(
            f"{label} {style.number(first['mean'])} at {first['env_steps']:,.0f} steps, "
            f"{_value(last)} at {last['env_steps']:,.0f} (n = {last['n']})"
        )
    return f"{kind} on {split} against meta-training environment steps. {'; '.join(parts)}."


def describe_training(results: Results, split: str) -> str:
    """The alternative text of the training curve."""
    return describe_curve(results, split, "Return of training episodes", training_curves.training(results, split))


def describe_checkpoints(results: Results, split: str, inside: bool) -> str:
    """The alternative text of a checkpoint curve, on tasks inside the training distribution or outside of it."""
    frame = (
        training_curves.sample_efficiency(results, split) if inside else training_curves.shifted_samples(results, split)
    )
    where = "tasks of the training distribution" if inside else "tasks outside the training distribution"
    alike = "; ".join(
        f"{_name(str(v))}: {part['tasks'].iloc[0]} tasks, {part['update'].iloc[0]} updates"
        for v, part in frame.groupby("variant", sort=True)
    )
    text = describe_curve(results, split, f"Return after adaptation of meta-tested checkpoints, {where},", frame)
    return f"{text} Compared alike at every checkpoint ({alike})."


def describe_adaptation(results: Results, split: str, task_list: str) -> str:
    """The alternative text of an adaptation curve."""
    frame = series.adaptation(results, split, task_list=task_list)
    parts = []
    for name in style.ordered(frame["variant"]):
        rows = frame[frame["variant"] == name].set_index("phase")
        before = style.number(rows.loc[["before"], "mean"].iloc[0]) if "before" in rows.index else "not recorded"
        if "after" in rows.index:
            after = rows.loc[["after"]].iloc[-1]
            result = f"{_value(after)} after {_updates(after['update'])} (n = {after['n']})"
        else:
            result = "no result after"
        way = rows.loc[rows.index == "during", "mean"]
        highest = f", highest on the way {style.number(way.max())}" if way.notna().any() else ""
        parts.append(f"{_name(name)} {before} before, {result}{highest}")
    return f"Return on {split}, {style.task_list_words(task_list)}, through adaptation. {'; '.join(parts)}."


def describe_tasks(results: Results, split: str) -> str:
    """The alternative text of the per-task figure."""
    frame = series.per_task(results, split)
    parts = []
    for name in style.ordered(frame["variant"]):
        for task_list in style.ordered_lists(frame["task_list"]):
            rows = frame[(frame["variant"] == name) & (frame["task_list"] == task_list) & (frame["n"] > 0)]
            if len(rows):
                low, high = style.number(rows["mean"].min()), style.number(rows["mean"].max())
                parts.append(f"{_name(name)} from {low} to {high} over {len(rows)} {task_list} tasks")
    return f"Return after adaptation in each task of {split}. {'; '.join(parts)}."


def describe_in_and_out(results: Results, split: str) -> str:
    """The alternative text of the figure that sets test_id next to test."""
    frame = series.in_and_out(results, split)
    rows = frame.set_index(["variant", "task_list"]).to_dict("index")
    parts = [
        f"{_name(name)} {_value(rows[name, 'test_id'])} on test_id, {_value(rows[name, 'test'])} on test "
        f"(n = {rows[name, 'test']['n']})"
        for name in style.ordered(frame["variant"])
    ]
    return f"Return after adaptation on {split}, training distribution next to test tasks. {'; '.join(parts)}."


def describe_gate(results: Results, split: str) -> str:
    """The alternative text of the gate's figure."""
    frame = series.gate(results, split)
    frame = frame[frame["task_list"] == "test"]
    parts = []
    for name in style.ordered(frame["variant"]):
        rows = frame[frame["variant"] == name]
        is_open = ~(rows["gate_open"] < 0.5)
        gains = [style.number(float(rows.loc[mask, "gain"].mean())) for mask in (is_open, ~is_open)]
        number, baseline = f"{len(rows)} test tasks and seeds", rows["baseline"].iloc[0]
        if rows["gate_open"].isna().all():
            parts.append(f"{_name(name)}: no gate; mean gain over the return {baseline} {gains[0]} in {number}")
            continue
        parts.append(
            f"{_name(name)}: gate open in {rows['gate_open'].mean():.0%} of {number}; mean "
            f"gain over the return {baseline} {gains[0]} where open, {gains[1]} where closed"
        )
    return f"Gain from relabeling against held-out loss on {split}. {'. '.join(parts)}."


def _updates(number: float) -> str:
    return "1 update" if number == 1 else f"{number:,.0f} updates"
