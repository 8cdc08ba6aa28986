"""Which variant does best on the test tasks over all splits, and of which others the seeds set it off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

from reports import style
from reports.numbers import aggregates, tables
from reports.numbers.intervals import Estimate, Rivals, difference, rivals, shows_difference
from reports.numbers.scores import scored_splits
from reports.results import Results, named_rows

KEPT = 4


class Contest(NamedTuple):
    """The variants that have a result on every split that counts, references aside, the best first.

    Attributes:
        what: The number that is compared: "mean score" or "return".
        splits: The splits that it is over.
        entries: Each variant with its number, in descending order.
        tied: Those, the first aside, that the seeds do not show to do worse than the first; all comparisons with it
            hold together at the level of one interval. Empty without intervals.
        partial: Variants with results on some of the splits only, and on how many.
    """

    what: str
    splits: tuple[str, ...]
    entries: tuple[tuple[str, Estimate], ...]
    tied: tuple[str, ...]
    partial: tuple[tuple[str, int], ...]

    @property
    def is_decided_by_seeds(self) -> bool:
        """Whether the first has an interval, without which nothing is said of differences."""
        return bool(self.entries) and isfinite(self.entries[0][1].low)


@lru_cache(maxsize=KEPT)
def contest(results: Results) -> Contest:
    """Who does best: by the mean score over all splits with a scale, or by the return on a single one without."""
    splits = tuple(scored_splits(results))
    if splits:
        return _by_score(results, splits)
    on_one = sorted(results.records["split"].unique())
    return _by_return(results, on_one[0]) if len(on_one) == 1 else Contest("", tuple(on_one), (), (), ())


def _by_score(results: Results, splits: tuple[str, ...]) -> Contest:
    samples = aggregates.samples(results)
    number_of = {
        variant: sum((variant, split) in samples for split in splits)
        for variant in style.ordered(name for name, _ in samples)
        if not style.is_reference(variant)
    }
    where = aggregates.ALL_SPLITS if len(splits) > 1 else splits[0]
    entries = [(v, aggregates.estimate(samples[v, where], "mean")) for v, n in number_of.items() if n == len(splits)]

    def compared(a: str, b: str, among: Rivals) -> Estimate:
        return aggregates.difference(samples[a, where], samples[b, where], "mean", among)

    partial = tuple((variant, number) for variant, number in number_of.items() if number < len(splits))
    return _contest("mean score", splits, entries, lambda name: samples[name, where].trainings, compared, partial)


def _by_return(results: Results, split: str) -> Contest:
    table = tables.main_table(results)
    rows = [
        row for row in named_rows(table) if row.task_list == "test" and row.n and not style.is_reference(row.variant)
    ]
    entries = [(row.variant, Estimate(row.mean, row.low, row.high, row.n, row.method)) for row in rows]
    seeds = results.seeds[results.seeds["task_list"] == "test"]
    values = {str(v): dict(zip(part["training"], part["after"])) for v, part in seeds.groupby("variant", sort=True)}

    def compared(a: str, b: str, among: Rivals) -> Estimate:
        return difference(values[a], values[b], among)

    return _contest("return", (split,), entries, lambda name: values[name], compared, ())


def _contest(
    what: str,
    splits: tuple[str, ...],
    entries: list[tuple[str, Estimate]],
    trainings: Callable[[str], Iterable[str]],
    compared: Callable[[str, str, Rivals], Estimate],
    partial: tuple[tuple[str, int], ...],
) -> Contest:
    ranked = tuple(sorted(entries, key=lambda entry: -entry[1].mean))
    tied: list[str] = []
    if ranked and isfinite(ranked[0][1].low):
        first, among = ranked[0][0], rivals(trainings(name) for name, _ in ranked)
        tied = [name for name, _ in ranked[1:] if not shows_difference(compared(first, name, among))]
    return Contest(what, splits, ranked, tuple(tied), partial)
