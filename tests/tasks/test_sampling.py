"""Draws: over unions of intervals and rings, evenly, from private streams."""

import math

import numpy as np
import pytest

from tasks import sampling


def test_a_draw_from_one_interval_is_numpys_own():
    for low, high in ((0.0, 1.5), (2.5, 3.0), (-3.0, 7.25)):
        drawn = sampling.spread(np.random.RandomState(5), ((low, high),), 1000)
        assert np.array_equal(drawn, np.random.RandomState(5).uniform(low, high, 1000))


def test_a_union_is_covered_evenly_and_nothing_else_is():
    intervals = ((0.0, 0.5), (3.0, 3.5), (10.0, 13.0))
    drawn = sampling.spread(np.random.RandomState(0), intervals, 40_000)
    shares = [((drawn >= low) & (drawn <= high)).mean() for low, high in intervals]
    assert sum(shares) == 1.0
    assert shares == pytest.approx([1 / 8, 1 / 8, 6 / 8], abs=0.01)
    for low, high in intervals:
        inside = drawn[(drawn >= low) & (drawn <= high)]
        assert inside.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert np.ptp(inside) > 0.99 * (high - low)


def test_places_fill_rings_as_their_areas_are():
    (points,) = sampling.places(3, (((0.0, 1.0), (2.5, 3.0)), 20_000))
    radius = np.hypot(*np.array(points).T)
    assert ((radius <= 1 + 1e-9) | ((radius >= 2.5 - 1e-9) & (radius <= 3 + 1e-9))).all()
    assert (radius <= 1).mean() == pytest.approx(4 / 15, abs=0.01)
    assert (radius[radius <= 1] ** 2).mean() == pytest.approx(0.5, abs=0.02)
    angle = np.arctan2(*np.array(points).T[::-1])
    assert np.histogram(angle, 4, (-math.pi, math.pi))[0] / 20_000 == pytest.approx([0.25] * 4, abs=0.02)


def test_lists_of_one_seed_go_on_where_the_last_one_ended():
    whole = next(iter(sampling.uniform(4, (((0.0, 1.0),), 5))))
    parts = [row for part in sampling.uniform(4, (((0.0, 1.0),), 2), (((0.0, 1.0),), 3)) for row in part]
    assert tuple(parts) == whole


def test_points_around_the_origin():
    assert sampling.around(1.75) == ((1.75, 0.0), (0.0, 1.75), (-1.75, 0.0), (0.0, -1.75))
    assert sampling.around(1.0, 2.0, directions=2) == ((1.0, 0.0), (-1.0, 0.0), (2.0, 0.0), (-2.0, 0.0))


def test_walker_multipliers_keep_to_their_exponents():
    drawn = sampling.walker_multipliers(np.random.RandomState(1), 200, (1.5, 3.0))
    damping = np.r_[32:41]
    others = np.setdiff1d(np.arange(65), damping)
    assert (drawn[:, others].min(), drawn[:, others].max()) == pytest.approx((1.5**1.5, 1.5**3), rel=1e-3)
    assert (drawn[:, damping].min(), drawn[:, damping].max()) == pytest.approx((1.3**1.5, 1.3**3), rel=1e-3)
