"""A results folder packed into a handful of files: all that a report needs of it, small enough to keep and to ship.

TABLE/records.parquet      the records of all runs
TABLE/runs.parquet         what each run's own records file says about it (`RUNS_SCHEMA`)
TABLE/diagnostics.parquet  those of all runs
TABLE/metrics.parquet      training returns of all meta-trainings
TABLE/cells.json, experiment.json
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from suite.errors import UserError, shortened
from suite.results.collect import Writer, visible
from suite.results.json_files import read_bytes
from suite.results.records import (
    DIAGNOSTICS_SCHEMA,
    METRICS_SCHEMA,
    MOST_RECORDS,
    RUNS_SCHEMA,
    SCHEMA,
    SCHEMA_VERSION,
    document_of,
    in_schema,
    read_table,
    write_table,
)

PACKED = {"schema_version": SCHEMA_VERSION, "packed": True}
"""Metadata of the files of a packed table."""

TRAINING_RETURN = "return"
"""The one metric of meta-training that reports draw."""

DOCUMENTS = ("experiment.json", "cells.json")
FILES = ("records.parquet", "runs.parquet", "diagnostics.parquet", "metrics.parquet", *DOCUMENTS)
"""All that there is in a packed table."""


def is_packed(folder: Path) -> bool:
    """Whether a folder is a packed table, by the files it has."""
    return (folder / "runs.parquet").is_file() and (folder / "records.parquet").is_file()


def pack(folder: Path, out: Path) -> Path:
    """Pack a results folder into `out`, which is new, empty, or a packed table that this one replaces; returns `out`.

    Raises:
        UserError: no run of `folder` has finished, a file of it is damaged, or `out` holds something else.
    """
    paths = visible(folder, ("records.parquet",))
    if not paths:
        raise UserError(f"{folder}: there is nothing to copy, no run has finished")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is no folder; choose a new one for the copy")
    out = out.absolute()  # which has a name, also where it was given as "."
    if out.exists() and any(out.iterdir()):
        _refuse_what_is_no_table(out)
    scratch = out.with_name(f".{out.name}.partial")
    if scratch.is_symlink():
        raise UserError(f"{scratch} is a link, and nothing is written through one; delete it")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    _write_records(paths, scratch)
    _write_rows(visible(folder, ("diagnostics.parquet",)), scratch / "diagnostics.parquet", DIAGNOSTICS_SCHEMA)
    _write_rows(visible(folder, ("metrics.parquet",)), scratch / "metrics.parquet", METRICS_SCHEMA, TRAINING_RETURN)
    for name in DOCUMENTS:
        if (folder / name).is_file() and not (folder / name).is_symlink():
            (scratch / name).write_bytes(read_bytes(folder / name))
    shutil.rmtree(out, ignore_errors=True)
    return scratch.rename(out)


def _refuse_what_is_no_table(out: Path) -> None:
    """Nothing, if a folder holds a packed table and nothing else: all that is in it is deleted when it is replaced.

    Raises:
        UserError: it does not.
    """
    others = sorted(path.name for path in out.iterdir() if path.name not in FILES or not path.is_file())
    if not is_packed(out):
        raise UserError(f"{out} is not empty, and no packed table that could be replaced; choose a new folder")
    if others:
        raise UserError(
            f"{out} is a packed table with other files in it ({', '.join(map(shortened, others[:3]))}), which would be "
            "deleted with it; move them away, or choose a new folder"
        )


def _write_records(paths: list[Path], out: Path) -> None:
    """The records of all runs in one file, what each says about itself in another."""
    documents: list[dict[str, Any]] = []
    rows = 0
    with Writer(out / "records.parquet") as writer:
        for path in paths:
            table, metadata = read_table(path, MOST_RECORDS)
            table = in_schema(table, SCHEMA, path)
            writer.add(table)
            rows += len(table)
            text = json.dumps(metadata, sort_keys=True)
            documents += [{"run": run, "document": text} for run in sorted(set(table["run"].to_pylist()))]
        writer.describe(PACKED)
    if rows > MOST_RECORDS:
        raise UserError(f"{rows:,} rows are more than one file of a packed table holds ({MOST_RECORDS:,})")
    write_table(out / "runs.parquet", documents, RUNS_SCHEMA, PACKED)


def _write_rows(paths: list[Path], out: Path, schema: pa.Schema, name: str | None = None) -> None:
    """The rows of all these files in one, only those called `name` if it is given."""
    with Writer(out, schema) as writer:
        for path in paths:
            table = in_schema(read_table(path)[0], schema, path)
            if name is not None:
                table = table.filter(pa.array([row == name for row in table["name"].to_pylist()], pa.bool_()))
            writer.add(table)
        writer.describe(PACKED)


def packed_documents(table: Path) -> dict[str, dict[str, Any]]:
    """What is said about each run of a packed table, by the run's hash.

    Raises:
        RecordsError: its `runs.parquet` is damaged, or no document stands where one should.
    """
    path = table / "runs.parquet"
    rows = in_schema(read_table(path)[0], RUNS_SCHEMA, path)
    return {run: document_of(text, path) for run, text in zip(*(rows[name].to_pylist() for name in RUNS_SCHEMA.names))}
