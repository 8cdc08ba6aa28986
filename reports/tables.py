"""Tables as tidy frames of numbers, and as the text of their cells; every cell is a number, a failure or a reason."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports import series, style
from reports.intervals import Estimate, estimates
from reports.load import Results
from reports.metrics import gaps, normalised_score, per_seed
from reports.mixing import dig, precision
from reports.rows import named_rows

KEPT = 4
"""Tables kept for the next caller (page, files and summary need the same ones), who must not change them."""

CELL = ["variant", "split", "task_list"]


@lru_cache(maxsize=KEPT)
def main_table(results: Results) -> pd.DataFrame:
    """The result: return after adaptation, for every variant on every task list of every split.

    Columns: variant, split, task_list, mean, low, high, n, declared (seeds), missing (why seeds are missing), text.
    """
    return _complete(results, per_seed(results.records), "after")


@lru_cache(maxsize=KEPT)
def gain_table(results: Results) -> pd.DataFrame:
    """What adaptation changed: the columns of `main_table` for after - before, and the mean `before`."""
    seeds = per_seed(results.records)
    table = _complete(results, seeds, "gain")
    before = estimates(seeds, CELL, "before")[[*CELL, "mean"]].rename(columns={"mean": "before"})
    return table.merge(before, on=CELL, how="left")


@lru_cache(maxsize=KEPT)
def gap_table(results: Results) -> pd.DataFrame:
    """What the shift costs: the columns of `main_table` for the return on test_id minus that on test."""
    return _complete(results, gaps(per_seed(results.records)).assign(task_list="test_id - test"), "gap")


@lru_cache(maxsize=KEPT)
def score_table(results: Results) -> pd.DataFrame:
    """The columns of `main_table` for the normalised score on test; only splits with both ends of the score."""
    seeds = per_seed(results.records)
    seeds = seeds[seeds["task_list"] == "test"].copy()
    ends = {split: score_ends(results, split) for split in sorted(set(seeds["split"]))}
    seeds["score"] = [
        normalised_score(row.after, ends[row.split].null, ends[row.split].best) for row in named_rows(seeds)
    ]
    known = [split for split, held in ends.items() if held.null is not None and held.best is not None]
    return _complete(results, seeds[seeds["split"].isin(known)], "score", known)


class ScoreEnds(NamedTuple):
    """The returns that are score 0 and score 1 on a split's test list, None where unknown, and where they are from."""

    null: float | None
    best: float | None
    null_source: str
    best_source: str


@lru_cache(maxsize=KEPT)
def score_ends(results: Results, split: str) -> ScoreEnds:
    """The results of null and oracle where they were run, else what the split declares.

    An oracle that does no better than nothing ends no scale: it has not learnt.
    """
    null, best = declared_references(results, split)
    measured, oracle = (_reference_return(results, split, name) for name in ("null", "oracle"))
    said = dig(split_document(results, split), "references", "source") or "declared"
    sources = [said, said]
    if measured is not None:
        null, sources[0] = measured, "measured here"
    if oracle is not None and (null is None or oracle > null):
        best, sources[1] = oracle, "the oracle, measured here"
    return ScoreEnds(null, best, *sources)


def _reference_return(results: Results, split: str, algorithm: str) -> float | None:
    """The result of a reference on a split's test list, of several runs the highest; None where there is none."""
    rows = results.records
    rows = rows[(rows["split"] == split) & (rows["algorithm"] == algorithm) & (rows["task_list"] == "test")]
    means = per_seed(rows)["after"].dropna() if len(rows) else pd.Series(dtype=float)
    return float(means.max()) if len(means) else None


def declared_references(results: Results, split: str) -> tuple[float | None, float | None]:
    """The returns of the zero action and of the declared best on a split's test list, None where not declared."""
    document = split_document(results, split)
    null, ceiling = (dig(document, "references", key) for key in ("null", "ceiling"))
    return (None if null is None else float(null), None if ceiling is None else float(ceiling))


def split_document(results: Results, split: str) -> dict[str, Any]:
    """What the records say about a split, from the first of its runs; empty where they say nothing."""
    runs = sorted(set(results.records.loc[results.records["split"] == split, "run"]))
    return next((d for run in runs if isinstance(d := dig(results.runs.get(run), "split"), dict)), {})


