"""The answer in a sentence or two: which variant does best out of distribution, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from reports import style
from reports.numbers.contest import Contest, contest
from reports.numbers.intervals import ENOUGH_SEEDS, LEVEL
from reports.numbers.tables import main_table, score_table
from reports.results import Results, named_rows

MOST_LISTED = 6
"""Variants that are named because they lack splits; of more it is their number."""

MOST_TIED = 3
"""Variants that are named beside the highest because the seeds do not separate them; of more it is their number."""


def headline(results: Results) -> list[str]:
    """The answer and then, in a sentence of its own each, what a reader has to know of it."""
    answer = contest(results)
    if not answer.what and answer.splits:
        why = f"Not decided: {len(answer.splits)} splits, none of which declares the ends of a score to average over."
        return [f"{why} The highest return on each:", *_split_by_split(main_table(results), answer.splits)]
    if not answer.entries and answer.partial:
        why = f"No variant has a result on all {len(answer.splits)} splits, so that none is the best over all."
        each = _split_by_split(score_table(results), answer.splits)
        return [f"{why} The highest mean score on each:", *each, *_partial(answer), *_without_scale(results, answer)]
    if not answer.entries:
        return ["No result yet."]
    return [_answer(results, answer), *_partial(answer), *_without_scale(results, answer)]


def _answer(results: Results, answer: Contest) -> str:
    names = [name for name, _ in answer.entries]
    where, over = _where(results, answer.splits), _over(answer)
    first, *others = names
    if not others:
        return f"{_number(answer, first)}{over}: the only variant, so that nothing is compared."
    if not answer.is_decided_by_seeds:
        return (
            f"{where}: not decided. {_number(answer, first)}{over}, is the highest of {len(names)} variants, but its "
            f"seeds are too {'few' if answer.entries[0][1].n < 2 else 'alike'} to say whether that would repeat."
        )
    below = [name for name in others if name not in answer.tied]
    sure = f" All comparisons with the best together: {LEVEL:.0%}." if len(others) > 1 else ""
    sure += "".join(f" {sentence}" for sentence in _few(estimate.n for _, estimate in answer.entries))
    if not below:
        rest = f"is separated from none of the {len(others)} others"
        rest = rest if len(others) > 1 else f"is not separated from {_name(others[0])}"
        return f"{where}: not decided. {_number(answer, first)}{over}, {rest}.{sure}"
    if not answer.tied:
        rest = f"all {len(below)} others" if len(below) > 1 else _name(below[0])
        return f"Best {_lower(where)}: {_number(answer, first)}{over}; above {rest}.{sure}"
    rest = f"the other {len(below)}" if len(below) > 2 else _listed(below)
    if len(answer.tied) > MOST_TIED:
        tied = f"{len(answer.tied)} more"
    else:
        tied = _listed([_number(answer, name, brief=True) for name in answer.tied], shown=True)
    between = f"{_number(answer, first)}{over}, and {tied}"
    return f"{where}: not decided between {between}; {_name(first)} is above {rest}.{sure}"


def _split_by_split(table: pd.DataFrame, splits: Sequence[str]) -> list[str]:
    """Who is highest on the test tasks of each split, and how sure that is, by the marks of a table of cells."""
    table = table[(table["n"] > 0) & ~table["variant"].map(style.is_reference).astype(bool)]
    table = table[table["task_list"] == "test"] if "task_list" in table else table
    phrases = []
    for split in splits:
        rows = table[table["split"] == split].sort_values("mean", ascending=False, kind="stable")
        for row in list(named_rows(rows))[:1]:
            number = style.interval(row.mean, row.low, row.high)
            phrases.append(f"{split}: {_name(row.variant)} {number} (n = {row.n}){_surely(rows)}.")
    return [*phrases, *_few(table["n"])]


def _surely(rows: pd.DataFrame) -> str:
    """What the marks of a column say of its highest variant, which is the first of the rows."""
    if len(rows) == 1:
        return ", the only variant"
    if not rows["best"].iloc[0]:
        why = "too few" if (rows["n"] == 1).any() else "too alike"
        return f", of {len(rows)} variants; seeds {why} to tell them apart"
    others, tied = int(rows["low"].notna().sum()) - 1, int(rows["tied"].sum())
    alone = len(rows) - 1 - others
    rest = f"; {alone} without an interval not compared" if alone else ""
    if others == 1:
        which = "the only other compared" if alone else "the other"
        return f", {'not separated from' if tied else 'above'} {which}{rest}"
    return (f", not separated from {tied} of {others} others" if tied else f", above all {others} others") + rest


def _few(numbers: Iterable[int]) -> list[str]:
    """What an answer from a few seeds leans on; empty where all have enough of them, or one each."""
    is_few = any(1 < n < ENOUGH_SEEDS for n in numbers)
    return [f"With fewer than {ENOUGH_SEEDS} seeds, this takes their scatter to be normal."] if is_few else []


def _without_scale(results: Results, answer: Contest) -> list[str]:
    """The splits with results that no score can be averaged over."""
    rest = [split for split in results.records["split"].unique() if split not in answer.splits]
    return [f"Without a score, and so not counted: {', '.join(sorted(rest))}."] if answer.splits and rest else []


def _where(results: Results, splits: Sequence[str]) -> str:
    shifts = {results.split_document(split).get("shift") for split in splits}
    return "Out of distribution" if shifts == {"out_of_distribution"} else "On the test tasks"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _over(answer: Contest) -> str:
    return f" over {len(answer.splits)} splits" if len(answer.splits) > 1 else f" on {answer.splits[0]}"


def _number(answer: Contest, variant: str, brief: bool = False) -> str:
    estimate = dict(answer.entries)[variant]
    seeds = f" (n = {estimate.n})" if not brief else ""
    what = "" if brief else f"{answer.what} "
    return f"{_name(variant)}, {what}{style.interval(estimate.mean, estimate.low, estimate.high)}{seeds}"


def _partial(answer: Contest) -> list[str]:
    """Who takes no part because splits are missing."""
    if not answer.partial:
        return []
    if len(answer.partial) > MOST_LISTED:
        numbers = sorted({number for _, number in answer.partial})
        span = " to ".join(dict.fromkeys(map(str, (numbers[0], numbers[-1]))))
        return [f"Not ranked over all splits: {len(answer.partial)} variants that have {span} of {len(answer.splits)}."]
    listed = ", ".join(f"{_name(v)} ({number} of {len(answer.splits)} splits)" for v, number in answer.partial)
    return [f"Not ranked over all splits: {listed}."]


def _listed(names: Sequence[str], shown: bool = False) -> str:
    texts = list(names) if shown else [_name(name) for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _name(variant: str) -> str:
    return style.look(variant).name
