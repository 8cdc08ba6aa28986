"""Results after adaptation: over all test tasks, next to the training distribution, task by task, by a model's fit.

Each function draws one split on the given axes and returns them. Marks are means over seeds with 95 % intervals over
seeds, absent where n = 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from reports import style
from reports.figures.marks import (
    ABOVE,
    MANY,
    THIN,
    aside,
    band,
    dot,
    explain,
    finish,
    gate_words,
    handle,
    name_lines,
    name_rows,
    points,
    tell,
    variants,
    whiskers,
)
from reports.layout import LEAST_TYPE
from reports.numbers import aggregates, scores, series
from reports.numbers.common import where
from reports.results import Results

FEWEST_BARS = 4
"""Bars that a panel has room for at the least, so that one alone does not fill it."""


def out_of_distribution(results: Results, *, split: str, ax: Axes) -> Axes:
    """Return on the test tasks of all algorithms side by side (the paper's Fig. 4).

    Bars stand on the return of doing nothing, so that a longer one is a better one; dots are seeds. The other rule is
    the return that ends the score. An algorithm without a number keeps its place and says why.
    """
    frame = series.outcome(results, split)
    frame = frame[~frame["variant"].map(style.is_reference).astype(bool)]
    floor, best, floor_label, best_label = _ends(results, split)
    names = list(frame["variant"])
    seeds = series.seeds_behind(results, split)
    seeds = seeds[(seeds["task_list"] == "test") & seeds["variant"].isin(names)]
    for place, row in enumerate(frame.to_dict("records")):
        look = results.look(row["variant"])
        if row["why"]:
            ax.annotate(style.plain(row["why"]), (place, floor), xytext=(0, 3), textcoords="offset points",
                        rotation=90, ha="center", va="bottom", color=style.INK, fontsize=LEAST_TYPE)  # fmt: skip
            continue
        # Two bars: an SVG fills a hatched one with the colour of its lines.
        part = pd.DataFrame([row])
        for face, hatch in (((look.colour, 0.35), ""), ("none", look.hatch)):
            (bar,) = ax.bar(place, row["mean"] - floor, bottom=floor, width=0.72, facecolor=face,
                            edgecolor=look.colour, hatch=hatch, linewidth=0.9)  # fmt: skip
        tell(bar, look.name, part)
        points(ax, np.array([place]), part, look)
        if row["n"] > 1:
            values = seeds.loc[seeds["variant"] == row["variant"], "after"].to_numpy(dtype=float)
            ax.scatter(np.full(len(values), place + 0.22), values, s=6, color=look.colour, edgecolor="none")
    ax.axhline(floor, color=style.INK, linewidth=0.7)
    if best is not None:
        dashes = DASHES[best_label]
        ax.axhline(best, color=style.INK, linewidth=0.8, linestyle=dashes)
        explain(ax, [_rule(best_label, dashes)])
    explain(ax, [_rule(floor_label, "-")])
    ax.set_xticks(range(len(names)), [style.drawn_name(results.look(name)) for name in names], rotation=45,
                  ha="right", rotation_mode="anchor")  # fmt: skip
    spare = max(0.0, (FEWEST_BARS - len(names)) / 2)
    ax.set_xlim(-0.6 - spare, len(names) - 0.4 + spare)
    ax.grid(visible=False, axis="x")
    return finish(ax, split, "", style.RETURN)


BEST_KNOWN, BOUND, MEASURED = "best known return", "upper bound of the return", "return of the oracle, measured"
DASHES: dict[str, style.Dashes] = {BEST_KNOWN: ":", BOUND: "--", MEASURED: "-."}
"""What the return that ends the score can be, and how its line is drawn: panels of one sheet may differ in it."""


def _ends(results: Results, split: str) -> tuple[float, float | None, str, str]:
    """The return that bars stand on, the one that ends the score, and what the legend calls each of them.

    Bars stand on the return of doing nothing, or on zero where that is not declared.
    """
    ends = scores.score_ends(results, split)
    bound_or_best = BOUND if "upper bound" in ends.best_source else BEST_KNOWN
    best_label = MEASURED if ends.best_source == scores.ORACLE else bound_or_best
    if ends.null is None:
        return 0.0, ends.best, "zero", best_label
    return ends.null, ends.best, "doing nothing", best_label


def _rule(label: str, dashes: style.Dashes) -> Artist:
    entry = dot(label, "none", marker="none")
    entry.set_linestyle(dashes)
    entry.set_linewidth(0.8)
    return entry


def in_and_out(results: Results, *, split: str, ax: Axes) -> Axes:
    """The gap: in-distribution (hollow) next to out-of-distribution (filled) results, one row per variant.

    The line between the two is what the shift costs; ticks are seeds.
    """
    frame, seeds = series.in_and_out(results, split), series.seeds_behind(results, split)
    names = variants(frame)
    for row, name in enumerate(names):
        look, middle = results.look(name), len(names) - 1 - row
        ends = frame.loc[frame["variant"] == name, "mean"]
        ax.plot([ends.min(), ends.max()], [middle, middle], color=look.colour, alpha=0.35, linewidth=2.6,
                solid_capstyle="butt")  # fmt: skip
        for task_list, offset in (("test_id", 0.2), ("test", -0.2)):
            part = frame[(frame["variant"] == name) & (frame["task_list"] == task_list)]
            dots = seeds[(seeds["variant"] == name) & (seeds["task_list"] == task_list)]["after"]
            if len(dots) > 1:
                ax.plot(dots, np.full(len(dots), middle + offset), linestyle="none", marker="|", color=look.colour)
            whiskers(ax, part, [middle], look.colour, 1.0, 2)
            face = style.PAPER if task_list == "test_id" else look.colour
            (mark,) = ax.plot(part["mean"], [middle], color=look.colour, marker=look.marker, markersize=4.5,
                              zorder=ABOVE, markerfacecolor=face)  # fmt: skip
            tell(mark, f"{look.name}, {task_list}", part)
    name_rows(ax, results, names, {})
    explain(ax, [dot("test_id (training distribution)", "none"), dot("test", style.INK)])
    return finish(ax, split, style.RETURN, "")


def profile(results: Results, *, split: str, ax: Axes) -> Axes:
    """The share of test tasks and seeds with a score above each threshold (Agarwal et al., 2021, Fig. 4).

    Pooled over all splits, a variant that lacks some says in the legend how many it has: its curve is of fewer tasks.
    """
    frame = series.profile(results, split)
    lacking = aggregates.lacking_splits(results) if split == aggregates.ALL_SPLITS else {}
    names = variants(frame)
    for name in names:
        rows, look = frame[frame["variant"] == name], results.look(name)
        if len(names) <= MANY:
            band(ax, rows["score"], rows, look.colour)
        ax.plot(rows["score"], rows["mean"], color=look.colour, linestyle=look.dashes, marker=look.marker,
                markevery=max(len(rows) // 8, 1), **(THIN if len(names) > MANY else {}))  # fmt: skip
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    # Of many the names stand in the order of the areas below the curves: all curves end in one point.
    areas = frame.groupby("variant")["mean"].mean()
    ends = {name: (1.0, float(areas.rank().loc[name] / len(areas))) for name in names}
    finish(ax, where(results, split), style.SCORE, "tasks and seeds above")
    name_lines(ax, results.look, names, ends, lacking, led=False)
    return ax


def gate(results: Results, *, split: str, ax: Axes) -> Axes:
    """What relabeling gained in each test task (see `series.gate`) against the held-out loss; hollow: gate closed."""
    frame = series.gate(results, split)
    frame = frame[(frame["task_list"] == "test") & frame["held_out_loss"].notna() & frame["gain"].notna()]
    for name in variants(frame):
        rows, look = frame[frame["variant"] == name], results.look(name)
        for is_closed, face in ((False, look.colour), (True, "none")):
            part = rows[(rows["gate_open"] < 0.5) == is_closed]
            ax.plot(part["held_out_loss"], part["gain"], color=look.colour, marker=look.marker,
                    markerfacecolor=face, linestyle="none")  # fmt: skip
        explain(ax, [handle(look, line=False)])
    if frame["gate_open"].notna().any():
        explain(ax, [dot("hollow: gate closed", "none")])
    ax.axhline(0, color=style.INK, linewidth=0.7)
    finish(ax, split, "held-out loss of the adapted model", "gain in return")
    aside(ax, gate_words(series.open_share(results, split)))
    return ax
