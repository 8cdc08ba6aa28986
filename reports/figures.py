"""Pictures of the series: each function takes results and draws one split on the axes it is given.

Lines and points are means over seeds; bands and bars are 95 % intervals over seeds, and are absent where n = 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports import series, style
from reports.mixing import dig

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

    from reports.load import Results

SIZE = (4.8, 3.6)
"""Width and height in inches: legible at the width of a phone and in one column of a paper."""

LEGEND_COLUMNS = 3


@contextmanager
def house_style() -> Iterator[None]:
    """Seaborn's plain style in our ink, for figures made and saved inside."""
    ours: dict[RcKeyType, Any] = {
        "axes.edgecolor": style.INK, "axes.labelcolor": style.INK, "text.color": style.INK,
        "xtick.color": style.INK, "ytick.color": style.INK, "grid.color": style.GRID,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
        "grid.linewidth": 0.6, "figure.facecolor": "none", "axes.facecolor": "none", "font.family": "DejaVu Sans",
        "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9.5, "legend.fontsize": 8.5, "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5, "axes.titlelocation": "left", "legend.frameon": False, "lines.linewidth": 1.6,
        "lines.markersize": 5, "svg.hashsalt": "offmap", "svg.fonttype": "path", "pdf.fonttype": 42,
        "figure.dpi": 100,
    }  # fmt: skip
    with matplotlib.rc_context({**seaborn.axes_style("ticks"), **seaborn.plotting_context("paper"), **ours}):
        yield


def new_figure() -> Figure:
    """An empty figure, which no global state knows."""
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Figure) -> None:
    """Lay a finished figure out once, so that saving it in three formats does not do so three times."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def training_curve(results: Results, *, split: str, ax: Axes) -> Axes:
    """The return of training episodes against meta-training steps."""
    frame = series.training(results, split)
    for name in _variants(frame):
        rows, look = frame[frame["variant"] == name], _joint_look(name)
        _band(ax, rows["env_steps"], rows, look.colour)
        ax.plot(rows["env_steps"], rows["mean"], color=look.colour, linestyle=look.dashes)
    _finish(ax, split, "training episodes, exploring policy", style.STEPS)
    _legend(ax, [_handle(_joint_look(name), marker=False) for name in _variants(frame)])
    return ax


def checkpoint_curve(results: Results, *, split: str, task_list: str = "test", ax: Axes) -> Axes:
    """The return after adaptation of every meta-tested checkpoint against its meta-training steps."""
    frame = series.checkpoints(results, split, task_list)
    for name in _variants(frame):
        _curve(ax, frame[frame["variant"] == name], "env_steps", style.look(name))
    _finish(ax, split, f"after adaptation, {style.task_list_words(task_list)}", style.STEPS)
    _legend(ax, [_handle(style.look(name)) for name in _variants(frame)])
    return ax


def adaptation_curve(results: Results, *, split: str, task_list: str = "test", ax: Axes) -> Axes:
    """The return against adaptation updates, between the returns before (hollow) and after, side by side.

    A variant that needs fewer updates than the longest ends early; a dotted line carries its value on.
    """
    frame = series.adaptation(results, split, task_list)
    span = max(float(frame["update"].max()) if len(frame) else 0.0, 1.0)
    names = _variants(frame)
    for position, name in enumerate(names):
        rows, look = frame[frame["variant"] == name], style.look(name)
        before, path = rows[rows["phase"] == "before"], rows[rows["phase"] != "before"]
        after = path[path["phase"] == "after"]
        _errorbar(ax, np.full(len(before), span * (_first(names) + _STEP * position)), before, look, hollow=True)
        _errorbar(ax, np.full(len(after), span * (1 + _MARGIN + _STEP * position)), after, look)
        _curve(ax, path, "update", look)
        ax.hlines(after["mean"], after["update"], span, color=look.colour, linewidth=0.9, linestyle=":")
    _finish(ax, split, f"adaptation, {style.task_list_words(task_list)}", style.UPDATES)
    _adaptation_ticks(ax, names, span)
    _legend(ax, [_handle(style.look(name)) for name in names])
    return ax


_MARGIN, _STEP = 0.08, 0.025
"""Shares of the longest adaptation: between the curves and the points beside them, and between those points."""


def _first(names: list[str]) -> float:
    """Where the leftmost of the points before adaptation stands."""
    return -_MARGIN - _STEP * max(len(names) - 1, 0)


def _adaptation_ticks(ax: Axes, names: list[str], span: float) -> None:
    """Ticks at round numbers of updates, and one under each group of points beside the curves."""
    left = _first(names)
    ticks = [tick for tick in MaxNLocator(4, integer=True).tick_values(0, span) if 0 <= tick <= span]
    labels = [EngFormatter(sep="")(tick) for tick in ticks]
    middle = (left - _MARGIN) / 2
    ax.set_xticks([middle * span, *ticks, (1 - middle) * span], ["before", *labels, "after"])
    ax.set_xlim((left - 0.03) * span, (1 - left + 0.03) * span)
    for edge in (0, span):
        ax.axvline(edge, color=style.GRID, linewidth=0.8, zorder=0)
    ax.grid(visible=False, axis="x")


def per_task(results: Results, *, split: str, ax: Axes) -> Axes:
    """The result in every task against the task's parameter; filled: test, hollow: test_id; shaded: trained on."""
    frame = series.per_task(results, split)
    has_axis = bool(frame["parameter"].notna().any())
    column = "parameter" if has_axis else "task"
    if not has_axis:
        frame = frame[frame["task_list"] == "test"]
    trained = _training_range(results, split) if has_axis else None
    if trained:
        ax.axvspan(*trained, color=style.SHADE, alpha=0.16, linewidth=0, zorder=0)
    for position, name in enumerate(names := _variants(frame)):
        look = style.look(name)
        for task_list, rows in frame[frame["variant"] == name].groupby("task_list", sort=True):
            kept = rows[rows["mean"].notna()].sort_values(column)
            if has_axis:
                _curve(ax, kept, column, look, hollow=task_list == "test_id", thin=True)
            else:
                dodge = 0.7 * ((position + 0.5) / len(names) - 0.5)
                _errorbar(ax, kept[column].to_numpy(dtype=float) + dodge, kept, look)
    label = _axis_label(results, split) if has_axis else "test task (index in its list)"
    _finish(ax, split, "result in each task", label, engineering=False)
    handles: list[Line2D | Patch] = [_handle(style.look(name)) for name in names]
    if has_axis and "test_id" in set(frame["task_list"]):
        handles.append(Line2D([], [], color=style.INK, marker="o", markerfacecolor="none", linestyle="none",
                              markersize=4, label="hollow: test_id"))  # fmt: skip
    if trained:
        handles.append(Patch(color=style.SHADE, alpha=0.3, linewidth=0, label="training range"))
    _legend(ax, handles)
    return ax


