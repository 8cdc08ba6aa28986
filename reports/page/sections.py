"""Facts around the numbers: definitions of splits and protocols, configurations, provenance and cost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd
import yaml

from reports import style
from reports.numbers import tables
from reports.numbers.cell_text import NOT_DECLARED
from reports.numbers.scores import score_ends
from reports.numbers.variants import variant_table
from reports.results import Results, named_rows, precision, value_at

Facts = list[tuple[str, str]]
"""Names and values, in the order shown."""


class Cell(NamedTuple):
    """The text of a table's cell, what it is sorted by where that is not the number it begins with, and its mark."""

    text: str
    key: float | None = None
    mark: str = ""


class Grid(NamedTuple):
    """A table: names of its columns, and rows of cells, the first of which names the row."""

    head: list[str]
    body: list[list[Cell]]


def grid(frame: pd.DataFrame, cell_marks: pd.DataFrame | None = None) -> Grid:
    """A frame of text with its index; `cell_marks`, of the same shape, holds the marks of its cells."""
    marks = pd.DataFrame("", frame.index, frame.columns) if cell_marks is None else cell_marks
    rows = zip(frame.index, frame.to_numpy(dtype=object), marks.to_numpy(dtype=object))
    body = [
        [
            Cell(str(label)),
            *(Cell(str(c), mark="absent" if c == NOT_DECLARED else mark) for c, mark in zip(cells, row_marks)),
        ]
        for label, cells, row_marks in rows
    ]
    return Grid([str(frame.index.name), *map(str, frame.columns)], body)


def split_facts(results: Results, split: str) -> Facts:
    """How a split is defined: hashes, shift, how tasks were drawn, and the ends of its score."""
    document = results.split_document(split)
    hashes = sorted(results.records.loc[results.records["split"] == split, "split_hash"].unique())
    ends = score_ends(results, split)
    lists = document.get("test_lists") or {}
    axis, unit = document.get("axis"), document.get("axis_unit")
    return [
        ("hash of the task lists", ", ".join(hashes) or "–"),
        *([("role", f"{document['role']} split, for {text(document.get('tunes'))}")] if document.get("role") else []),
        ("shift", text(document.get("shift"))),
        ("how the tasks were drawn", text(document.get("drawn"))),
        ("axis", f"{axis} ({unit})" if axis and unit else text(axis)),
        *((f"tasks in {name}", str(v if isinstance(v, int) else len(v))) for name, v in lists.items()),
        *([("test_id", "the training tasks themselves (declared)")] if document.get("test_id_is_train") else []),
        *(("note", text(remark)) for remark in document.get("remarks") or ()),
        ("adaptation transitions per task", text(document.get("adaptation_transitions"))),
        (
            "return of the zero action (score 0)",
            _end(ends.null, ends.null_source, "not declared: `null_return`, or run the reference `null` beside it"),
        ),
        ("stated best return (score 1)", _end(ends.best, ends.best_source)),
    ]


def _end(value: float | None, source: str, otherwise: str = "–") -> str:
    return otherwise if value is None else f"{style.number(value)} ({source})"


def protocols(results: Results) -> list[tuple[str, Facts]]:
    """Every protocol's hash with its fields; a field that splits resolve differently lists all values."""
    fields: dict[str, dict[str, list[str]]] = {}
    rows = results.records[["run", "is_final", "protocol_hash"]].drop_duplicates()
    for row in named_rows(rows.sort_values(["is_final", "run"], ascending=[False, True])):
        values_of = fields.setdefault(row.protocol_hash, {})
        for name, value in flat(value_at(results.runs.get(row.run), "protocol") or {}):
            values_of.setdefault(name, []).append(value)
    return [
        (key, [("hash", key), *((name, " or ".join(sorted(set(values)))) for name, values in values_of.items())])
        for key, values_of in fields.items()
    ]


