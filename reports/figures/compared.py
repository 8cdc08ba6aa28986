"""A forest plot of a comparison: per split and task list a panel, per pair of variants a row with its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import style
from reports.figures import canvas
from reports.figures.marks import ABOVE, aside, dot, explain, finish, whiskers
from reports.layout import ANYWHERE, Layout
from suite.errors import UserError

FEWEST_ROWS = 3
"""Rows that a panel has room for at the least, so that one alone does not fill it."""


ROW = 0.16
"""Inches of a row."""


def forest(rows: pd.DataFrame, *, split: str, task_list: str, ax: Axes) -> Axes:
    """Differences of one panel: a row each, in the order of every table; filled where the interval excludes zero.

    Args:
        rows: The judged cells of a split and task list, of `compare.compare`.
        split: Stands above the panel.
        task_list: Stands below that.
        ax: Is drawn on.
    """
    names = _names(rows)
    for row, (_, part) in enumerate(rows.groupby(np.arange(len(rows)))):
        look, height = style.look(str(part["variant"].iloc[0])), [len(rows) - 1 - row]
        is_shown = bool((part["low"] > 0).any() or (part["high"] < 0).any())
        whiskers(ax, part, height, look.colour, 1.2, 1.8)
        ax.plot(part["mean"], height, color=look.colour, marker=look.marker, markersize=4,
                markerfacecolor=look.colour if is_shown else style.PAPER, zorder=ABOVE)  # fmt: skip
    ax.axvline(0, color=style.INK, linewidth=0.7)
    ax.set_yticks(range(len(rows)), names[::-1])
    ax.set_ylim(-0.6 - max(0, FEWEST_ROWS - len(rows)), len(rows) - 0.4)
    ax.grid(visible=False, axis="y")
    explain(ax, [dot("interval without 0", style.INK), dot("hollow: with it, or none", "none")])
    others = list(dict.fromkeys(rows["other"]))
    finish(ax, split, f"return minus that of {others[0] if len(others) == 1 else 'the other'}", "")
    aside(ax, task_list)
    return ax


def _names(rows: pd.DataFrame) -> list[str]:
    """What each row is called: its variant and its seeds, and what else tells it from others."""
    several = [column for column in ("folder", "other") if rows[column].nunique() > 1]
    texts = rows[["variant", "n", *several]].itertuples(index=False, name=None)
    return [
        style.plain(f"{style.look(variant).name}{''.join(f', {word}' for word in rest)} (n = {n})")
        for variant, n, *rest in texts
    ]


def figure(table: pd.DataFrame, layout: Layout = ANYWHERE) -> Figure:
    """The forest plot of a comparison; inside `canvas.house_style`.

    Raises:
        UserError: no cell could be compared.
    """
    judged = table[table["n"] > 0]
    if judged.empty:
        raise UserError("no cell could be compared, so there is nothing to draw; without --out it says why")
    panels = {
        f"{split} {task_list}": (split, task_list, rows)
        for (split, task_list), rows in judged.groupby(["split", "task_list"], sort=False)
    }

    def panel(name: str, ax: Axes) -> Axes:
        split, task_list, rows = panels[name]
        return forest(rows, split=str(split), task_list=str(task_list), ax=ax)

    size = canvas.panels_for(max(len(rows) for _, _, rows in panels.values()), ROW, layout)
    return canvas.sheet(panel, list(panels), size._replace(most=min(2, size.most)))  # names need room at the left


def save(table: pd.DataFrame, path: Path, layout: Layout = ANYWHERE) -> None:
    """Write the forest plot of a comparison, in the format of the path's ending."""
    with canvas.house_style(layout):
        drawn = figure(table, layout)
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        drawn.savefig(path, dpi=canvas.DOTS_PER_INCH, facecolor="white", metadata=metadata)
