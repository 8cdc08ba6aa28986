"""The parquet files of results folders as tables of rows; a file that cannot be read becomes a problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa

from reports.reading.files import experiment_folder, files
from reports.reading.metadata import MOST_TASKS, checked, printable
from reports.results import Problem
from suite.results.packing import packed_documents
from suite.results.records import (
    DIAGNOSTICS_SCHEMA,
    METRICS_SCHEMA,
    MOST_RECORDS,
    MOST_ROWS,
    SCHEMA,
    RecordsError,
    in_schema,
    read_table,
)


def read_records(roots: Sequence[Path], problems: list[Problem]) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """All records, and the metadata document of each run by its hash; of a run that was copied the first file.

    A document has a `folder`: of the experiment that the run is of (`files.experiment_folder`).
    """
    grids = {str(PurePosixPath(label).parent) for _, label in files(roots, "cells.json", [])}
    tables: list[pa.Table] = []
    documents: dict[str, dict[str, Any]] = {}
    file_of: dict[str, str] = {}
    for path, label in files(roots, "records.parquet", problems):
        try:
            table, document = _read(path, SCHEMA, MOST_RECORDS)
            _refuse_long_lists(table)
            runs = sorted({printable(run) for run in table["run"].unique().to_pylist()})
            document_of_run = _documents(path, document, set(runs))
            folder = experiment_folder(label, grids, roots)
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
            continue
        copied = [run for run in runs if run in file_of]
        if not runs:
            problems.append(Problem(label, "holds no rows"))
        elif copied:
            problems.append(Problem(label, f"holds run {copied[0]} again, read from {file_of[copied[0]]}"))
        else:
            tables.append(table)
            documents |= {run: said | {"folder": folder} for run, said in document_of_run.items()}
            file_of |= dict.fromkeys(runs, label)
    return _canonical(tables, SCHEMA), documents


def _documents(path: Path, document: dict[str, Any], runs: set[str]) -> dict[str, dict[str, Any]]:
    """What is said about each run of a records file: by the file, or by `runs.parquet` beside one of many runs.

    Raises:
        RecordsError: a document is damaged, or there is none for a run.
    """
    if not document.get("packed"):
        return dict.fromkeys(runs, document)
    documents = packed_documents(path.parent)
    if lacking := sorted(runs - documents.keys()):
        raise RecordsError(f"{path}: runs.parquet beside it says nothing about run {lacking[0]}")
    return {run: checked(documents[run]) for run in runs}


def read_diagnostics(roots: Sequence[Path], problems: list[Problem]) -> pd.DataFrame:
    """The rows of every `diagnostics.parquet`."""
    return _read_rows(roots, "diagnostics.parquet", DIAGNOSTICS_SCHEMA, problems)


def read_metrics(roots: Sequence[Path], problems: list[Problem]) -> pd.DataFrame:
    """The rows of every `metrics.parquet`."""
    return _read_rows(roots, "metrics.parquet", METRICS_SCHEMA, problems)


def _read_rows(roots: Sequence[Path], name: str, schema: pa.Schema, problems: list[Problem]) -> pd.DataFrame:
    """All rows of all files of one kind; a row that two copies of a file hold counts once."""
    tables = []
    for path, label in files(roots, name, problems):
        try:
            tables.append(_read(path, schema)[0])
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
    return _canonical(tables, schema).drop_duplicates(ignore_index=True)


def _canonical(tables: Sequence[pa.Table], schema: pa.Schema) -> pd.DataFrame:
    """One frame of all rows, with printable texts, sorted by every column."""
    table = pa.concat_tables([schema.empty_table(), *tables])
    for place, column in enumerate(schema):
        if pa.types.is_string(column.type):
            texts = table[column.name].unique().to_pylist()
            changes = {text: shown for text in texts if text is not None and (shown := printable(text)) != text}
            if changes:
                shown_texts = [changes.get(text, text) for text in table[column.name].to_pylist()]
                table = table.set_column(place, column, pa.chunked_array([pa.array(shown_texts, column.type)]))
    rows: pd.DataFrame = table.to_pandas(use_threads=False)
    return rows.sort_values(schema.names, ignore_index=True)


def _refuse_long_lists(table: pa.Table) -> None:
    """Refuse the records of more tasks than a split may have.

    Raises:
        RecordsError: a task list of a run has more.
    """
    if table.num_rows <= MOST_TASKS:
        return
    frame = table.select(["run", "split", "task_list", "task"]).to_pandas()
    tasks = frame.groupby(["run", "split", "task_list"], sort=False)["task"].nunique()
    if len(tasks) and tasks.max() > MOST_TASKS:
        raise RecordsError(
            f"holds a list of {tasks.max():,} tasks; one that a split declares has at most {MOST_TASKS:,}"
        )


def _read(path: Path, schema: pa.Schema, most_rows: int = MOST_ROWS) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of one file in the schema's columns, and its metadata document.

    Raises:
        RecordsError: the file cannot be read, is larger than any of ours, or has other columns.
    """
    table, document = read_table(path, most_rows)
    return in_schema(table, schema, path), checked(document)


def _reason(error: Exception, path: Path) -> str:
    """The first line of an error, without the path that stands next to it anyway."""
    lines = str(error).replace(f"{path}: ", "").replace(str(path), path.name).splitlines()
    return printable(lines[0], None) if lines else type(error).__name__
