"""Sizes, fonts and files of figures, and sheets of several panels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports import style
from reports.figures.marks import in_order

COLUMN, PAGE = 3.4, 7.0
"""Widths in inches: one column and the whole text width of a two-column journal."""

HEIGHT = 2.35
"""Height of one panel in inches."""

DOTS_PER_INCH = 300
"""Of PNG files: what journals ask of line art at the least."""

LEGEND_ROOM = {1: 3, 2: 6, 3: 6}
"""Legend entries in a row, by panels in a row."""

PLAIN: dict[str, Any] = {
    "lines.solid_capstyle": "round", "patch.edgecolor": "white", "patch.force_edgecolor": True, "patch.linewidth": 0.8,
    "xtick.minor.size": 3.2, "xtick.minor.width": 0.8, "ytick.minor.size": 3.2, "ytick.minor.width": 0.8,
}  # fmt: skip
"""What is ours of seaborn's plain style for papers (`ticks`), besides colours and sizes."""


@contextmanager
def house_style() -> Iterator[None]:
    """A plain style in our colours and sizes, for figures made and saved inside; PDFs embed their fonts.

    Nothing of the user's `matplotlibrc` or style counts: the same numbers are the same bytes for everybody. Titles have
    a fixed place, since looking for one takes a tenth of all drawing.
    """
    ours: dict[str, Any] = {
        "axes.edgecolor": style.INK, "axes.labelcolor": style.INK, "text.color": style.INK,
        "xtick.color": style.INK, "ytick.color": style.INK, "grid.color": style.GRID,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
        "grid.linewidth": 0.5, "figure.facecolor": "none", "axes.facecolor": "none", "font.family": style.FONT,
        "font.size": 7, "axes.labelsize": 7, "axes.titlesize": 7.5, "legend.fontsize": 6.8, "xtick.labelsize": 6.5,
        "ytick.labelsize": 6.5, "axes.titlelocation": "left", "legend.frameon": False, "lines.linewidth": 1.3,
        "lines.markersize": 3.8, "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.major.width": 0.7,
        "ytick.major.width": 0.7, "axes.labelpad": 2.5, "hatch.linewidth": 0.5, "axes.axisbelow": True,
        "axes.titley": 1.0, "svg.hashsalt": "offmap", "svg.fonttype": "path", "pdf.fonttype": 42, "figure.dpi": 100,
    }  # fmt: skip
    with matplotlib.style.context(PLAIN | ours, after_reset=True):
        yield


def new_figure(panels: int = 1) -> Figure:
    """An empty figure with room for so many panels, one column or the text width wide; pyplot does not hold it."""
    rows = -(-panels // per_row(panels))
    width = COLUMN if panels == 1 else PAGE
    figure = Figure(figsize=(width, HEIGHT * rows + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def per_row(panels: int) -> int:
    """Panels that stand next to each other."""
    return panels if panels <= 3 else 2 if panels == 4 else 3


def sheet(draw: Callable[[str, Axes], Axes], splits: Sequence[str]) -> Figure:
    """One panel per split over a common legend, as a journal prints it.

    Args:
        draw: Draws the panel of a split on the given axes.
        splits: In the order shown.
    """
    figure = new_figure(len(splits))
    columns = per_row(len(splits))
    rows = -(-len(splits) // columns)
    for index, split in enumerate(splits):
        ax = draw(split, figure.add_subplot(rows, columns, index + 1))
        if index % columns and ax.get_ylabel() == figure.axes[index - index % columns].get_ylabel():
            ax.set_ylabel("")
    legend(figure, LEGEND_ROOM[columns])
    settle(figure)
    return figure


def legend(figure: Figure, columns: int) -> None:
    """One legend below the panels, of what any of them shows; equal words are one.

    It is at most so many entries wide, and no wider than the figure.
    """
    entries: dict[str, Artist] = {}
    for ax in figure.axes:
        entries |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels()) if label not in entries}
    entries = in_order(entries)
    for most in range(columns, 0, -1) if entries else ():
        rows = -(-len(entries) // most)
        box = figure.legend(
            list(entries.values()), list(entries), loc="outside lower left", ncols=-(-len(entries) // rows),
            handlelength=2.8, columnspacing=1.4, borderaxespad=0.3,
        )  # fmt: skip
        if most == 1 or box.get_window_extent().width <= figure.bbox.width:
            return
        box.remove()


def settle(figure: Figure) -> None:
    """Lay a finished figure out once, so that saving it in three formats does not do so three times."""
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    figure.set_layout_engine(None)  # any other, the one that does nothing too, has every file drawn twice


class Box(NamedTuple):
    """Where something stands on a figure, in points from its upper left corner."""

    left: float
    top: float
    width: float
    height: float


MARGIN = 2
"""Points around what is cut out of a figure."""


def boxes(figure: Figure, artists: Iterable[Artist]) -> list[Box]:
    """Where parts of a figure that is laid out stand on it, with all that belongs to them."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    scale, height = 72 / figure.dpi, float(figure.get_figheight()) * 72
    bounds = [artist.get_tightbbox(renderer) for artist in artists]
    return [
        Box(round(box.x0 * scale - MARGIN, 1), round(height - box.y1 * scale - MARGIN, 1),
            round(box.width * scale + 2 * MARGIN, 1), round(box.height * scale + 2 * MARGIN, 1))
        for box in bounds if box is not None
    ]  # fmt: skip


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as PDF and PNG, the same bytes every time."""
    figure.savefig(stem.with_name(f"{stem.name}.pdf"), facecolor="white", metadata={"CreationDate": None})
    figure.savefig(
        stem.with_name(f"{stem.name}.png"), dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None}
    )


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
