"""Two results folders side by side: for every cell that both have, which is better, or why that cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.intervals import NO_ESTIMATE, Estimate, caution, difference, shows_difference
from reports.numbers.tables import CELL, main_table
from reports.reading.comparability import differing_keys, run_facts
from reports.results import Results, named_rows
from reports.returns import results_of, task_means

BETTER, WORSE, SAME = "better", "worse", "no difference shown"
NOT_COMPARABLE, MISSING = "not comparable", "missing"

VERDICTS = (BETTER, WORSE, SAME, NOT_COMPARABLE, MISSING)

NO_FAILURE = ("done", "pending", "running", "unsupported")
"""States of a run that may lack a result for a reason other than having failed."""

COLUMNS = [*CELL, "other", "first", "second", *Estimate._fields, "verdict", "why", "regressed", "text"]


class Verdict(NamedTuple):
    """The verdict on one cell: the difference first minus second, in a word, why, and whether it is a regression."""

    difference: Estimate
    verdict: str
    why: str = ""
    regressed: bool = False


def compare(first: Results, second: Results, other: str) -> pd.DataFrame:
    """One row per cell of either folder, which says how the first folder's result does against the second's.

    Columns: variant, split, task_list, other (the name of the second folder), first and second (their means), mean,
    low, high, n and method (of the difference), verdict, why, regressed (worse, or failed where the second has a
    result) and text. Meta-trainings that both folders have (one configuration and seed) are paired, and only tasks
    that both have tested count.

    Args:
        first: The folder that is judged.
        second: What it is judged by.
        other: The name of the second folder.
    """
    tables = [_declared(results) for results in (first, second)]
    facts = [run_facts(results).query("is_final") for results in (first, second)]
    tasks = [_task_results(results) for results in (first, second)]
    rows = []
    for cell in _ordered(tables[0].keys() | tables[1].keys()):
        pair = [table.get(cell) for table in tables]
        verdict = _missing(first, cell, pair) or _unlike(cell, facts) or _judged(cell, tasks, facts)
        means = [np.nan if row is None else row.mean for row in pair]
        rows.append((*cell, other, *means, *verdict.difference, *verdict[1:], _text(verdict)))
    return pd.DataFrame(rows, columns=COLUMNS)


Cell = tuple[str, str, str]
"""Variant, split and task list."""


def _declared(results: Results) -> dict[Cell, Any]:
    """The rows of the main table that are in the grid, or have a result."""
    return {(row.variant, row.split, row.task_list): row for row in named_rows(main_table(results)) if row.declared}


def _ordered(cells: set[Cell]) -> list[Cell]:
    """The cells by split, task list and variant, as tables have them."""
    variants = style.ordered(variant for variant, _, _ in cells)
    lists = style.ordered_lists(task_list for _, _, task_list in cells)
    return sorted(cells, key=lambda cell: (cell[1], lists.index(cell[2]), variants.index(cell[0])))


def _task_results(results: Results) -> dict[Cell, pd.DataFrame]:
    """The results of each cell, (meta-training, task), of the meta-trainings whose returns are all finite."""
    means = task_means(results_of(results.records), [*CELL, "training"])
    tables: dict[Cell, pd.DataFrame] = {}
    for (variant, split, task_list), part in means.groupby(CELL, sort=True):
        failed = set(part.loc[part["value"].isna(), "training"])
        finite = part[~part["training"].isin(failed)]
        cell = str(variant), str(split), str(task_list)
        tables[cell] = finite.pivot(index="training", columns="task", values="value")
    return tables


def _missing(first: Results, cell: Cell, pair: Sequence[Any]) -> Verdict | None:
    """The verdict on a cell that one of the folders has no result for; None where both have."""
    without = [row is None or row.n == 0 for row in pair]
    if not any(without):
        return None
    which = ("first", "second")
    why = "; ".join(
        f"{name}: {'not in it' if row is None else row.text}" for name, row, lacks in zip(which, pair, without) if lacks
    )
    cells = first.cells[(first.cells["variant"] == cell[0]) & (first.cells["split"] == cell[1])]
    bad = first.seeds[(first.seeds[CELL] == list(cell)).all(axis=1)]["failed_tasks"] > 0
    failed = bool((~cells["status"].isin(NO_FAILURE)).any() or bad.any())
    return Verdict(NO_ESTIMATE, MISSING, why, regressed=without[0] and not without[1] and failed)


def _unlike(cell: Cell, facts: Sequence[pd.DataFrame]) -> Verdict | None:
    """The verdict on a cell that was not measured alike in the two folders; None where it was."""
    rows = _of_cell(cell, facts)
    for column, what in (("split_hash", "task lists"), ("protocol", "protocols")):
        here, there = (" and ".join(sorted(set(part[column]))) for part in rows)
        if here != there:
            return Verdict(NO_ESTIMATE, NOT_COMPARABLE, f"different {what}: {here} here, {there} there")
    return None


def _of_cell(cell: Cell, facts: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The facts about the runs of a cell, by folder."""
    variant, split, _ = cell
    return [rows[(rows["variant"] == variant) & (rows["split"] == split)] for rows in facts]


