import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports import returns
from reports.numbers import intervals

# Quantiles of Student's t at 0.975, from a printed table: 1 degree of freedom 12.706, 2: 4.303, 4: 2.776.


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        ([1.0, 3.0], 2.0, 12.706),  # standard error 1
        ([22.5, 32.5, 42.5], 32.5, 4.303 * 10 / math.sqrt(3)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 2.776 * math.sqrt(2.5 / 5)),
    ],
)
def test_students_interval_by_hand(values, mean, half):
    estimate = intervals.student_t(np.array(values))
    assert estimate.n == len(values)
    assert estimate.mean == pytest.approx(mean)
    assert (estimate.low, estimate.high) == pytest.approx((mean - half, mean + half), abs=0.005)


def test_one_seed_has_a_mean_and_no_interval():
    estimate = intervals.student_t(np.array([7.0]))
    assert (estimate.mean, estimate.n) == (7.0, 1)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_a_failed_seed_lowers_n_and_enters_no_mean():
    estimate = intervals.student_t(np.array([1.0, np.nan, 3.0]))
    assert (estimate.mean, estimate.n) == (2.0, 2)
    assert intervals.student_t(np.array([np.nan])).n == 0


def nested(seeds, trials, generator):
    """Records of many experiments, each a variant: seeds differ, so do their tasks, and so do episodes; truth 0.5."""
    tasks, episodes = 4, 5
    shape = (trials, seeds, tasks, episodes)
    returns = (
        0.5
        + generator.normal(0, 0.15, shape[:2])[..., None, None]
        + generator.normal(0, 0.1, shape[:3])[..., None]
        + generator.normal(0, 0.2, shape)
    )
    variant, seed, task, _ = (place.ravel() for place in np.indices(shape))
    return pd.DataFrame({"variant": variant, "split": "a.b", "task_list": "test", "seed": seed, "task": task,
                         "return": returns.ravel()})  # fmt: skip


def binomial_bounds(trials):
    """How often 95 % intervals may cover in so many trials; one test in five hundred fails by chance."""
    return stats.binom.ppf([0.001, 0.999], trials, 0.95) / trials


@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
def test_on_nested_data_the_interval_covers_as_often_as_it_says(seeds):
    trials = 400
    means = returns.seed_means(nested(seeds, trials, np.random.default_rng(seeds)))
    found = intervals.estimates(means, ["variant"], "value")
    assert set(found["n"]) == {seeds}
    assert set(found["method"]) == {intervals.STUDENT if seeds < 20 else intervals.BOOTSTRAP}
    low, high = binomial_bounds(trials)
    assert low <= np.mean((found["low"] <= 0.5) & (found["high"] >= 0.5)) <= high


def test_episodes_taken_as_runs_make_intervals_that_cover_far_less_than_they_say():
    records = nested(5, 300, np.random.default_rng(5))
    found = [intervals.student_t(part["return"].to_numpy()) for _, part in records.groupby("variant")]
    assert {estimate.n for estimate in found} == {100}
    assert np.mean([estimate.low <= 0.5 <= estimate.high for estimate in found]) < 0.6
    right = intervals.estimates(returns.seed_means(records), ["variant"], "value")
    wrong = np.mean([estimate.high - estimate.low for estimate in found])
    assert np.mean(right["high"] - right["low"]) > 2.5 * wrong


def test_plain_percentiles_of_so_few_seeds_would_cover_too_little():
    generator = np.random.default_rng(8)
    drawn = intervals.resamples((5,))
    covered = {"plain": 0, "expanded": 0}
    for _ in range(400):
        values = generator.normal(0, 1, 5)
        means = drawn.spread(drawn.draws @ values / 5)
        expanded = intervals.bootstrapped(values.mean(), means, (5,))
        covered["expanded"] += expanded.low <= 0 <= expanded.high
        low, high = np.quantile(means, [0.025, 0.975])
        covered["plain"] += low <= 0 <= high
    assert covered["plain"] / 400 < 0.88
    assert covered["expanded"] / 400 > 0.9


def test_the_bootstrap_draws_whole_strata_and_the_same_ones_again():
    drawn = intervals.resamples((3, 2))
    assert drawn.spread(drawn.draws).shape == (intervals.RESAMPLES, 5)
    assert set(drawn.draws[:, :3].sum(axis=1)) == {3.0}
    assert set(drawn.draws[:, 3:].sum(axis=1)) == {2.0}
    assert len(drawn.draws) == 10 * 3  # multisets of three out of three, times those of two out of two
    assert drawn.spread(drawn.draws).mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    intervals.resamples.cache_clear()
    assert (intervals.resamples((3, 2)).which == drawn.which).all()


def test_the_expanded_percentiles_make_a_normal_interval_students():
    # 20 seeds: sqrt(20 / 19) x 2.093 = 2.147 standard deviations of the bootstrap distribution.
    assert intervals.expanded_tail((20,)) == pytest.approx(stats.norm.cdf(-2.1474), rel=1e-3)
    # Strata of 3 and 4 seeds: as the smaller, sqrt(3 / 2), with 2 + 3 degrees of freedom, t = 2.571.
    assert intervals.expanded_tail((3, 4)) == pytest.approx(stats.norm.cdf(-(1.5**0.5) * 2.571), rel=2e-3)
    values = np.random.default_rng(0).normal(10, 2, 40)
    student, bootstrap = intervals.student_t(values), intervals.mean_over_seeds(values)
    assert (bootstrap.mean, bootstrap.n, bootstrap.method) == (student.mean, 40, intervals.BOOTSTRAP)
    assert (bootstrap.low, bootstrap.high) == pytest.approx((student.low, student.high), abs=0.05)


