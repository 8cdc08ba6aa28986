"""How task lists are drawn: legacy generators whose streams NumPy has frozen, one private generator per list.

Drawn values are rounded to ten decimals: the last bits of a power or a product differ between processors, and a
list's hash must not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np

from tasks.spec import Interval

Values = tuple[tuple[float, ...], ...]

SUITE_SEED = 20200
TEST_ID_SEED = 20201
TEST_RANDOM_SEED = 20202
TUNING_SEED = 20203
TUNING_ID_SEED = 20204
TAVT_SEED = 20205
DECIMALS = 10
SMALLEST = 2.0**-53  # a probability, and how far one is from 1 at least

# Walker: a multiplier is base ** U(-3, 3), independent for each element; blocks in the order they are drawn.
WALKER_BLOCKS = ((1.5, 8), (1.5, 24), (1.3, 9), (1.5, 24))
WALKER_EXPONENTS = (-3.0, 3.0)
WALKER_SHIFT = 5.0  # standard deviations between the training mean and the out-of-distribution mean


def frozen(rows: np.ndarray | Sequence[Sequence[float]]) -> Values:
    """Rows of numbers (task, parameter) as nested tuples of Python floats, rounded to `DECIMALS`."""
    return tuple(tuple(round(float(value), DECIMALS) + 0.0 for value in row) for row in rows)


def spread(generator: np.random.RandomState, intervals: Sequence[Interval], count: int) -> np.ndarray:
    """Values spread evenly over a union of intervals, (task,): one of double width holds twice as many."""
    lows, highs = np.array(intervals).T
    ends = np.cumsum(highs - lows)
    draws = generator.uniform(0.0, ends[-1], count)
    interval = np.searchsorted(ends, draws, side="right")
    return draws - (ends - (highs - lows))[interval] + lows[interval]


def uniform(seed: int, *lists: tuple[Sequence[Interval], int]) -> Iterator[Values]:
    """One list of single values per `(intervals, count)`, drawn one after the other from `RandomState(seed)`."""
    generator = np.random.RandomState(seed)
    for intervals, count in lists:
        yield frozen(spread(generator, intervals, count)[:, None])


def places(seed: int, *lists: tuple[Sequence[Interval], int]) -> Iterator[Values]:
    """One list of points (x, y) per `(distances from the origin, count)`, spread evenly over these rings.

    For each point an angle U(0, 2 pi) is drawn, then the root of a value U over the squared distances.
    """
    generator = np.random.RandomState(seed)
    for distances, count in lists:
        yield ring_points(generator, distances, count)


def ring_points(generator: np.random.RandomState, distances: Sequence[Interval], count: int) -> Values:
    """Points (x, y) spread evenly over rings around the origin, as `places` has them."""
    squares = [(inner**2, outer**2) for inner, outer in distances]
    rows = []
    for _ in range(count):
        angle = generator.uniform(0.0, 2 * math.pi)
        distance = math.sqrt(spread(generator, squares, 1)[0])
        rows.append((distance * math.cos(angle), distance * math.sin(angle)))
    return frozen(rows)


def normal(
    generator: np.random.RandomState, mean: float, std: float, intervals: Sequence[Interval], count: int
) -> np.ndarray:
    """Values of N(mean, std) given that they lie in a union of intervals, (task,), rounded to `DECIMALS`.

    By inversion: probabilities spread evenly over those of the intervals.
    """
    distribution, ends = NormalDist(mean, std), _probabilities(mean, std, intervals)
    probabilities = spread(generator, ends, count)
    which = np.searchsorted([high for _, high in ends], probabilities).clip(max=len(intervals) - 1)
    values = [distribution.inv_cdf(min(max(p, SMALLEST), 1 - SMALLEST)) for p in probabilities.tolist()]
    lows, highs = np.array(intervals)[which].T
    return np.clip(np.round(values, DECIMALS), lows, highs)


def normal_share(mean: float, std: float, intervals: Sequence[Interval]) -> float:
    """How much of N(mean, std) lies in a union of intervals."""
    return sum(high - low for low, high in _probabilities(mean, std, intervals))


def _probabilities(mean: float, std: float, intervals: Sequence[Interval]) -> list[Interval]:
    distribution = NormalDist(mean, std)
    return [(distribution.cdf(low), distribution.cdf(high)) for low, high in intervals]


def around(*distances: float, directions: int = 4) -> Values:
    """Points (x, y) at each of these distances from the origin, evenly spaced around it from the x axis on."""
    angles = [2 * math.pi * step / directions for step in range(directions)]
    return frozen([(d * math.cos(angle), d * math.sin(angle)) for d in distances for angle in angles])


def evenly_spaced(low: float, high: float, count: int) -> Values:
    """Single values from `low` to `high`, both inclusive."""
    return tuple((float(value),) for value in np.linspace(low, high, count))


def sign_masks(joints: int, negated: int, among: int, always: tuple[int, ...] = ()) -> Values:
    """All masks of +1 and -1 over `joints`, in lexicographic order of the negated sets.

    A set holds `negated` of the first `among` joints, and the joints in `always`.
    """
    sets = (chosen + always for chosen in combinations(range(among), negated))
    return tuple(tuple(-1.0 if joint in chosen else 1.0 for joint in range(joints)) for chosen in sets)


def choose(seed: int, values: Values, count: int) -> Values:
    """`count` different rows of `values`, in the order they were drawn."""
    order = np.random.RandomState(seed).permutation(len(values))
    return tuple(values[index] for index in order[:count])


def walker_multipliers(
    generator: np.random.RandomState, count: int, exponents: Interval = WALKER_EXPONENTS
) -> np.ndarray:
    """Multipliers of mass, inertia, damping and friction, (task, 65), independent for each element."""
    rows = [
        np.concatenate([base ** generator.uniform(*exponents, size) for base, size in WALKER_BLOCKS])
        for _ in range(count)
    ]
    return np.stack(rows)


def shifted_walker_multipliers(generator: np.random.RandomState, training: np.ndarray, count: int) -> np.ndarray:
    """Multipliers abs(N(mean + 5 std, std)) per element, (task, 65); mean and std over the training tasks."""
    mean, deviation = training.mean(axis=0), training.std(axis=0)
    rows = [generator.normal(mean + WALKER_SHIFT * deviation, deviation) for _ in range(count)]
    return np.abs(np.stack(rows))
