"""The studentized range against scipy's, which is right and slow, and against a printed table."""

import pytest
from scipy import special, stats

from reports.numbers import intervals, studentized


@pytest.mark.parametrize(("number", "freedom"), [(2, 4), (3, 1), (3, 2), (8, 1), (8, 4), (18, 4), (18, 300)])
def test_it_is_scipys(number, freedom):
    expected = stats.studentized_range.ppf(0.95, number, freedom)
    assert studentized.quantile(number, freedom, 0.95) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("number", "freedom", "printed"), [(3, 10, 3.877), (8, 10, 5.305), (5, 20, 4.232)])
def test_it_is_that_of_printed_tables(number, freedom, printed):
    assert studentized.quantile(number, freedom, 0.95) == pytest.approx(printed, abs=0.001)


def test_of_two_a_difference_is_held_against_students_t():
    assert intervals.critical(2.5) == pytest.approx(special.stdtrit(2.5, 0.975))
    assert intervals.critical(2.5, intervals.Rivals(2, 1), shared=True) == intervals.critical(2.5)


def test_of_more_against_the_range_and_where_meta_trainings_are_shared_against_all_pairs_that_do():
    rivals = intervals.Rivals(18, 1)
    assert intervals.critical(4, rivals) == pytest.approx(6.383, abs=0.001)
    assert intervals.critical(4.7, rivals) == intervals.critical(4, rivals), "the fewer degrees of freedom"
    assert intervals.critical(4 - 1e-12, rivals) == intervals.critical(4, rivals)
    assert intervals.critical(4, rivals, shared=True) == intervals.critical(4, rivals), "one such pair costs nothing"
    all_share = intervals.Rivals(8, 28)
    assert intervals.critical(4, all_share, shared=True) == pytest.approx(stats.t.ppf(1 - 0.025 / 28, 4))
    assert intervals.critical(4, all_share) == pytest.approx(5.195, abs=0.001)


def test_rivals_are_counted_with_the_pairs_that_share_a_meta_training():
    assert intervals.rivals([("a", "b"), ("b", "c"), {"c": 1.0}, ("d",)]) == (4, 2)
