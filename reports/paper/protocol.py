"""`protocol.tex`: how the splits were measured, and every setting of the algorithms, as their runs resolved them.

The paper's tables 1 (tasks, data, updates) and 2 (settings), for whatever was run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from reports import formats, style
from reports.layout import Layout
from reports.numbers.split_tasks import tasks
from reports.paper.floats import Cell, Grid, floats
from reports.reading.files import file_name
from reports.results import Results, named_rows, value_at

LONGEST = 24
"""Letters of a line of a setting, where its value can be broken."""

PROTOCOL = {"evaluation_episodes": "evaluation episodes", "max_updates": "updates at most"}
"""Settings of a protocol that a reader needs, and what heads their columns."""

TRAINING, ADAPTATION = "training tasks", "adaptation steps"
BUDGET = "meta-training env steps"


def protocol_tex(results: Results, layout: Layout) -> str:
    """The floats of `protocol.tex`: one of the splits, and one per algorithm of its settings; references have none."""
    texts = []
    splits = _splits(results)
    if splits.rows:
        caption = (
            "The splits and how they were measured. Task lists: numbers of tasks; adaptation steps: env steps in a "
            "test task before it is adapted to; updates at most: of the adaptation, none is what each algorithm "
            "declares."
        )
        texts.append(floats(splits, caption, "protocol", layout))
    for algorithm, grid in _settings(results):
        caption = f"Settings of {style.look(algorithm).name}, as its runs resolved them."
        texts.append(floats(grid, caption, f"settings-{file_name(algorithm)}", layout))
    return "\n".join(texts)


def _splits(results: Results) -> Grid:
    """Splits as rows: their shift, tasks, data and what the protocol says."""
    facts = {split: _facts(results, split) for split in results.splits if results.split_document(split)}
    heads = tuple(dict.fromkeys(name for own in facts.values() for name in own))
    rows = [(split, tuple(Cell((own.get(name, "–"),)) for name in heads)) for split, own in facts.items()]
    return Grid(heads, tuple(rows))


def _facts(results: Results, split: str) -> dict[str, str]:
    """What heads a column, and what stands there for a split."""
    document = results.split_document(split)
    number = tasks(results, split).query("task_list == 'train'")["task"].nunique()
    lists = document.get("test_lists") or {}
    final = results.records[results.records["is_final"] & (results.records["split"] == split)]
    runs = [results.runs.get(run, {}) for run in sorted(set(final["run"]))]
    data = [value_at(d, "protocol", "adaptation_transitions") or document.get("adaptation_transitions") for d in runs]
    return {
        "shift": str(document.get("shift") or "–").replace("_", " "),
        TRAINING: str(number or "–"),
        **{f"{name} tasks": str(v if isinstance(v, int) else len(v)) for name, v in lists.items()},
        ADAPTATION: _values(data),
        **{head: _values(value_at(d, "protocol", name) for d in runs) for name, head in PROTOCOL.items()},
        BUDGET: _values(document.get("budget_env_steps") for document in runs),
    }


def _settings(results: Results) -> Iterator[tuple[str, Grid]]:
    """Each algorithm that has settings, and the table of them: a column per configuration that its runs have."""
    cells = results.cells[~results.cells["variant"].map(style.is_reference).astype(bool)].dropna(subset="run")
    of_algorithm: dict[str, dict[str, dict[str, list[str]]]] = {}  # configurations, and there splits by variant
    for row in named_rows(cells):
        config = value_at(results.runs.get(row.run), "config")
        if isinstance(config, dict):
            settings = {"budget": value_at(results.runs[row.run], "budget_env_steps"), **config}
            text = json.dumps({k: v for k, v in settings.items() if k != "seed"}, sort_keys=True, default=str)
            where = of_algorithm.setdefault(row.algorithm, {}).setdefault(text, {}).setdefault(row.variant, [])
            if row.split not in where:
                where.append(row.split)
    for algorithm in style.ordered(of_algorithm):
        columns = of_algorithm[algorithm]
        of_column = [dict(_flat(json.loads(text))) for text in columns]
        names = list(dict.fromkeys(name for own in of_column for name in own))
        rows = [(name, tuple(Cell(_lines(own.get(name, "–"))) for own in of_column)) for name in names]
        if rows:
            yield algorithm, Grid(tuple(_heads(list(columns.values()))), tuple(rows))


def _heads(columns: list[dict[str, list[str]]]) -> Iterator[str]:
    """What heads each column of settings: its variants, and their splits where a variant has several columns."""
    name_of = formats.called({variant for column in columns for variant in column})
    for column in columns:
        yield ", ".join(
            f"{name_of[variant]} on {' and '.join(splits)}"
            if sum(variant in other for other in columns) > 1
            else name_of[variant]
            for variant, splits in column.items()
        )


def _flat(document: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a configuration as dotted names and texts."""
    if isinstance(document, dict) and document:
        for key, value in document.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, _text(document)


def _text(value: Any) -> str:
    """A setting for readers."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(values: Iterable[Any]) -> str:
    """All values that occur, or a dash; of more than two numbers the smallest and the largest."""
    several = list(values)
    texts = list(dict.fromkeys(map(_text, several)))
    if len(texts) > 2 and all(isinstance(value, int) for value in several):
        return f"{min(several):,} to {max(several):,}"
    return " or ".join(texts) or "–"


def _lines(text: str) -> tuple[str, ...]:
    """A setting in lines, broken behind commas where it is long."""
    lines = [""]
    for part in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(part) >= LONGEST:
            lines.append("")
        lines[-1] += f" {part}" if lines[-1] else part
    return tuple(lines)
