"""From numbers to files: every figure as sheets for a paper, and as single panels for the page."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from reports import formats
from reports.figures import canvas
from reports.figures.catalogue import FigureKind, has_numbers
from reports.figures.marks import aside
from reports.layout import ANYWHERE, Layout
from reports.numbers.aggregates import ALL_SPLITS
from reports.numbers.common import COMMON_SPLITS
from reports.reading.files import file_name
from reports.results import Results

WORTH_WORKERS = 3
"""From this many splits on, starting further processes costs less than it saves."""


class Panel(NamedTuple):
    """One split of a figure.

    Attributes:
        split: Its name.
        note: Seeds and kind of interval (`formats.panel_words`).
        alt: The alternative text.
        numbers: The address of the CSV with its numbers.
        box: Where it stands on its sheet.
    """

    split: str
    note: str
    alt: str
    numbers: str
    box: canvas.Box


class Sheet(NamedTuple):
    """Several panels over one legend: the address without its ending, the SVG as text, and where the legend stands."""

    address: str
    svg: str
    panels: list[Panel]
    legend: canvas.Box | None


class Exhibit(NamedTuple):
    """One figure: its kind and its sheets."""

    kind: FigureKind
    sheets: list[Sheet]


def draw(
    results: Results,
    kinds: Sequence[FigureKind],
    folder: Path,
    workers: int = 1,
    tell: Callable[[str], None] = lambda _: None,
    layout: Layout = ANYWHERE,
) -> tuple[list[Exhibit], list[str]]:
    """Write every figure below `folder`; also a sentence for every figure that was expected and has no numbers.

    Args:
        results: What is drawn.
        kinds: The figures, in the order of the answer.
        folder: Must exist.
        workers: Processes that draw, where there is much to draw and the system can fork.
        tell: Called with how many of the figures are drawn, in words.
        layout: How wide they are.
    """
    many = results.cells["split"].nunique() >= WORTH_WORKERS
    if workers == 1 or not many or "fork" not in multiprocessing.get_all_start_methods():
        drawn = _told((_drawn(results, kind, folder, layout) for kind in kinds), len(kinds), tell)
    else:
        _to_draw[:] = [(results, folder, layout)]  # a forked process shares what this one has read
        gc.freeze()  # a collection in one would copy what is shared
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            drawn = _told(pool.map(_drawn_by_worker, kinds), len(kinds), tell)
        gc.unfreeze()
        _to_draw.clear()
    return [exhibit for exhibit, _ in drawn if exhibit], [sentence for _, missing in drawn for sentence in missing]


def _told(drawn: Iterable[Drawn], number: int, tell: Callable[[str], None]) -> list[Drawn]:
    """All that is drawn, saying before each of them which of how many it is."""
    done: list[Drawn] = []
    tell(f"drawing 1 of {number}")
    for one in drawn:
        done.append(one)
        if len(done) < number:
            tell(f"drawing {len(done) + 1} of {number}")
    return done


Drawn = tuple["Exhibit | None", list[str]]
"""A figure, None where no split has numbers for it, and sentences on the splits that should have."""

_to_draw: list[tuple[Results, Path, Layout]] = []
"""What worker processes draw, where, and how wide; empty but while they do."""


def _drawn_by_worker(kind: FigureKind) -> Drawn:
    results, folder, layout = _to_draw[0]
    return _drawn(results, kind, folder, layout)


def _drawn(results: Results, kind: FigureKind, folder: Path, layout: Layout) -> Drawn:
    """One figure, None where no split has numbers for it, and sentences on the splits that should have."""
    splits = results.splits
    panels: list[str] = []
    absent: list[str] = []
    for split in [*splits, *((ALL_SPLITS, COMMON_SPLITS) if kind.pooled and len(splits) > 1 else ())]:
        if has_numbers(kind.series(results, split)):
            panels.append(split)
        elif kind.expected:
            absent.append(f"{kind.title}, {split}: needs {kind.needs}.")
    return (_exhibit(results, kind, panels, folder, layout) if panels else None), absent


def _exhibit(results: Results, kind: FigureKind, splits: list[str], folder: Path, layout: Layout) -> Exhibit:
    def panel(split: str, ax: Axes) -> Axes:
        kind.draw(results, split=split, ax=ax)
        aside(ax, formats.seeds_words(kind.series(results, split)))
        return ax

    sheets: list[Sheet] = []
    size = canvas.panels_for(max(_variants(kind.series(results, split)) for split in splits), kind.row, layout)
    with canvas.house_style(layout):
        for number, start in enumerate(range(0, len(splits), size.on_a_page), 1):
            stem = folder / (kind.name if number == 1 else f"{kind.name}-{number}")
            shown = splits[start : start + size.on_a_page]
            figure = canvas.sheet(panel, shown, size)
            boxes = canvas.boxes(figure, figure.axes)
            canvas.pin(figure)
            canvas.save(figure, stem)
            panels = [
                Panel(split, formats.panel_words(kind.series(results, split)), kind.describe(results, split),
                      _write_numbers(results, kind, split, folder), box)
                for split, box in zip(shown, boxes)
            ]  # fmt: skip
            legend = next(iter(canvas.boxes(figure, figure.legends)), None)
            sheets.append(Sheet(f"{folder.name}/{stem.name}", canvas.svg(figure), panels, legend))
            del figure
            gc.collect(0)  # nobody else does inside `report.write`, and a figure is large; what is older stays
    return Exhibit(kind, sheets)


def _variants(numbers: pd.DataFrame) -> int:
    return numbers["variant"].nunique() if "variant" in numbers else 0


def _write_numbers(results: Results, kind: FigureKind, split: str, folder: Path) -> str:
    name = f"{kind.name}_{file_name(split)}.csv"
    formats.write_csv(kind.series(results, split), folder / name)
    return f"{folder.name}/{name}"
