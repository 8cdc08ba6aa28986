"""Returns against what they cost: meta-training samples, wall-clock time, adaptation updates and adaptation data.

Each function draws one split on the given axes and returns them. Lines and points are means over seeds; bands and
bars are 95 % intervals over seeds, and are absent where n = 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports import style
from reports.figures.marks import aside, band, curve, dot, explain, finish, gate_words, handle, points, variants
from reports.numbers import series, training_curves
from reports.results import Results


def training_curve(results: Results, *, split: str, ax: Axes) -> Axes:
    """The return of training episodes (exploring policy, training tasks) against meta-training steps."""
    frame = training_curves.training(results, split)
    names = variants(frame)
    for name in names:
        rows, look = frame[frame["variant"] == name], _joint_look(results, name)
        band(ax, rows["env_steps"], rows, look.colour)
        ax.plot(rows["env_steps"], rows["mean"], color=look.colour, linestyle=look.dashes)
    explain(ax, [handle(_joint_look(results, name), marker=False) for name in names])
    finish(ax, split, style.STEPS, style.RETURN, counts=True)
    return _scaled(ax, frame)


def sample_efficiency(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on tasks of the training distribution against meta-training samples (the paper's Fig. 2)."""
    return _against_samples(results, training_curves.sample_efficiency(results, split), split, ax)


def shifted_samples(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on out-of-distribution tasks against meta-training samples (the paper's Fig. 5 or 6, by version)."""
    return _against_samples(results, training_curves.shifted_samples(results, split), split, ax)


def _against_samples(results: Results, frame: pd.DataFrame, split: str, ax: Axes) -> Axes:
    for name in variants(frame):
        curve(ax, frame[frame["variant"] == name], "env_steps", results.look(name))
    explain(ax, [handle(results.look(name)) for name in variants(frame)])
    finish(ax, split, style.STEPS, style.RETURN, counts=True)
    return _scaled(ax, frame)


FAR_APART = 20
"""From this ratio of the longest training to the shortest on, steps stand on a logarithmic axis."""


def _scaled(ax: Axes, frame: pd.DataFrame) -> Axes:
    """The same axes, with meta-training steps on a logarithmic scale where budgets are far apart."""
    ends = frame.groupby("variant")["env_steps"].max()
    if len(ends) and frame["env_steps"].min() > 0 and ends.max() >= FAR_APART * ends.min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.minorticks_off()
        ax.set_xlabel(f"{style.STEPS} (log)")
    return ax


def wall_time(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on the test tasks against the wall-clock time of meta-training, from the saved checkpoints."""
    frame = training_curves.wall_time(results, split)
    longest = float(frame["hours"].max()) if len(frame) else 1.0
    unit, per_hour = next((unit, count) for unit, count in CLOCKS if longest * count >= 2 or unit == "seconds")
    frame = frame.assign(time=frame["hours"] * per_hour)
    for name in variants(frame):
        rows, look = frame[frame["variant"] == name], results.look(name)
        curve(ax, rows, "time", look)
        if len(rows) == 1:
            points(ax, rows["time"].to_numpy(dtype=float), rows, look)
    explain(ax, [handle(results.look(name)) for name in variants(frame)])
    ax.set_xlim(left=-0.03 * longest * per_hour)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    return finish(ax, split, f"{style.TIME} ({unit})", style.RETURN)


CLOCKS = (("hours", 1), ("minutes", 60), ("seconds", 3600))
"""Units of the axis of wall-clock time with how many are an hour; the first in which the longest training counts."""


def adaptation_data(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on the test tasks against adaptation transitions.

    Filled: evaluated before and after adaptation; hollow: while collecting. Hollow marks stand a little to the right of
    their number of transitions, side by side.
    """
    frame = series.adaptation_data(results, split)
    names = variants(frame)
    most = float(frame["transitions"].max()) if len(frame) else 1.0
    for position, name in enumerate(names):
        rows, look = frame[frame["variant"] == name], results.look(name)
        evaluated = rows[rows["kind"] == "evaluated"]
        # Nothing was measured between before and after: a thin line says what belongs together, and no band.
        ax.plot(evaluated["transitions"], evaluated["mean"], color=look.colour, linestyle=look.dashes, linewidth=0.7)
        points(ax, evaluated["transitions"].to_numpy(dtype=float), evaluated, look)
        collected, aside_by = rows[rows["kind"] == "collected"], 0.02 * most * (position + 1)
        points(ax, collected["transitions"].to_numpy(dtype=float) + aside_by, collected, look, hollow=True)
    explain(ax, [handle(results.look(name)) for name in names])
    if (frame["kind"] == "collected").any():
        explain(ax, [dot("hollow: while collecting", "none")])
    ax.set_xlim(left=-0.05 * most)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return finish(ax, split, style.TRANSITIONS, style.RETURN)


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
        points(ax, np.full(len(before), span * (_first(names) + _STEP * position)), before, look, hollow=True)
        points(ax, np.full(len(after), span * (1 + _MARGIN + _STEP * position)), after, look)
        curve(ax, path, "update", look)
        ax.hlines(after["mean"], after["update"], span, color=look.colour, linewidth=0.9, linestyle=":")
    finish(ax, split, style.UPDATES, style.RETURN)
    _adaptation_ticks(ax, names, span)
    aside(ax, gate_words(series.open_share(results, split, task_list)))
    explain(ax, [handle(results.look(name)) for name in names])
    return ax


_MARGIN, _STEP = 0.1, 0.03
"""Shares of the longest adaptation: between the curves and the points beside them, and between those points."""


def _first(names: list[str]) -> float:
    """Where the leftmost of the points before adaptation stands."""
    return -_MARGIN - _STEP * max(len(names) - 1, 0)


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
