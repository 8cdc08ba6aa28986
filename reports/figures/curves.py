"""Returns against what they cost: meta-training samples, wall-clock time, adaptation updates and adaptation data.

Each function draws one split on the given axes and returns them. Lines and points are means over seeds; bands and
bars are 95 % intervals over seeds, and are absent where n = 1.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports import style
from reports.figures.marks import (
    MANY,
    aside,
    band,
    curve,
    dot,
    explain,
    finish,
    gate_words,
    handle,
    last_points,
    name_lines,
    points,
    variants,
)
from reports.numbers import series, training_curves
from reports.results import Results


def training_curve(results: Results, *, split: str, ax: Axes) -> Axes:
    """The return of training episodes (exploring policy, training tasks) against meta-training steps."""
    frame = training_curves.training(results, split)
    names = variants(frame)
    for name in names:
        rows, look = frame[frame["variant"] == name], _joint_look(results, name)
        if len(names) <= MANY:
            band(ax, rows["env_steps"], rows, look.colour)
        ax.plot(rows["env_steps"], rows["mean"], color=look.colour, linestyle=look.dashes)
    finish(ax, split, style.STEPS, style.RETURN, counts=True)
    _scaled(ax, frame, "env_steps")
    if len(names) > MANY:
        name_lines(ax, partial(_joint_look, results), names, last_points(frame, "env_steps"))
    else:
        explain(ax, [handle(_joint_look(results, name), marker=False) for name in names])
    return ax


def sample_efficiency(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on tasks of the training distribution against meta-training samples (the paper's Fig. 2)."""
    return _against_samples(results, training_curves.sample_efficiency(results, split), split, ax)


