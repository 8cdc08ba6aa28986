"""What commands print: one JSON document, or tables for people."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from suite.errors import printable

LONG = 200  # rows of a table that is printed as plain columns: for thousands of them rich takes many seconds

GAP = 2
"""Letters between two columns of a table."""

MOST_LAST = 30
"""Letters of a word of the last column that is never broken: it holds prose, in which a path may stand."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def console() -> Console:
    """The console of standard output, as it is now; wide enough for a table where the output is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 160)


def print_json(document: Any) -> None:
    """Print one JSON document; numbers that JSON does not have become null."""
    print(json.dumps(_plain(document), indent=2, allow_nan=False))


def say(sentence: str) -> None:
    """Tell a person what is going on, on standard error and so apart from the result; without control characters."""
    typer.echo(printable(sentence), err=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are, but for control characters: no markup, no wrapping."""
    for line in lines:
        print(printable(line))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], least: Sequence[str] = ()) -> None:
    """Print a table; numbers are aligned right, everything is text and not markup.

    No word, name or hash is broken: where the screen has no room for all columns, some are left out and named.

    Args:
        title: Above it; may be empty.
        columns: Names of the columns.
        rows: Their cells.
        least: Columns that are left out first, in this order; then it is the last of the others, never the first.
    """
    rows = [list(row) for row in rows]
    screen = console()
    words = {name: widest_word([name, *(row[place] for row in rows)]) for place, name in enumerate(columns)}
    words[columns[-1]] = min(words[columns[-1]], MOST_LAST)
    shown = fitting(words, screen.width, least)
    absent = [name for name in columns if name not in shown]
    rows = [[cell for name, cell in zip(columns, row) if name in shown] for row in rows]
    natural = {name: _longest([name, *(row[place] for row in rows)]) for place, name in enumerate(shown)}
    widths = squeezed(natural, words, screen.width)
    numeric = [_is_numeric([row[place] for row in rows]) for place in range(len(shown))]
    if len(rows) > LONG:
        print_lines([*([title] if title else []), *_plain_columns(widths, numeric, rows)])
    else:
        screen.print(_coloured_columns(title, widths, numeric, rows))
    if absent:
        print_lines([f"(no room for: {', '.join(absent)})"])


def fitting(widths: Mapping[str, int], room: int, least: Sequence[str] = ()) -> list[str]:
    """The columns that a screen has room for side by side, in their order.

    Args:
        widths: The room that each column needs at the least, by its name.
        room: Letters in a line of the screen.
        least: Columns that go first, in this order; then it is the last of the others, never the first.
    """
    names = list(widths)
    for name in [*(name for name in least if name in widths), *(n for n in names[:0:-1] if n not in least)]:
        if sum(widths[kept] + GAP for kept in names) - GAP <= room:
            break
        names.remove(name)
    return names


def squeezed(natural: Mapping[str, int], least: Mapping[str, int], room: int) -> dict[str, int]:
    """How wide columns are side by side: as their longest cells, or the widest narrowed until all have room.

    Args:
        natural: The letters of the longest cell of each column, by its name.
        least: What no column gets narrower than.
        room: Letters in a line of the screen.
    """
    widths = dict(natural)
    for _ in range(sum(widths.values()) + GAP * (len(widths) - 1) - room):
        yielding = [name for name in widths if widths[name] > least[name]]
        if yielding:
            widths[max(yielding, key=lambda name: widths[name])] -= 1
    return widths


def _longest(cells: Iterable[Any]) -> int:
    """Letters of the longest line in some cells."""
    texts = (cell.plain if isinstance(cell, Text) else printable(_text(cell)) for cell in cells)
    return max((len(line) for text in texts for line in text.splitlines()), default=1)


def widest_word(cells: Iterable[Any]) -> int:
    """Letters of the longest word in some cells."""
    texts = (cell.plain if isinstance(cell, Text) else printable(_text(cell)) for cell in cells)
    return max((len(word) for text in texts for word in text.split()), default=1)


def _is_numeric(cells: Sequence[Any]) -> bool:
    given = [cell for cell in cells if cell not in (None, "")]
    return bool(given) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given)


def _coloured_columns(
    title: str, widths: Mapping[str, int], numeric: Sequence[bool], rows: Sequence[Sequence[Any]]
) -> Table:
    """A table as rich prints it: cells may have colours."""
    table = Table(
        title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for (name, width), is_number in zip(widths.items(), numeric):
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(_text(cell))) for cell in row))
    return table


def _plain_columns(widths: Mapping[str, int], numeric: Sequence[bool], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The lines of a table without colours."""
    texts = [list(widths), *([printable(_text(cell)) for cell in row] for row in rows)]
    for row in texts:
        folded = [_folded(text, width) for text, width in zip(row, widths.values())]
        for line in zip_longest(*folded, fillvalue=""):
            padded = (
                text.rjust(width) if is_number else text.ljust(width)
                for text, width, is_number in zip(line, widths.values(), numeric)
            )
            yield (GAP * " ").join(padded).rstrip()


def _folded(text: str, width: int) -> list[str]:
    """A text in lines of so many letters, broken between words where that can be."""
    return [text] if len(text) <= width else textwrap.wrap(text, width, break_on_hyphens=False)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.3g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
