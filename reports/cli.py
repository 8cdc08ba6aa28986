"""`offmap report`: the command that turns a results folder into a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

MOST_WORKERS = 4
"""Processes that draw figures; more would wait for one another's last figure."""


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Results folder; several are reported together.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default `report` inside the first folder.")
    ] = None,
    mix: Annotated[bool, typer.Option("--mix", help="Show results side by side that were not measured alike.")] = False,
) -> None:
    """Tables, figures and one self-contained page of everything that was recorded in a results folder."""
    # Plotting takes a second to import, which no other command should wait for.
    from rich.console import Console
    from rich.table import Table

    from reports.formats import wide
    from reports.load import load
    from reports.report import write
    from reports.tables import main_table
    from reports.words import verdict

    results = load(folders, mix)
    path = write(results, out or folders[0] / "report", workers=min(_cores(), MOST_WORKERS))
    console = Console()
    table = Table(title="Return after adaptation, 95 % interval over seeds")
    _fill(table, wide(main_table(results)))
    console.print(table)
    for sentence in (*verdict(results)[-1:], *results.notes):
        console.print(sentence, markup=False)
    for problem in results.problems:
        console.print(f"left out: {problem.where}: {problem.why}", style="yellow", markup=False)
    console.print(str(path), soft_wrap=True, markup=False, highlight=False)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fill(table: Table, frame: pd.DataFrame) -> None:
    """Put a frame with its index into a rich table; brackets of intervals are text, not markup."""
    from rich.text import Text

    for name in (frame.index.name, *frame.columns):
        table.add_column(Text(str(name)), overflow="fold")
    for label, row in zip(frame.index, frame.itertuples(index=False, name=None)):
        table.add_row(*(Text(str(cell)) for cell in (label, *row)))
