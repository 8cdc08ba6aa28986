"""The tasks of a split as the records say: the numbers behind its picture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pandas as pd

from reports.results import Results

COLUMNS = ["task_list", "parameter", "unit", "low", "high", "size", "task", "element", "share", "value"]

ORDER = {"train": 0, "test_id": 1, "test": 2}
"""Of task lists; others follow by name."""


@lru_cache(maxsize=8)
def tasks(results: Results, split: str) -> pd.DataFrame:
    """Every task of every list of a split, one row per element of its parameters.

    Columns: task_list (train, test_id, test, ...), parameter, unit, low, high, size, task, element, share, value.
    Families with many parameters record quantiles of a list instead of its tasks; there `task` is missing and
    `share` is the quantile. Records of before `parameters` were written hold families of one parameter only. A
    document of another shape gives no rows.
    """
    document = results.split_document(split)
    recorded = document.get("parameters")
    parameters = recorded if isinstance(recorded, list) and recorded else [_lone_parameter(document)]
    try:
        rows = [row for name, values in _lists(document) for row in _rows(name, values, parameters)]
        return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # lists of no shape that we write
        return pd.DataFrame(columns=COLUMNS)


def _lone_parameter(document: dict[str, Any]) -> dict[str, Any]:
    return {"name": document.get("axis") or "task parameter", "unit": document.get("axis_unit") or ""}


def _lists(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names of task lists with (task, value) rows, or with quantiles by parameter."""
    lists = document.get("tasks")
    if not isinstance(lists, dict):
        scalars = {"train": document.get("train_axis_values")} | dict(document.get("test_lists") or {})
        lists = {name: [[v] for v in values] for name, values in scalars.items() if isinstance(values, list)}
    for name in sorted(lists, key=lambda name: (ORDER.get(name, len(ORDER)), name)):
        if not (name == "test_id" and document.get("test_id_is_train")):
            yield name, lists[name]


def _rows(name: str, values: Any, parameters: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    start = 0
    for parameter in parameters:
        size = int(parameter.get("size") or 1)
        label = str(parameter["name"])
        head = (name, label, parameter.get("unit") or "", parameter.get("low"), parameter.get("high"), size)
        if isinstance(values, dict):
            quantiles = values[label]
            yield from ((*head, None, None, i / (len(quantiles) - 1), v) for i, v in enumerate(quantiles))
        else:
            for task, row in enumerate(values):
                yield from ((*head, task, element, None, row[start + element]) for element in range(size))
        start += size
