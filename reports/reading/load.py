"""A results folder, read into tidy tables; what cannot be read is named and left out, never skipped in silence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reports import style
from reports.numbers.rows import named_rows
from reports.reading import comparability
from reports.reading.attachments import Picture, read_experiments, read_pictures
from reports.reading.comparability import Problem
from reports.reading.files import checked_bytes, files
from reports.reading.metadata import checked, printable
from reports.reading.metrics import per_seed
from suite.errors import UserError
from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA, RecordsError, read_table

CELL_COLUMNS = ("variant", "algorithm", "split", "seed", "run", "status", "reason")

MAY_BE_EMPTY = ("parameter", "return", "value", "wall_seconds")
"""Columns whose rows need not have a value."""

MOST_ROWS, MOST_UNPACKED = 5_000_000, 2_000_000_000
"""Of one parquet file, rows and bytes: packed, a billion equal rows are a few thousand bytes."""

MOST_BYTES = 50_000_000
"""Of a grid; that of ten thousand cells has three million."""

LEFT_OUT = "left out"
"""The status of a finished run whose records cannot be read, or were measured otherwise than those of most."""

STATUSES = ("done", "running", "pending", "failed", "unsupported")
"""The most useful status first: where two grids declare one cell, it counts. Others (such as killed) come last."""


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a report is made of.

    `records`, `diagnostics` and `metrics` have the columns of `suite.results.records`; rows are in one canonical
    order, so that the order of files and rows changes no digit. `runs` maps a run's hash to the metadata document of
    its records file. `cells` has one row per declared or found (variant, split, seed), with `CELL_COLUMNS`.
    `experiments` holds the resolved experiments by where they were found, `pictures` those of bodies by split.
    `notes` are warnings about what *is* in the report; `mixed` says that labels were split up to keep apart what was
    not measured alike.
    """

    folders: tuple[str, ...]
    records: pd.DataFrame
    diagnostics: pd.DataFrame
    metrics: pd.DataFrame
    runs: dict[str, dict[str, Any]]
    cells: pd.DataFrame
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    mixed: bool = False

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """The final result of every seed (`metrics.per_seed`), which nobody must change."""
        return per_seed(self.records)

    @cached_property
    def looks(self) -> dict[str, style.Look]:
        """How each variant is drawn, by its label."""
        return style.looks(self.cells[["variant", "algorithm"]].itertuples(index=False, name=None))

    def look(self, variant: str) -> style.Look:
        """How a variant is drawn; one that no cell and no record names by its label alone."""
        return self.looks.get(variant) or style.look(variant)


def load(folders: Path | Sequence[Path], mix: bool = False) -> Results:
    """The results below one or several folders.

    Args:
        folders: Searched recursively for `records.parquet`, `diagnostics.parquet`, `metrics.parquet`, `cells.json`,
            `experiment.json` and `pictures/*.body.png`.
        mix: Show results that were not measured alike side by side under separate labels; otherwise the most that
            belong together are kept, and the others are named and left out.

    Raises:
        UserError: a folder does not exist, or nothing was found.
    """
    roots = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    for root in roots:
        if not root.is_dir():
            raise UserError(_no_such_folder(root))
    problems: list[Problem] = []
    records, runs = _read_records(roots, problems)
    cells = _read_cells(roots, problems)
    if records.empty and cells.empty:
        raise UserError(_nothing_found(roots, problems))
    results = Results(
        folders=tuple(root.resolve().name for root in roots),
        records=records,
        diagnostics=_read_rows(roots, "diagnostics.parquet", DIAGNOSTICS_SCHEMA, problems),
        metrics=_read_rows(roots, "metrics.parquet", METRICS_SCHEMA, problems),
        runs=runs,
        cells=cells,
        experiments=read_experiments(roots, problems),
        pictures=read_pictures(roots, {*records["split"], *cells["split"]}, problems),
        problems=tuple(problems),
    )
    results = _with_every_cell(comparability.resolve(_with_marked_references(_drop_superseded(results)), mix))
    return replace(results, notes=(*results.notes, *comparability.warnings(results)))


