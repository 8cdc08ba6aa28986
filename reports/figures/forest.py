"""Every variant as a row against the best one, or in the order of its rank: points with their intervals.

Each function draws one split, or all of them pooled, on the given axes and returns them. Names stand at their rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from reports import style
from reports.figures.marks import ABOVE, aside, bar, dot, explain, finish, name_rows, tell, whiskers
from reports.numbers import aggregates, from_best, ranks
from reports.numbers.aggregates import ALL_SPLITS
from reports.numbers.common import where
from reports.results import Results


def differences(results: Results, *, split: str, ax: Axes) -> Axes:
    """The mean of each variant minus that of the best: thick its own interval, thin that for all comparisons together.

    Filled: the thin one excludes zero, which is when the seeds show a difference.
    """
    frame = from_best.differences(results, split)
    shown = (frame["high_all"] < 0) | (frame["low_all"] > 0)
    together = frame.assign(low=frame["low_all"], high=frame["high_all"])
    _rows(ax, results, frame, dict(zip(frame["variant"], shown)), _lacking(results, split), together)
    ax.update_datalim([(0.0, 0.0)], updatey=False)  # so that there is room beside the best
    ax.axvline(0, color=style.INK, linewidth=0.7)
    marks = dot("shown to differ from the best", style.INK), dot("hollow: not shown to differ", "none")
    explain(ax, [*marks, bar("its own interval", 2.2), bar("for all together", 0.7)])
    best, measure = frame[["other", "measure"]].iloc[0]
    finish(ax, split, f"mean {measure} minus the best's", "")
    aside(ax, f"best: {style.drawn_name(results.look(best))}")
    return ax


def chances(results: Results, *, split: str, ax: Axes) -> Axes:
    """How probable it is that each variant does better than the best one in a test task; filled: not one half."""
    frame = from_best.chances(results, split)
    shown = (frame["high"] < 0.5) | (frame["low"] > 0.5)
    _rows(ax, results, frame, dict(zip(frame["variant"], shown)), _lacking(results, split))
    ax.axvline(0.5, color=style.INK, linewidth=0.7)
    ax.set_xlim(-0.03, 1.03)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    explain(ax, [dot("interval without 50%", style.INK), dot("hollow: with it", "none")])
    finish(ax, split, "does better than the best", "")
    aside(ax, f"best: {style.drawn_name(results.look(frame['other'].iloc[0]))}")
    return ax


FEW = 10
"""Ranks that each have a tick."""


def average_ranks(results: Results, *, split: str, ax: Axes) -> Axes:
    """The average rank of each variant in a test task, the best on top; 1 is the best."""
    frame = ranks.average_ranks(results, split).sort_values("mean", kind="stable", ignore_index=True)
    _rows(ax, results, frame, dict.fromkeys(frame["variant"], True), {})
    ax.set_xlim(0.7, len(frame) + 0.3)
    ax.set_xticks([1, *range(5, len(frame) + 1, 5)] if len(frame) > FEW else range(1, len(frame) + 1))
    explain(ax, [dot("average rank in a test task, with its interval", style.INK)])
    return finish(ax, where(results, split), f"rank (1: best of {len(frame)})", "")


def _rows(
    ax: Axes, results: Results, frame: pd.DataFrame, filled: Mapping[str, bool], lacking: Mapping[str, str],
    outer: pd.DataFrame | None = None,
) -> None:  # fmt: skip
    """A row per variant in the order of a frame: its mean with its interval, thinner over it another one."""
    names = list(frame["variant"])
    for row, name in enumerate(names):
        look, height = results.look(name), [len(names) - 1 - row]
        part = frame.iloc[[row]]
        face = look.colour if filled[name] else style.PAPER
        if outer is not None:
            whiskers(ax, outer.iloc[[row]], height, look.colour, 0.7, 1.8)
        whiskers(ax, part, height, look.colour, *((1.0, 1.8) if outer is None else (2.2, 0.0)))
        (mark,) = ax.plot(part["mean"], height, color=look.colour, marker=look.marker, markerfacecolor=face,
                          markersize=4, zorder=ABOVE)  # fmt: skip
        tell(mark, look.name, part)
    name_rows(ax, results, names, lacking)


def _lacking(results: Results, split: str) -> dict[str, str]:
    return aggregates.lacking_splits(results) if split == ALL_SPLITS else {}
