import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.numbers import aggregates, intervals, samples
from reports.reading.load import load


def rows(scores, split="a.b", first=0, name="t"):
    """One variant on one split: scores (seed, task)."""
    return pd.DataFrame([
        {"split": split, "training": f"{name}{first + seed}", "seed": first + seed, "task": task, "score": score}
        for seed, tasks in enumerate(scores) for task, score in enumerate(tasks)
    ])  # fmt: skip


def values(frame):
    held = samples.sample_of(frame)
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
    # Leaving one of two seeds out leaves the other: IQMs of 0.2 and 0.8, medians of 0.2 and 0.8.
    for name in ("IQM", "median"):
        assert found[name].high - found[name].mean == pytest.approx(12.706 * 0.3, rel=1e-4)
        assert found[name].method == intervals.JACKKNIFE
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
    held = samples.sample_of(frame)
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
    held = samples.sample_of(rows(scores))
    drawn = intervals.resamples((4,))
    expected = []
    for draw in drawn.draws:
        again = np.repeat(scores, draw.astype(int), axis=0)
        expected.append(stats.trim_mean(np.repeat(again.ravel(), 4), 0.25))
    assert aggregates.distribution(held, "IQM") == pytest.approx(drawn.spread(np.array(expected)))


def test_strata_are_drawn_as_scipys_bootstrap_draws_them():
    generator = np.random.default_rng(3)
    a, b = generator.normal(0, 1, (12, 4)), generator.normal(1, 3, (9, 4))
    held = samples.sample_of(pd.concat([rows(a), rows(b, split="c.d", name="u")]))

    def both(x, y, axis):
        return (a[x].mean(axis=(-1, -2)) + b[y].mean(axis=(-1, -2))) / 2

    places = (np.arange(12), np.arange(9))
    theirs = stats.bootstrap(places, both, n_resamples=10_000, method="percentile", vectorized=True, rng=generator)
    ours = np.quantile(aggregates.distribution(held, "mean"), [0.025, 0.975])
    assert ours == pytest.approx(list(theirs.confidence_interval), abs=0.03)
    assert np.std(aggregates.distribution(held, "mean")) == pytest.approx(theirs.standard_error, rel=0.03)


def test_twenty_seeds_of_scores_have_a_bootstraps_interval():
    scores = 0.5 + np.random.default_rng(20).normal(0, 0.15, (20, 4))
    found = values(rows(scores))
    assert {estimate.method for estimate in found.values()} == {intervals.BOOTSTRAP}
    expected = aggregates.estimate(samples.sample_of(rows(scores[:19])), "IQM")
    width = found["IQM"].high - found["IQM"].low
    assert width == pytest.approx(expected.high - expected.low, rel=0.25)


def test_the_jackknife_of_a_mean_is_students_interval():
    scores = np.random.default_rng(5).normal(0.5, 0.4, (4, 3))
    found = values(rows(scores))["mean"]
    expected = intervals.student_t(scores.mean(axis=1))
    assert found[:4] == pytest.approx(expected[:4])


@pytest.mark.parametrize("name", ["mean", "optimality gap"])
def test_the_difference_of_linear_statistics_is_welchs_or_paired(name):
    generator = np.random.default_rng(6)
    a, b = generator.normal(0.5, 0.1, (3, 2)), generator.normal(0.4, 0.3, (5, 2))
    first, second, same = (samples.sample_of(rows(x, name=n)) for x, n in ((a, "t"), (b, "u"), (b[:3], "t")))
    of_seed = [(x if name == "mean" else np.maximum(1 - x, 0)).mean(axis=1) for x in (a, b)]
    welch = stats.ttest_ind(*of_seed, equal_var=False).confidence_interval()
    found = aggregates.difference(first, second, name)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    paired = stats.ttest_rel(of_seed[0], of_seed[1][:3]).confidence_interval()
    found = aggregates.difference(first, same, name)
    assert (found.low, found.high) == pytest.approx((paired.low, paired.high))
    one, two, three = (
        dict(zip((f"{n}{seed}" for seed in range(9)), v)) for n, v in zip("tut", (*of_seed, of_seed[1][:2]))
    )
    lacking = samples.sample_of(rows(b[:2], name="t"))
    rivals = intervals.Rivals(8, 3)
    for other, values in ((second, two), (lacking, three)):
        found, expected = aggregates.difference(first, other, name, rivals), intervals.difference(one, values, rivals)
        assert found[:4] == pytest.approx(expected[:4]), "one rule, whatever is shared"


