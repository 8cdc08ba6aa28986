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
from suite.results.json_files import create

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


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a parquet file and its metadata document.

    Raises:
        RecordsError: the file is damaged, is not one of ours, or has a schema version this package does not know.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            table = parquet.read(use_threads=False)  # of small files there may be thousands: threads cost more
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(
            f"{path}: cannot be read as parquet ({error}); delete it, then `offmap run` (a run's files) or "
            f"`offmap collect` (results.parquet) writes it again"
        ) from error
    raw = (table.schema.metadata or {}).get(b"offmap")
    if raw is None:
        raise RecordsError(f"{path}: holds no offmap metadata, so it is not a records file")
    try:
        metadata: dict[str, Any] = json.loads(raw)
        version = metadata.get("schema_version")
    except (ValueError, AttributeError) as error:
        raise RecordsError(f"{path}: its offmap metadata is not a document ({error})") from error
    if version != SCHEMA_VERSION:
        raise RecordsError(f"{path}: records of schema version {version}; this offmap reads version {SCHEMA_VERSION}")
    return table, metadata
