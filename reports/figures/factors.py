"""The effects of a sweep: the return at every value of every factor, side by side.

The function draws one split on the given axes and returns them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from reports import style
from reports.figures.marks import dot, explain, finish, handle, points
from reports.numbers import sweeps
from reports.results import Results

BETWEEN = 0.7
"""Room between two factors, in steps between values."""

BROADEST = 14
"""Letters of a line of a factor's name."""


def factor_plot(results: Results, *, split: str, ax: Axes) -> Axes:
    """The mean over all other factors at every value, joined by a line per factor; dots: the single combinations."""
    frame, singles = sweeps.effects(results, split), sweeps.combination_means(results, split)
    ticks: dict[float, str] = {}
    start = 0.0
    for (variant, factor), rows in frame.groupby(["variant", "factor"], sort=False):
        look = results.look(str(variant))
        places = start + np.arange(len(rows), dtype=float)
        for place, row in zip(places, rows.itertuples(index=False)):
            ticks[float(place)] = str(row.level)
            own = singles[(singles["variant"] == variant) & (singles["factor"] == factor)]
            values = own.loc[own["level"] == row.level, "mean"]
            ax.plot(np.full(len(values), place + 0.18), values, linestyle="none", marker=".", markersize=2.6,
                    color=look.colour, alpha=0.6)  # fmt: skip
        ax.plot(places, rows["mean"], color=look.colour, linestyle=look.dashes)
        points(ax, places, rows, look)
        title = _broken(f"{factor}" if frame["variant"].nunique() == 1 else f"{variant}: {factor}")
        ax.annotate(style.plain(title), (float(places.mean()), 0), xycoords=("data", "axes fraction"), xytext=(0, -17),
                    textcoords="offset points", ha="center", va="top", annotation_clip=False)  # fmt: skip
        if start:
            ax.axvline(start - (1 + BETWEEN) / 2, color=style.GRID, linewidth=0.7)
        start = float(places[-1]) + 1 + BETWEEN
    ax.set_xticks(list(ticks), [style.plain(text) for text in ticks.values()])
    ax.set_xlim(-0.6, max(ticks, default=0) + 0.6)
    ax.grid(visible=False, axis="x")
    explain(ax, [handle(results.look(str(name))) for name in dict.fromkeys(frame["variant"])])
    explain(ax, [dot("one combination", "none", marker=".")])
    return finish(ax, split, "\n\n", style.RETURN)


def _broken(text: str) -> str:
    """A name on several lines: `steps_per_iteration` breaks behind its underscores and spaces."""
    lines = [""]
    for word in text.replace(" ", "_").split("_"):
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= BROADEST else [*lines, word]
    return "\n".join(line for line in lines if line)