def test_a_statistic_that_does_not_see_how_seeds_differ_has_no_interval():
    # The middle half is 0.5 whatever is left out; the seeds differ in their worst task alone.
    scores = np.full((3, 8), 0.5)
    scores[:, 0] = (0.1, 0.2, 0.3)
    found = values(rows(scores))
    assert found["IQM"].mean == 0.5
    assert math.isnan(found["IQM"].low)
    assert found["IQM"].method == ""
    assert found["mean"].low < found["mean"].high
    for estimate in values(rows([[0.5, 0.7]] * 3)).values():
        assert math.isnan(estimate.low), "seeds that are alike do not show how others scatter"
    gap = values(rows([[1.1, 1.2], [1.3, 1.0]]))["optimality gap"]
    assert (gap.mean, math.isnan(gap.low), gap.n, gap.method) == (0.0, True, 2, ""), "all above what is asked for"
    blind = values(rows(np.tile(scores, (7, 1))))["IQM"]
    assert (math.isnan(blind.low), blind.n) == (True, 21), "nor has the bootstrap"


def test_the_difference_of_shared_meta_trainings_is_paired():
    scores = np.random.default_rng(4).normal(0, 1, (6, 3))
    shifted = scores + np.linspace(0.09, 0.11, 6)[:, None]
    first, second = (samples.sample_of(rows(held)) for held in (shifted, scores))
    paired = aggregates.difference(first, second, "IQM")
    assert 0.05 < paired.low < paired.high < 0.15
    apart = aggregates.difference(first, samples.sample_of(rows(scores, name="u")), "IQM")
    assert apart.mean == paired.mean == pytest.approx(0.1, abs=0.02)
    # Independent variances add up: about twice that of one, with about ten degrees of freedom.
    one = aggregates.estimate(first, "IQM")
    error = (one.high - one.low) / 2 / stats.t.ppf(0.975, 5)
    assert (apart.high - apart.low) / 2 == pytest.approx(stats.t.ppf(0.975, 10) * math.sqrt(2) * error, rel=0.05)


def test_one_meta_training_more_unpairs_nothing():
    scores = np.random.default_rng(7).normal(0, 1, (6, 3))
    first, second = (samples.sample_of(rows(x)) for x in (scores + 0.1, scores[:5]))
    paired = aggregates.difference(first, second, "mean")
    apart = aggregates.difference(first, samples.sample_of(rows(scores[:5], name="u")), "mean")
    assert paired.high - paired.low < 0.6 * (apart.high - apart.low)
    assert paired.n == 5


def test_the_profile_by_hand(golden):
    # Scores from 515 / 400 to 550 / 400: above every threshold.
    profile = aggregates.profiles(load(golden))
    assert len(profile) == len(aggregates.THRESHOLDS)
    assert np.allclose(profile["mean"], 1.0)
    held = samples.sample_of(rows([[0.0, 0.4], [0.2, 1.4]]))
    found = aggregates.profile(held, np.array([0.0, 0.3, 1.0]))
    assert list(found["mean"]) == [0.75, 0.5, 0.25]  # strictly above
    for row in found.itertuples():
        theirs = stats.binomtest(round(4 * row.mean), 4).proportion_ci(method="wilson")
        assert theirs.low < theirs.high < row.high or row.mean < 0.5, "of two seeds, not of four scores"
        assert (row.low, row.high) == intervals.wilson(row.mean, 2)
    two = pd.concat([rows([[0.0, 0.4], [0.2, 1.4]]), rows([[0.5], [0.6], [0.1]], "c.d", name="u")])
    pooled = aggregates.profile(samples.sample_of(two), np.array([0.3]))
    assert pooled.loc[0, "mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    expected = intervals.wilson(pooled.loc[0, "mean"], 1 / (1 / 4 / 2 + 1 / 4 / 3))  # splits of their own seeds add up
    assert (pooled.loc[0, "low"], pooled.loc[0, "high"]) == pytest.approx(expected)
    lone = aggregates.profile(samples.sample_of(rows([[0.0, 0.4]])), np.array([0.3]))
    assert np.isnan(lone["low"]).all()
