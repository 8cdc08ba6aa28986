"""The parquet files of results folders as tables of rows; a file that cannot be read becomes a problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from reports.reading.files import files
from reports.reading.metadata import checked, printable
from reports.results import Problem
from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA, RecordsError, read_table

MAY_BE_EMPTY = ("parameter", "return", "value", "wall_seconds")
"""Columns whose rows need not have a value."""

MOST_ROWS, MOST_UNPACKED = 5_000_000, 2_000_000_000
"""Of one parquet file, rows and bytes: packed, a billion equal rows are a few thousand bytes."""


def read_records(roots: Sequence[Path], problems: list[Problem]) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """All records, and the metadata document of each run by its hash; of a run that was copied the first file."""
    frames: list[pd.DataFrame] = []
    documents: dict[str, dict[str, Any]] = {}
    file_of: dict[str, str] = {}
    for path, label in files(roots, "records.parquet", problems):
        try:
            frame, document = _read(path, SCHEMA)
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
            documents |= dict.fromkeys(runs, document)
            file_of |= dict.fromkeys(runs, label)
    return _canonical(frames, SCHEMA), documents


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


def _read(path: Path, schema: pa.Schema) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of one file in the schema's columns, and its metadata document.

    Raises:
        RecordsError: the file cannot be read, or lacks columns.
    """
    _check_size(path)
    try:
        table, document = read_table(path)
        absent = [name for name in schema.names if name not in table.column_names]
        if absent:
            raise RecordsError(f"lacks the columns {', '.join(absent)}")
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError, AttributeError, RecursionError) as error:
        raise RecordsError(f"cannot be read ({error})") from error
    empty = [name for name in schema.names if name not in MAY_BE_EMPTY and table[name].null_count]
    if empty:
        raise RecordsError(f"lacks values in {', '.join(empty)}")
    frame = table.to_pandas()
    for column in schema:
        if pa.types.is_string(column.type):
            texts = table[column.name].unique().to_pylist()
            changes = {text: shown for text in texts if (shown := printable(text)) != text}
            frame[column.name] = frame[column.name].replace(changes) if changes else frame[column.name]
    return frame, checked(document)


def _check_size(path: Path) -> None:
    """Refuse a parquet file that would not fit into memory, by what it says of itself.

    Raises:
        RecordsError: it would not.
    """
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return  # reading it says what is wrong
    unpacked = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
    if footer.num_rows > MOST_ROWS or unpacked > MOST_UNPACKED:
        raise RecordsError(f"is larger than any run's: {footer.num_rows:,} rows, {unpacked:,} bytes unpacked")


def _reason(error: Exception, path: Path) -> str:
    """The first line of an error, without the path that stands next to it anyway."""
    lines = str(error).replace(f"{path}: ", "").replace(str(path), path.name).splitlines()
    return printable(lines[0], None) if lines else type(error).__name__
