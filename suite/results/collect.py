"""From the files of many runs to one tidy table."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.errors import UserError
from suite.results.json_files import create, read_json
from suite.results.layout import metatest_folders
from suite.results.metrics import read_metrics
from suite.results.records import (
    METRICS_SCHEMA,
    MOST_RECORDS,
    SCHEMA,
    SCHEMA_VERSION,
    RecordsError,
    in_schema,
    protocol_kind,
    read_table,
    write_table,
)  # fmt: skip
from suite.results.shapes import METATEST, read_shaped

GROUP_ROWS = 200_000  # written at once: all that is in memory of a table of any length
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR)  # a folder that cannot be written


def metrics_table(folder: Path) -> int:
    """Write `metrics.parquet` of a training folder from its `metrics.jsonl`: one row per iteration and metric.

    Returns how many lines cannot be read and are left out; the table's metadata has that too, where there are any.
    """
    config = read_json(folder / "config.json")
    metatests = sorted(metatest_folders(folder), key=lambda below: below.name)
    splits = [read_shaped(below / "config.json", METATEST)["split"] for below in metatests]
    fixed = {
        "training": folder.name, "algorithm": config["algorithm"], "seed": config["seed"],
        "split": f"{splits[0]['family']}.{splits[0]['name']}" if splits else config["family"],
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    entries, unreadable = read_metrics(folder / "metrics.jsonl")
    for entry in entries:
        place = {"env_steps": entry.pop("env_steps"), "wall_seconds": entry.pop("seconds")}
        entry.pop("iteration")
        rows += [fixed | place | {"name": name, "value": value} for name, value in entry.items() if value is not None]
    left_out = {"unreadable_lines": unreadable} if unreadable else {}
    write_table(folder / "metrics.parquet", rows, METRICS_SCHEMA, {"training": folder.name} | left_out)
    return unreadable


def collect(folder: Path, mix: bool = False, say: Callable[[str], None] = lambda sentence: None) -> Path:
    """Write `results.parquet` in a results folder: the records of all its runs as one tidy table; returns its path.

    Rows go from file to file in groups, so that memory does not grow with the number of runs. `say` is called with a
    sentence on each records file that is damaged and left out; the table's metadata lists them too.

    Raises:
        UserError: there are no records, (unless `mix`) runs of one split disagree about its tasks or the protocol, or
            nothing can be written in the folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no results folder {folder}")
    scratch = folder / ".results.parquet.partial"
    broken: list[str] = []
    runs = 0
    try:
        with Writer(scratch) as writer:
            kinds = _Kinds(folder)
            for path in visible(folder, ("records.parquet",)):
                try:
                    table, metadata = tidy(path)
                except RecordsError as error:
                    broken.append(str(error))
                    say(f"left out: {error}")
                    continue
                if not mix:
                    kinds.refuse_mixture(table, metadata)
                writer.add(table)
                runs += 1
            if not runs:
                what = "; ".join(broken) if broken else "no run has finished; `offmap status` tells how far they are"
                raise UserError(f"{folder}: nothing to collect: {what}")
            writer.describe({"schema_version": SCHEMA_VERSION, "broken": broken, "runs": runs})
        return scratch.replace(folder / "results.parquet")
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        raise UserError(
            f"{folder}: results.parquet cannot be written there ({os.strerror(error.errno)}); check the permissions, "
            "or collect a copy of the folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing is left behind either
            scratch.unlink(missing_ok=True)


class Writer:
    """A parquet file that tables are added to; it writes them in groups of `GROUP_ROWS` rows or more."""

    def __init__(self, path: Path, schema: pa.Schema = SCHEMA) -> None:
        self._sink = os.fdopen(create(path), "wb")
        self._file = pq.ParquetWriter(self._sink, schema, compression="zstd", write_page_checksum=True)
        self._tables: list[pa.Table] = []  # not written yet

    def __enter__(self) -> Writer:
        """Ready for tables."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()
        self._sink.close()

    def add(self, table: pa.Table) -> None:
        """Append the rows of a table."""
        self._tables.append(table)
        if sum(map(len, self._tables)) >= GROUP_ROWS:
            self._flush()

    def describe(self, document: dict[str, Any]) -> None:
        """Write the rest of the rows, and the file's metadata."""
        self._flush()
        self._file.add_key_value_metadata({"offmap": json.dumps(document)})

    def _flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables))
        self._tables = []


def visible(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """All files of these names below a folder, without what was set aside, and without links."""
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in files if name in names]
    return sorted(path for path in paths if not path.is_symlink())


def tidy(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a records file in the columns of the schema, and its metadata.

    Raises:
        RecordsError: it cannot be read, or has other columns.
    """
    table, metadata = read_table(path, MOST_RECORDS)
    return in_schema(table, SCHEMA, path), metadata


class _Kinds:
    """The task lists and kinds of protocol that the results on each split were made with so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[tuple[str, str], set[str]] = {}

    def refuse_mixture(self, table: pa.Table, metadata: dict[str, Any]) -> None:
        """Refuse results that cannot stand in one table with those before them.

        Raises:
            UserError: they were made with other task lists, or another protocol.
        """
        # Without pyarrow's compute functions, which take 10 MB and a tenth of a second to import.
        columns = (table[name].to_pylist() for name in ("is_final", "split", "split_hash", "protocol_hash"))
        for split, lists, protocol in sorted({tuple(row) for is_final, *row in zip(*columns) if is_final}):
            for what, kind in (("task lists", lists), ("protocols", protocol_kind(metadata, protocol))):
                kinds = self._seen.setdefault((split, what), set())
                kinds.add(kind)
                if len(kinds) > 1:
                    raise UserError(
                        f"{self._folder}: runs on {split} were made with different {what} "
                        f"({', '.join(sorted(kinds))}) and cannot stand in one table; collect them from separate "
                        f"folders, or ask for the mixture"
                    )
