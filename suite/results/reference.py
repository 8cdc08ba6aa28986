"""The tables that are shipped with the package: results that one's own can be put beside, where measured alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from suite.errors import UserError, nearest
from suite.results.packing import is_packed, packed_documents
from suite.results.records import MOST_RECORDS, read_table

if TYPE_CHECKING:
    from suite.experiment.specs import MetatestSpec
    from tasks.spec import TaskSplit

SHIPPED = Path(__file__).resolve().parents[2] / "reports" / "reference"


def reference_tables() -> dict[str, Path]:
    """The folder of every shipped table, by its name: its path below `reports/reference`."""
    folders = (path.parent for path in sorted(SHIPPED.rglob("runs.parquet")))
    return {folder.relative_to(SHIPPED).as_posix(): folder for folder in folders if is_packed(folder)}


def reference_table(name: str) -> Path:
    """The folder of a shipped table.

    Raises:
        UserError: there is none of that name.
    """
    tables = reference_tables()
    if name not in tables:
        raise UserError(f"no reference table is called {name!r}; {nearest(name, tables)} (see `offmap reference list`)")
    return tables[name]


class Measurement(NamedTuple):
    """How a table's results on a split were measured: the split's hash, and the protocol with its hash."""

    split_hash: str
    protocol_hash: str
    protocol: dict[str, Any]


class Row(NamedTuple):
    """The results of a variant on a split of a table, and how they came about."""

    variant: str
    split: str
    seeds: tuple[int, ...]
    env_steps: tuple[int, ...]
    revisions: tuple[str, ...]


def rows(table: Path) -> list[Row]:
    """One row per variant and split of a shipped table, in the order of their names.

    Raises:
        RecordsError: a file of it is damaged.
    """
    of_cell: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for document in final_documents(table):
        of_cell.setdefault((document["variant"], document["split"]["full_name"]), []).append(document)
    return [
        Row(
            variant,
            split,
            seeds=_values(documents, "seed"),
            env_steps=_values(documents, "budget_env_steps"),
            revisions=tuple(sorted({str(document["provenance"].get("git_revision"))[:7] for document in documents})),
        )
        for (variant, split), documents in sorted(of_cell.items())
    ]


def _values(documents: list[dict[str, Any]], key: str) -> tuple[int, ...]:
    """The different values of a key, in order."""
    return tuple(sorted({document[key] for document in documents if document.get(key) is not None}))


def measurements(table: Path) -> dict[str, Measurement]:
    """How the results of a shipped table were measured, by split.

    Raises:
        RecordsError: a file of it is damaged.
    """
    return {
        document["split"]["full_name"]: Measurement(
            document["split"]["hash"], document["protocol_hash"], document["protocol"]
        )
        for document in final_documents(table)
    }


@cache
def final_documents(table: Path) -> tuple[dict[str, Any], ...]:
    """What is said about each run that tested a final checkpoint."""
    records, _ = read_table(table / "records.parquet", MOST_RECORDS)
    pairs = zip(records["run"].to_pylist(), records["is_final"].to_pylist())
    final = {run for run, is_final in pairs if is_final}
    return tuple(document for run, document in sorted(packed_documents(table).items()) if run in final)


def refuse_incomparable(against: str, here: Mapping[str, MetatestSpec]) -> None:
    """Refuse an experiment whose results could not stand beside the rows of a shipped table.

    Args:
        against: The name of the table.
        here: A final meta-test of the experiment on each of its splits.

    Raises:
        UserError: there is no such table, none of the splits is in it, or a split's task lists or the protocol differ.
    """
    there = measurements(reference_table(against))
    shared = sorted(here.keys() & there.keys())
    if here and not shared:
        raise UserError(
            f"against: {against} has results on {', '.join(sorted(there))}, and on none of this experiment's splits "
            f"({', '.join(sorted(here))}); choose one of those, or leave `against` out"
        )
    for split in shared:
        own, theirs = here[split], there[split]
        if own.split.hash != theirs.split_hash:
            raise UserError(
                f"against: {against} was measured on other task lists of {split}: {theirs.split_hash} there, "
                f"{own.split.hash} here. Install the offmap that the table was made with, or leave `against` out"
            )
        if own.protocol.hash != theirs.protocol_hash:
            raise UserError(
                f"against: {against} follows another protocol on {split}: {theirs.protocol_hash} there, "
                f"{own.protocol.hash} here. Comparable with {_settings(theirs.protocol, own)}"
            )


def protocol_of(against: str, split: TaskSplit) -> dict[str, Any]:
    """The protocol that the rows of a shipped table follow on a split, as one would declare it.

    Raises:
        UserError: there is no such table, or the split is not in it.
    """
    there = measurements(reference_table(against))
    if split.full_name not in there:
        raise UserError(f"against: {against} has no results on {split.full_name}; it has them on {', '.join(there)}")
    return _as_declared(there[split.full_name].protocol, split)


def _as_declared(recorded: dict[str, Any], split: TaskSplit) -> dict[str, Any]:
    """A recorded protocol, into which the split's number of transitions has been filled, without that."""
    if recorded.get("adaptation_transitions") == split.adaptation_transitions:
        return recorded | {"adaptation_transitions": None}
    return recorded


def _settings(theirs: dict[str, Any], own: MetatestSpec) -> str:
    """The options of the command line that make a protocol the same."""
    fields, theirs = own.protocol.model_dump(mode="json"), _as_declared(theirs, own.split)
    changed = {key: value for key, value in theirs.items() if fields.get(key) != value}
    options = [
        f"--set protocol.{key}={'null' if value is None else json.dumps(value)}" for key, value in changed.items()
    ]
    return " ".join(options) or "its own version of offmap"
