import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.numbers import aggregates, intervals
from reports.reading.load import load


def rows(scores, split="a.b", first=0, name="t"):
    """One variant on one split: scores (seed, task)."""
    return pd.DataFrame([
        {"split": split, "training": f"{name}{first + seed}", "seed": first + seed, "task": task, "score": score}
        for seed, tasks in enumerate(scores) for task, score in enumerate(tasks)
    ])  # fmt: skip


def values(frame):
    held = aggregates.sample_of(frame)
    return {name: aggregates.estimate(held, name) for name in aggregates.STATISTICS}


GOLDEN = rows([[0.0, 0.4], [0.2, 1.4]])


def test_the_golden_numbers():
    found = {name: estimate.mean for name, estimate in values(GOLDEN).items()}
    assert found == {
        "mean": pytest.approx(0.5),
        "median": pytest.approx(0.5),  # of 0.1 and 0.9, the tasks' means over seeds
        "IQM": pytest.approx(0.3),  # of 0.2 and 0.4, the middle two of four
        "optimality gap": pytest.approx(0.6),  # (1 + 0.6 + 0.8 + 0) / 4: what is above 1 makes up for nothing
    }


def test_the_golden_intervals():
    found = values(GOLDEN)
    # Seeds 0.2 and 0.8: standard error 0.3; t(0.975, 1) = 12.706. Gaps of 0.8 and 0.4: standard error 0.2.
    assert found["mean"].high - 0.5 == pytest.approx(12.706 * 0.3, rel=1e-4)
    assert found["optimality gap"].high - 0.6 == pytest.approx(12.706 * 0.2, rel=1e-4)
    assert {found[name].method for name in ("mean", "optimality gap")} == {intervals.STUDENT}
    # Draws of whole seeds: the first twice (IQM 0.2), each once (0.3), the second twice (0.8).
    assert (found["IQM"].low, found["IQM"].high) == pytest.approx((0.2, 0.8))
    # The median over tasks of the means over seeds: 0.2, 0.5, 0.8.
    assert (found["median"].low, found["median"].high) == pytest.approx((0.2, 0.8))
    assert {found[name].method for name in ("IQM", "median")} == {intervals.BOOTSTRAP}
    assert {estimate.n for estimate in found.values()} == {2}


def test_one_seed_has_numbers_and_no_interval():
    for estimate in values(rows([[0.0, 0.4, 0.5]])).values():
        assert math.isfinite(estimate.mean)
        assert math.isnan(estimate.low)
        assert (estimate.n, estimate.method) == (1, "")


def test_splits_weigh_the_same_whatever_their_tasks_and_seeds():
    frame = pd.concat([rows([[0.0] * 5] * 3), rows([[1.0], [0.5]], split="c.d", name="u")])
    found = values(frame)
    assert found["mean"].mean == pytest.approx((0 + 0.75) / 2)
    assert found["IQM"].mean == pytest.approx(0.25)  # half of the middle half is 0, half of it 0.5
    assert found["median"].mean == pytest.approx((0 + 0.75) / 2)
    assert found["mean"].n == 2


def test_the_mean_over_splits_has_the_interval_of_independent_means():
    frame = pd.concat([rows([[1.0], [3.0], [5.0]]), rows([[2.0], [8.0]], split="c.d", name="u")])
    estimate = values(frame)["mean"]
    # Variances of the two means: 4 / 3 and 18 / 2, a quarter of each counts; degrees of freedom by Satterthwaite.
    parts = np.array([4 / 3, 9.0]) / 4
    freedom = parts.sum() ** 2 / (parts**2 / np.array([2, 1])).sum()
    assert estimate.mean == 4.0
    assert estimate.high - 4 == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(parts.sum()))
    assert estimate.method == intervals.COMBINED


def test_splits_that_share_meta_trainings_are_one_stratum():
    frame = pd.concat([rows([[1.0], [3.0]]), rows([[10.0], [30.0]], split="c.d"), rows([[0.0]], split="e.f", name="u")])
    held = aggregates.sample_of(frame)
    assert held.sizes == (2, 1)
    assert held.trainings == ("t0", "t1", "u0")
    shared = values(frame[frame["split"] != "e.f"])["mean"]
    # Per meta-training 5.5 and 16.5: a standard error of 5.5, not that of two independent means.
    assert (shared.mean, shared.high - 11) == (11.0, pytest.approx(12.706 * 5.5, rel=1e-4))


