"""What commands print: one JSON document, or tables for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from suite.errors import printable

LONG = 200  # rows of a table that is printed as plain columns: for thousands of them rich takes many seconds

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


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers are aligned right, everything is text and not markup."""
    rows = [list(row) for row in rows]
    numbers = [_is_numeric([row[index] for row in rows]) for index in range(len(columns))]
    if len(rows) > LONG:
        print_lines([*([title] if title else []), *_plain_columns(columns, rows, numbers)])
        return
    table = Table(
        title=Text(title) if title else None, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for column, is_number in zip(columns, numbers):
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(_text(cell))) for cell in row))
    console().print(table)


def _is_numeric(cells: list[Any]) -> bool:
    given = [cell for cell in cells if cell not in (None, "")]
    return bool(given) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given)


def _plain_columns(columns: Sequence[str], rows: Sequence[Sequence[Any]], numbers: list[bool]) -> Iterator[str]:
    """The lines of a table without colours, never folded."""
    texts = [list(columns), *([printable(_text(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    for line in texts:
        padded = (
            text.rjust(width) if is_number else text.ljust(width)
            for text, width, is_number in zip(line, widths, numbers)
        )
        yield " ".join(padded).rstrip()


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