def test_a_resample_without_a_number_is_left_out():
    found = intervals.bootstrapped(1.0, np.array([np.nan, 0.0, 1.0, 2.0] * 100), (5,))
    assert (found.low, found.high) == (0.0, 2.0)
    assert math.isnan(intervals.bootstrapped(1.0, np.full(10, np.nan), (5,)).low)


def by_training(values, name):
    return {f"{name}{number}": value for number, value in enumerate(values)}


def test_a_difference_is_paired_where_a_meta_training_is_shared():
    paired = intervals.difference(
        {"t0": 5.0, "t1": 7.0, "x": math.nan}, {"t0": 4.0, "t1": 4.0, "x": 1.0, "y": math.nan}
    )
    assert (paired.mean, paired.n, paired.method) == (3.0, 2, intervals.PAIRED)
    same = intervals.difference({"t0": 5.0, "t1": 7.0}, {"t0": 4.0, "t1": 4.0})
    assert (same.mean, same.n) == (2.0, 2)
    assert same.high - same.mean == pytest.approx(12.706, rel=1e-4)  # differences 1 and 3
    apart = intervals.difference({"t0": 5.0, "t1": 7.0}, {"u0": 4.0, "u1": 4.0})
    assert (apart.mean, apart.n, apart.method) == (2.0, 2, intervals.WELCH)


def test_a_meta_training_that_one_lacks_counts_for_the_other_and_unpairs_nothing():
    a, b = {"t0": 1.0, "t1": 2.0, "t2": 6.0, "t3": 3.0}, {"t0": 0.5, "t1": 1.9, "t2": 5.0}
    paired, apart = intervals.difference(a, b), intervals.difference(a, by_training(b.values(), "u"))
    assert paired.mean == apart.mean == pytest.approx(3.0 - 7.4 / 3)
    assert paired.high - paired.low < 0.6 * (apart.high - apart.low)
    # Each adds its deviation over sqrt(n (n - 1)), so that of alike numbers of seeds this is the paired interval.
    pulls = np.array([1.0, 2.0, 6.0, 3.0]) - 3.0
    other = np.array([0.5, 1.9, 5.0, 7.4 / 3]) - 7.4 / 3
    error = np.sqrt(np.sum((pulls / np.sqrt(12) - other / np.sqrt(6)) ** 2))
    assert paired.high - paired.mean == pytest.approx(4.303 * error, rel=1e-3)


def test_a_difference_is_shown_where_its_interval_excludes_zero():
    for ends, shown in {(0.1, 2.0): True, (-2.0, -0.1): True, (-1.0, 1.0): False, (0.0, 1.0): False}.items():
        assert intervals.shows_difference(intervals.Estimate(0.5, *ends, 3)) is shown
    assert not intervals.shows_difference(intervals.student_t(np.array([1.0])))


def test_welch_agrees_with_scipy():
    a, b = [1.0, 2.0, 3.0], [2.0, 4.0, 6.0, 9.0]
    estimate = intervals.difference(by_training(a, "t"), by_training(b, "u"))
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.mean, estimate.n) == (pytest.approx(2.0 - 5.25), 3)


def test_a_difference_with_one_seed_has_no_interval_and_none_no_number():
    two = by_training([1.0, 2.0], "u")
    assert math.isnan(intervals.difference({"t0": 1.0}, two).low)
    assert math.isnan(intervals.difference({"u0": 1.0}, two).low)
    assert intervals.difference({}, two) == intervals.difference(two, {"t0": math.nan}) == intervals.NO_ESTIMATE


def test_what_no_seed_changes_has_no_interval_rather_than_one_without_width():
    """Seeds at a ceiling, or alike in every pair, do not show how those to come scatter."""
    ceiling, other = by_training([0.1 + 0.2] * 2, "t"), by_training([0.5, 0.7], "u")
    for values in ([4.0] * 3, [0.1 + 0.2, 0.3], [0.1] * 3, [1e4 / 3] * 7):
        estimate = intervals.student_t(np.array(values))
        assert (math.isnan(estimate.low), estimate.n, estimate.method) == (True, len(values), "")
    for a, b in ((ceiling, by_training([1.0, 1.0], "u")), (other, {name: v - 0.1 for name, v in other.items()})):
        assert not intervals.shows_difference(intervals.difference(a, b))
    assert math.isfinite(intervals.difference(ceiling, other).low), "what one scatters by is known"
    many = intervals.mean_over_seeds(np.full(25, 0.1))
    assert (math.isnan(many.low), many.method) == (True, "")


def test_groups_with_unequal_seeds_keep_their_own_n():
    frame = pd.DataFrame({"variant": ["a", "a", "a", "b"], "value": [1.0, 2.0, 3.0, 9.0]})
    found = intervals.estimates(frame, ["variant"], "value").set_index("variant")
    assert list(found["n"]) == [3, 1]
    assert list(found["mean"]) == [2.0, 9.0]


def test_cautions():
    one, few = intervals.caution([1, 5]), intervals.caution([4, 7])
    assert one.startswith("With one seed")
    assert few.startswith("With fewer than 5 seeds")
    assert intervals.caution([3, 1, 3]) == f"{one} {few}"
    assert intervals.caution([5, 20]) == intervals.caution([]) == ""