def test_a_seed_that_lacks_a_split_counts_where_it_has_results():
    frame = pd.concat([rows([[1.0], [3.0], [8.0]]), rows([[10.0], [30.0]], split="c.d")])
    found = values(frame)
    assert found["mean"].mean == pytest.approx((4 + 20) / 2)
    assert found["mean"].n == 2
    assert math.isfinite(found["IQM"].low)


@pytest.mark.parametrize("shape", [(3, 4), (5, 7), (2, 1)])
def test_by_brute_force_on_one_split(shape):
    scores = np.random.default_rng(1).normal(0.5, 0.4, shape)
    found = values(rows(scores))
    assert found["mean"].mean == pytest.approx(scores.mean())
    assert found["median"].mean == pytest.approx(np.median(scores.mean(axis=0)))
    assert found["optimality gap"].mean == pytest.approx(np.mean(1 - np.minimum(scores, 1)))
    # Four copies of each score make the number divisible by four, as scipy cuts off whole scores only.
    assert found["IQM"].mean == pytest.approx(stats.trim_mean(np.repeat(scores.ravel(), 4), 0.25))


def test_every_resample_by_brute_force():
    scores = np.random.default_rng(2).normal(0.5, 0.4, (4, 3))
    held = aggregates.sample_of(rows(scores))
    drawn = intervals.resamples((4,))
    expected = []
    for draw in drawn.draws:
        again = np.repeat(scores, draw.astype(int), axis=0)
        expected.append(stats.trim_mean(np.repeat(again.ravel(), 4), 0.25))
    assert aggregates.distribution(held, "IQM") == pytest.approx(drawn.spread(np.array(expected)))


def test_strata_are_drawn_as_scipys_bootstrap_draws_them():
    generator = np.random.default_rng(3)
    a, b = generator.normal(0, 1, (12, 4)), generator.normal(1, 3, (9, 4))
    held = aggregates.sample_of(pd.concat([rows(a), rows(b, split="c.d", name="u")]))

    def both(x, y, axis):
        return (a[x].mean(axis=(-1, -2)) + b[y].mean(axis=(-1, -2))) / 2

    places = (np.arange(12), np.arange(9))
    theirs = stats.bootstrap(places, both, n_resamples=10_000, method="percentile", vectorized=True, rng=generator)
    ours = np.quantile(aggregates.distribution(held, "mean"), [0.025, 0.975])
    assert ours == pytest.approx(list(theirs.confidence_interval), abs=0.03)
    assert np.std(aggregates.distribution(held, "mean")) == pytest.approx(theirs.standard_error, rel=0.03)


@pytest.mark.parametrize("seeds", [10, 20])
def test_the_iqms_interval_covers_as_often_as_it_says(seeds):
    generator = np.random.default_rng(seeds)
    trials = 150
    covered = 0
    for _ in range(trials):
        scores = 0.5 + generator.normal(0, 0.15, (seeds, 1)) + generator.normal(0, 0.2, (seeds, 4))
        estimate = aggregates.estimate(aggregates.sample_of(rows(scores)), "IQM")
        covered += estimate.low <= 0.5 <= estimate.high
    low, high = stats.binom.ppf([0.001, 0.999], trials, 0.95)
    assert low <= covered <= high


def test_the_difference_of_shared_meta_trainings_is_paired():
    scores = np.random.default_rng(4).normal(0, 1, (6, 3))
    first, second = (aggregates.sample_of(rows(held)) for held in (scores + 0.1, scores))
    paired = aggregates.difference(first, second, "IQM")
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))
    other = aggregates.sample_of(rows(scores, name="u"))
    apart = aggregates.difference(first, other, "IQM")
    assert apart.mean == pytest.approx(0.1)
    assert apart.low < -0.3
    assert apart.high > 0.5
    # Independent variances add up.
    spread = np.var(aggregates.distribution(first, "IQM"))
    assert (apart.high - apart.low) / 2 == pytest.approx(2.2 * math.sqrt(2 * spread), rel=0.2)


def test_the_profile_by_hand(golden):
    # Scores from 515 / 400 to 550 / 400: above every threshold.
    profile = aggregates.profiles(load(golden))
    assert len(profile) == len(aggregates.THRESHOLDS)
    assert np.allclose(profile["mean"], 1.0)
    held = aggregates.sample_of(rows([[0.0, 0.4], [0.2, 1.4]]))
    found = aggregates._profile(held, np.array([0.0, 0.3, 1.0]))
    assert list(found["mean"]) == [0.75, 0.5, 0.25]  # strictly above
    assert list(found["low"]) == [0.5, 0.5, 0.0]
    assert list(found["high"]) == [1.0, 0.5, 0.5]
