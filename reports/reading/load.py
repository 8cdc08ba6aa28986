"""A results folder, read into tidy tables; what cannot be read is named and left out, never skipped in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reports import style
from reports.reading.against import with_reference
from reports.reading.apart import apart
from reports.reading.attachments import read_experiments, read_pictures
from reports.reading.cells import drop_superseded, read_cells, with_every_cell
from reports.reading.choice import chosen, declared
from reports.reading.comparability import resolve, warnings
from reports.reading.metadata import printable
from reports.reading.records import read_diagnostics, read_metrics, read_records
from reports.results import Problem, Results
from suite.errors import UserError
from suite.experiment.plugins import declare_plugins_of
from suite.results.reference import reference_table


def load(
    folders: Path | Sequence[Path],
    mix: bool = False,
    against: str | None = None,
    variants: Sequence[str] = (),
    splits: Sequence[str] = (),
    as_declared: bool = False,
) -> Results:
    """The results below one or several folders.

    Args:
        folders: Searched recursively for `records.parquet`, `diagnostics.parquet`, `metrics.parquet`, `cells.json`,
            `experiment.json` and `pictures/*.body.png`.
        mix: Show results that were not measured alike side by side under separate labels; otherwise those of different
            experiments stand apart (`apart`), and of those of one the ones that most agree with are kept, and the
            others are named and left out.
        against: A shipped table whose rows are put beside these results; by default the one that an experiment names.
        variants: Show these alone, by their labels; by default all.
        splits: Show these alone, in this order; by default all.
        as_declared: Where no variants or no splits are named, show those that the experiment declares (`report:`).

    Raises:
        UserError: a folder does not exist, none holds results, nothing is comparable with the table, or there is no
            variant or split of a name.
    """
    results = _read(folders)
    names = sorted({str(e["against"]) for e in results.experiments.values() if e.get("against")})
    for name in [against] if against else names:
        results = with_reference(results, _read(reference_table(name)), name)
    results = _with_marked_references(drop_superseded(results))
    results = with_every_cell(resolve(results if mix else apart(results), mix))
    if as_declared:
        wanted = declared(results)
        variants, splits = variants or wanted[0], splits or wanted[1]
    results = chosen(results, variants, splits)
    return replace(results, notes=(*results.notes, *warnings(results)))


def _read(folders: Path | Sequence[Path]) -> Results:
    """Everything readable below the folders, as it is.

    Raises:
        UserError: a folder does not exist, or none holds results.
    """
    roots = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    for root in roots:
        if not root.is_dir():
            raise UserError(_no_such_folder(root))
        declare_plugins_of(root)
    problems: list[Problem] = []
    records, runs = read_records(roots, problems)
    cells = read_cells(roots, problems)
    if records.empty and cells.empty:
        raise UserError(_no_results(roots, problems))
    return Results(
        folders=tuple(printable(root.resolve().name, None) for root in roots),
        records=records,
        diagnostics=read_diagnostics(roots, problems),
        metrics=read_metrics(roots, problems),
        runs=runs,
        cells=cells,
        experiments=read_experiments(roots, problems),
        pictures=read_pictures(roots, {*records["split"].unique(), *cells["split"]}, problems),
        problems=tuple(problems),
    )


def _no_such_folder(root: Path) -> str:
    what = "is a file, not a folder" if root.exists() else "does not exist"
    return (
        f"no results to report: {root} {what}. Give the folder that an experiment wrote its results to "
        "(it holds records.parquet files and a cells.json somewhere below it)."
    )


def _no_results(roots: Sequence[Path], problems: Sequence[Problem]) -> str:
    where = ", ".join(str(root) for root in roots)
    broken = "".join(f"\n  {problem.where}: {problem.why}" for problem in problems)
    return (
        f"no results to report: no readable records.parquet and no cells.json below {where}. Run an experiment "
        f"first, or give the folder that holds its results.{broken}"
    )


def _with_marked_references(results: Results) -> Results:
    """With the labels of references marked as such, so that no label can make a reference look like a competitor."""
    records, cells, metrics = results.records.copy(), results.cells.copy(), results.metrics.copy()
    for frame, column in ((records, "variant"), (cells, "variant"), (metrics, "algorithm")):
        is_reference = frame["algorithm"].isin(style.reference_names())
        frame.loc[is_reference, column] = frame.loc[is_reference, column] + style.REFERENCE
    return replace(results, records=records, cells=cells, metrics=metrics)
