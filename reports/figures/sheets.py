"""From numbers to files: every figure as sheets for a paper, and as single panels for the page."""

from __future__ import annotations

import base64
import gc
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from reports import formats, style
from reports.figures import canvas
from reports.figures.catalogue import FigureKind, has_numbers
from reports.figures.marks import aside
from reports.numbers.aggregates import ALL_SPLITS
from reports.reading.files import file_name
from reports.results import Results

THEMES = ((style.INK, style.GRID, "#FFFFFF"), ("#E4E6EA", "#3B4048", "#1D2128"))
"""Colours of text and axes, of the grid, and behind them: light, dark."""

PANELS = 9
"""Most panels of one sheet: three rows of three, about a page."""

WORTH_WORKERS = 3
"""From this many splits on, starting further processes costs less than it saves."""


class Panel(NamedTuple):
    """One split of a figure.

    Attributes:
        split: Its name.
        note: Seeds and kind of interval (`formats.panel_words`).
        alt: The alternative text.
        svg: The picture as text.
        width: In pixels.
        height: In pixels.
        numbers: The address of the CSV with its numbers.
    """

    split: str
    note: str
    alt: str
    svg: str
    width: int
    height: int
    numbers: str

    @property
    def source(self) -> str:
        """The picture as a data address, so that the page is one file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


class Exhibit(NamedTuple):
    """One figure: its kind, its panels, and the addresses of its sheets without their endings."""

    kind: FigureKind
    panels: list[Panel]
    sheets: list[str]


def draw(
    results: Results, kinds: Sequence[FigureKind], folder: Path, workers: int = 1
) -> tuple[list[Exhibit], list[str]]:
    """Write every figure below `folder`; also a sentence for every figure that was expected and has no numbers.

    Args:
        results: What is drawn.
        kinds: The figures, in the order of the answer.
        folder: Must exist.
        workers: Processes that draw, where there is much to draw and the system can fork.
    """
    many = results.cells["split"].nunique() >= WORTH_WORKERS
    if workers == 1 or not many or "fork" not in multiprocessing.get_all_start_methods():
        drawn = [_drawn(results, kind, folder) for kind in kinds]
    else:
        _to_draw[:] = [(results, folder)]  # a forked process shares what this one has read
        gc.freeze()  # a collection in one would copy what is shared
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            drawn = list(pool.map(_drawn_by_worker, kinds))
        gc.unfreeze()
        _to_draw.clear()
    return [exhibit for exhibit, _ in drawn if exhibit], [sentence for _, missing in drawn for sentence in missing]


_to_draw: list[tuple[Results, Path]] = []
"""What worker processes draw, and where; empty but while they do."""


def _drawn_by_worker(kind: FigureKind) -> tuple[Exhibit | None, list[str]]:
    results, folder = _to_draw[0]
    return _drawn(results, kind, folder)


def _drawn(results: Results, kind: FigureKind, folder: Path) -> tuple[Exhibit | None, list[str]]:
    """One figure, None where no split has numbers for it, and sentences on the splits that should have."""
    splits = sorted(set(results.cells["split"]))
    panels: list[str] = []
    absent: list[str] = []
    for split in [*splits, *([ALL_SPLITS] if kind.pooled and len(splits) > 1 else [])]:
        if has_numbers(kind.series(results, split)):
            panels.append(split)
        elif kind.expected:
            absent.append(f"{kind.title}, {split}: needs {kind.needs}.")
    return (_exhibit(results, kind, panels, folder) if panels else None), absent


def _exhibit(results: Results, kind: FigureKind, splits: list[str], folder: Path) -> Exhibit:
    def panel(split: str, ax: Axes) -> Axes:
        kind.draw(results, split=split, ax=ax)
        aside(ax, formats.seeds_words(kind.series(results, split)))
        return ax

    sheets: list[str] = []
    panels: list[Panel] = []
    with canvas.house_style():
        for number, start in enumerate(range(0, len(splits), PANELS), 1):
            stem = folder / (kind.name if number == 1 else f"{kind.name}-{number}")
            shown = splits[start : start + PANELS]
            figure = canvas.sheet(panel, shown)
            canvas.save(figure, stem)
            sheets.append(f"{folder.name}/{stem.name}")
            for split in shown:
                alone = canvas.sheet(panel, [split]) if len(shown) > 1 else figure
                width, height = (round(float(inches) * alone.dpi) for inches in alone.get_size_inches())
                numbers = _write_numbers(results, kind, split, folder)
                note, alt = formats.panel_words(kind.series(results, split)), kind.describe(results, split)
                panels.append(Panel(split, note, alt, themed(canvas.svg(alone)), width, height, numbers))
    return Exhibit(kind, panels, sheets)


def _write_numbers(results: Results, kind: FigureKind, split: str, folder: Path) -> str:
    name = f"{kind.name}_{file_name(split)}.csv"
    formats.write_csv(kind.series(results, split), folder / name)
    return f"{folder.name}/{name}"


def themed(svg: str) -> str:
    """An SVG of ours whose colours of text, grid and background follow the reader's light or dark colour scheme."""
    light, dark = (f"svg{{color:{ink};--grid:{grid};--paper:{paper}}}" for ink, grid, paper in THEMES)
    rules = f"<style>{light}@media (prefers-color-scheme: dark){{{dark}}}@media print{{{light}}}</style>"
    head, mark, rest = svg[svg.index("<svg") :].partition(">")
    for colour, value in ((style.INK, "currentColor"), (style.GRID, "var(--grid)"), (style.PAPER, "var(--paper)")):
        rest = rest.replace(colour.lower(), value)
    return head + mark + rules + rest
