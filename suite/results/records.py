"""Records: the raw rows that a meta-test writes, and the only thing that reports read.

One row is one episode of one agent in one test task. A records file is a parquet file whose schema metadata holds,
under the key `offmap`, a JSON document (`Provenance` below) with everything a figure needs from the split and the
run, so that reports need no simulator. Nothing here unpickles anything.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.errors import UserError
from suite.results.json_files import create, refuse_depth

SCHEMA_VERSION = 1

PHASES = ("before", "collect", "during", "after")
"""`before`: deterministic evaluation before any adaptation data. `collect`: the adaptation episodes themselves
(exploring policy). `during`: deterministic evaluation after a declared chunk of adaptation updates. `after`:
the same after the last declared update - the result."""

SCHEMA = pa.schema(
    [
        ("run", pa.string()),  # meta-test hash: the run's identity
        ("training", pa.string()),  # training hash: runs that share it share one meta-training
        ("algorithm", pa.string()),  # registered name
        ("variant", pa.string()),  # label in the experiment; the algorithm's name unless one was given
        ("family", pa.string()),
        ("split", pa.string()),  # family.split
        ("split_hash", pa.string()),
        ("protocol_hash", pa.string()),
        ("seed", pa.int64()),  # seed of the meta-training: the unit of replication
        ("env_steps", pa.int64()),  # meta-training steps of the checkpoint that was tested
        ("is_final", pa.bool_()),  # whether that checkpoint is the end of the budget
        ("task_list", pa.string()),  # test, test_id or a further list of the split
        ("task", pa.int64()),  # index in that list
        ("parameter", pa.float64()),  # value on the split's axis; NaN where a task has no single number
        ("phase", pa.string()),  # one of PHASES
        ("update", pa.int64()),  # adaptation updates done by then
        ("transitions", pa.int64()),  # adaptation transitions seen by then
        ("episode", pa.int64()),  # index within task, phase and update
        ("return", pa.float64()),  # undiscounted sum of rewards
        ("length", pa.int64()),  # steps
        ("terminated", pa.bool_()),
        ("cut", pa.bool_()),  # ended by the adaptation budget, not by the task: not a whole episode
    ]
)

DIAGNOSTICS_SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("variant", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("env_steps", pa.int64()),
        ("task_list", pa.string()),
        ("task", pa.int64()),
        ("update", pa.int64()),
        ("name", pa.string()),  # such as gate_open, held_out_nll, embedding_norm
        ("value", pa.float64()),
    ]
)

METRICS_SCHEMA = pa.schema(
    [
        ("training", pa.string()),
        ("algorithm", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("env_steps", pa.int64()),
        ("wall_seconds", pa.float64()),
        ("name", pa.string()),  # such as return (of training episodes, exploring policy), q_loss
        ("value", pa.float64()),
    ]
)

RUNS_SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("document", pa.string()),  # the JSON of the metadata that the run's own records file had
    ]
)
"""Of `runs.parquet`, beside the records of many runs in one file: those have no metadata of a run of their own."""


MAY_BE_EMPTY = ("parameter", "return", "value", "wall_seconds")
"""Columns whose rows need not have a value."""

MOST_ROWS = 5_000_000
"""Of one parquet file of ours."""

MOST_RECORDS = 1_000_000
"""Rows of one run's records: three times what the protocol makes of the two longest lists that a split may declare."""

MOST_UNPACKED = 1_000_000_000
"""Bytes that one file takes in memory: packed, a billion equal rows are a few thousand bytes."""

MOST_METADATA = 4_000_000
"""Bytes of the document in a file's schema."""


class RecordsError(UserError):
    """A records file cannot be read; the message says which, why, and what to do."""


def protocol_kind(metadata: dict[str, Any], protocol_hash: str) -> str:
    """What results in one table have to share: the protocol, or that each algorithm followed its native one."""
    protocol = metadata.get("protocol")
    return "native" if isinstance(protocol, dict) and protocol.get("name") == "native" else protocol_hash


def write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, metadata: dict[str, Any]) -> None:
    """Write rows as one parquet file with `metadata` as JSON in its schema; appears whole or not at all."""
    described = schema.with_metadata(
        {"offmap": json.dumps({"schema_version": SCHEMA_VERSION, **metadata}, sort_keys=True)}
    )
    table = pa.Table.from_pylist(rows, schema=described)
    scratch = path.with_name(f".{path.name}.partial")
    with os.fdopen(create(scratch), "wb") as handle:
        pq.write_table(table, handle, compression="zstd", write_page_checksum=True)
    scratch.replace(path)


