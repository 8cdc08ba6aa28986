"""The text of a table's cell: a number with its interval and n, or why there is none; no cell is empty."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.intervals import Estimate
from reports.results import named_rows

NO_SCATTER = "no seed changes it"
"""Why a number of several seeds has no interval: they are alike, or the statistic does not see how they differ."""

NOT_DECLARED = "not in the grid"
"""What the cell of a variant says that no experiment declares on a split."""


def cell_text(estimate: Estimate, declared: int, missing: str) -> str:
    """The number with its interval and n, and which seeds are missing and why; without a number the reason alone."""
    if estimate.n == 0:
        return missing or "no number"
    n = f"n = {estimate.n}" if estimate.n == declared else f"n = {estimate.n} of {declared}"
    text = f"{style.interval(estimate.mean, estimate.low, estimate.high)}, {n}"
    if not isfinite(estimate.low):
        text += ", no interval" if estimate.n == 1 else f", no interval: {NO_SCATTER}"
    return f"{text} ({missing})" if missing else text


def missing_seeds(declared: pd.DataFrame, results: Mapping[int, Any], column: str, task_list: str) -> str:
    """Which declared seeds have no number, and why; empty where all have one.

    Args:
        declared: The rows of the grid of one variant on one split, one per seed.
        results: The rows of `returns.per_seed` on one task list, by seed; one may say itself `why` it has no number.
        column: The number that is looked for in them.
        task_list: Its name.
    """
    if declared.empty:
        return NOT_DECLARED
    reasons: dict[str, list[int]] = {}
    for row in named_rows(declared.sort_values("seed")):
        result = results.get(row.seed)
        if result is None or not np.isfinite(getattr(result, column)):
            reasons.setdefault(_why(row, result, task_list), []).append(row.seed)
    if len(reasons) == 1 and len(next(iter(reasons.values()))) == len(declared) > 1:
        return next(iter(reasons))
    return "; ".join(f"{_seed_words(seeds)} {why}" for why, seeds in reasons.items())


def _why(cell: Any, result: Any, task_list: str) -> str:
    """Why a declared cell has no number: its row in the grid, and its row among the seeds or None."""
    failed_tasks = getattr(result, "failed_tasks", 0)
    if getattr(result, "why", ""):
        return str(result.why)
    if result is not None and failed_tasks:
        return f"failed: a return is not a number in {failed_tasks} of {result.tasks} tasks"
    reason = f": {cell.reason}" if cell.reason else ""
    if cell.status == "unsupported":
        return f"not supported{reason}"
    if cell.status != "done":
        return f"{cell.status}{reason}"
    return f"no number for {task_list}"


def _seed_words(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, sorted(seeds)))}"
