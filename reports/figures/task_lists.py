"""The picture of a split: what is trained on and what is tested (the paper's Fig. 3), in the form of its parameters.

Speeds become ranges on a number line, angles arcs, goals points in the plane, negated joints a grid, and physical
parameters boxes. All of it is in the metadata of the records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle, Wedge
from matplotlib.ticker import MaxNLocator

from reports import style
from reports.figures.marks import area, explain, finish
from reports.numbers import split_tasks
from reports.reading.load import Results

INSIDE, RING = 0.62, 0.13
"""Radius of the innermost arc, and the width of each."""


def split_picture(results: Results, *, split: str, metric: str = "return", ax: Axes) -> Axes:
    """The task lists of a split. `metric` changes nothing: tasks have no unit of return."""
    frame = split_tasks.tasks(results, split)
    lists = list(dict.fromkeys(frame["task_list"]))
    finish(ax, split, "", "")
    _drawing_of(frame)(frame, lists, ax)
    explain(ax, [area(style.LIST_NAMES.get(name, f"{name} tasks"), _colour(name), 0.8) for name in lists])
    return ax


Drawing = Callable[[pd.DataFrame, list[str], Axes], None]


def _drawing_of(frame: pd.DataFrame) -> Drawing:
    """The form that suits the parameters of a family."""
    first = frame.iloc[0] if len(frame) else None
    if first is None or frame["parameter"].nunique() > 1 or frame["share"].notna().any():
        return _boxes
    if first["size"] == 1:
        return _arcs if first["unit"] == "rad" else _ranges
    if first["size"] == 2 and first["unit"] == "m":
        return _plane
    return _grid if (first["low"], first["high"]) == (-1, 1) else _boxes


def _colour(task_list: str) -> str:
    return style.LIST_COLOURS.get(task_list, style.OTHER_LIST_COLOUR)


def _values(frame: pd.DataFrame, task_list: str) -> np.ndarray:
    """The tasks of a list, (task, element)."""
    rows = frame[frame["task_list"] == task_list]
    return rows.pivot(index="task", columns="element", values="value").to_numpy(dtype=float)


def _ranges(frame: pd.DataFrame, lists: list[str], ax: Axes) -> None:
    """A number line with one bar per list over the range of its tasks, and a tick per task."""
    for height, name in enumerate(reversed(lists)):
        values = _values(frame, name)[:, 0]
        if split_tasks.is_range(values):
            ax.barh(
                height,
                values.max() - values.min(),
                left=values.min(),
                height=0.55,
                facecolor=(_colour(name), 0.3),
                linewidth=0,
            )
        ax.plot(values, np.full(len(values), height), linestyle="none", marker="|", markersize=9, color=_colour(name))
    ax.use_sticky_edges = False  # a task at the end of a range is seen beside the axis
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.set_yticks(range(len(lists)), [_counted(frame, name) for name in reversed(lists)])
    ax.set_ylim(-0.7, len(lists) - 0.3)
    ax.grid(visible=False, axis="y")
    first = frame.iloc[0]
    ax.set_xlabel(style.plain(_named(first["parameter"], first["unit"])))


def _arcs(frame: pd.DataFrame, lists: list[str], ax: Axes) -> None:
    """Angles around the body: one ring per list, an arc over the range of its tasks and a mark per task."""
    for ring, name in enumerate(lists):
        angles, radius = _values(frame, name)[:, 0], INSIDE + RING * ring
        if split_tasks.is_range(angles):
            start, end = covering_arc(angles)
            ax.add_patch(
                Wedge(
                    (0, 0), radius + RING / 2, start, end, width=RING * 0.9, facecolor=(_colour(name), 0.3), linewidth=0
                )
            )
        ax.plot(radius * np.cos(angles), radius * np.sin(angles), linestyle="none", marker="o", markersize=3,
                color=_colour(name))  # fmt: skip
    ax.plot(0, 0, marker="+", color=style.INK, markersize=7)
    outside = INSIDE + RING * len(lists) + 0.05
    for angle, label in ((0, "0"), (90, "π/2"), (180, "π"), (270, "3π/2")):
        at = np.radians(angle)
        ax.annotate(label, (outside * np.cos(at), outside * np.sin(at)), ha="center", va="center", color=style.INK)
    ax.annotate(style.plain(_named(frame.iloc[0]["parameter"], "")), (0, -0.2), ha="center", color=style.INK)
    ax.set_xlim(-1.25 * outside, 1.25 * outside)
    ax.set_ylim(-1.12 * outside, 1.12 * outside)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def covering_arc(angles: np.ndarray) -> tuple[float, float]:
    """The ends, in degrees and counter-clockwise, of the shortest arc that holds all angles (rad)."""
    turned = np.sort(np.asarray(angles, dtype=float) % (2 * np.pi))
    gaps = np.diff(turned, append=turned[0] + 2 * np.pi)
    widest = int(gaps.argmax())
    start = float(np.degrees(turned[(widest + 1) % len(turned)]))
    return start, start + 360 - float(np.degrees(gaps[widest]))


def _plane(frame: pd.DataFrame, lists: list[str], ax: Axes) -> None:
    """Goals in the plane; the body starts at the cross."""
    for name in lists:
        ax.plot(*_values(frame, name).T, linestyle="none", marker="o", markersize=2.6, color=_colour(name))
    ax.plot(0, 0, marker="+", color=style.INK, markersize=7)
    ax.set_aspect("equal", adjustable="datalim")
    unit = frame.iloc[0]["unit"]
    ax.set_xlabel(f"x ({unit})")
    ax.set_ylabel(f"y ({unit})")


def _grid(frame: pd.DataFrame, lists: list[str], ax: Axes) -> None:
    """Negated joints: a row per task, a column per joint, filled where the joint is negated."""
    top = 0
    for name in lists:
        values = _values(frame, name)
        for row, column in zip(*np.nonzero(values < 0)):
            ax.add_patch(Rectangle((column + 0.54, top + row), 0.92, 0.9, facecolor=_colour(name), linewidth=0))
        ax.annotate(_counted(frame, name), (0.4, top + len(values) / 2), ha="right", va="center", rotation=90,
                    color=style.INK, annotation_clip=False)  # fmt: skip
        top += len(values) + 1
    joints = int(frame["size"].max())
    ax.set_xlim(0.5, joints + 0.5)
    ax.set_ylim(top - 1, 0)
    ax.set_xticks(range(1, joints + 1))
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.set_xlabel("joint (filled where negated)")
    ax.set_ylabel(" ")


def _boxes(frame: pd.DataFrame, lists: list[str], ax: Axes) -> None:
    """Physical parameters: for each, one box per list over all elements and tasks, on a logarithmic axis."""
    parameters = list(dict.fromkeys(frame["parameter"]))
    width = 0.8 / max(len(lists), 1)
    for place, name in enumerate(lists):
        for group, parameter in enumerate(parameters):
            rows = frame[(frame["task_list"] == name) & (frame["parameter"] == parameter)]
            ax.bxp([_box(rows["value"].to_numpy(dtype=float))], showfliers=False, patch_artist=True,
                   positions=[group + (place - (len(lists) - 1) / 2) * width], widths=[0.8 * width],
                   manage_ticks=False, boxprops={"facecolor": (_colour(name), 0.5), "edgecolor": _colour(name)},
                   medianprops={"color": style.INK}, whiskerprops={"color": _colour(name)},
                   capprops={"color": _colour(name)})  # fmt: skip
    ax.set_yscale("log")
    ax.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    ax.minorticks_off()
    ax.axhline(1.0, color=style.INK, linewidth=0.7, linestyle=":")
    ax.set_xticks(range(len(parameters)), [style.plain(name.replace("_", "\n")) for name in parameters])
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(style.plain(str(frame.iloc[0]["unit"])) if len(frame) else "")


def _box(values: np.ndarray) -> dict[str, Any]:
    """Quartiles with the extremes as whiskers; of recorded quantiles these are the quantiles themselves."""
    low, first, middle, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high}


def _counted(frame: pd.DataFrame, task_list: str) -> str:
    return style.plain(f"{task_list} ({frame.loc[frame['task_list'] == task_list, 'task'].nunique()})")


def _named(parameter: str, unit: str) -> str:
    words = str(parameter).replace("_", " ")
    return f"{words} ({unit})" if unit else words
