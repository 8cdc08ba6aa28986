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
    assert intervals.critical(2.5, 2, shared=True) == intervals.critical(2.5)


def test_of_more_against_the_range_and_where_meta_trainings_are_shared_against_all_pairs():
    assert intervals.critical(4, 18) == pytest.approx(6.383, abs=0.001)
    assert intervals.critical(4.7, 18) == intervals.critical(4, 18), "the fewer degrees of freedom"
    assert intervals.critical(4 - 1e-12, 18) == intervals.critical(4, 18)
    assert intervals.critical(4, 8, shared=True) == pytest.approx(stats.t.ppf(1 - 0.025 / 28, 4))
