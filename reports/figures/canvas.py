"""Sizes, fonts and files of figures, and sheets of several panels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import style
from reports.figures.marks import MANY, in_order
from reports.layout import ANYWHERE, Layout
from tasks.pictures.look import LOOK

HEIGHT = 2.35
"""Height of one panel in inches."""

CROWDED = 3.0
"""The same for more than `MANY` variants, whose names stand beside their lines."""

LEGEND = 0.2
"""Inches below the panels."""

NARROW = 2.2
"""Inches: panels of at least this width stand next to each other, at most three."""

DOTS_PER_INCH = 300
"""Of PNG files: what journals ask of line art at the least."""

LEGEND_ROOM = {1: 3, 2: 6, 3: 6}
"""Legend entries in a row, by panels in a row."""


@contextmanager
def house_style(layout: Layout = ANYWHERE) -> Iterator[None]:
    """The look of all pictures (`tasks.pictures.look`), for figures made and saved inside; PDFs embed their fonts.

    Nothing of the user's `matplotlibrc` or style counts: the same numbers are the same bytes for everybody. Titles have
    a fixed place, since looking for one takes a tenth of all drawing.
    """
    fonts = [style.SERIF, style.FONT] if layout.serif else [style.FONT]
    with matplotlib.style.context(LOOK | {"font.family": fonts}, after_reset=True):
        yield


class Panels(NamedTuple):
    """How large the panels of a sheet are: their height in inches, how many stand next to each other, and on what."""

    height: float = HEIGHT
    most: int = 3
    layout: Layout = ANYWHERE

    @property
    def on_a_page(self) -> int:
        """Panels of one sheet."""
        return self.most * max(1, min(3, int((self.layout.height - LEGEND) / self.height)))


def panels_for(variants: int, row: float = 0.0, layout: Layout = ANYWHERE) -> Panels:
    """Panels for so many variants: taller where each has a row of its own, of `row` inches, and broader for many."""
    height = max(HEIGHT, 0.75 + row * variants) if row else HEIGHT if variants <= MANY else CROWDED
    room = max(1, int(layout.page / NARROW))
    return Panels(height, min(room, 3 if variants <= MANY else 2), layout)


def new_figure(panels: int = 1, size: Panels = Panels()) -> Figure:  # noqa: B008
    """An empty figure with room for so many panels, one column or the text width wide; pyplot does not hold it."""
    rows = -(-panels // per_row(panels, size.most))
    width = size.layout.column if panels == 1 else size.layout.page
    figure = Figure(figsize=(width, size.height * rows + LEGEND), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def per_row(panels: int, most: int = 3) -> int:
    """Panels that stand next to each other, at most so many."""
    return panels if panels <= most else min(most, 2) if panels == 4 else most


def sheet(draw: Callable[[str, Axes], Axes], splits: Sequence[str], size: Panels = Panels()) -> Figure:  # noqa: B008
    """One panel per split over a common legend, as a journal prints it.

    Args:
        draw: Draws the panel of a split on the given axes.
        splits: In the order shown.
        size: Of the panels.
    """
    figure = new_figure(len(splits), size)
    columns = per_row(len(splits), size.most)
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
            break
        box.remove()
    for handle in [handle for ax in figure.axes for handle in ax.get_legend_handles_labels()[0]]:
        if isinstance(handle, Line2D) and np.size(handle.get_xdata()) == 0:
            handle.set_visible(False)  # drawing lines without points takes as long as others


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


def pin(figure: Figure) -> None:
    """Fix the labels of the axes where `boxes` has them: otherwise each file measures all ticks to place them.

    From then on `boxes` leaves out the ticks.
    """
    to_figure = figure.transFigure.inverted()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            x, y = to_figure.transform(axis.label.get_transform().transform(axis.label.get_position()))
            axis.set_label_coords(float(x), float(y), transform=figure.transFigure)
            if not axis.get_offset_text().get_text():  # which stands below the ticks
                for tick in axis.get_major_ticks():
                    tick.label1.set_in_layout(False)


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as PDF and PNG, the same bytes every time."""
    figure.savefig(stem.with_name(f"{stem.name}.pdf"), facecolor="white", metadata={"CreationDate": None})
    quick = {"compress_level": 3}  # the default takes half as long again, and a tenth less room
    figure.savefig(stem.with_name(f"{stem.name}.png"), dpi=DOTS_PER_INCH, facecolor="white",
                   metadata={"Software": None}, pil_kwargs=quick)  # fmt: skip


def svg(figure: Figure) -> str:
    """A figure as the text of an SVG."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
