"""The record of a search: everything by which its winner was chosen, small enough to stand in a repository.

`record.json`: the search as it was declared, the hashes of its splits and its protocol, what each algorithm took, where
it ran, and what came out. `values.csv`: the final return of every configuration on every rung, split, seed and list.
What came out follows from the values by the rule, and reading a record works it out again.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from algorithms.registry import AlgorithmEntry, get_algorithm
from suite.errors import UserError
from suite.experiment.expansion import Cell, expand
from suite.experiment.messages import explain
from suite.experiment.presets import resolve_blocks
from suite.results.json_files import read_json, write_json
from suite.results.metrics import read_metrics
from suite.results.records import read_table
from suite.tuning.search import TASK_BLIND, Blocks, Search, candidates, experiment_of
from suite.tuning.selection import Standings, Value, decide, winner
from tasks.spec import TaskSplit

DOCUMENT, VALUES = "record.json", "values.csv"


class Record(NamedTuple):
    """A record as it was read: the search, its values, and `record.json` as a whole."""

    search: Search
    values: list[Value]
    document: dict[str, Any]

    @property
    def standings(self) -> Standings:
        """What the rule says of the values."""
        return decide(self.search, self.values)

    def winner(self, algorithm: str) -> Blocks | None:
        """The values of the configuration that was chosen for an algorithm, by its label; None if none was."""
        number = winner(self.search, self.standings[algorithm])
        return None if number is None else candidates(self.search)[algorithm][number].blocks


def write_record(search: Search, values: Sequence[Value], out: Path, into: Path) -> None:
    """Write the record of a search whose results are in `out` into a folder of its own."""
    standings = decide(search, values)
    last_rung = {
        f"{value.algorithm} #{value.configuration}": _rung(search, value.env_steps)
        for value in values if value.algorithm != TASK_BLIND
    }  # fmt: skip
    cells = expand(experiment_of(search, last_rung))
    listed = candidates(search)
    document = {
        "search": search.model_dump(mode="json", exclude={"executor", "checkpoint_seconds"}),
        "protocol_hash": search.protocol.hash,
        "splits": {cell.split.full_name: cell.split.hash for cell in cells},
        "results": {
            algorithm: {
                "winner": winner(search, rungs),
                "configurations": [c.blocks.model_dump(mode="json") for c in listed[algorithm]],
                "rungs": [[standing._asdict() for standing in placed] for placed in rungs],
                "cost": _cost([cell for cell in cells if cell.variant in _labels(algorithm, search)], out),
            }
            for algorithm, rungs in standings.items()
        },
        "task_blind_cost": _cost([cell for cell in cells if cell.variant == search.task_blind.variant], out),
        "environment": _environment(cells, out),
    }
    into.mkdir(parents=True, exist_ok=True)
    write_json(into / DOCUMENT, _plain(document))
    with (into / VALUES).open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(Value._fields)
        writer.writerows(values)


def _labels(algorithm: str, search: Search) -> list[str]:
    return [f"{algorithm} #{number}" for number in range(search.configurations)]


def _rung(search: Search, env_steps: int) -> int:
    return [rung.env_steps for rung in search.rungs].index(env_steps)


def _plain(value: Any) -> Any:
    """With None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cost(cells: Iterable[Cell], out: Path) -> dict[str, float]:
    """What some cells took, trainings that failed included: env steps of training, core-minutes of both stages."""
    cells = list(cells)
    trainings = sorted({cell.training.hash for cell in cells if cell.training is not None})
    env_steps, tested = 0, 0.0
    trained: dict[str, float] = {}  # core-minutes, by the clock on the wall where they were not measured
    for name in trainings:
        path = out / name / "metrics.jsonl"
        rows = read_metrics(path)[0] if path.exists() else []
        env_steps += max((row["env_steps"] for row in rows), default=0)
        trained[name] = max((row["seconds"] for row in rows), default=0.0) / 60 * _threads(out / name)
    for test in {test.hash: test for cell in cells for test in cell.metatests}.values():
        path = out / test.training / "metatests" / test.hash / "records.parquet"
        if path.exists():
            cost = read_table(path)[1].get("cost", {})
            measured = cost.get("metatest_core_minutes")
            wall = cost.get("metatest_wall_seconds", 0.0) / 60 * _threads(out / test.training)
            tested += wall if measured is None else measured
            if test.is_final and cost.get("train_core_minutes") is not None:
                trained[test.training] = cost["train_core_minutes"]
    minutes = tested + sum(trained.values())
    return {"trainings": len(trainings), "env_steps": env_steps, "core_minutes": round(minutes, 2)}


