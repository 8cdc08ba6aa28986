"""The result in every single task, against the task's parameter or at its index.

The function draws one split on the given axes and returns them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from reports import style
from reports.figures.marks import THIN, area, curve, dot, explain, finish, last_points, name_lines, points, variants
from reports.numbers import series, split_tasks
from reports.results import Results
from tasks.pictures.task_lists import is_range, ranges

MOST_BANDS = 4
"""Variants whose intervals can be told apart in one panel with a mark per task."""

BINS = 8
"""Marks of a variant in a panel of many variants and tasks."""

WIDER = 2
"""From this ratio of their widths on, the task lists of a panel are drawn equally wide."""


def per_task(results: Results, *, split: str, ax: Axes) -> Axes:
    """The result in every task against the task's parameter (the paper's Fig. 5 or 6, by version).

    Filled: test, hollow: test_id; shaded: the range trained on. Tasks without one number stand at their index. More
    than `MOST_BANDS` variants have no intervals here, and neighbouring tasks are averaged where there are many; those
    without a number stand in the order of their difficulty. Lists that lie apart and are not as wide as one another are
    drawn equally wide.
    """
    frame = series.per_task(results, split)
    has_axis = bool(frame["parameter"].notna().any())
    if not has_axis:
        frame = frame[frame["task_list"] == "test"]
    names, entries = variants(frame), list[Artist]()
    is_crowded = len(names) > MOST_BANDS
    if is_crowded:
        frame = frame.assign(low=np.nan, high=np.nan)
    if is_crowded and not has_axis:
        frame = _by_difficulty(frame)
    training = _training_ranges(results, split) if has_axis else []
    for ends in training:
        ax.axvspan(*ends, color=style.SHADE, alpha=0.16, linewidth=0, zorder=0)
    if training:
        entries.append(area("training range", style.SHADE, 0.3))
    (_along_axis if has_axis or is_crowded else _side_by_side)(ax, frame, names, results)
    if has_axis and "test_id" in set(frame["task_list"]):
        entries.append(dot("hollow: test_id", "none"))
    label = _x_axis(ax, frame, results.split_document(split)) if has_axis else _task_axis(ax, is_crowded)
    finish(ax, split, label, style.RETURN)
    name_lines(ax, results.look, names, last_points(frame.dropna(subset="mean"), "parameter"))
    explain(ax, entries)
    return ax


def _x_axis(ax: Axes, frame: pd.DataFrame, document: dict[str, Any]) -> str:
    """The label of an axis of parameters, once its ticks and its scale suit them."""
    label = _axis_label(document)
    if document.get("axis_unit") == "rad":
        _in_turns(ax)
    elif _equally_wide(ax, frame):
        label += ", own scales"
    elif not is_range(frame["parameter"].dropna()):
        ax.set_xticks(sorted(set(frame["parameter"].dropna())))
    return label


def _task_axis(ax: Axes, is_crowded: bool) -> str:
    """The label of an axis of tasks without a parameter."""
    if is_crowded:
        ax.set_xticks([])
    return "test tasks, easiest to hardest" if is_crowded else "test task (index in its list)"


def _by_difficulty(frame: pd.DataFrame) -> pd.DataFrame:
    """With the place of each task as its parameter, where it has none: by the mean over all variants, high to low."""
    means = frame.groupby("task")["mean"].mean()
    return frame.assign(parameter=frame["task"].map(means.rank(ascending=False, method="first")))


def _along_axis(ax: Axes, frame: pd.DataFrame, names: list[str], results: Results) -> None:
    """A line per variant and task list; the first variant is drawn last: it is seen where marks coincide."""
    has_few_values = not is_range(frame["parameter"].dropna())
    for position, name in reversed([*enumerate(names)]):
        for task_list, rows in frame[frame["variant"] == name].groupby("task_list", sort=True):
            numbers = rows[rows["mean"].notna()].sort_values("parameter")
            fills_range = is_range(numbers["parameter"])
            if len(names) > MOST_BANDS:
                numbers = _binned(numbers) if fills_range else _averaged(numbers)
            if has_few_values and len(names) > 1:
                dodge = SIDE * _step(frame["parameter"]) * ((position + 0.5) / len(names) - 0.5)
                numbers = numbers.assign(parameter=numbers["parameter"] + dodge)
            line = curve(ax, numbers, "parameter", results.look(name), hollow=task_list == "test_id")
            line.set(**THIN, **({} if fills_range else {"linestyle": "none"}))


SIDE = 0.5
"""The share of the least distance between values over which variants stand side by side, where values are few."""


def _step(parameters: pd.Series) -> float:
    """The least distance between two values that tasks have; 1 where all have the same."""
    return float(np.diff(np.unique(parameters.dropna())).min(initial=np.inf)) if parameters.nunique() > 1 else 1.0


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean of all tasks that have the same value."""
    return rows.groupby("parameter", as_index=False)["mean"].mean().assign(low=np.nan, high=np.nan)