def shifted_samples(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on out-of-distribution tasks against meta-training samples (the paper's Fig. 5 or 6, by version)."""
    return _against_samples(results, training_curves.shifted_samples(results, split), split, ax)


def _against_samples(results: Results, frame: pd.DataFrame, split: str, ax: Axes) -> Axes:
    _curves(results, frame, "env_steps", ax)
    finish(ax, split, style.STEPS, style.RETURN, counts=True)
    _scaled(ax, frame, "env_steps")
    name_lines(ax, results.look, variants(frame), last_points(frame, "env_steps"))
    return ax


def _curves(results: Results, frame: pd.DataFrame, column: str, ax: Axes) -> None:
    """A curve per variant against a column; a lone checkpoint is a point with its interval."""
    names = variants(frame)
    for name in names:
        rows, look = frame[frame["variant"] == name], results.look(name)
        curve(ax, rows, column, look, bare=len(names) > MANY)
        if len(rows) == 1:
            points(ax, rows[column].to_numpy(dtype=float), rows, look)


FAR_APART = 20
"""From this ratio of the highest cost of a variant to the lowest on, costs stand on a logarithmic axis."""


def _scaled(ax: Axes, frame: pd.DataFrame, column: str) -> None:
    """A logarithmic scale for what meta-training took (a column) where variants are far apart in it."""
    ends = frame.groupby("variant")[column].max()
    if len(ends) and frame[column].min() > 0 and ends.max() >= FAR_APART * ends.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.minorticks_off()
        ax.set_xlabel(f"{ax.get_xlabel()} (log)")


def wall_time(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on the test tasks against the wall-clock time of meta-training, from the saved checkpoints."""
    frame = training_curves.wall_time(results, split)
    longest = float(frame["hours"].max()) if len(frame) else 1.0
    unit, per_hour = next((unit, count) for unit, count in CLOCKS if longest * count >= 2 or unit == "seconds")
    frame = frame.assign(time=frame["hours"] * per_hour)
    _curves(results, frame, "time", ax)
    ax.set_xlim(left=-0.03 * longest * per_hour)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    finish(ax, split, f"{style.TIME} ({unit})", style.RETURN)
    name_lines(ax, results.look, variants(frame), last_points(frame, "time"))
    return ax


def compute(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on the test tasks against the compute of meta-training, from the saved checkpoints."""
    frame = training_curves.compute(results, split)
    _curves(results, frame, "core_minutes", ax)
    finish(ax, split, style.COMPUTE, style.RETURN, counts=True)
    _scaled(ax, frame, "core_minutes")
    name_lines(ax, results.look, variants(frame), last_points(frame, "core_minutes"))
    return ax


CLOCKS = (("hours", 1), ("minutes", 60), ("seconds", 3600))
"""Units of the axis of wall-clock time with how many are an hour; the first in which the longest training counts."""


def before_and_after(results: Results, *, split: str, ax: Axes) -> Axes:
    """A slope per variant: the return on the test tasks before any adaptation data, and after adaptation.

    Between the two nothing was measured but the adaptation episodes themselves, which the exploring policy collected:
    hollow, in the order of their ends, side by side.
    """
    frame = series.adaptation_data(results, split)
    names, ends = variants(frame), {}
    is_bare = len(names) > MANY
    between = frame.loc[frame["kind"] == "collected", "transitions"]
    for position, name in enumerate(names):
        rows, look = frame[frame["variant"] == name], results.look(name)
        aside_by = SIDE * (position + 0.5 - len(names) / 2) / len(names)
        evaluated = rows[rows["kind"] == "evaluated"]
        places = np.where(evaluated["transitions"] > 0, 1.0, 0.0) + aside_by
        ax.plot(places, evaluated["mean"], color=look.colour, linestyle=look.dashes, linewidth=0.8)
        points(ax, places, evaluated, look, bare=is_bare)
        collected = rows[rows["kind"] == "collected"]
        points(ax, _in_order(collected["transitions"], between) + aside_by, collected, look, hollow=True, bare=is_bare)
        if len(evaluated):
            ends[name] = (1 + aside_by, float(evaluated["mean"].iloc[-1]))
    ax.set_xticks([0, 0.5, 1], ["before", "while\ncollecting", "after"])
    ax.set_xlim(-0.5 * SIDE - 0.1, 1 + 0.5 * SIDE + 0.1)
    ax.grid(visible=False, axis="x")
    counts = frame.loc[(frame["kind"] == "evaluated") & (frame["transitions"] > 0), "transitions"]
    spans = " to ".join(dict.fromkeys(f"{int(end):,}" for end in (counts.min(), counts.max()))) if len(counts) else "no"
    finish(ax, split, f"adaptation ({spans} transitions)", style.RETURN)
    name_lines(ax, results.look, [name for name in names if name in ends], ends)
    if len(between):
        explain(ax, [dot("hollow: while collecting", "none")])
    return ax


def _in_order(transitions: pd.Series, all_of_them: pd.Series) -> np.ndarray:
    """Where episodes that ended at so many transitions stand between before (0) and after (1): about the middle."""
    first, last = all_of_them.min(), all_of_them.max()
    shares = (transitions - first) / (last - first) if last > first else 0.5
    return np.broadcast_to(0.35 + 0.3 * np.asarray(shares, dtype=float), len(transitions))


SIDE = 0.18
"""The width over which the points of all variants stand side by side, before, between and after (these are 0, 1)."""


def adaptation_curve(results: Results, *, split: str, task_list: str = "test", ax: Axes) -> Axes:
    """The return against adaptation updates, between the returns before (hollow) and after, side by side.

    A variant that needs fewer updates than the longest ends early; a dotted line carries its value on. The title
    says in which share of tasks and seeds a gate let the updates through.
    """
    frame = series.adaptation(results, split, task_list=task_list)
    span = max(float(frame["update"].max()) if len(frame) else 0.0, 1.0)
    names = variants(frame)
    for position, name in enumerate(names):
        rows, look = frame[frame["variant"] == name], results.look(name)
        before, path = rows[rows["phase"] == "before"], rows[rows["phase"] != "before"]
        after = path[path["phase"] == "after"]
        at, is_bare = _step(names) * position, len(names) > MANY
        points(ax, np.full(len(before), span * (_first(names) + at)), before, look, hollow=True, bare=is_bare)
        points(ax, np.full(len(after), span * (1 + _MARGIN + at)), after, look, bare=is_bare)
        curve(ax, path, "update", look, bare=is_bare)
        ax.hlines(after["mean"], after["update"], span, color=look.colour, linewidth=0.9, linestyle=":")
    finish(ax, split, style.UPDATES, style.RETURN)
    _adaptation_ticks(ax, names, span)
    aside(ax, gate_words(series.open_share(results, split, task_list)))
    last = frame[frame["phase"] != "before"].groupby("variant")["mean"].last()
    right = 1 + _MARGIN + _step(names) * max(len(names) - 1, 0)
    name_lines(ax, results.look, [name for name in names if name in last.index],
               {str(name): (span * right, float(value)) for name, value in last.items()})  # fmt: skip
    return ax


_MARGIN, _STEP, _MOST = 0.1, 0.03, 0.3
"""Shares of the longest adaptation: from the curves to the points beside them, between those, and of all at most."""


def _step(names: list[str]) -> float:
    """Between two neighbours of the points beside the curves."""
    return min(_STEP, _MOST / len(names))


def _first(names: list[str]) -> float:
    """Where the leftmost of the points before adaptation stands."""
    return -_MARGIN - _step(names) * max(len(names) - 1, 0)


def _adaptation_ticks(ax: Axes, names: list[str], span: float) -> None:
    """Ticks at the ends and the middle of the updates, and one under each group of points beside the curves."""
    left = _first(names)
    ticks = [0, span / 2, span] if span % 2 == 0 else [0, span] if span > 1 else [0]
    labels = [EngFormatter(sep="")(tick) for tick in ticks]
    middle = (left - _MARGIN) / 2
    ax.set_xticks([middle * span, *ticks, (1 - middle) * span], ["\nbefore", *labels, "\nafter"])
    ax.set_xlim((left - 0.05) * span, (1 - left + 0.05) * span)
    for edge in (0, span):
        ax.axvline(edge, color=style.GRID, linewidth=0.7, zorder=0)
    ax.grid(visible=False, axis="x")


def _joint_look(results: Results, name: str) -> style.Look:
    """The look of variants that share one training: that of the first, under all their names."""
    parts = name.split(" / ")
    return results.look(parts[0])._replace(name=" / ".join(results.look(part).name for part in parts))
