"""Tables as tidy frames of numbers, and as the text of their cells; every cell is a number, a failure or a reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from reports import style
from reports.numbers import aggregates, series
from reports.numbers.aggregates import samples, score_aggregates
from reports.numbers.cell_text import cell_text, missing_seeds
from reports.numbers.gain import gains
from reports.numbers.improvement import improvements
from reports.numbers.intervals import NO_ESTIMATE, Estimate, Rivals, estimates, shows_difference
from reports.numbers.marking import marked, marked_by_seeds
from reports.numbers.scores import score_ends, scored_splits
from reports.numbers.sweeps import factor_table
from reports.results import Results, named_rows, precision, value_at
from reports.returns import gaps

KEPT = 4
"""Tables kept for the next caller (page, files and summary need the same ones), who must not change them."""

CELL = ["variant", "split", "task_list"]


@lru_cache(maxsize=KEPT)
def main_table(results: Results) -> pd.DataFrame:
    """The result: return after adaptation, for every variant on every task list of every split.

    Columns: variant, split, task_list, mean, low, high, n, method (of the interval), declared (seeds), missing (why
    seeds are missing), best, tied, text. `best` has the highest mean of its column, `tied` are those that the seeds
    do not show to differ from it (`intervals.difference`); both are False where there was no comparison.
    """
    return marked_by_seeds(_complete(results, results.seeds, "after"), results.seeds, "after")


@lru_cache(maxsize=KEPT)
def gain_table(results: Results) -> pd.DataFrame:
    """What adapting gained over the unadapted twin (`gain.gains`): the columns of `main_table`, and the mean `before`.

    No cell is marked as the best, here and in `gap_table`: an agent that starts low gains more.
    """
    table = _complete(results, gains(results), "gain")
    before = estimates(results.seeds, CELL, "before")[[*CELL, "mean"]].rename(columns={"mean": "before"})
    return table.merge(before, on=CELL, how="left")


@lru_cache(maxsize=KEPT)
def gap_table(results: Results) -> pd.DataFrame:
    """What the shift costs: the columns of `main_table` for the return on test_id minus that on test."""
    return _complete(results, gaps(results.seeds).assign(task_list="test_id - test"), "gap")


@lru_cache(maxsize=KEPT)
def score_table(results: Results) -> pd.DataFrame:
    """The columns of `main_table` for the normalised score on test; only splits with both ends of the score."""
    ends = {split: score_ends(results, split) for split in scored_splits(results)}
    seeds = results.seeds[(results.seeds["task_list"] == "test") & results.seeds["split"].isin(list(ends))].copy()
    seeds["score"] = [ends[split].score(value) for split, value in zip(seeds["split"], seeds["after"])]
    table = marked_by_seeds(_complete(results, seeds, "score", list(ends)), seeds, "score")
    table["text"] = [
        f"{row.text}; {ends[row.split].note}" if row.n and ends[row.split].note else row.text
        for row in named_rows(table)
    ]
    return table


@lru_cache(maxsize=KEPT)
def aggregate_table(results: Results) -> pd.DataFrame:
    """Statistics of the scores on test (`score_aggregates`), for every variant on every split and on all.

    Columns: variant, split (or "all splits"), statistic, mean (the statistic), low, high, n, method, missing, best,
    tied, text. A variant without results on some splits is no candidate for the best over all.
    """
    scores = score_table(results)
    estimate_of = {(row.variant, row.split, row.statistic): Estimate(row.mean, row.low, row.high, row.n, row.method)
                   for row in named_rows(score_aggregates(results))}  # fmt: skip
    reasons = {(row.variant, row.split): row.text for row in named_rows(scores)}
    splits = list(dict.fromkeys(scores["split"]))
    splits_of = scores[scores["n"] > 0].groupby("variant")["split"].agg(set).to_dict()
    rows = []
    for split in [*splits, *([aggregates.ALL_SPLITS] if len(splits) > 1 else [])]:
        for variant, name in product(style.ordered(scores["variant"]), aggregates.STATISTICS):
            cell = estimate_of.get((variant, split, name), NO_ESTIMATE)
            missing = reasons.get((variant, split), "no score on any split") if cell.n == 0 else ""
            number = len(splits_of.get(variant, ()))
            if cell.n and split == aggregates.ALL_SPLITS and number < len(splits):
                missing = f"over {number} of {len(splits)} splits"
            rows.append((variant, split, name, *cell, missing, cell_text(cell, cell.n, missing)))
    columns = ["variant", "split", "statistic", *Estimate._fields, "missing", "text"]
    table = pd.DataFrame(rows, columns=columns)
    scores_of = samples(results)

    def trainings(row: Any) -> tuple[str, ...]:
        return scores_of[row.variant, row.split].trainings

    def differ(a: Any, b: Any, among: Rivals) -> bool:
        first, second = (scores_of[row.variant, row.split] for row in (a, b))
        return shows_difference(aggregates.difference(first, second, a.statistic, among))

    whole = marked(table[table["missing"] == ""], ["split", "statistic"], trainings, differ)
    return table.assign(**{mark: whole[mark].reindex(table.index, fill_value=False) for mark in ("best", "tied")})


@lru_cache(maxsize=KEPT)
def improvement_table(results: Results) -> pd.DataFrame:
    """How probable it is that the row's variant does better than the column's (`improvement.improvements`), as cells.

    Columns: variant, other, split (or "all splits"), mean, low, high, n, method, text, best, tied (both False).
    """
    table = improvements(results).copy()
    table["text"] = [cell_text(Estimate(row.mean, row.low, row.high, row.n), row.n, "") for row in named_rows(table)]
    return table.assign(best=False, tied=False)


class TableKind(NamedTuple):
    """One table of cells.

    Attributes:
        make: Makes it.
        title: What it is called.
        columns: Which of its columns head the wide form.
        apart: Which of those makes tables of their own in a paper; empty: none does.
        always: Whether it is written where it has no rows.
    """

    make: Callable[[Results], pd.DataFrame]
    title: str
    columns: tuple[str, ...] = ("split", "task_list")
    apart: str = "task_list"
    always: bool = True


TABLES = {
    "main": TableKind(main_table, "Return after adaptation."),
    "gain": TableKind(gain_table, "Gain from adaptation: return after it minus that of the unadapted twin."),
    "gap": TableKind(gap_table, "Return on test_id minus return on test."),
    "score": TableKind(score_table, "Normalised score on test: 0 the zero action, 1 the stated best return."),
    "aggregates": TableKind(
        aggregate_table,
        "Statistics of the normalised scores on test (per task and seed).",
        ("split", "statistic"),
        "statistic",
    ),
    "improvement": TableKind(
        improvement_table,
        "Probability that the row's variant does better than the column's in a test task.",
        ("split", "other"),
        "split",
    ),
    "factors": TableKind(
        factor_table,
        "Return on test at each value of each factor of a sweep, a mean over the values of the others; the best is "
        "that of the factor's values.",
        ("split",),
        apart="",
        always=False,
    ),
}
"""The tables of a report by the names of their files, in the order shown."""


def made(results: Results) -> dict[str, pd.DataFrame]:
    """The tables of `TABLES` that a report of these results has, by their names."""
    tables = {name: kind.make(results) for name, kind in TABLES.items()}
    return {name: table for name, table in tables.items() if TABLES[name].always or len(table)}


@lru_cache(maxsize=KEPT)
def gate_table(results: Results) -> pd.DataFrame:
    """Per relabeling variant, split and task list: the share of open gates, and the gain where open and where closed.

    Columns: variant, split, task_list, tasks (tasks x seeds), open (NaN without a gate, where every task counts as
    open), gain_open, gain_closed, baseline.
    """
    rows = []
    for split in results.splits:
        for (variant, task_list), part in series.gate(results, split).groupby(["variant", "task_list"]):
            is_open = ~(part["gate_open"] < 0.5)
            gains = (part.loc[is_open, "gain"].mean(), part.loc[~is_open, "gain"].mean())
            baseline = " / ".join(sorted(set(part["baseline"])))
            rows.append((variant, split, task_list, len(part), part["gate_open"].mean(), *gains, baseline))
    columns = [*CELL, "tasks", "open", "gain_open", "gain_closed", "baseline"]
    return pd.DataFrame(rows, columns=columns)


def run_table(results: Results) -> pd.DataFrame:
    """One row per cell of the grid: status, reason, provenance and cost; empty fields are not recorded."""
    paths = {
        "training": ("training",), "budget_env_steps": ("budget_env_steps",), "env_steps": ("env_steps",),
        "train_wall_seconds": ("cost", "train_wall_seconds"),
        "metatest_wall_seconds": ("cost", "metatest_wall_seconds"),
        "adaptation_env_steps": ("cost", "adaptation_env_steps"),
        "evaluation_env_steps": ("cost", "evaluation_env_steps"),
        "git_revision": ("provenance", "git_revision"), "git_dirty": ("provenance", "git_dirty"),
        "host": ("provenance", "host"), "cpu": ("provenance", "cpu"), "device": ("provenance", "device"),
        "threads": ("provenance", "threads"),
        "mujoco": ("provenance", "versions", "mujoco"), "torch": ("provenance", "versions", "torch"),
        "command": ("provenance", "command"),
    }  # fmt: skip
    table = results.cells.drop(columns=[] if results.cells["folder"].nunique() > 1 else ["folder"])
    documents = [results.runs.get(run, {}) for run in table["run"]]
    for name, path in paths.items():
        table[name] = pd.Series([value_at(document, *path) for document in documents], dtype=object)
    table["precision"] = pd.Series([precision(document) for document in documents], dtype=object)
    return table


def _complete(results: Results, seeds: pd.DataFrame, column: str, splits: list[str] | None = None) -> pd.DataFrame:
    """Estimates for every (variant, split) of the grid and every task list of the split, with reasons for holes."""
    estimate_of = {row[:3]: Estimate(*row[3:]) for row in estimates(seeds, CELL, column).itertuples(index=False)}
    result_of = {(row.variant, row.split, row.task_list, row.seed): row for row in named_rows(seeds)}
    declared_of = dict(iter(results.cells.groupby(["variant", "split"], sort=False)))
    rows = []
    for split in results.splits if splits is None else splits:
        lists = style.ordered_lists(seeds.loc[seeds["split"] == split, "task_list"])
        for variant in style.ordered(results.cells["variant"]):
            declared = declared_of.get((variant, split), results.cells.iloc[:0])
            for task_list in lists or ["test"]:
                cell = (variant, split, task_list)
                estimate = estimate_of.get(cell, NO_ESTIMATE)
                of_seed = {seed: result_of[*cell, seed] for seed in declared["seed"] if (*cell, seed) in result_of}
                missing = missing_seeds(declared, of_seed, column, task_list)
                text = cell_text(estimate, len(declared), missing)
                rows.append((*cell, *estimate, len(declared), missing, text))
    table = pd.DataFrame(rows, columns=[*CELL, *Estimate._fields, "declared", "missing", "text"])
    return table.assign(best=False, tied=False)
