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

    from reports.results import Results

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
    variant: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT", help="Show it alone; several in the order given.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="SPLIT", help="Show it alone; several in the order given.")
    ] = None,
    venue: Annotated[
        str | None, typer.Option("--for", metavar="VENUE", help="Sizes for a paper: neurips, icml or jmlr.")
    ] = None,
    width: Annotated[float | None, typer.Option(help="Inches that every figure and table is wide at the most.")] = None,
    serif: Annotated[bool, typer.Option("--serif", help="Figures in a serif type.")] = False,
    siunitx: Annotated[
        bool, typer.Option("--siunitx", help="Numbers of LaTeX tables as \\num of the package siunitx.")
    ] = False,
) -> None:
    """Tables, figures and one self-contained page of everything that was recorded in a results folder."""
    # Plotting takes a second to import, which no other command should wait for.
    from reports import style
    from reports.layout import layout
    from reports.reading.load import load
    from reports.report import write

    paper = layout(venue, width, serif, siunitx)
    results = load(folders, mix, against, variant or (), split or (), as_declared=True)
    with style.in_order(results.chosen_variants):
        path = write(results, out or folders[0] / "report", min(_cores(), MOST_WORKERS), _tell, paper)
        _tell("")
        _print_results(results)
    print_lines([str(path)])


def _print_results(results: Results) -> None:
    """The answer, the main table split by split, and what a reader has to know of it."""
    from reports.numbers.tables import gain_table, main_table
    from reports.page.headline import headline
    from reports.page.summary import verdict

    table, gains = main_table(results), gain_table(results)
    print_lines([*headline(results), "", "Return after adaptation, 95 % intervals over seeds", ""])
    for split, declared in table[table["declared"] > 0].groupby("split", sort=False):
        _print_split(str(split), declared, gains[(gains["split"] == split) & (gains["declared"] > 0)])
    problems = [f"left out: {problem.where}: {problem.why}" for problem in results.problems]
    print_lines([*verdict(results)[-1:], *results.notes, *problems])


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


ENDINGS = (".csv", ".md", ".tex", ".pdf", ".png")


def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER OTHER...", help="The results folder that is judged, and those it is judged by."),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANT",
            help="Judge all variants of all folders by this one: a label, or FOLDER:LABEL, or TABLE:LABEL of a shipped "
            "table (see `offmap reference list`).",
        ),
    ] = None,
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
        Path | None,
        typer.Option(help="Also write it there: .csv, .md, .tex, or a forest plot as .pdf or .png, by its ending."),
    ] = None,
) -> None:
    """Compare results cell by cell: better, worse, no difference shown, or why they are not comparable."""
    import pandas as pd

    from reports import compare as comparing
    from reports.reading.load import load
    from reports.reading.rivals import rival

    if out is not None and out.suffix not in ENDINGS:
        endings = ", ".join(ENDINGS)
        raise UserError(f"{out}: a comparison is written as one of {endings}, not as {out.suffix or 'no ending'}")
    if len(folders) < 2 and against is None:
        raise UserError(
            f"compare takes two or more results folders, and was given {len(folders)}; --against VARIANT judges those "
            "of one folder by one of them"
        )
    judged = [load(folder, mix) for folder in folders]
    hints: list[str] = []
    if against is not None:
        other = rival(against, judged, lambda folder: load(folder, mix))
        parts = [comparing.compare(results, other.results, other.name, other.variant) for results in judged]
    else:
        first, *others = judged
        parts = [
            comparing.compare(first, results, str(path), comparing.lone_rival(first, results))
            for results, path in zip(others, folders[1:])
        ]
        hints = [comparing.without_shared(first, results, str(path)) for results, path in zip(others, folders[1:])]
    table = pd.concat(parts, ignore_index=True)
    name = f"{' + '.join(map(str, folders if against else folders[:1]))} against "
    name += against or ", ".join(map(str, folders[1:]))
    if out is not None:
        _write_comparison(table, out, name)
    problems = [f"left out: {p.where}: {p.why}" for results in judged for p in results.problems]
    if as_json:
        print_json({"first": str(folders[0]), "cells": table.to_dict("records"), "left_out": problems})
    else:
        several = [column for column in ("folder", "other") if table[column].nunique() > 1]
        columns = ("variant", "split", "task_list", *several, "text")
        print_table(
            f"{name}: first minus second, 95 % intervals over seeds",
            columns, table[list(columns)].itertuples(index=False, name=None),
        )  # fmt: skip
        print_lines([*comparing.summary(table), *filter(None, hints), *problems])
    if fail_on_regression:
        _fail_on_regression(table)


def _fail_on_regression(table: pd.DataFrame) -> None:
    """Leave with 1 where a comparison has a regression.

    Raises:
        UserError: no cell could be compared.
    """
    from reports.compare import BETTER, SAME, WORSE

    if not (table["verdict"].isin([BETTER, WORSE, SAME]) | table["regressed"]).any():
        raise UserError("no cell could be compared, so nothing can be said about a regression; see the reasons above")
    if table["regressed"].any():
        raise typer.Exit(1)


def _write_comparison(table: pd.DataFrame, path: Path, name: str) -> None:
    """A comparison in the format that the ending of a path names, one of `ENDINGS`."""
    from reports import formats
    from reports.compare import as_cells
    from reports.figures import compared
    from reports.layout import ANYWHERE
    from reports.paper.tables import latex

    if path.suffix == ".csv":
        formats.write_csv(table, path)
    elif path.suffix == ".md":
        path.write_text(formats.markdown(formats.wide(as_cells(table), ("where",))), encoding="utf-8")
    elif path.suffix == ".tex":
        words = "Differences of returns with 95% intervals over seeds. Bold: better, underlined: worse."
        path.write_text(latex(as_cells(table), "where", f"{name}.", "compare", ANYWHERE, words), encoding="utf-8")
    else:
        compared.save(table, path)


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
