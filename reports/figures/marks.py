"""What all figures draw with: lines, bands, bars and legend entries in the look of a variant."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from reports import style

THIN = {"linewidth": 0.7, "markersize": 3.2}
"""For figures with a mark per task."""


def variants(frame: pd.DataFrame) -> list[str]:
    """The variants of a series in the order of every legend."""
    return style.ordered(frame["variant"])


def reach(rows: pd.DataFrame) -> np.ndarray | None:
    """Lengths of the two arms of each interval, (2, point), or None where no point has one."""
    arms = np.array([rows["mean"] - rows["low"], rows["high"] - rows["mean"]], dtype=float)
    return arms if np.isfinite(arms).any() else None


def band(ax: Axes, x: pd.Series, rows: pd.DataFrame, colour: str) -> None:
    """The intervals of a curve as a translucent band; none where no point has an interval."""
    if rows["low"].notna().any():
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.16, linewidth=0)


def curve(ax: Axes, rows: pd.DataFrame, column: str, look: style.Look, hollow: bool = False) -> Line2D:
    """Means joined by a line over a band of their intervals."""
    band(ax, rows[column], rows, look.colour)
    (line,) = ax.plot(rows[column], rows["mean"], color=look.colour, linestyle=look.dashes, marker=look.marker)
    line.set_markerfacecolor("none" if hollow else look.colour)
    return line


def points(ax: Axes, x: np.ndarray, rows: pd.DataFrame, look: style.Look, hollow: bool = False) -> None:
    """Means as single marks with their intervals as bars."""
    face = "none" if hollow else look.colour
    ax.errorbar(x, rows["mean"], yerr=reach(rows), color=look.colour, marker=look.marker, markerfacecolor=face,
                linestyle="none", capsize=2, linewidth=0.9)  # fmt: skip


def handle(look: style.Look, marker: bool = True, line: bool = True, lacking: str = "") -> Line2D:
    """The legend entry of a variant; `lacking` says which splits its pooled curve is without."""
    shape, dashes = (look.marker if marker else "none"), (look.dashes if line else "none")
    return Line2D([], [], color=look.colour, linestyle=dashes, marker=shape, label=style.drawn_name(look) + lacking)


def dot(label: str, face: str, marker: str = "o") -> Line2D:
    """A legend entry that explains a mark, in the colour of text."""
    return Line2D([], [], color=style.INK, marker=marker, markerfacecolor=face, linestyle="none", label=label)


def area(label: str, colour: str, alpha: float) -> Rectangle:
    """A legend entry that explains a shaded range."""
    return Rectangle((0, 0), 0, 0, color=colour, alpha=alpha, linewidth=0, label=label)


def explain(ax: Axes, handles: Iterable[Artist]) -> None:
    """Give axes the entries of their legend: `ax.legend()` and the legend of a sheet find them."""
    for entry in handles:
        ax.add_artist(entry)


def aside(ax: Axes, text: str) -> None:
    """Put a remark on one panel below its title; several share a line."""
    if text:
        title = ax.get_title(loc="left")
        between = "; " if "\n" in title else "\n"
        ax.set_title(f"{title}{between}{style.plain(text)}")


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