def in_and_out(results: Results, *, split: str, ax: Axes) -> Axes:
    """In-distribution (hollow) next to out-of-distribution (filled) results, one row per variant, seeds as dots."""
    frame, seeds = series.in_and_out(results, split), series.seeds_behind(results, split)
    names = _variants(frame)
    for row, name in enumerate(names):
        look = style.look(name)
        for task_list, offset in (("test_id", 0.14), ("test", -0.14)):
            part = frame[(frame["variant"] == name) & (frame["task_list"] == task_list)]
            dots = seeds[(seeds["variant"] == name) & (seeds["task_list"] == task_list)]["after"]
            y = len(names) - 1 - row + offset
            face = "none" if task_list == "test_id" else look.colour
            ax.plot(dots, np.full(len(dots), y), linestyle="none", marker="|", color=look.colour, alpha=0.7)
            ax.errorbar(part["mean"], [y], xerr=_reach(part), color=look.colour, marker=look.marker,
                        markerfacecolor=face, markersize=6, capsize=2.5, linewidth=1.2)  # fmt: skip
    ax.set_yticks(range(len(names)), [style.plain(style.look(name).name) for name in reversed(names)])
    ax.set_ylim(-0.6, len(names) - 0.4)
    _finish(ax, split, "result on test_id and on test", style.RETURN, engineering=False)
    ax.set_ylabel("")
    words = (("none", "test_id (training distribution)"), (style.INK, "test"))
    _legend(ax, [
        Line2D([], [], color=style.INK, marker="o", linestyle="none", markerfacecolor=face, label=label)
        for face, label in words
    ])  # fmt: skip
    return ax


