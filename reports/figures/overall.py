"""Statistics of the scores side by side: every variant as a row, the best on top.

The function draws one split, or all of them pooled, on the given axes and returns them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from reports import style
from reports.figures.marks import ABOVE, dot, explain, finish, name_rows, tell, whiskers
from reports.numbers import aggregates, series
from reports.numbers.common import where
from reports.results import Results

SHAPES = {"mean": ("o", True), "IQM": ("s", False), "median": ("D", False), "optimality gap": ("x", False)}
"""Marker of each statistic, and whether it is filled."""

FAINT = "#8A9099"
"""Of the rule at the ends of the scale."""


def overall(results: Results, *, split: str, ax: Axes) -> Axes:
    """Mean, IQM, median and optimality gap of each variant's scores with their intervals (Agarwal et al., 2021).

    Variants that lack splits stand below the others and say how many they have.
    """
    frame = series.overall(results, split)
    means = frame[frame["statistic"] == "mean"].set_index("variant")["mean"]
    lacking = aggregates.lacking_splits(results) if split == aggregates.ALL_SPLITS else {}
    names = sorted(means.index, key=lambda name: (style.is_reference(name), name in lacking, -means[name]))
    for row, name in enumerate(names):
        look, part = results.look(name), frame[frame["variant"] == name].set_index("statistic").loc[list(SHAPES)]
        heights = len(names) - 1 - row + 0.27 - 0.18 * np.arange(len(SHAPES))
        whiskers(ax, part, heights, look.colour, 0.9, 1.5)
        for (statistic, (marker, is_filled)), height in zip(SHAPES.items(), heights):
            rows = part.loc[[statistic]]
            (mark,) = ax.plot(rows["mean"], [height], color=look.colour, marker=marker, markersize=3.4, zorder=ABOVE,
                              markerfacecolor=look.colour if is_filled else "none")  # fmt: skip
            tell(mark, f"{look.name}, {statistic}", rows)
    for end in (0, 1):
        ax.axvline(end, color=FAINT, linewidth=0.6, linestyle=":", zorder=0)
    name_rows(ax, results, names, lacking)
    notes = {"mean": "mean", "IQM": "IQM", "median": "median", "optimality gap": "optimality gap (lower is better)"}
    explain(ax, [dot(notes[name], style.INK if is_filled else "none", marker)
                 for name, (marker, is_filled) in SHAPES.items()])  # fmt: skip
    return finish(ax, where(results, split), style.SCORE, "")
