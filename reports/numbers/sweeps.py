"""Sweeps over hyper-parameters (`axes:` of an experiment; the paper's Table 3): combinations, and effects of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.numbers.cell_text import cell_text
from reports.numbers.intervals import Estimate, mean_over_seeds
from reports.numbers.marking import marked_by_results
from reports.results import Results, named_rows

KEPT = 16

INCOMPLETE = "no seed has a result of every combination"

EFFECTS = ["variant", "factor", "level", *Estimate._fields]


class Sweep(NamedTuple):
    """The grid of one algorithm: its label, the values of each factor, and those of each variant by its label."""

    label: str
    factors: dict[str, list[str]]
    variants: dict[str, dict[str, str]]


@lru_cache(maxsize=KEPT)
def sweeps(results: Results) -> tuple[Sweep, ...]:
    """Every sweep that an experiment declares and all of whose combinations are variants of the results."""
    variants = set(results.cells["variant"])
    listed: dict[str, Sweep] = {}
    for _, experiment in sorted(results.experiments.items()):
        for sweep in _declared(experiment.get("axes") or {}, len(variants)):
            if len(sweep.variants) > 1 and sweep.variants.keys() <= variants:
                listed.setdefault(sweep.label, sweep)
    return tuple(listed.values())


def _declared(axes: dict[str, list[object]], most: int) -> Iterator[Sweep]:
    """The sweeps that axes (`label.train.field` or `label.adapt.field` to values) declare, of at most so many variants.

    Labels of variants are made as an experiment's expansion makes them: `label field=value field=value`.
    """
    factors: dict[str, dict[str, list[str]]] = {}
    for key, values in axes.items():
        stem, _, field = key.rpartition(".")
        factors.setdefault(stem.rpartition(".")[0], {})[field] = [str(value) for value in values]
    for label, levels in factors.items():
        if math.prod(map(len, levels.values())) > most:
            continue
        combinations = [dict(zip(levels, values)) for values in product(*levels.values())]
        named = {" ".join([label, *(f"{name}={value}" for name, value in one.items())]): one for one in combinations}
        yield Sweep(label, levels, named)


@lru_cache(maxsize=KEPT)
def by_training(results: Results, split: str) -> dict[tuple[str, str, str], dict[str, float]]:
    """The return of each seed on `test` at each value of each factor, a mean over the values of all others.

    By label, factor and value, then by the hashes of the meta-trainings behind it: values of a factor of adaptation
    share theirs, those of a factor of training have their own. A seed counts where it has a result of every
    combination, so that all values of a factor are compared on the same values of the others.
    """
    means = {}
    for sweep in sweeps(results):
        returns, trainings = (_by_seed(results, sweep, split, column) for column in ("after", "training"))
        returns = returns.astype(float).dropna()
        for factor, levels in sweep.factors.items():
            for level in levels:
                at = [name for name, values in sweep.variants.items() if values[factor] == level]
                keys = [" ".join(sorted({*hashes})) for hashes in trainings.loc[returns.index, at].to_numpy()]
                means[sweep.label, factor, level] = dict(zip(keys, returns[at].mean(axis=1)))
    return means


@lru_cache(maxsize=KEPT)
def effects(results: Results, split: str) -> pd.DataFrame:
    """The mean over seeds of `by_training`: variant (the algorithm), factor, level, mean, low, high, n, method."""
    means = by_training(results, split)
    rows = [(*key, *mean_over_seeds(np.array([*numbers.values()]))) for key, numbers in means.items()]
    return pd.DataFrame(rows, columns=EFFECTS).astype({"n": int})


def _by_seed(results: Results, sweep: Sweep, split: str, column: str) -> pd.DataFrame:
    """A column of the seeds' results on `test`, of each combination (columns) with each seed (rows)."""
    seeds = results.seeds
    rows = seeds[(seeds["split"] == split) & (seeds["task_list"] == "test") & seeds["variant"].isin(sweep.variants)]
    return rows.pivot(index="seed", columns="variant", values=column).reindex(columns=list(sweep.variants))


def combination_means(results: Results, split: str) -> pd.DataFrame:
    """The mean of every combination, once for each factor: what its effects average.

    Columns: variant (of what algorithm), factor, level, combination, mean.
    """
    rows = [
        (sweep.label, factor, values[factor], name, mean)
        for sweep in sweeps(results)
        for name, mean in _by_seed(results, sweep, split, "after").astype(float).mean().items()
        for values in [sweep.variants[str(name)]]
        for factor in sweep.factors
        if np.isfinite(mean)
    ]
    return pd.DataFrame(rows, columns=["variant", "factor", "level", "combination", "mean"])


@lru_cache(maxsize=KEPT)
def factor_table(results: Results) -> pd.DataFrame:
    """What each value of each factor of a sweep returns on test (`effects`), as cells (the paper's Table 3).

    Columns: variant (`label factor=value`), algorithm, factor, level, mean, low, high, n, method, split, text, best,
    tied: of the values of a factor.
    """
    frames = [effects(results, split).assign(split=split) for split in results.splits]
    table = pd.concat(frames, ignore_index=True).rename(columns={"variant": "algorithm"})
    names = [f"{row.algorithm} {row.factor}={row.level}" for row in named_rows(table)]
    table.insert(0, "variant", pd.Series(names, dtype=object))
    table["text"] = [
        cell_text(Estimate(row.mean, row.low, row.high, row.n), row.n, "" if row.n else INCOMPLETE)
        for row in named_rows(table)
    ]

    def of_cell(row: Any) -> dict[str, float]:
        return by_training(results, row.split)[row.algorithm, row.factor, row.level]

    return marked_by_results(table, ["split", "algorithm", "factor"], of_cell)