def _threads(training: Path) -> int:
    path = training / "provenance.json"
    return int(read_json(path).get("threads") or 1) if path.exists() else 1


def _environment(cells: Iterable[Cell], out: Path) -> dict[str, list[Any]]:
    """Code, processor and packages that the trainings ran with: all values that occur."""
    names = ("git_revision", "git_dirty", "cpu", "device", "threads", "versions")
    paths = sorted({out / cell.training.hash / "provenance.json" for cell in cells if cell.training is not None})
    documents = [read_json(path) for path in paths if path.exists()]
    occurring: dict[str, list[Any]] = {name: [] for name in names}
    for document in documents:
        for name in names:
            if document.get(name) not in occurring[name]:
                occurring[name].append(document.get(name))
    return occurring


def read_record(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        UserError: it holds none, or what it says came out does not follow from its values.
    """
    if not (folder / DOCUMENT).exists():
        raise UserError(f"{folder} holds no record of a search: it has no {DOCUMENT}; `offmap tune` writes one")
    document = read_json(folder / DOCUMENT)
    try:
        search = Search.model_validate(document["search"])
        with (folder / VALUES).open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        values = [
            Value(row["algorithm"], int(row["configuration"]), int(row["env_steps"]), row["split"], int(row["seed"]),
                  row["task_list"], float(row["value"]), row["run"])
            for row in rows
        ]  # fmt: skip
        chosen = {name: result["winner"] for name, result in document["results"].items()}
    except ValidationError as error:
        raise UserError(explain(error, str(folder / DOCUMENT), Search)) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder} is damaged: {type(error).__name__}: {error}") from None
    follows = {name: winner(search, rungs) for name, rungs in decide(search, values).items()}
    if chosen != follows:
        raise UserError(f"{folder}: by its values the winners are {follows}, and the record says {chosen}")
    return Record(search, values, document)


def disagreements(
    record: Record, algorithm: str, entry: AlgorithmEntry, preset: str, splits: Iterable[TaskSplit]
) -> list[str]:
    """Where a preset has other values than the winner of the search that it names, on the search's splits.

    Args:
        record: What it names.
        algorithm: The label of the algorithm in the search.
        entry: The algorithm whose preset it is.
        preset: Its name.
        splits: The splits of the search.
    """
    searched = next((one for one in record.search.algorithms if one.variant == algorithm), None)
    if searched is None or get_algorithm(searched.name).training != entry.training:
        return [f"{record.search.name} has not searched {algorithm}"]
    blocks = record.winner(algorithm)
    if blocks is None:
        return [f"{record.search.name} has no winner for {algorithm}"]
    found = []
    for split in splits:
        train, adapt = searched.train | blocks.train, searched.adapt | blocks.adapt
        chosen = resolve_blocks(entry, split, searched.preset, train, adapt, record.search.device)
        named = resolve_blocks(entry, split, preset, {}, {}, record.search.device)
        for block, a, b in zip(("train", "adapt"), chosen, named):
            for field in type(a).model_fields:
                if getattr(a, field) != getattr(b, field):
                    found.append(
                        f"{split.full_name}: {block}.{field} is {getattr(b, field)} in the preset, "
                        f"{getattr(a, field)} in the winner"
                    )
    return found
