"""From the files of many runs to one tidy table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from suite.errors import UserError
from suite.files import read_json
from suite.records import (
    METRICS_SCHEMA,
    SCHEMA,
    SCHEMA_VERSION,
    RecordsError,
    protocol_kind,
    read_table,
    write_table,
)  # fmt: skip


def metrics_table(folder: Path) -> None:
    """Write `metrics.parquet` of a training folder from its `metrics.jsonl`: one row per iteration and metric."""
    config = read_json(folder / "config.json")
    splits = [read_json(path)["split"] for path in sorted(folder.glob("metatests/*/config.json"))]
    fixed = {
        "training": folder.name, "algorithm": config["algorithm"], "seed": config["seed"],
        "split": f"{splits[0]['family']}.{splits[0]['name']}" if splits else config["family"],
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        place = {"env_steps": entry.pop("env_steps"), "wall_seconds": entry.pop("seconds")}
        entry.pop("iteration")
        rows += [fixed | place | {"name": name, "value": value} for name, value in entry.items() if value is not None]
    write_table(folder / "metrics.parquet", rows, METRICS_SCHEMA, {"training": folder.name})


def collect(folder: Path, mix: bool = False, say: Callable[[str], None] = lambda sentence: None) -> Path:
    """Write `results.parquet` in a results folder: the records of all its runs as one tidy table; returns its path.

    `say` hears of each records file that is damaged and left out; the table's metadata lists them too.

    Raises:
        UserError: there are no records, or (unless `mix`) runs of one split disagree about its tasks or the protocol.
    """
    if not folder.is_dir():
        raise UserError(f"there is no results folder {folder}")
    tables, broken = [], []
    kinds: dict[str, str] = {}
    for path in _visible(folder, ("records.parquet",)):
        try:
            table, metadata = _tidy(path)
            kinds |= {name: protocol_kind(metadata, name) for name in table["protocol_hash"].unique().to_pylist()}
            tables.append(table)
        except RecordsError as error:
            broken.append(str(error))
            say(f"left out: {error}")
    if not tables:
        what = "; ".join(broken) if broken else "no run has finished; `offmap status` tells how far they are"
        raise UserError(f"{folder}: nothing to collect: {what}")
    table = pa.concat_tables(tables)
    if not mix:
        _refuse_mixture(table, folder, kinds)
    scratch = folder / ".results.parquet.partial"
    document = {"schema_version": SCHEMA_VERSION, "broken": broken, "runs": len(tables)}
    described = table.replace_schema_metadata({"offmap": json.dumps(document)})
    pq.write_table(described, scratch, compression="zstd", write_page_checksum=True)
    return scratch.replace(folder / "results.parquet")


def _visible(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """All files of these names below a folder, without what was set aside."""
    found = [path for path in folder.rglob("*") if path.name in names]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _tidy(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a records file in the columns of the schema, and its metadata.

    Raises:
        RecordsError: it cannot be read, or lacks columns.
    """
    table, metadata = read_table(path)
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise RecordsError(f"{path}: lacks the columns {', '.join(missing)}; delete it and run the experiment again")
    return table.select(SCHEMA.names).replace_schema_metadata(None).cast(SCHEMA), metadata


def _refuse_mixture(table: pa.Table, folder: Path, kinds: dict[str, str]) -> None:
    """Nothing, if the results on each split share its lists and the kind of protocol (`suite.records`)."""
    final = table.filter(table["is_final"]).select(["split", "split_hash", "protocol_hash"])
    for column, what in (("split_hash", "task lists"), ("protocol_hash", "protocols")):
        pairs = final.group_by(["split", column]).aggregate([]).to_pylist()
        for split in {pair["split"] for pair in pairs}:
            hashes = sorted({kinds.get(pair[column], pair[column]) for pair in pairs if pair["split"] == split})
            if len(hashes) > 1:
                raise UserError(
                    f"{folder}: runs on {split} were made with different {what} ({', '.join(hashes)}) and cannot stand "
                    f"in one table; collect them from separate folders, or ask for the mixture"
                )


KEPT = ("experiment.json", "cells.json", "config.json", "execution.json", "label.json", "provenance.json",
        "records.parquet", "diagnostics.parquet", "metrics.parquet")  # fmt: skip
"""Names of the files that a report reads, or that say where its numbers come from."""


def export(folder: Path, out: Path) -> list[Path]:
    """Copies of everything a report needs of a results folder, without checkpoints and logs; the files written.

    Raises:
        UserError: `out` is not empty, or `folder` has no records.
    """
    found = _visible(folder, KEPT)
    if not any(path.name == "records.parquet" for path in found):
        raise UserError(f"{folder}: there is nothing to copy, no run has finished")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; choose a new folder for the copy")
    written = []
    for path in found:
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        written.append(Path(shutil.copy2(path, target)))
    return written