def read_table(path: Path, most_rows: int = MOST_ROWS) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a parquet file and its metadata document.

    Raises:
        RecordsError: the file is damaged, is not one of ours, has more rows than `most_rows` or more bytes than any
            of ours, or has a schema version this package does not know.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for whoever writes to it
        raise RecordsError(f"{path}: is no plain file")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            _refuse_size(path, parquet, most_rows)
            table = parquet.read(use_threads=False)  # of small files there may be thousands: threads cost more
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(
            f"{path}: cannot be read as parquet ({error}); delete it, then `offmap run` (a run's files) or "
            f"`offmap collect` (results.parquet) writes it again"
        ) from error
    raw = (table.schema.metadata or {}).get(b"offmap")
    if raw is None:
        raise RecordsError(f"{path}: holds no offmap metadata, so it is not a records file")
    metadata = document_of(raw, path)
    return table, metadata


def document_of(text: str | bytes, path: Path) -> dict[str, Any]:
    """The metadata document in a text that stands in a file.

    Raises:
        RecordsError: it is too long, is no document, or has a schema version this package does not know.
    """
    if len(text) > MOST_METADATA:
        raise RecordsError(f"{path}: its offmap metadata is longer than {MOST_METADATA:,} bytes")
    try:
        metadata: dict[str, Any] = json.loads(text)
        version = metadata.get("schema_version")
    except RecursionError:
        raise RecordsError(f"{path}: its offmap metadata is nested too deeply") from None
    except (ValueError, AttributeError) as error:
        raise RecordsError(f"{path}: its offmap metadata is not a document ({error})") from error
    try:
        refuse_depth(metadata)
    except ValueError:
        raise RecordsError(f"{path}: its offmap metadata is nested too deeply") from None
    if version != SCHEMA_VERSION:
        raise RecordsError(f"{path}: records of schema version {version}; this offmap reads version {SCHEMA_VERSION}")
    return metadata


def in_schema(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    """The columns of a schema, of what `read_table` returned.

    Raises:
        RecordsError: one is absent, there twice, of another kind, or without a value where each row must have one.
    """
    count = {name: table.column_names.count(name) for name in schema.names}
    for what, names in (
        ("lacks the columns", [name for name in schema.names if count[name] == 0]),
        ("holds twice the columns", [name for name in schema.names if count[name] > 1]),
    ):
        if names:
            raise RecordsError(f"{path}: {what} {', '.join(names)}; delete it and run the experiment again")
    table = table.select(schema.names).replace_schema_metadata(None)
    try:
        table = table if table.schema.equals(schema) else table.cast(schema)
        table.validate(full=True)  # letters that are no text would be noticed by whoever looks at them first
    except pa.ArrowException as error:
        raise RecordsError(f"{path}: its columns are not those of records ({_first_line(error)})") from error
    empty = [name for name in schema.names if name not in MAY_BE_EMPTY and table[name].null_count]
    if empty:
        raise RecordsError(f"{path}: lacks values in {', '.join(empty)}")
    return table


def _refuse_size(path: Path, parquet: pq.ParquetFile, most_rows: int) -> None:
    """Refuse a file that takes more memory than any of ours, by what its footer says of itself.

    Raises:
        RecordsError: it does.
    """
    footer = parquet.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    size = sum(max(chunk.total_uncompressed_size, 8 * chunk.num_values) for chunk in chunks)
    if footer.num_rows > most_rows or size > MOST_UNPACKED:
        raise RecordsError(
            f"{path}: is larger than any run's: {footer.num_rows:,} rows, {size:,} bytes unpacked "
            f"(at most {most_rows:,} and {MOST_UNPACKED:,})"
        )
    for number in range(footer.num_columns):
        if footer.num_rows * sum(group.column(number).total_uncompressed_size for group in groups) > MOST_UNPACKED:
            size += _bytes_of_texts(path, parquet, number)
    if size > MOST_UNPACKED:
        raise RecordsError(f"{path}: is larger than any run's: {size:,} bytes of texts (at most {MOST_UNPACKED:,})")


def _bytes_of_texts(path: Path, parquet: pq.ParquetFile, number: int) -> int:
    """An upper bound of the bytes of a column's texts in memory; a text that all rows share is stored only once.

    Raises:
        RecordsError: the column is nested, as none of ours is.
    """
    column, rows = parquet.schema.column(number), parquet.metadata.num_rows
    if column.path != column.name:
        raise RecordsError(f"{path}: is larger than any run's: its column {column.path} is nested")
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return int(column.length) * rows
    if column.physical_type != "BYTE_ARRAY":
        return 0
    import pyarrow.compute as pc  # takes 10 MB and a tenth of a second

    with pq.ParquetFile(path, read_dictionary=[column.name]) as packed:
        chunks = packed.read(columns=[column.name], use_threads=False).column(0).chunks
    return rows * max((pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in chunks), default=0)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
