"""What the records say about a split: its document, and its tasks as the numbers behind their picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import pandas as pd

from reports.numbers.scores import split_document
from reports.reading.load import Results

COLUMNS = ["task_list", "parameter", "unit", "low", "high", "size", "task", "element", "share", "value"]

FEWEST_FOR_RANGE = 5
"""Below this many different tasks a list is points, no range."""


def is_range(values: Iterable[float]) -> bool:
    """Whether the values of a list's tasks fill a range."""
    return len(set(values)) >= FEWEST_FOR_RANGE


@lru_cache(maxsize=8)
def tasks(results: Results, split: str) -> pd.DataFrame:
    """Every task of every list of a split, one row per element of its parameters.

    Columns: task_list (train, test_id, test, ...), parameter, unit, low, high, size, task, element, share, value.
    Families with many parameters record quantiles of a list instead of its tasks; there `task` is missing and
    `share` is the quantile. Records of before `parameters` were kept hold families of one parameter only. A document
    of another shape gives no rows.
    """
    said = split_document(results, split)
    known = said.get("parameters")
    parameters = known if isinstance(known, list) and known else [_lone_parameter(said)]
    try:
        rows = [row for name, values in _lists(said) for row in _rows(name, values, parameters)]
        return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # lists of no shape that we write
        return pd.DataFrame(columns=COLUMNS)


def _lone_parameter(said: dict[str, Any]) -> dict[str, Any]:
    return {"name": said.get("axis") or "task parameter", "unit": said.get("axis_unit") or ""}


def _lists(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names of task lists with (task, value) rows, or with quantiles by parameter."""
    kept = said.get("tasks")
    if isinstance(kept, dict):
        lists = kept
    else:
        scalars = {"train": said.get("train_axis_values")} | dict(said.get("test_lists") or {})
        lists = {name: [[v] for v in values] for name, values in scalars.items() if isinstance(values, list)}
    for name in sorted(lists, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)):
        if not (name == "test_id" and said.get("test_id_is_train")):
            yield name, lists[name]


_ORDER = {"train": 0, "test_id": 1, "test": 2}


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
