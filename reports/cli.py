"""`offmap report`, `compare` and `export`: the commands that read results folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.output import AsJson, print_json, print_lines, print_table, say
from suite.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

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
    against: Annotated[
        str | None, typer.Option(help="A shipped table to put beside the results: see `offmap reference list`.")
    ] = None,
) -> None:
    """Tables, figures and one self-contained page of everything that was recorded in a results folder."""
    # Plotting takes a second to import, which no other command should wait for.
    from reports.numbers.tables import gain_table, main_table
    from reports.page.summary import verdict
    from reports.reading.load import load
    from reports.report import write

    results = load(folders, mix, against)
    path = write(results, out or folders[0] / "report", min(_cores(), MOST_WORKERS), _tell)
    _tell("")
    table, gains = main_table(results), gain_table(results)
    print_lines(["Return after adaptation, 95 % intervals over seeds", ""])
    for split, declared in table[table["declared"] > 0].groupby("split", sort=True):
        _print_split(str(split), declared, gains[(gains["split"] == split) & (gains["declared"] > 0)])
    problems = [f"left out: {problem.where}: {problem.why}" for problem in results.problems]
    print_lines([*verdict(results)[-1:], *results.notes, *problems, str(path)])


def _tell(words: str) -> None:
    """What is being done, over what was said before; on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_split(split: str, table: pd.DataFrame, gains: pd.DataFrame) -> None:
    """The main table's rows of one split: a line per variant, a column per task list, then what was gained on each."""
    from reports.formats import wide

    frame = wide(table, ("task_list",))
    if (gains["n"] > 0).any():
        gained = wide(gains.assign(text=gains["text"].where(gains["n"] > 0, "–")), ("task_list",))
        frame = frame.join(gained.add_prefix("gain over the twin, "))
    print_table(split, ("variant", *frame.columns), frame.itertuples(name=None))
    print_lines([""])


TABLE_ENDINGS = (".csv", ".md", ".tex")


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER OTHER...", help="The results folder that is judged, and those it is judged by."),
    ],
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression", help="Leave with 1 if a cell is worse, or failed where another has a result."
        ),
    ] = False,
    as_json: AsJson = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Accept folders whose own results were not measured alike.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the table there, as .csv, .md or .tex by its ending.")
    ] = None,
) -> None:
    """Compare results folders cell by cell: better, worse, no difference shown, or why they are not comparable."""
    import pandas as pd

    from reports import compare as comparing
    from reports.reading.load import load

    if out is not None and out.suffix not in TABLE_ENDINGS:
        raise UserError(
            f"{out}: a table is written as .csv, .md or .tex, and {out.suffix or 'no ending'} is none of them"
        )
    if len(folders) < 2:
        raise UserError(f"compare takes two or more results folders, and was given {len(folders)}")
    first, *others = (load(folder, mix) for folder in folders)
    parts = [comparing.compare(first, results, str(path)) for results, path in zip(others, folders[1:])]
    table = pd.concat(parts, ignore_index=True)
    if out is not None:
        _write_comparison(table, out, str(folders[0]))
    problems = [f"left out: {p.where}: {p.why}" for results in (first, *others) for p in results.problems]
    if as_json:
        print_json({"first": str(folders[0]), "cells": table.to_dict("records"), "left_out": problems})
    else:
        columns = ("variant", "split", "task_list", *(["other"] if len(others) > 1 else []), "text")
        print_table(
            f"{folders[0]} against {', '.join(map(str, folders[1:]))}: first minus second, 95 % intervals over seeds",
            columns, table[list(columns)].itertuples(index=False, name=None),
        )  # fmt: skip
        print_lines([*comparing.summary(table), *problems])
    judged = table["verdict"].isin([comparing.BETTER, comparing.WORSE, comparing.SAME])
    if fail_on_regression and not (judged | table["regressed"]).any():
        raise UserError("no cell could be compared, so nothing can be said about a regression; see the reasons above")
    if fail_on_regression and table["regressed"].any():
        raise typer.Exit(1)


def _write_comparison(table: pd.DataFrame, path: Path, first: str) -> None:
    """A comparison in the format that the ending of a path names, one of `TABLE_ENDINGS`."""
    from reports import formats

    columns = ("split", "task_list", "other")
    cells = table.assign(best=False, tied=False)
    if path.suffix == ".csv":
        formats.write_csv(table, path)
    elif path.suffix == ".md":
        path.write_text(formats.markdown(formats.wide(cells, columns)), encoding="utf-8")
    else:
        text = formats.latex(cells, columns, f"{first} against others: difference of returns.", "compare", "text")
        path.write_text(text, encoding="utf-8")


def export(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results folder; several go together.")],
    csv: Annotated[bool, typer.Option("--csv", help="Plain tables.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Event files; needs tensorboard.")] = False,
    wandb: Annotated[bool, typer.Option("--wandb", help="Offline runs, no account; needs wandb.")] = False,
    mix: Annotated[bool, typer.Option("--mix", help="Include results that were not measured alike.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default `export` inside the first folder.")
    ] = None,
) -> None:
    """Write training curves and results for other tools: CSV, TensorBoard, Weights & Biases."""
    from reports.export import export as write
    from reports.reading.load import load

    formats = [name for name, is_asked in (("csv", csv), ("tensorboard", tensorboard), ("wandb", wandb)) if is_asked]
    if not formats:
        raise UserError("export was told no format; give --csv, --tensorboard or --wandb, or several of them")
    results = load(folders, mix)
    print_lines(map(str, write(results, formats, out or folders[0] / "export")))
    for problem in results.problems:
        say(f"left out: {problem.where}: {problem.why}")