def configurations(results: Results) -> list[tuple[str, str, str]]:
    """The resolved configuration of every variant: its name, the splits it was used on, and the text, each once."""
    texts: dict[tuple[str, str], list[str]] = {}
    for variant, split, config in _configs(results):
        document = json.dumps(config, indent=2, sort_keys=True, default=str)
        used = texts.setdefault((variant, document), [])
        if split not in used:
            used.append(split)
    rank = {variant: place for place, variant in enumerate(style.ordered(variant for variant, _ in texts))}
    ordered = sorted(texts, key=lambda key: (rank[key[0]], key[1]))
    return [
        (style.look(variant).name, _listed(results, ", ".join(texts[variant, document])), document)
        for variant, document in ordered
    ]


def _listed(results: Results, splits: str) -> str:
    """Names of splits with commas between them; all that there are by their number."""
    number = len(results.splits)
    return f"all {number} splits" if number > 2 and {*splits.split(", ")} == {*results.splits} else splits


def _configs(results: Results) -> list[tuple[str, str, dict[str, Any]]]:
    """Variant, split and resolved configuration (without its seed) of every finished cell that records one."""
    configs = []
    for row in named_rows(results.cells.dropna(subset="run")):
        config = value_at(results.runs.get(row.run), "config")
        if isinstance(config, dict):
            configs.append((row.variant, row.split, {key: value for key, value in config.items() if key != "seed"}))
    return configs


def differences(results: Results) -> Grid | None:
    """Settings that several variants have, with different values: a row per setting, a column per variant."""
    values: dict[str, dict[str, set[str]]] = {}
    for variant, _, config in _configs(results):
        for name, value in flat(config):
            values.setdefault(name, {}).setdefault(variant, set()).add(value)
    variants = style.ordered({variant for by_variant in values.values() for variant in by_variant})
    body = [
        [Cell(name), *(Cell(" or ".join(sorted(by_variant.get(variant, ()))) or "–") for variant in variants)]
        for name, by_variant in sorted(values.items())
        if len(by_variant) > 1 and len({frozenset(texts) for texts in by_variant.values()}) > 1
    ]
    return Grid(["setting", *(style.look(variant).name for variant in variants)], body) if body else None


def variants(results: Results) -> Grid | None:
    """What is said of each variant (`variants.variant_table`), None where nothing has a result."""
    table = variant_table(results)
    body = [
        [Cell(style.look(str(name)).name), Cell(_listed(results, splits)), *map(Cell, words)]
        for name, splits, *words in table.itertuples(index=False)
    ]
    head = ["variant", "on", "where its values come from", "its returns before adaptation", "its gain is over"]
    return Grid(head, body) if body else None


def runs(results: Results) -> Grid:
    """Every cell of the grid as a row: status, cost and provenance."""
    head = ["variant", "split", "seed", "status", "env steps (budget)", "training took", "meta-test took", "where",
            "revision", "run / training"]  # fmt: skip
    body = []
    for row in tables.run_table(results).to_dict("records"):
        where = [text(row[key]) for key in ("host", "device", "precision") if _present(row[key])]
        threads = [f"threads: {text(row['threads'])}"] if _present(row["threads"]) else []
        revision = text(row["git_revision"])[:10] + (" + changes" if row["git_dirty"] is True else "")
        body.append([
            Cell(style.look(row["variant"]).name), Cell(row["split"]), Cell(str(row["seed"])),
            Cell(f"{row['status']}: {row['reason']}" if _present(row["reason"]) else row["status"]),
            Cell(f"{_count(row['env_steps'])} ({_count(row['budget_env_steps'])})", _number(row["env_steps"])),
            _took(row["train_wall_seconds"]), _took(row["metatest_wall_seconds"]),
            Cell(", ".join(where + threads) or "–"), Cell(revision),
            Cell(f"{text(row['run'])[:12]} / {text(row['training'])[:12]}"),
        ])  # fmt: skip
    return Grid(head, body)


def _took(seconds: Any) -> Cell:
    return Cell(style.duration(_number(seconds)), _number(seconds))


