"""Sentences made of the numbers: the summary on top of the page and the text that stands for each figure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from reports import series, style
from reports.intervals import Estimate, caution, paired_difference, welch_difference
from reports.load import Results
from reports.metrics import gaps, per_seed
from reports.tables import main_table


def verdict(results: Results) -> list[str]:
    """The summary, one paragraph per item: what was measured, what it says per split, and how far it carries."""
    table = main_table(results)
    paragraphs = [_coverage(results)]
    seeds = per_seed(results.records)
    for split in sorted(set(results.cells["split"])):
        paragraphs.append(_split_verdict(results, split, seeds[seeds["split"] == split]))
    with_numbers = table[(table["n"] > 0) & ~table["variant"].map(style.is_reference).astype(bool)]
    if len(with_numbers):
        paragraphs.append(caution(int(with_numbers["n"].min())))
    return [paragraph for paragraph in paragraphs if paragraph]


def _coverage(results: Results) -> str:
    cells = results.cells
    done = int((cells["status"] == "done").sum())
    counts = cells["status"].value_counts()
    words = {"unsupported": "not supported"}
    rest = ", ".join(
        f"{counts[s]} {words.get(s, s)}" for s in ("running", "pending", "failed", "unsupported") if s in counts
    )
    variants, splits = cells["variant"].nunique(), cells["split"].nunique()
    text = (
        f"{_count(variants, 'variant')} on {_count(splits, 'split')}: "
        f"{done} of {_count(len(cells), 'cell')} (variant x split x seed) {'has' if done == 1 else 'have'} a result"
    )
    return f"{text} ({rest})." if rest else f"{text}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def _split_verdict(results: Results, split: str, seeds: pd.DataFrame) -> str:
    """What the numbers of one split say on its test tasks, without more certainty than the seeds carry."""
    test = seeds[(seeds["task_list"] == "test") & np.isfinite(seeds["after"].astype(float))]
    values = {str(v): dict(zip(part["seed"], part["after"])) for v, part in test.groupby("variant", sort=True)}
    if not values:
        return f"{split}: no result yet."
    means = {variant: float(np.mean(sorted(held.values()))) for variant, held in values.items()}
    beside = _references(means)
    ranked = sorted((v for v in means if not style.is_reference(v)), key=lambda variant: (-means[variant], variant))
    if not ranked:
        return f"{split}: no result yet.{beside}"
    best = ranked[0]
    listed = ", ".join(f"{_name(v)} {style.number(means[v])} (n = {len(values[v])})" for v in ranked)
    text = f"{split}, return after adaptation on the test tasks: {listed}.{beside}"
    if len(ranked) > 1:
        runner_up = ranked[1]
        paired = _share_training(results, split, best, runner_up)
        text += " " + _comparison(best, runner_up, _difference(values[best], values[runner_up], paired), paired)
    return text + _gap_sentence(best, seeds)


def _references(means: dict[str, float]) -> str:
    """A sentence on the references among the variants, which are compared with none; empty where there are none."""
    names = [variant for variant in style.ordered(means) if style.is_reference(variant)]
    listed = ", ".join(f"{_name(v)} {style.number(means[v])}" for v in names)
    return f" To read them by: {listed}." if listed else ""


def _difference(a: dict[int, float], b: dict[int, float], paired: bool) -> Estimate:
    if paired:
        return paired_difference(a, b)
    return welch_difference(np.array([a[s] for s in sorted(a)]), np.array([b[s] for s in sorted(b)]))


def _comparison(first: str, second: str, difference: Estimate, paired: bool) -> str:
    """How the highest mean compares with the next, in words that n allows."""
    places = style.decimals(difference.mean, difference.low, difference.high)
    names = f"{_name(first)} minus {_name(second)} is {style.number(difference.mean, places)}"
    if not math.isfinite(difference.low):
        return f"{names}; with one seed this says nothing about whether it would repeat."
    how = "paired over shared meta-trainings" if paired else "Welch, seeds independent"
    ends = f"{style.number(difference.low, places)} to {style.number(difference.high, places)}"
    if difference.low > 0 or difference.high < 0:
        reading = "excludes zero; it is not corrected for having picked the best of several variants"
    else:
        reading = "includes zero, so these seeds do not separate the two"
    return f"{names}; the 95 % interval of that difference, {ends} ({how}, n = {difference.n}), {reading}."


def _gap_sentence(variant: str, seeds: pd.DataFrame) -> str:
    held = gaps(seeds)
    values = held.loc[held["variant"] == variant, "gap"].to_numpy(dtype=float)
    values = np.sort(values[np.isfinite(values)])
    if len(values) == 0:
        return ""
    mean = float(np.mean(values))
    side = "lower" if mean >= 0 else "higher"
    return (
        f" {_name(variant)}'s return is {style.number(abs(mean))} {side} on test than on test_id, tasks of the "
        f"training distribution (n = {len(values)})."
    )


def _share_training(results: Results, split: str, a: str, b: str) -> bool:
    """Whether the two variants were meta-tested from the very same meta-trainings."""
    rows = results.records[results.records["is_final"] & (results.records["split"] == split)]
    held = [set(rows.loc[rows["variant"] == variant, "training"]) for variant in (a, b)]
    return bool(held[0] & held[1])


def _name(variant: str) -> str:
    return style.look(variant).name


def _value(row: pd.Series | dict[Hashable, Any]) -> str:
    return style.interval(row["mean"], row["low"], row["high"])


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
    return describe_curve(results, split, "Return of training episodes", series.training(results, split))


def describe_checkpoints(results: Results, split: str) -> str:
    """The alternative text of the checkpoint curve."""
    frame = series.checkpoints(results, split)
    alike = "; ".join(
        f"{_name(str(v))}: {part['tasks'].iloc[0]} tasks, {part['update'].iloc[0]} updates"
        for v, part in frame.groupby("variant", sort=True)
    )
    text = describe_curve(results, split, "Return after adaptation of meta-tested checkpoints", frame)
    return f"{text} Compared alike at every checkpoint ({alike})."


def describe_adaptation(results: Results, split: str, task_list: str) -> str:
    """The alternative text of an adaptation curve."""
    frame = series.adaptation(results, split, task_list)
    parts = []
    for name in style.ordered(frame["variant"]):
        rows = frame[frame["variant"] == name].set_index("phase")
        before = style.number(rows.loc[["before"], "mean"].iloc[0]) if "before" in rows.index else "not recorded"
        if "after" in rows.index:
            after = rows.loc[["after"]].iloc[-1]
            result = f"{_value(after)} after {_count(after['update'], 'update')} (n = {after['n']})"
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
    held = frame.set_index(["variant", "task_list"]).to_dict("index")
    parts = [
        f"{_name(name)} {_value(held[name, 'test_id'])} on test_id, {_value(held[name, 'test'])} on test "
        f"(n = {held[name, 'test']['n']})"
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
        is_open = rows["gate_open"] >= 0.5
        gains = [style.number(float(rows.loc[mask, "gain"].mean())) for mask in (is_open, ~is_open)]
        parts.append(
            f"{_name(name)}: gate open in {rows['gate_open'].mean():.0%} of {len(rows)} test tasks and seeds; mean "
            f"gain over the return {rows['baseline'].iloc[0]} {gains[0]} where open, {gains[1]} where closed"
        )
    return f"Gain from relabeling against held-out loss on {split}. {'. '.join(parts)}."
