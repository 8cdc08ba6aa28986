"""Two results folders, or variants against one of them: for every cell which is better, or why that cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.cell_text import NO_SCATTER
from reports.numbers.intervals import NO_ESTIMATE, Estimate, caution, difference, shows_difference
from reports.numbers.tables import CELL, main_table
from reports.reading.comparability import run_facts
from reports.reading.settings import differing_keys, differing_words
from reports.results import Results, named_rows
from reports.returns import results_of, task_means

BETTER, WORSE, SAME = "better", "worse", "no difference shown"
NOT_COMPARABLE, MISSING = "not comparable", "missing"

VERDICTS = (BETTER, WORSE, SAME, NOT_COMPARABLE, MISSING)

NO_FAILURE = ("done", "pending", "running", "unsupported")
"""States of a run that may lack a result for a reason other than having failed."""

COLUMNS = [*CELL, "folder", "other", "first", "second", *Estimate._fields, "verdict", "why", "regressed", "text"]


class Verdict(NamedTuple):
    """The verdict on one cell: the difference first minus second, in a word, why, and whether it is a regression."""

    difference: Estimate
    verdict: str
    why: str = ""
    regressed: bool = False


def compare(first: Results, second: Results, other: str, against: str = "") -> pd.DataFrame:
    """One row per cell of either folder, which says how the first folder's result does against the second's.

    Columns: variant, split, task_list, folder (the names of the first), other (what it is judged by), first and second
    (their means), mean, low, high, n and method (of the difference), verdict, why, regressed (worse, or failed where
    the second has a result) and text. Meta-trainings that both have (one configuration and seed) are paired, and only
    tasks that both have tested count.

    Args:
        first: The folder that is judged.
        second: What it is judged by.
        other: What that is called.
        against: A variant of the second folder, by which every other variant of the first is judged; by default each
            is judged by the one of its own name.
    """
    tables = [_declared(results) for results in (first, second)]
    facts = [run_facts(results).query("is_final") for results in (first, second)]
    tasks = [_task_results(results) for results in (first, second)]
    rows = []
    for cell in _ordered(_judged_alone(first, second, tables[0], against) if against else {*tables[0], *tables[1]}):
        cells = (cell, (against or cell[0], *cell[1:]))
        pair = [table.get(own) for table, own in zip(tables, cells)]
        verdict = _missing(first, cell, pair) or _unlike(cells, facts) or _judged(cells, tasks, facts)
        means = [np.nan if row is None else row.mean for row in pair]
        folder = " + ".join(first.folders)
        rows.append((*cell, folder, other, *means, *verdict.difference, *verdict[1:], _text(verdict)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged_alone(first: Results, second: Results, table: dict[Cell, Any], against: str) -> set[Cell]:
    """The cells of a folder that are judged by a variant: of no reference, and not of that variant itself."""
    return {cell for cell in table if not style.is_reference(cell[0]) and not (first is second and cell[0] == against)}


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


def _unlike(cells: tuple[Cell, Cell], facts: Sequence[pd.DataFrame]) -> Verdict | None:
    """The verdict on two cells that were not measured alike; None where they were."""
    rows = _of_cells(cells, facts)
    for column, what in (("split_hash", "task lists"), ("protocol", "protocols")):
        here, there = (" and ".join(sorted(set(part[column]))) for part in rows)
        if here != there:
            settings = {name: part["protocol_settings"].iloc[0] for name, part in zip(("here", "there"), rows)}
            words = f" ({differing_words(settings)})" if column == "protocol" and differing_words(settings) else ""
            return Verdict(NO_ESTIMATE, NOT_COMPARABLE, f"different {what}: {here} here, {there} there{words}")
    return None


def _of_cells(cells: tuple[Cell, Cell], facts: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The facts about the runs of each folder's cell."""
    return [
        rows[(rows["variant"] == variant) & (rows["split"] == split)] for rows, (variant, split, _) in zip(facts, cells)
    ]


def _judged(
    cells: tuple[Cell, Cell], tasks: Sequence[dict[Cell, pd.DataFrame]], facts: Sequence[pd.DataFrame]
) -> Verdict:
    """The verdict on two cells that have results, measured alike."""
    first, second = (tables[cell] for tables, cell in zip(tasks, cells))
    shared = first.columns.intersection(second.columns)
    if shared.empty:
        return Verdict(NO_ESTIMATE, NOT_COMPARABLE, "no test task that both have tested")
    here, there = (table[shared].dropna().mean(axis=1).to_dict() for table in (first, second))
    estimate = difference(here, there)
    why = _allowed_differences(cells, facts)
    if len(shared) < max(len(first.columns), len(second.columns)):
        why = [f"over the {len(shared)} tasks that both have tested", *why]
    if not np.isfinite(estimate.low):
        reason = "one seed shows no difference" if estimate.n < 2 else f"no interval: {NO_SCATTER}"
        return Verdict(estimate, SAME, "; ".join([reason, *why]))
    if not shows_difference(estimate):
        return Verdict(estimate, SAME, "; ".join(why))
    return Verdict(estimate, BETTER if estimate.mean > 0 else WORSE, "; ".join(why), regressed=estimate.mean < 0)


def _allowed_differences(cells: tuple[Cell, Cell], facts: Sequence[pd.DataFrame]) -> list[str]:
    """What differs in how the runs of two cells were trained, and of one variant in how they were adapted."""
    rows = _of_cells(cells, facts)
    budgets, configs = ([sorted(set(part[column])) for part in rows] for column in ("budget", "config"))
    phrases = []
    if budgets[0] != budgets[1]:
        phrases.append(f"budgets differ: {', '.join(budgets[0])} and {', '.join(budgets[1])} env steps")
    if configs[0] != configs[1] and cells[0][0] == cells[1][0]:
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


def as_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A comparison as a table of cells: `where` heads its columns, better is marked as the best and worse as tied."""
    several = [column for column in ("folder", "other") if table[column].nunique() > 1]
    heads = [" ".join(map(str, row)) for row in table[["split", "task_list", *several]].itertuples(index=False)]
    return table.assign(where=heads, best=table["verdict"] == BETTER, tied=table["verdict"] == WORSE)


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


def lone_rival(first: Results, second: Results) -> str:
    """The variant by which all of the first folder are judged: the only one of the second, where no name is in both."""
    competing = {variant for variant in set(second.cells["variant"]) if not style.is_reference(variant)}
    return competing.pop() if len(competing) == 1 and not competing & set(first.cells["variant"]) else ""


def without_shared(first: Results, second: Results, name: str) -> str:
    """What to do about two folders that have no variant in common, where the second has several; else empty."""
    here, there = (set(results.cells["variant"]) for results in (first, second))
    if here & there or lone_rival(first, second):
        return ""
    named = ", ".join(style.bare(str(label)) for label in style.ordered(there))
    return f"No variant is in both folders. To judge by one of {name}, name it: --against VARIANT, of {named}."
