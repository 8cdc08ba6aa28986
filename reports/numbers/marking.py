"""Which cell of a table's column is the best, and which others the seeds do not set apart from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import pandas as pd

from reports import style
from reports.numbers.aggregates import LOWER_IS_BETTER
from reports.numbers.intervals import Rivals, difference, rivals, shows_difference
from reports.results import named_rows

COLUMN = ["split", "task_list"]
"""What makes a column of a table of returns or scores."""


def marked(
    table: pd.DataFrame,
    columns: list[str],
    trainings: Callable[[Any], Iterable[str]],
    differ: Callable[[Any, Any, Rivals], bool],
) -> pd.DataFrame:
    """With `best` and `tied` in every column of a table.

    Neither is a reference, a cell that is alone, or one without an interval; a column whose highest has none has no
    best. All comparisons of a column with its best hold together at the level of a single interval.

    Args:
        table: Cells.
        columns: What makes a column of the table.
        trainings: The meta-trainings behind a cell, by their hashes.
        differ: Whether the best of some rivals is shown to differ from another: best, other, rivals.
    """
    best: list[int] = []
    tied: list[int] = []
    for _, part in table.groupby(columns, sort=True):
        cells = [(row, index) for row, index in zip(named_rows(part), part.index)]
        cells = [(row, index) for row, index in cells if row.n and not style.is_reference(row.variant)]
        cells.sort(key=lambda cell: _rank(cell[0]))
        others = [(row, index) for row, index in cells[1:] if isfinite(row.low)]
        if others and isfinite(cells[0][0].low):
            top, first = cells[0]
            best.append(first)
            among = rivals(trainings(row) for row, _ in cells)
            tied += [index for row, index in others if not differ(top, row, among)]
    return table.assign(best=table.index.isin(best), tied=table.index.isin(tied))


def _rank(cell: Any) -> float:
    """The lower the better."""
    is_lower_better = getattr(cell, "statistic", "") in LOWER_IS_BETTER
    return float(cell.mean if is_lower_better else -cell.mean)


def marked_by_results(
    table: pd.DataFrame, columns: list[str], of_cell: Callable[[Any], dict[str, float]]
) -> pd.DataFrame:
    """`marked` for a table of means, given the result of each meta-training behind a cell, by its hash."""

    def differ(a: Any, b: Any, among: Rivals) -> bool:
        return shows_difference(difference(of_cell(a), of_cell(b), among))

    return marked(table, columns, of_cell, differ)


def marked_by_seeds(table: pd.DataFrame, seeds: pd.DataFrame, column: str) -> pd.DataFrame:
    """`marked` for a table of means of the per-seed numbers in a column."""
    values = {
        key: dict(zip(part["training"], part[column])) for key, part in seeds.groupby(["variant", *COLUMN], sort=True)
    }

    def of_cell(row: Any) -> dict[str, float]:
        return values[row.variant, row.split, row.task_list]

    return marked_by_results(table, COLUMN, of_cell)
