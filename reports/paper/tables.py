"""Tables of cells as LaTeX floats: one per statistic, variants as rows, splits as columns, seeds in the caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import Any

import pandas as pd

from reports import formats, style
from reports.layout import Layout
from reports.numbers.cell_text import NOT_DECLARED
from reports.numbers.tables import TableKind
from reports.paper.floats import Cell, Grid, floats
from reports.reading.files import file_name
from reports.results import named_rows

NONE = "–"
"""A cell without a number; a note says why."""

SEEDS = ", n = "
"""What stands between a number and how many seeds it is over, in the texts of cells."""


def latex_tables(kind: TableKind, table: pd.DataFrame, name: str, layout: Layout) -> dict[str, str]:
    """The floats of a table, by the names of their files without the ending; those that hold no number are none.

    Args:
        kind: Which table it is.
        table: What it makes.
        name: What its files begin with.
        layout: What there is room for.
    """
    (heads,) = (column for column in kind.columns if column != kind.apart)
    made = {}
    for stem, value in float_names(kind, table, name).items():
        title = f"{kind.title.rstrip('.')}: {value}." if kind.apart else kind.title
        made[stem] = latex(table[table[kind.apart] == value] if kind.apart else table, heads, title, stem, layout)
    return made


def float_names(kind: TableKind, table: pd.DataFrame, name: str) -> dict[str, str]:
    """The value of `kind.apart` that each float of a table is of, by the name of its file without the ending."""
    if not kind.apart:
        return {name: ""} if (table["n"] > 0).any() else {}
    values = dict.fromkeys(table.loc[table["n"] > 0, kind.apart])
    return {f"{name}-{file_name(str(value).replace(' ', '_'))}": str(value) for value in values}


def latex(table: pd.DataFrame, heads: str, title: str, label: str, layout: Layout, words: str = "") -> str:
    r"""A tidy table as LaTeX floats: rows variants, columns the values of `heads`; it needs `\usepackage{booktabs}`.

    Rows and columns in which no experiment declares anything are left out.

    Args:
        table: Cells, one per variant and value of `heads`.
        heads: The column whose values head the columns.
        title: The first sentence of the caption.
        label: For `\ref`, after `tab:`.
        layout: What there is room for.
        words: What intervals and marks are; by default what `formats.caption` says.
    """
    shown = table[table["text"] != NOT_DECLARED]
    usual = usual_seeds(shown)
    variants, columns = style.ordered(shown["variant"]), list(dict.fromkeys(shown[heads]))
    rows_of = {(row.variant, getattr(row, heads)): row for row in named_rows(shown)}
    places = {column: _places(shown[shown[heads] == column]) for column in columns}
    names = formats.called({*variants, *(columns if heads == "other" else ())})
    grid = Grid(
        tuple(f"than {names[column]}" if heads == "other" else column for column in columns),
        tuple(
            (names[v], tuple(Cell(("",)) if v == c else _cell(rows_of.get((v, c)), places[c], usual) for c in columns))
            for v in variants
        ),
    )
    if any((v, c) not in rows_of for v in variants for c in columns if v != c):
        title = f"{title} Empty: in no experiment's grid."
    seeds = _seeds_sentence(shown, usual)
    words = f"{words} {seeds}" if words else formats.caption(shown, tied="underlined", seeds=seeds)
    return floats(grid, f"{title} {words}", label, layout)


def _places(column: pd.DataFrame) -> int:
    """Decimal places that suit all numbers of a column."""
    return style.decimals(*column[["mean", "low", "high"]].to_numpy(dtype=float).ravel())


def usual_seeds(table: pd.DataFrame) -> int:
    """The number of seeds that most cells with a number have, references aside; of equally many the largest."""
    counts = Counter(row.n for row in named_rows(table) if row.n and not style.is_reference(row.variant))
    return max(counts, key=lambda n: (counts[n], n), default=0)


def _seeds_sentence(table: pd.DataFrame, usual: int) -> str:
    """How many seeds a cell has that no note says it of."""
    differ = any(row.n not in (0, usual) for row in named_rows(table))
    return f"n = {usual} seed{'s' if usual > 1 else ''}{', where no note says otherwise' if differ else ''}."


def _cell(row: Any, places: int, usual: int) -> Cell:
    """The cell of a row of the table; empty where no experiment has one."""
    if row is None:
        return Cell(("",))
    if row.n == 0:
        return Cell((NONE,), note=row.text)
    lines = tuple(_lines(row, places))
    more = row.text.partition(SEEDS)[2]
    is_usual = more in (str(usual), f"{usual}, no interval")
    return Cell(lines, "best" if row.best else "tied" if row.tied else "", "" if is_usual else f"n = {more}")


def _lines(row: Any, places: int) -> Iterator[str]:
    """The number, and its interval where it has one."""
    yield style.number(row.mean, places)
    if isfinite(row.low) and isfinite(row.high):
        yield f"[{style.number(row.low, places)}, {style.number(row.high, places)}]"