@lru_cache(maxsize=KEPT)
def gate_table(results: Results) -> pd.DataFrame:
    """Per gated variant, split and task list: the share of open decisions, and the gain where open and where closed.

    Columns: variant, split, task_list, tasks (tasks x seeds), open, gain_open, gain_closed, baseline.
    """
    rows = []
    for split in sorted(set(results.diagnostics["split"])):
        for (variant, task_list), part in series.gate(results, split).groupby(["variant", "task_list"]):
            is_open = part["gate_open"] >= 0.5
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
    table = results.cells.copy()
    documents = [results.runs.get(run, {}) for run in table["run"]]
    for name, path in paths.items():
        table[name] = pd.Series([dig(document, *path) for document in documents], dtype=object)
    table["precision"] = pd.Series([precision(document) for document in documents], dtype=object)
    return table


def _complete(results: Results, seeds: pd.DataFrame, column: str, splits: list[str] | None = None) -> pd.DataFrame:
    """Estimates for every (variant, split) of the grid and every task list of the split, with reasons for holes."""
    found = {tuple(row[:3]): row for row in estimates(seeds, CELL, column).itertuples(index=False, name=None)}
    wanted = sorted(set(results.cells["split"])) if splits is None else splits
    rows = []
    for split in wanted:
        lists = style.ordered_lists(seeds.loc[seeds["split"] == split, "task_list"])
        for variant in style.ordered(results.cells["variant"]):
            for task_list in lists or ["test"]:
                cell = (variant, split, task_list)
                estimate = Estimate(*found[cell][3:]) if cell in found else Estimate(np.nan, np.nan, np.nan, 0)
                declared, missing = _missing(results, seeds, column, cell)
                rows.append((*cell, *estimate, declared, missing, cell_text(estimate, declared, missing)))
    return pd.DataFrame(rows, columns=[*CELL, *Estimate._fields, "declared", "missing", "text"])


def _missing(results: Results, seeds: pd.DataFrame, column: str, cell: tuple[str, str, str]) -> tuple[int, str]:
    """The number of declared seeds of a cell, and for those without a number why."""
    variant, split, task_list = cell
    cells = results.cells[(results.cells["variant"] == variant) & (results.cells["split"] == split)]
    if cells.empty:
        return 0, "not in the grid"
    rows = seeds[(seeds["variant"] == variant) & (seeds["split"] == split) & (seeds["task_list"] == task_list)]
    values = {row.seed: row for row in named_rows(rows)}
    reasons: dict[str, list[int]] = {}
    for row in named_rows(cells):
        result = values.get(row.seed)
        if result is None or not np.isfinite(getattr(result, column)):
            reasons.setdefault(_why(row, result, task_list), []).append(row.seed)
    if len(reasons) == 1 and len(next(iter(reasons.values()))) == len(cells) > 1:
        return len(cells), next(iter(reasons))
    return len(cells), "; ".join(f"{_seed_words(held)} {why}" for why, held in reasons.items())


def _why(cell: Any, result: Any, task_list: str) -> str:
    """Why a declared cell has no number: its row in the grid, and its row among the seeds or None."""
    failed_tasks = getattr(result, "failed_tasks", 0)
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


def cell_text(estimate: Estimate, declared: int, missing: str) -> str:
    """What a cell says: the number with its interval and n, and what is missing; or the reason alone."""
    if estimate.n == 0:
        return missing or "no number"
    n = f"n = {estimate.n}" if estimate.n == declared else f"n = {estimate.n} of {declared}"
    text = f"{style.interval(estimate.mean, estimate.low, estimate.high)}, {n}"
    if estimate.n == 1:
        text += ", no interval"
    return f"{text} ({missing})" if missing else text


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A tidy table of cells as a reader wants it: rows variants, columns `split task_list`, cells text."""
    columns = list(dict.fromkeys(zip(table["split"], table["task_list"])))
    texts = {(row.variant, row.split, row.task_list): row.text for row in named_rows(table)}
    variants = style.ordered(table["variant"])
    rows = [[texts.get((variant, *column), "–") for column in columns] for variant in variants]
    names = pd.Index([style.look(variant).name for variant in variants], name="variant")
    return pd.DataFrame(rows, index=names, columns=[" ".join(column) for column in columns])


def markdown(frame: pd.DataFrame) -> str:
    """A frame with its index as a Markdown table."""
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    body = [[str(label), *map(str, row)] for label, row in zip(frame.index, frame.itertuples(index=False, name=None))]
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(_markdown_cell(cell) for cell in line) + " |\n" for line in lines)


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """A frame as CSV with ten significant digits, the same bytes on every machine."""
    frame.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")
