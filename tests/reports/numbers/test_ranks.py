"""Average ranks: by hand, against a jackknife that is computed anew, and how often their intervals cover."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.numbers.common import COMMON_SPLITS
from reports.numbers.ranks import average_rank, average_ranks
from reports.reading.load import load

FIELDS = ["mean", "low", "high"]


def table(values, name):
    """Returns on one split of meta-trainings of their own, (meta-training, task)."""
    return {"a.b": pd.DataFrame(values, index=[f"{name}{seed}" for seed in range(len(values))])}


def ranks_anew(tables, left_out):
    """The rank of the first variant without one meta-training, by counting."""
    parts = {name: of["a.b"].drop(index=left_out, errors="ignore").to_numpy() for name, of in tables.items()}
    first, *others = parts.values()
    worse = [((o[:, None] > first[None]) + 0.5 * (o[:, None] == first[None])).mean() for o in others]
    return 1 + sum(worse)


def test_by_hand_ties_share_their_rank():
    tables = {"x": table([[3.0, 1.0]], "x"), "y": table([[2.0, 1.0]], "y"), "z": table([[1.0, 2.0]], "z")}
    ranks = [average_rank(name, tables, ["a.b"]).mean for name in tables]
    assert ranks == pytest.approx([(1 + 2.5) / 2, (2 + 2.5) / 2, (3 + 1) / 2])
    assert sum(ranks) == pytest.approx(1 + 2 + 3)


def test_the_interval_is_that_of_leaving_one_out_after_the_other():
    generator = np.random.default_rng(0)
    tables = {name: table(generator.normal(level, 1, (n, 4)), name) for name, level, n in (("x", 0.3, 4), ("y", 0, 5))}
    estimate = average_rank("x", tables, ["a.b"])
    assert estimate.mean == pytest.approx(ranks_anew(tables, []))
    variances = []
    for of in tables.values():
        trainings = list(of["a.b"].index)
        left_out = np.array([ranks_anew(tables, [training]) for training in trainings])
        variances.append(left_out.var() * (len(trainings) - 1))
    half = stats.t.ppf(0.975, 3) * np.sqrt(sum(variances))  # the fewest seeds are four
    assert (estimate.low, estimate.high) == pytest.approx((max(1, estimate.mean - half), min(2, estimate.mean + half)))
    assert estimate.n == 4


def test_shared_meta_trainings_are_drawn_together():
    generator = np.random.default_rng(1)
    values = generator.normal(0, 1, (5, 1)) + generator.normal(0, 0.1, (2, 5, 6))
    shared = {name: table(part, "t") for name, part in zip("xy", values)}
    apart = {name: table(part, name) for name, part in zip("xy", values)}
    narrow, wide = (average_rank("x", tables, ["a.b"]) for tables in (shared, apart))
    assert narrow.mean == wide.mean
    assert narrow.high - narrow.low < wide.high - wide.low


def test_who_is_always_first_has_no_interval_and_neither_has_one_seed():
    always = {"x": table([[9.0], [8.0]], "x"), "y": table([[1.0], [2.0]], "y")}
    lone = {"x": table([[1.0, 3.0]], "x"), "y": table([[2.0, 0.0]], "y")}
    for tables, rank in ((always, 1.0), (lone, 1.5)):
        estimate = average_rank("x", tables, ["a.b"])
        assert (estimate.mean, estimate.method) == (rank, "")
        assert np.isnan(estimate.low)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_cover_the_rank_of_an_algorithm_among_equals(seeds):
    generator, trials = np.random.default_rng(seeds), 150
    covered = 0
    for _ in range(trials):
        scores = generator.normal(0, 1, (4, seeds, 1)) + generator.normal(0, 1, (4, seeds, 6))
        estimate = average_rank("a", {name: table(part, name) for name, part in zip("abcd", scores)}, ["a.b"])
        covered += estimate.low <= 2.5 <= estimate.high
    assert covered / trials >= stats.binom.ppf(0.001, trials, 0.93) / trials


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_cover_the_rank_of_the_first_of_eight(seeds):
    generator, trials, levels = np.random.default_rng(seeds), 150, np.linspace(2, 0, 8)
    rank = 1 + stats.norm.cdf((levels[1:] - levels[0]) / 2).sum()  # a difference of two seeds in a task has variance 4
    covered = 0
    for _ in range(trials):
        scores = generator.normal(0, 1, (8, seeds, 1)) + generator.normal(0, 1, (8, seeds, 6)) + levels[:, None, None]
        estimate = average_rank("a", {name: table(part, name) for name, part in zip("abcdefgh", scores)}, ["a.b"])
        covered += estimate.low <= rank <= estimate.high
    assert covered / trials >= stats.binom.ppf(0.001, trials, 0.93) / trials


def test_over_all_splits_only_those_that_have_each_are_ranked(tmp_path, synthetic):
    for split, variants in (("cheetah-velocity.hard", "mier pearl grbal"), ("ant-goal.far", "mier pearl")):
        for place, variant in enumerate(variants.split()):
            for seed in (0, 1):
                synthetic.simple_run(tmp_path, variant, seed, test=[[10.0 * place + seed]], split=split,
                                     training=f"{variant}{split}{seed}")  # fmt: skip
    results = load(tmp_path)
    assert list(average_ranks(results, "all splits")["variant"]) == ["mier", "pearl"]
    one = average_ranks(results, "cheetah-velocity.hard").set_index("variant")["mean"]
    assert one.to_dict() == {"mier": 3.0, "pearl": 2.0, "grbal": 1.0}
    common = average_ranks(results, COMMON_SPLITS).set_index("variant")["mean"]
    assert common.to_dict() == one.to_dict()
