"""What all figures draw with: lines, bands, bars and legend entries in the look of a variant."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports import style
from reports.results import Results
from suite.errors import printable

THIN: dict[str, Any] = {"linewidth": 0.7, "markersize": 3.2}
"""For figures with a mark per task."""

MANY = 9
"""Lines of a panel that colours and a legend tell apart; more are named at their ends, and their intervals left out."""

NAME_SIZE, NAME_HEIGHT = 7, 8.2
"""Points: of a name at the end of a line, and from one to the next."""


def variants(frame: pd.DataFrame) -> list[str]:
    """The variants of a series in the order of every legend."""
    return style.ordered(frame["variant"])


def whiskers(
    ax: Axes, rows: pd.DataFrame, places: Sequence[float] | np.ndarray, colour: str, width: float, cap: float = 0.0,
    upright: bool = False,
) -> None:  # fmt: skip
    """The intervals of points as bars with caps at both ends; none where no point has an interval.

    All are one line, which has gaps: as artists of their own they would take several times as long to draw.

    Args:
        ax: Is drawn on.
        rows: Their columns low and high are the ends.
        places: Where each stands on the other axis, the y axis unless they are upright.
        colour: Of bars and caps.
        width: Of the bars in points.
        cap: Points from a bar to the end of its cap.
        upright: Whether the ends stand on the y axis.
    """
    if not rows["low"].notna().any():
        return
    ends = np.column_stack([rows[["low", "high"]].to_numpy(dtype=float), np.full(len(rows), np.nan)]).ravel()
    x, y = np.repeat(np.asarray(places, dtype=float), 3), ends
    ax.plot(*((x, y) if upright else (y, x)), color=colour, linestyle="-", linewidth=width, solid_capstyle="butt",
            marker=("_" if upright else "|") if cap else "none", markersize=2 * cap)  # fmt: skip


ABOVE = 2.1
"""The order of marks: above the lines and bars of all variants."""


TOLD = "told: "
"""What the group of an SVG is called by whose mark tells its value."""


def tell(mark: Artist, whose: str, rows: pd.DataFrame) -> None:
    """Have the page say on hover whose a mark is, and its mean with its interval: those of the only row."""
    mean, low, high = rows[["mean", "low", "high"]].to_numpy(dtype=float)[0]
    mark.set_gid(f"{TOLD}{printable(whose)}: {style.interval(mean, low, high)}")


def band(ax: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    """The intervals of a curve as a translucent band; none where no point has an interval."""
    if rows["low"].notna().any():
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.16, linewidth=0)


def curve(
    ax: Axes, rows: pd.DataFrame, column: str, look: style.Look, hollow: bool = False, bare: bool = False
) -> Line2D:
    """Means joined by a line over a band of their intervals; `bare` is thin and without it, for one of many."""
    if not bare:
        band(ax, rows[column], rows, look.colour)
    (line,) = ax.plot(rows[column], rows["mean"], color=look.colour, linestyle=look.dashes, marker=look.marker)
    line.set_markerfacecolor("none" if hollow else look.colour)
    if bare:
        line.set(**THIN)
    return line


def points(
    ax: Axes, x: np.ndarray, rows: pd.DataFrame, look: style.Look, hollow: bool = False, bare: bool = False
) -> None:
    """Means as single marks with their intervals as bars; `bare` without them, for one of many."""
    if not bare:
        whiskers(ax, rows, x, look.colour, 0.9, 2, upright=True)
    (marks,) = ax.plot(x, rows["mean"], color=look.colour, marker=look.marker, linestyle="none",
                       markerfacecolor="none" if hollow else look.colour, zorder=ABOVE)  # fmt: skip
    if len(rows) == 1:
        tell(marks, look.name, rows)


def handle(look: style.Look, marker: bool = True, line: bool = True, lacking: str = "") -> Line2D:
    """The legend entry of a variant; `lacking` says which splits its pooled curve is without."""
    shape, dashes = (look.marker if marker else "none"), (look.dashes if line else "none")
    return Line2D([], [], color=look.colour, linestyle=dashes, marker=shape, label=style.drawn_name(look) + lacking)


def name_lines(
    ax: Axes, look_of: Callable[[str], style.Look], names: Sequence[str], ends: Mapping[str, tuple[float, float]],
    lacking: Mapping[str, str] | None = None, led: bool = True,
) -> None:  # fmt: skip
    """Say which line is whose, once all are drawn: in the legend, or of many lines each to the right, by its height.

    Many are drawn without their intervals, which the panel then says.

    Args:
        ax: Their limits and their title are final.
        look_of: How a variant is drawn.
        names: The variants, in the order of the legend.
        ends: Where the line of each ends, in the units of the axes.
        lacking: What a name is followed by.
        led: Whether a thin line leads from there to its name.
    """
    lacking = lacking or {}
    if len(names) <= MANY:
        explain(ax, [handle(look_of(name), lacking=lacking.get(name, "")) for name in names])
        return
    aside(ax, "intervals in the CSV")
    ax.autoscale_view()  # or what was drawn last has not moved the limits yet
    to_axes = ax.transData + ax.transAxes.inverted()
    places = {name: to_axes.transform(ends[name]) for name in names if np.isfinite(ends.get(name, np.nan)).all()}
    upwards = sorted(places, key=lambda name: float(places[name][1]))
    points_high = ax.bbox.height * 72 / ax.figure.get_dpi()
    outside: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False, "scalex": False, "scaley": False}
    for name, y in zip(upwards, spread(np.array([places[name][1] for name in upwards]), NAME_HEIGHT / points_high)):
        look, (x, end) = look_of(name), places[name]
        if led:
            ax.plot([x, 1.04], [end, y], color=look.colour, linewidth=0.4, alpha=0.7, **outside)
        ax.plot([1.04, 1.12], [y, y], color=look.colour, linestyle=look.dashes, linewidth=0.9, marker=look.marker,
                markevery=[1], markersize=3.2, **outside)  # fmt: skip
        text = style.drawn_name(look) + lacking.get(name, "")
        ax.annotate(text, (1.15, y), xycoords="axes fraction", va="center", fontsize=NAME_SIZE,
                    color=style.INK, annotation_clip=False)  # fmt: skip


def last_points(frame: pd.DataFrame, column: str) -> dict[str, tuple[float, float]]:
    """Where the line of each variant ends: its highest value in a column, and the mean there."""
    last = frame.sort_values(column, kind="stable").groupby("variant")[[column, "mean"]].last()
    return {str(name): (float(x), float(y)) for name, x, y in last.itertuples(name=None)}


def name_rows(ax: Axes, results: Results, names: Sequence[str], lacking: Mapping[str, str]) -> None:
    """Give each variant a row of its own, the first on top: the first stands at the height of their number less one.

    Args:
        ax: Their y axis gets the names.
        results: Where the looks are from.
        names: The variants, from top to bottom.
        lacking: What a name is followed by.
    """
    labels = [style.drawn_name(results.look(name)) + lacking.get(name, "") for name in names]
    ax.set_yticks(range(len(names)), labels[::-1])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.grid(visible=False, axis="y")


def spread(places: np.ndarray, least: float) -> np.ndarray:
    """Ascending places, (name,), moved as little as can be until they are `least` apart, within 0 and 1 if they fit."""
    from scipy.optimize import isotonic_regression  # what names few lines does without it

    steps = least * np.arange(len(places))
    fitted = isotonic_regression(places - steps).x
    room = 1 - least * (len(places) - 1)
    return (np.clip(fitted, 0, room) if room > 0 else np.full(len(places), room / 2)) + steps


def dot(label: str, face: str, marker: str = "o") -> Line2D:
    """A legend entry that explains a mark, in the colour of text."""
    return Line2D([], [], color=style.INK, marker=marker, markerfacecolor=face, linestyle="none", label=label)


def bar(label: str, width: float) -> Line2D:
    """A legend entry that explains an interval by the width of its line, in the colour of text."""
    return Line2D([], [], color=style.INK, linewidth=width, label=label)


def area(label: str, colour: str, alpha: float) -> Rectangle:
    """A legend entry that explains a shaded range."""
    return Rectangle((0, 0), 0, 0, color=colour, alpha=alpha, linewidth=0, label=label)


def explain(ax: Axes, handles: Iterable[Artist]) -> None:
    """Give axes the entries of their legend: `ax.legend()` and the legend of a sheet find them."""
    for entry in handles:
        ax.add_artist(entry)


LINE = 33
"""Letters of a title that stand side by side: what the narrowest of three panels has room for."""


def aside(ax: Axes, text: str) -> None:
    """Put a remark on one panel below its title; several share a line that has room for them, long ones are broken."""
    if text:
        name, *lines = ax.get_title(loc="left").split("\n")
        for line in textwrap.wrap(style.plain(text), LINE, break_long_words=False, break_on_hyphens=False):
            if lines and len(lines[-1]) + len(line) + 2 <= LINE:
                lines[-1] += f"; {line}"
            else:
                lines.append(line)
        ax.set_title("\n".join([name, *lines]))


def gate_words(shares: dict[str, float]) -> str:
    """In which share of tasks and seeds the gates were open; empty where no variant has one."""
    listed = ", ".join(f"{style.look(name).name} {shares[name]:.0%}" for name in style.ordered(shares))
    return f"gate open: {listed}" if listed else ""


def in_order(entries: dict[str, Artist]) -> dict[str, Artist]:
    """Legend entries by their labels: variants in the order of every table, then what explains marks and areas."""
    notes = [label for label, entry in entries.items() if isinstance(entry, Rectangle) or _is_note(entry)]
    return {label: entries[label] for label in (*style.ordered(set(entries) - set(notes)), *notes)}


def _is_note(entry: Artist) -> bool:
    return isinstance(entry, Line2D) and entry.get_color() == style.INK


def finish(ax: Axes, split: str, x_label: str, y_label: str, counts: bool = False) -> Axes:
    """The same axes with title and labels; `counts` abbreviates large numbers on the x axis (500k)."""
    ax.set_title(style.plain(split))
    ax.set_xlabel(style.plain(x_label))
    ax.set_ylabel(style.plain(y_label))
    if counts:
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    return ax