def totals(results: Results) -> Facts:
    """What the results cost together; a training that several runs share counts once."""
    table = tables.run_table(results)
    trainings = table.dropna(subset="training").drop_duplicates("training")
    threads = pd.to_numeric(table["threads"], errors="coerce").fillna(1)
    seconds = {
        "meta-training": pd.to_numeric(trainings["train_wall_seconds"], errors="coerce"),
        "meta-tests": pd.to_numeric(table["metatest_wall_seconds"], errors="coerce"),
    }
    spent = sum(float((part * threads.reindex(part.index)).sum()) for part in seconds.values())
    return [
        *((f"{name}, wall clock of all runs added up", style.duration(_sum(part))) for name, part in seconds.items()),
        ("core-hours (wall clock times threads)", f"{spent / 3600:,.2f}"),
        ("meta-training env steps", _count(_sum(trainings["env_steps"]))),
        ("adaptation env steps", _count(_sum(table["adaptation_env_steps"]))),
        ("evaluation env steps", _count(_sum(table["evaluation_env_steps"]))),
    ]


def holes(results: Results) -> list[tuple[str, str, str]]:
    """Every cell of the main table that is in a grid and lacks seeds: variant, where, why; task lists alike are one."""
    table = tables.main_table(results)
    missing = table[(table["missing"] != "") & (table["missing"] != NOT_DECLARED)]
    lists: dict[tuple[str, str, str], list[str]] = {}
    for row in named_rows(missing):
        lists.setdefault((row.variant, row.split, row.missing), []).append(row.task_list)
    return [
        (style.look(variant).name, f"{split}, {' and '.join(names)}", why)
        for (variant, split, why), names in lists.items()
    ]


def undeclared(results: Results) -> str:
    """A sentence on the variants and splits that no experiment brings together; empty where all are in a grid."""
    pairs = results.cells[["variant", "split"]].drop_duplicates()
    number = pairs["variant"].nunique() * pairs["split"].nunique()
    if len(pairs) == number:
        return ""
    return f"{number - len(pairs)} of {number} pairs of a variant and a split are in no experiment's grid."


def experiments(results: Results) -> list[tuple[str, str, str]]:
    """Every declared experiment: the file to save it to, the command that runs it, and its text (YAML).

    Others of the same name (such as last week's) are numbered, as they need files and folders of their own. Folders in
    which there are policies from elsewhere alone (`offmap score`) declare nothing that could be run.
    """
    listed: list[tuple[str, str, str]] = []
    for experiment in results.experiments.values():
        if experiment.get("scored"):
            continue
        name = str(experiment["name"])
        stems = {file.removesuffix(".yaml") for file, _, _ in listed}
        stem = next(s for s in (name, *(f"{name}-{n}" for n in range(2, len(listed) + 3))) if s not in stems)
        text = yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=100)
        listed.append((f"{stem}.yaml", f"offmap run {stem}.yaml --out runs/{stem}", text))
    return listed


def commands(results: Results) -> list[str]:
    """The commands that made the records, each once."""
    recorded = [value_at(document, "provenance", "command") for document in results.runs.values()]
    return sorted({" ".join(map(str, c)) if isinstance(c, list) else str(c) for c in recorded if c})


def environment(results: Results) -> Facts:
    """Package versions and hardware, all values that occur."""
    provenances = [value_at(document, "provenance") or {} for document in results.runs.values()]
    names = ("git_revision", "cpu", "device", "threads", "host")
    facts = [(name.replace("_", " "), _all(value_at(p, name) for p in provenances)) for name in names]
    facts.append(("precision", _all(precision(document) for document in results.runs.values())))
    packages = sorted({name for p in provenances for name in (value_at(p, "versions") or {})})
    return facts + [(name, _all(value_at(p, "versions", name) for p in provenances)) for name in packages]


def _all(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value is not None})) or "–"


def flat(document: Any, prefix: str = "") -> Facts:
    """A nested dict as dotted names and values."""
    if not isinstance(document, dict):
        return [(prefix or "value", text(document))]
    return [fact for key, value in document.items() for fact in flat(value, f"{prefix}.{key}" if prefix else str(key))]


def text(value: Any) -> str:
    """A value from a document for readers; a dash where there is none."""
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value))
    return str(value) if _present(value) else "–"


def _present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and pd.isna(value)) and value != ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and _present(value) else None


def _count(value: Any) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:,.0f}"


def _sum(values: pd.Series) -> float | None:
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    return float(numbers.sum()) if len(numbers) else None