def _judged(cell: Cell, tasks: Sequence[dict[Cell, pd.DataFrame]], facts: Sequence[pd.DataFrame]) -> Verdict:
    """The verdict on a cell that both folders have results for, measured alike."""
    first, second = (tables[cell] for tables in tasks)
    shared = first.columns.intersection(second.columns)
    if shared.empty:
        return Verdict(NO_ESTIMATE, NOT_COMPARABLE, "no test task that both have tested")
    here, there = (table[shared].dropna().mean(axis=1).to_dict() for table in (first, second))
    estimate = difference(here, there)
    why = _allowed_differences(cell, facts)
    if len(shared) < max(len(first.columns), len(second.columns)):
        why = [f"over the {len(shared)} tasks that both have tested", *why]
    if not np.isfinite(estimate.low):
        return Verdict(estimate, SAME, "; ".join(["one seed shows no difference", *why]))
    if not shows_difference(estimate):
        return Verdict(estimate, SAME, "; ".join(why))
    return Verdict(estimate, BETTER if estimate.mean > 0 else WORSE, "; ".join(why), regressed=estimate.mean < 0)


def _allowed_differences(cell: Cell, facts: Sequence[pd.DataFrame]) -> list[str]:
    """What differs between the two folders in how a cell's runs were trained and adapted."""
    rows = _of_cell(cell, facts)
    budgets, configs = ([sorted(set(part[column])) for part in rows] for column in ("budget", "config"))
    phrases = []
    if budgets[0] != budgets[1]:
        phrases.append(f"budgets differ: {', '.join(budgets[0])} and {', '.join(budgets[1])} env steps")
    if configs[0] != configs[1]:
        phrases.append(f"settings differ: {', '.join(differing_keys([*configs[0], *configs[1]]))}")
    return phrases


def _text(verdict: Verdict) -> str:
    """A verdict as the text of a table's cell."""
    why = f" ({verdict.why})" if verdict.why else ""
    estimate = verdict.difference
    if estimate.n == 0:
        return f"{verdict.verdict}{why}"
    interval = style.interval(estimate.mean, estimate.low, estimate.high)
    return f"{verdict.verdict}: {interval}, n = {estimate.n}{why}"


def summary(table: pd.DataFrame) -> list[str]:
    """What a comparison says in sentences, and how far it carries."""
    counts = table["verdict"].value_counts()
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
    sentences = [f"{len(table)} cells: {listed}."]
    failed = table[table["regressed"] & (table["verdict"] == MISSING)]
    sentences += [f"No result where {row.other} has one: {_place(row)} ({row.why})." for row in named_rows(failed)]
    judged = table[table["n"] > 0]
    if len(judged):
        sentences.append(
            "Each verdict is by its own 95 % interval: without any true difference, one comparison in twenty would "
            "show one."
        )
        sentences.append(caution(judged["n"]))
    return [sentence for sentence in sentences if sentence]


def _place(row: Any) -> str:
    variant, split, task_list = row[:3]
    return f"{style.look(variant).name} on {split}, {task_list}"
