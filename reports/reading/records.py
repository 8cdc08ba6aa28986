"""The parquet files of results folders as tables of rows; a file that cannot be read becomes a problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from reports.reading.files import files
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
    """All records, and the metadata document of each run by its hash; of a run that was copied the first file."""
    frames: list[pd.DataFrame] = []
    documents: dict[str, dict[str, Any]] = {}
    file_of: dict[str, str] = {}
    for path, label in files(roots, "records.parquet", problems):
        try:
            frame, document = _read(path, SCHEMA, MOST_RECORDS)
            _refuse_long_lists(frame)
            document_of_run = _documents(path, document, set(frame["run"]))
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
            continue
        runs = sorted(set(frame["run"]))
        copied = [run for run in runs if run in file_of]
        if not runs:
            problems.append(Problem(label, "holds no rows"))
        elif copied:
            problems.append(Problem(label, f"holds run {copied[0]} again, read from {file_of[copied[0]]}"))
        else:
            frames.append(frame)
            documents |= document_of_run
            file_of |= dict.fromkeys(runs, label)
    return _canonical(frames, SCHEMA), documents


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
    frames = []
    for path, label in files(roots, name, problems):
        try:
            frames.append(_read(path, schema)[0])
        except RecordsError as error:
            problems.append(Problem(label, _reason(error, path)))
    return _canonical(frames, schema).drop_duplicates(ignore_index=True)


def _canonical(frames: Sequence[pd.DataFrame], schema: pa.Schema) -> pd.DataFrame:
    """One frame of all rows, sorted by every column."""
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return pa.Table.from_pylist([], schema=schema).to_pandas()
    return pd.concat(filled, ignore_index=True).sort_values(schema.names, ignore_index=True)


def _refuse_long_lists(frame: pd.DataFrame) -> None:
    """Refuse the records of more tasks than a split may have.

    Raises:
        RecordsError: a task list of a run has more.
    """
    tasks = frame.groupby(["run", "split", "task_list"], sort=False)["task"].nunique()
    if len(tasks) and tasks.max() > MOST_TASKS:
        raise RecordsError(
            f"holds a list of {tasks.max():,} tasks; one that a split declares has at most {MOST_TASKS:,}"
        )


def _read(path: Path, schema: pa.Schema, most_rows: int = MOST_ROWS) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of one file in the schema's columns, and its metadata document.

    Raises:
        RecordsError: the file cannot be read, is larger than any of ours, or has other columns.
    """
    table, document = read_table(path, most_rows)
    table = in_schema(table, schema, path)
    frame = table.to_pandas()
    for column in schema:
        if pa.types.is_string(column.type):
            texts = table[column.name].unique().to_pylist()
            changes = {text: shown for text in texts if (shown := printable(text)) != text}
            frame[column.name] = frame[column.name].replace(changes) if changes else frame[column.name]
    return frame, checked(document)


def _reason(error: Exception, path: Path) -> str:
    """The first line of an error, without the path that stands next to it anyway."""
    lines = str(error).replace(f"{path}: ", "").replace(str(path), path.name).splitlines()
    return printable(lines[0], None) if lines else type(error).__name__
