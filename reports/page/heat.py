"""The heat table: every variant on every split at a glance, the best on top, each cell leading to its seeds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite
from typing import Any, NamedTuple

import pandas as pd

from reports import style
from reports.formats import called
from reports.numbers import aggregates, tables
from reports.numbers.cell_text import NOT_DECLARED
from reports.numbers.contest import contest
from reports.numbers.scores import scored_splits, task_results
from reports.results import Results, named_rows

STRONGEST = 45
"""Per cent of colour at a score of 1: text stays easy to read on it."""


class HeatCell(NamedTuple):
    """A cell: its number, the rest of what is known of it (shown on hover), its rank, mark, colour and target.

    Attributes:
        text: The score, the return where there is no scale, or in a word why there is none.
        details: Return, interval and seeds, or the reason.
        rank: Among the variants of its column, references aside; 0 without one.
        mark: "best", "tied", "absent" or "".
        heat: Per cent of colour.
        target: The anchor of its seeds; empty where there are none.
    """

    text: str
    details: str
    rank: int = 0
    mark: str = ""
    heat: int = 0
    target: str = ""


class HeatTable(NamedTuple):
    """Splits (with their anchors) that head the columns, and per variant its name and cells: over all, and per split.

    There is no cell over all splits where no variant has a result on each of them.
    """

    splits: list[tuple[str, str]]
    rows: list[tuple[str, HeatCell | None, list[HeatCell]]]


def anchor(results: Results, split: str, variant: str = "") -> str:
    """The id of what the page says of a split or of all of them, or of the seeds of a variant there."""
    place = [aggregates.ALL_SPLITS, *results.splits].index(split)
    if not variant:
        return f"split-{place}"
    return f"seeds-{place}-{style.ordered(results.cells['variant']).index(variant) + 1}"


def heat_table(results: Results) -> HeatTable:
    """All variants, the best over all splits first, then the others by their mean rank, then references."""
    splits = results.splits
    columns = {split: _column(results, split) for split in splits}
    whole = _whole(results) if len(splits) > 1 and contest(results).entries else {}
    key = {name: place for place, (name, _) in enumerate(contest(results).entries)}
    order = style.ordered(results.cells["variant"])
    rank = {name: _mean_rank(column[name] for column in columns.values()) for name in order}
    order.sort(key=lambda name: (style.is_reference(name), key.get(name, len(key)), rank[name]))
    name_of = called(order)
    rows = [(name_of[v], whole.get(v), [columns[split][v] for split in splits]) for v in order]
    return HeatTable([(split, anchor(results, split)) for split in splits], rows)


def _column(results: Results, split: str) -> dict[str, HeatCell]:
    """The cells of one split, by variant."""
    main, scores = tables.main_table(results), tables.score_table(results)
    main = main[(main["split"] == split) & (main["task_list"] == "test")].set_index("variant")
    scores = scores[scores["split"] == split].set_index("variant")
    table = scores if len(scores) else main
    ranks = _ranks(table)
    cells = {}
    for row in named_rows(table.reset_index()):
        result = main.loc[row.variant]
        if not row.n:
            text = "–" if result["text"] == NOT_DECLARED else _briefly(result["text"])
            cells[row.variant] = HeatCell(text, result["text"], mark="absent")
            continue
        details = f"return {result['text']}" + (f"; score {row.text}" if table is scores else "")
        cells[row.variant] = HeatCell(
            style.number(row.mean, 2 if table is scores else None), details, ranks.get(row.variant, 0), _mark(row),
            _heat(row.mean) if table is scores else 0, anchor(results, split, row.variant),
        )  # fmt: skip
    return cells


def _whole(results: Results) -> dict[str, HeatCell]:
    """The cells over all splits, by variant: marked as the headline says."""
    table = tables.aggregate_table(results)
    table = table[(table["split"] == aggregates.ALL_SPLITS) & (table["statistic"] == "mean") & (table["n"] > 0)]
    answer = contest(results)
    ranks = {name: place for place, (name, _) in enumerate(answer.entries, 1)}
    lacking = aggregates.lacking_splits(results)
    cells = {}
    for row in named_rows(table):
        has_marks = answer.is_decided_by_seeds and len(ranks) > 1
        best = has_marks and ranks.get(row.variant) == 1
        mark = "best" if best else "tied" if row.variant in answer.tied else ""
        text = style.interval(row.mean, row.low, row.high) if isfinite(row.low) else style.number(row.mean, 2)
        text += lacking.get(row.variant, "")
        target = anchor(results, aggregates.ALL_SPLITS, row.variant)
        cells[row.variant] = HeatCell(text, row.text, ranks.get(row.variant, 0), mark, _heat(row.mean), target)
    return cells


def _ranks(table: pd.DataFrame) -> dict[str, int]:
    """The place of each variant by its number, references aside."""
    competing = [variant for variant in table.index if table.loc[variant, "n"] > 0 and not style.is_reference(variant)]
    numbers = table.loc[competing, "mean"]
    return {str(name): int(place) for name, place in numbers.rank(ascending=False, method="min").items()}


def _mark(row: Any) -> str:
    return "best" if row.best else "tied" if row.tied else ""


def _mean_rank(cells: Iterable[HeatCell]) -> float:
    """Over the splits on which a variant has one, infinite without any."""
    ranks = [cell.rank for cell in cells if cell.rank]
    return sum(ranks) / len(ranks) if ranks else inf


def _heat(score: float) -> int:
    return round(STRONGEST * min(max(score, 0.0), 1.0))


def _briefly(reason: str) -> str:
    """The first words of why there is no number."""
    return reason.partition(":")[0].partition(" (")[0]


def seed_table(results: Results, split: str) -> list[tuple[str, str, list[str]]]:
    """Per variant with results on a split: its anchor, its name, and the return of each seed on each task list."""
    seeds = results.seeds[results.seeds["split"] == split]
    rows = []
    for variant in style.ordered(seeds["variant"]):
        part = seeds[seeds["variant"] == variant]
        for task_list in style.ordered_lists(part["task_list"]):
            numbers = part[part["task_list"] == task_list].sort_values("seed")
            texts = [f"{row.seed}: {style.number(row.after)}" for row in named_rows(numbers)]
            rows.append((anchor(results, split, variant) if task_list == "test" else "",
                         f"{style.look(variant).name}, {task_list}", texts))  # fmt: skip
    return rows


class SeedScores(NamedTuple):
    """What stands behind the cells over all splits: per variant an anchor, a name, and per split the seeds' scores."""

    anchor: str
    splits: list[str]
    rows: list[tuple[str, str, list[str]]]


def seed_scores(results: Results) -> SeedScores:
    """The score of each seed, a mean over the test tasks, of all variants on all splits with a scale."""
    splits = scored_splits(results)
    scores = task_results(results).groupby(["variant", "split", "seed"])["score"].mean().dropna()
    texts: dict[str, dict[str, list[str]]] = {}
    for row in named_rows(scores.reset_index()):
        texts.setdefault(row.variant, {}).setdefault(row.split, []).append(f"{row.seed}: {style.number(row.score, 2)}")
    name_of = called(style.ordered(texts))
    rows = [
        (anchor(results, aggregates.ALL_SPLITS, variant), name,
         [", ".join(texts[variant].get(split, ["–"])) for split in splits])
        for variant, name in name_of.items()
    ]  # fmt: skip
    return SeedScores(anchor(results, aggregates.ALL_SPLITS), splits, rows)
