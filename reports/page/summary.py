"""The summary on top of the page: the numbers in sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports import style
from reports.numbers.intervals import PAIRED, Estimate, caution, difference, shows_difference
from reports.numbers.tables import main_table
from reports.page.gain_words import gain_sentence
from reports.results import Results
from reports.returns import gaps


def verdict(results: Results) -> list[str]:
    """The summary, one paragraph per item: what was measured, what it says per split, and how far it carries."""
    table = main_table(results)
    paragraphs = [_coverage(results)]
    seeds = results.seeds
    for split in results.splits:
        said = _split_verdict(split, seeds[seeds["split"] == split])
        paragraphs.append(f"{said}{gain_sentence(results, split)}")
    with_numbers = table[(table["n"] > 0) & ~table["variant"].map(style.is_reference).astype(bool)]
    if len(with_numbers):
        paragraphs.append(caution(with_numbers["n"]))
    return [paragraph for paragraph in paragraphs if paragraph]


def _coverage(results: Results) -> str:
    cells = results.cells
    done = int((cells["status"] == "done").sum())
    counts = cells["status"].value_counts()
    words = {"unsupported": "not supported"}
    rest = ", ".join(
        f"{counts[status]} {words.get(status, status)}" for status in sorted(counts.index) if status != "done"
    )
    variants, splits = cells["variant"].nunique(), cells["split"].nunique()
    text = (
        f"{_count(variants, 'variant')} on {_count(splits, 'split')}: "
        f"{done} of {_count(len(cells), 'cell')} (variant x split x seed) {'has' if done == 1 else 'have'} a result"
    )
    return f"{text} ({rest})." if rest else f"{text}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def _split_verdict(split: str, seeds: pd.DataFrame) -> str:
    """What the numbers of one split say on its test tasks, without more certainty than the seeds carry."""
    test = seeds[(seeds["task_list"] == "test") & np.isfinite(seeds["after"].astype(float))]
    values = {str(v): dict(zip(part["training"], part["after"])) for v, part in test.groupby("variant", sort=True)}
    if not values:
        return f"{split}: no result yet."
    means = {variant: float(np.mean(sorted(by_seed.values()))) for variant, by_seed in values.items()}
    references = _references(means)
    ranked = sorted((v for v in means if not style.is_reference(v)), key=lambda variant: (-means[variant], variant))
    if not ranked:
        return f"{split}: no result yet.{references}"
    best = ranked[0]
    listed = ", ".join(f"{_name(v)} {style.number(means[v])} (n = {len(values[v])})" for v in ranked)
    text = f"{split}, return after adaptation on the test tasks: {listed}.{references}"
    if len(ranked) > 1:
        text += " " + _comparison(best, ranked[1], difference(values[best], values[ranked[1]]))
    return text + _gap_sentence(best, seeds)


def _references(means: dict[str, float]) -> str:
    """A sentence on the references among the variants, which are compared with none; empty where there are none."""
    names = [variant for variant in style.ordered(means) if style.is_reference(variant)]
    listed = ", ".join(f"{_name(v)} {style.number(means[v])}" for v in names)
    return f" To read them by: {listed}." if listed else ""


def _comparison(first: str, second: str, estimate: Estimate) -> str:
    """How the highest mean compares with the next, in words that n allows."""
    places = style.decimals(estimate.mean, estimate.low, estimate.high)
    names = f"{_name(first)} minus {_name(second)} is {style.number(estimate.mean, places)}"
    if not math.isfinite(estimate.low):
        why = "with one seed" if estimate.n < 2 else "with seeds that do not scatter"
        return f"{names}; {why} this says nothing about whether it would repeat."
    how = "paired over shared meta-trainings" if estimate.method == PAIRED else "Welch, seeds independent"
    ends = f"{style.number(estimate.low, places)} to {style.number(estimate.high, places)}"
    if shows_difference(estimate):
        reading = "excludes zero; it is not corrected for having picked the best of several variants"
    else:
        reading = "includes zero, so these seeds do not separate the two"
    return f"{names}; the 95 % interval of that difference, {ends} ({how}, n = {estimate.n}), {reading}."


def _gap_sentence(variant: str, seeds: pd.DataFrame) -> str:
    frame = gaps(seeds)
    values = frame.loc[frame["variant"] == variant, "gap"].to_numpy(dtype=float)
    values = np.sort(values[np.isfinite(values)])
    if len(values) == 0:
        return ""
    mean = float(np.mean(values))
    side = "lower" if mean >= 0 else "higher"
    return (
        f" {_name(variant)}'s return is {style.number(abs(mean))} {side} on test than on test_id, tasks of the "
        f"training distribution (n = {len(values)})."
    )


def _name(variant: str) -> str:
    return style.look(variant).name