def _no_such_folder(root: Path) -> str:
    what = "is a file, not a folder" if root.exists() else "does not exist"
    return (
        f"no results to report: {root} {what}. Give the folder that an experiment wrote its results to "
        "(it holds records.parquet files and a cells.json somewhere below it)."
    )


def _nothing_found(roots: Sequence[Path], problems: Sequence[Problem]) -> str:
    where = ", ".join(str(root) for root in roots)
    broken = "".join(f"\n  {problem.where}: {problem.why}" for problem in problems)
    return (
        f"no results to report: no readable records.parquet and no cells.json below {where}. Run an experiment "
        f"first, or give the folder that holds its results.{broken}"
    )


def _read(path: Path, schema: pa.Schema) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of one file in the schema's columns, and its metadata.

    Raises:
        RecordsError: the file cannot be read, or lacks columns.
    """
    _check_size(path)
    try:
        table, metadata = read_table(path)
        missing = [name for name in schema.names if name not in table.column_names]
        if missing:
            raise RecordsError(f"lacks the columns {', '.join(missing)}")
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError, AttributeError, RecursionError) as error:
        raise RecordsError(f"cannot be read ({error})") from error
    empty = [name for name in schema.names if name not in MAY_BE_EMPTY and table[name].null_count]
    if empty:
        raise RecordsError(f"lacks values in {', '.join(empty)}")
    frame = table.to_pandas()
    for column in schema:
        if pa.types.is_string(column.type):
            odd = {
                text: shown for text in table[column.name].unique().to_pylist() if (shown := printable(text)) != text
            }
            frame[column.name] = frame[column.name].replace(odd) if odd else frame[column.name]
    return frame, checked(metadata)


def _check_size(path: Path) -> None:
    """Whether a parquet file fits into memory, by what it says of itself.

    Raises:
        RecordsError: it does not.
    """
    try:
        said = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return  # reading it says what is wrong
    unpacked = sum(said.row_group(number).total_byte_size for number in range(said.num_row_groups))
    if said.num_rows > MOST_ROWS or unpacked > MOST_UNPACKED:
        raise RecordsError(f"is larger than any run's: {said.num_rows:,} rows, {unpacked:,} bytes unpacked")


def _reason(error: Exception, path: Path) -> str:
    """The first line of an error, without the path that stands next to it anyway."""
    lines = str(error).replace(f"{path}: ", "").replace(str(path), path.name).splitlines()
    return printable(lines[0], None) if lines else type(error).__name__


def _read_rows(roots: Sequence[Path], name: str, schema: pa.Schema, problems: list[Problem]) -> pd.DataFrame:
    """All rows of all files of one kind; a row that two copies of a file hold counts once."""
    frames = []
    for path, label in files(roots, name, problems):
        try:
            frames.append(_read(path, schema)[0])
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
    return _canonical(frames, schema).drop_duplicates(ignore_index=True)


def _read_records(roots: Sequence[Path], problems: list[Problem]) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """The rows of all records files and the metadata document of each run."""
    frames: list[pd.DataFrame] = []
    runs: dict[str, dict[str, Any]] = {}
    read_from: dict[str, str] = {}
    for path, label in files(roots, "records.parquet", problems):
        try:
            frame, metadata = _read(path, SCHEMA)
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
            continue
        held = sorted(set(frame["run"]))
        copied = [run for run in held if run in read_from]
        if not held:
            problems.append(Problem(label, "holds no rows"))
        elif copied:
            problems.append(Problem(label, f"holds run {copied[0]} again, read from {read_from[copied[0]]}"))
        else:
            frames.append(frame)
            runs |= dict.fromkeys(held, metadata)
            read_from |= dict.fromkeys(held, label)
    return _canonical(frames, SCHEMA), runs


def _canonical(frames: Sequence[pd.DataFrame], schema: pa.Schema) -> pd.DataFrame:
    """One frame of all rows, sorted by every column."""
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return pa.Table.from_pylist([], schema=schema).to_pandas()
    return pd.concat(filled, ignore_index=True).sort_values(schema.names, ignore_index=True)


def _read_cells(roots: Sequence[Path], problems: list[Problem]) -> pd.DataFrame:
    """The declared cells of all grids, the most useful status first."""
    rows: list[dict[str, Any]] = []
    for path, label in files(roots, "cells.json", problems):
        try:
            rows += [_cell(row) for row in json.loads(checked_bytes(path, MOST_BYTES).decode("utf-8"))]
        except RecordsError as error:
            problems.append(Problem(label, str(error)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            problems.append(Problem(label, printable(f"is no list of cells ({type(error).__name__}: {error})")))
    rows.sort(key=lambda row: (_rank(row["status"]), *map(str, row.values())))
    return pd.DataFrame(rows, columns=list(CELL_COLUMNS), dtype=object)


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def _cell(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "variant": printable(str(row["variant"])),
        "algorithm": printable(str(row.get("algorithm") or row["variant"])),
        "split": printable(str(row["split"])),
        "seed": int(row["seed"]),
        "run": _text(row.get("run")),
        "status": printable(str(row["status"])),
        "reason": _text(row.get("reason")),
    }


def _text(value: Any) -> str | None:
    return None if value is None else printable(str(value))


def _drop_superseded(results: Results) -> Results:
    """Without the runs of a declared cell that the grid does not name: it says which run answers for it."""
    named = set(results.cells["run"].dropna())
    cell = ["variant", "split", "seed"]
    final = results.records[results.records["is_final"]].drop_duplicates(["run", *cell])
    answered = set(final.loc[final["run"].isin(named), cell].itertuples(index=False, name=None))
    old = [
        (row.run, f"{row.variant}, {row.split}, seed {row.seed}")
        for row in named_rows(final)
        if row.run not in named and (row.variant, row.split, row.seed) in answered
    ]
    return comparability.without(results, {run: (f"the grid names another run for {where}", "") for run, where in old})


def _with_marked_references(results: Results) -> Results:
    """With the labels of references marked as such, so that no label can make a reference look like a competitor."""
    records, cells, metrics = results.records.copy(), results.cells.copy(), results.metrics.copy()
    for frame, column in ((records, "variant"), (cells, "variant"), (metrics, "algorithm")):
        marked = frame["algorithm"].isin(list(style.REFERENCES))
        frame.loc[marked, column] = frame.loc[marked, column] + style.REFERENCE
    return replace(results, records=records, cells=cells, metrics=metrics)


def _with_every_cell(results: Results) -> Results:
    """With cells for all results found, declared or not, and a reason where a finished run has no records here."""
    cells = results.cells.drop_duplicates(["variant", "split", "seed"], ignore_index=True)
    final = results.records[results.records["is_final"]]
    have = set(final[["variant", "split", "seed"]].itertuples(index=False, name=None))
    for index, row in cells.iterrows():
        if row["status"] == "done" and (row["variant"], row["split"], row["seed"]) not in have:
            broken = [p for p in results.problems if row["run"] and row["run"] in p.where]
            why = broken[0].briefly or broken[0].why if broken else "the run is done, but no records of it were found"
            cells.loc[index, ["status", "reason"]] = [LEFT_OUT if broken else "failed", why]
    once = results.records.drop_duplicates(["run", "variant", "algorithm", "split", "seed", "is_final"])
    found = once.groupby(["variant", "algorithm", "split", "seed"], sort=True)
    for (variant, algorithm, split, seed), rows in found:
        known = (cells["variant"] == variant) & (cells["split"] == split) & (cells["seed"] == seed)
        done = bool(rows["is_final"].any())
        if known.any():
            if done:
                cells.loc[known, "status"] = "done"
            continue
        status, reason = ("done", None) if done else ("running", "only checkpoints on the way were tested so far")
        cell = [variant, algorithm, split, int(rows["seed"].iloc[0]), rows["run"].iloc[0], status, reason]
        cells.loc[len(cells)] = cell
    return replace(results, cells=cells.sort_values(["split", "variant", "seed"], ignore_index=True))
