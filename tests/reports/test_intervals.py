import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports import intervals

# Quantiles of Student's t at 0.975, from a printed table: 1 degree of freedom 12.706, 2: 4.303, 4: 2.776.


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        ([1.0, 3.0], 2.0, 12.706),  # standard error 1
        ([22.5, 32.5, 42.5], 32.5, 4.303 * 10 / math.sqrt(3)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 2.776 * math.sqrt(2.5 / 5)),
        ([4.0, 4.0, 4.0], 4.0, 0.0),
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


def test_the_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(3)
    draws = generator.normal(5.0, 2.0, (4000, 3))
    covered = [e.low <= 5.0 <= e.high for e in map(intervals.student_t, draws)]
    assert 0.94 < np.mean(covered) < 0.96


def test_paired_difference_uses_shared_seeds_only():
    estimate = intervals.paired_difference({0: 5.0, 1: 7.0, 9: 1e6}, {0: 4.0, 1: 4.0, 3: -1e6})
    assert (estimate.mean, estimate.n) == (2.0, 2)  # differences 1 and 3
    assert estimate.high - estimate.mean == pytest.approx(12.706, rel=1e-4)


def test_welch_agrees_with_scipy():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0, 9.0])
    estimate = intervals.welch_difference(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.mean, estimate.n) == (pytest.approx(2.0 - 5.25), 3)


def test_welch_with_one_seed_or_without_scatter():
    assert math.isnan(intervals.welch_difference(np.array([1.0]), np.array([1.0, 2.0])).low)
    same = intervals.welch_difference(np.array([2.0, 2.0]), np.array([1.0, 1.0]))
    assert (same.low, same.high) == (1.0, 1.0)
    assert intervals.welch_difference(np.array([]), np.array([1.0])).n == 0


def test_groups_with_unequal_seeds_keep_their_own_n():
    frame = pd.DataFrame({"variant": ["a", "a", "a", "b"], "value": [1.0, 2.0, 3.0, 9.0]})
    found = intervals.estimates(frame, ["variant"], "value").set_index("variant")
    assert list(found["n"]) == [3, 1]
    assert list(found["mean"]) == [2.0, 9.0]


def test_cautions():
    assert "one seed" in intervals.caution(1)
    assert "fewer than 5 seeds" in intervals.caution(3)
    assert intervals.caution(5) == ""
