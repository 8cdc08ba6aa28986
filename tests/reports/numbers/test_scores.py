"""Scores are 0 and 1 at the ends that a split declares."""

import math

import pytest

from reports.numbers.scores import ScoreEnds


def ends(null, best):
    return ScoreEnds(null, best, "declared", "declared")


@pytest.mark.parametrize(("value", "score"), [(-300.0, 0.5), (-500.0, 0.0), (-700.0, -0.5), (-100.0, 1.0)])
def test_the_score_is_zero_at_the_zero_action_and_one_at_the_declared_best(value, score):
    assert ends(-500.0, -100.0).score(value) == score


@pytest.mark.parametrize(("null", "best"), [(0.0, None), (None, 1.0), (2.0, 2.0), (2.0, 2.0 + 1e-9)])
def test_there_is_no_score_without_two_ends_apart(null, best):
    assert not ends(null, best).are_apart
    assert math.isnan(ends(null, best).score(1.0))