def _side_by_side(ax: Axes, frame: pd.DataFrame, names: list[str], results: Results) -> None:
    """A mark per variant at the index of each test task."""
    for position, name in reversed([*enumerate(names)]):
        numbers = frame[(frame["variant"] == name) & frame["mean"].notna()].sort_values("task")
        dodge = 0.7 * ((position + 0.5) / len(names) - 0.5)
        points(ax, numbers["task"].to_numpy(dtype=float) + dodge, numbers, results.look(name))


def _binned(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of neighbouring tasks, where there are many."""
    if len(rows) < 2 * BINS:
        return rows
    parts = np.array_split(rows[["parameter", "mean"]].dropna().to_numpy(dtype=float), BINS)
    means = [part.mean(axis=0) for part in parts]
    return pd.DataFrame(means, columns=["parameter", "mean"]).assign(low=np.nan, high=np.nan)


def _equally_wide(ax: Axes, frame: pd.DataFrame) -> bool:
    """Draw two lists that lie apart equally wide, where one is much wider than the other; whether that was done."""
    spans = sorted((part.min(), part.max()) for _, part in frame.groupby("task_list")["parameter"])
    widths = [high - low for low, high in spans]
    if len(spans) != 2 or spans[0][1] >= spans[1][0] or min(widths) <= 0 or max(widths) < WIDER * min(widths):
        return False
    values, places = np.array([*spans[0], *spans[1]]), np.array([0.0, 1.0, 1.25, 2.25])

    def placed(x: Any, source: np.ndarray = values, target: np.ndarray = places) -> np.ndarray:
        slopes = np.diff(target)[[0, -1]] / np.diff(source)[[0, -1]]
        x = np.asarray(x, dtype=float)
        below, above = np.minimum(x - source[0], 0) * slopes[0], np.maximum(x - source[-1], 0) * slopes[1]
        return np.interp(x, source, target) + below + above

    ax.set_xscale("function", functions=(placed, lambda x: placed(x, places, values)))
    ticks = [tick for low, high in spans for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.axvline(float(placed(1.125, places, values)), color=style.GRID, linewidth=1.2, linestyle=":")
    return True


def _in_turns(ax: Axes) -> None:
    """Ticks of an axis in radians at quarters of a turn, as multiples of pi."""
    ax.xaxis.set_major_locator(MultipleLocator(np.pi / 2))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / np.pi:.3g}π" if value else "0"))


def _training_ranges(results: Results, split: str) -> list[tuple[float, float]]:
    """The ends of what training tasks fill on the split's axis; none where they are unknown or too few."""
    frame = split_tasks.tasks(results, split)
    values = frame.loc[(frame["task_list"] == "train") & (frame["size"] == 1), "value"]
    return ranges(values)


def _axis_label(document: dict[str, Any]) -> str:
    axis, unit = str(document.get("axis") or "task parameter").replace("_", " "), document.get("axis_unit")
    return f"{axis} ({unit})" if unit else axis