def gate(results: Results, *, split: str, ax: Axes) -> Axes:
    """What relabeling gained in each test task (see `series.gate`) against the held-out loss; filled: gate open."""
    frame = series.gate(results, split)
    frame = frame[(frame["task_list"] == "test") & frame["held_out_loss"].notna() & frame["gain"].notna()]
    handles = []
    for name in _variants(frame):
        rows, look = frame[frame["variant"] == name], style.look(name)
        for is_open, face in ((True, look.colour), (False, "none")):
            part = rows[(rows["gate_open"] >= 0.5) == is_open]
            ax.plot(part["held_out_loss"], part["gain"], color=look.colour, marker=look.marker,
                    markerfacecolor=face, linestyle="none")  # fmt: skip
        handle = _handle(look)
        handle.set_linestyle("none")
        handle.set_label(f"{style.plain(look.name)}: gate open in {rows['gate_open'].mean():.0%} of {len(rows)} tasks")
        handles.append(handle)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    _finish(
        ax,
        split,
        "relabeling gain, test tasks (filled: gate open)",
        "held-out loss of the adapted model",
        engineering=False,
    )
    ax.set_ylabel("gain in return")
    _legend(ax, handles, columns=1)
    return ax


def _variants(frame: pd.DataFrame) -> list[str]:
    return style.ordered(frame["variant"])


def _joint_look(name: str) -> style.Look:
    """The look of variants that share one training: that of the first, under all their names."""
    parts = name.split(" / ")
    return style.look(parts[0])._replace(name=" / ".join(style.look(part).name for part in parts))


def _reach(rows: pd.DataFrame) -> np.ndarray | None:
    """Lengths of the two arms of each bar, (2, point), or None where no point has an interval."""
    arms = np.array([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], dtype=float)
    return arms if np.isfinite(arms).any() else None


def _band(ax: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    if rows["low"].notna().any():
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.16, linewidth=0)


def _curve(
    ax: Axes, rows: pd.DataFrame, column: str, look: style.Look, hollow: bool = False, thin: bool = False
) -> None:
    _band(ax, rows[column], rows, look.colour)
    (line,) = ax.plot(rows[column], rows["mean"], color=look.colour, linestyle=look.dashes, marker=look.marker)
    line.set_markerfacecolor("none" if hollow else look.colour)
    if thin:
        line.set(linewidth=0.8, markersize=4)


def _errorbar(ax: Axes, x: np.ndarray, rows: pd.DataFrame, look: style.Look, hollow: bool = False) -> None:
    face = "none" if hollow else look.colour
    ax.errorbar(x, rows["mean"], yerr=_reach(rows), color=look.colour, marker=look.marker, markerfacecolor=face,
                linestyle="none", capsize=2, linewidth=1.0)  # fmt: skip


def _handle(look: style.Look, marker: bool = True) -> Line2D:
    shape = look.marker if marker else "none"
    return Line2D([], [], color=look.colour, linestyle=look.dashes, marker=shape, label=style.plain(look.name))


def _finish(ax: Axes, split: str, what: str, x_label: str, engineering: bool = True) -> None:
    ax.set_title(style.plain(f"{split}\n{what}"))
    ax.set_xlabel(style.plain(x_label))
    ax.set_ylabel(style.RETURN)
    if engineering:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def _legend(ax: Axes, handles: Iterable[Line2D | Patch], columns: int = LEGEND_COLUMNS) -> None:
    """A legend below the axes, so that it never covers data."""
    listed = list(handles)
    if listed and ax.figure is not None:
        longest = max(len(str(handle.get_label())) for handle in listed)
        columns = 1 if longest > 30 else 2 if longest > 16 else columns
        ax.figure.legend(handles=listed, loc="outside lower left", ncols=columns, columnspacing=1.2)


def _training_range(results: Results, split: str) -> tuple[float, float] | None:
    """The ends of the training tasks' values on the split's axis, or None where they are not recorded."""
    values = _split_fact(results, split, "train_axis_values")
    return (min(values), max(values)) if values else None


def _axis_label(results: Results, split: str) -> str:
    axis = str(_split_fact(results, split, "axis") or "task parameter").replace("_", " ")
    unit = _split_fact(results, split, "axis_unit")
    return f"{axis} ({unit})" if unit else axis


def _split_fact(results: Results, split: str, key: str) -> Any:
    runs = results.records.loc[results.records["split"] == split, "run"]
    facts = [dig(results.runs.get(run), "split", key) for run in sorted(set(runs))]
    return next((fact for fact in facts if fact is not None), None)
