"""The splits of Kim, Park, Kim and Han 2025 are theirs: bands, gaps, numbers of tasks, test tasks and test data."""

import math

import numpy as np
import pytest

from tasks.registry import get_family, get_split, splits

TAVT = [split for split in splits() if split.name.startswith("tavt")]
GOLDEN = {
    "speed": [0.1187, 3.4381, 3.2507, 0.0659, 3.2494],
    "mass": [1.0493, 4.0311, 3.7361, 1.0271, 3.7341],
    "goal": [2.1755, 2.0088],
}
BODIES = ["walker-mass", "hopper-mass"]


def column(name, which="train"):
    return np.array(get_split(name).values(which))[:, 0]


def test_every_split_of_theirs_is_there_as_a_shifted_benchmark():
    assert {split.full_name for split in TAVT} == {
        "cheetah-velocity.tavt", "ant-direction.tavt-2", "ant-direction.tavt-4", "ant-goal.tavt", "walker-mass.tavt",
        "hopper-mass.tavt",
    }  # fmt: skip
    assert {(split.role, split.shift) for split in TAVT} == {("benchmark", "out_of_distribution")}
    assert {split.adaptation_transitions for split in TAVT if split.family != "ant-goal"} == {400}  # two episodes
    assert get_split("ant-goal.tavt").adaptation_transitions == 800  # four


def bands(values, low, high):
    """How many values lie in each of two bands, which hold all of them."""
    counts = [int(((values >= a - 1e-9) & (values <= b + 1e-9)).sum()) for a, b in (low, high)]
    assert sum(counts) == len(values)
    return counts


def test_speeds_of_two_bands_as_of_a_fair_coin_tested_in_the_gap():
    slow, fast = bands(column("cheetah-velocity.tavt"), (0, 0.5), (3, 3.5))
    assert 35 <= slow <= 65
    assert 35 <= fast <= 65
    assert column("cheetah-velocity.tavt", "test").tolist() == [0.75, 1.25, 1.75, 2.25, 2.75]
    assert column("cheetah-velocity.tavt", "test_id").tolist() == [0.1, 0.25, 3.1, 3.25]


def test_directions():
    two, four = get_split("ant-direction.tavt-2"), get_split("ant-direction.tavt-4")
    degrees = lambda rows: np.degrees([row[0] for row in rows]).tolist()  # noqa: E731
    assert degrees(two.train) == pytest.approx([0, 90])
    assert degrees(two.test) == pytest.approx([135, 315])
    assert degrees(two.extra["test_between"]) == pytest.approx([45])
    assert degrees(four.train) == pytest.approx([0, 90, 180, 270])
    assert degrees(four.test) == pytest.approx([45, 135, 225, 315])
    for split in (two, four):
        assert split.test_id_is_train
        assert split.support is None


def test_goals_on_a_disc_and_a_ring_tested_between():
    split = get_split("ant-goal.tavt")
    inner, outer = bands(np.hypot(*np.array(split.train).T), (0, 1), (2.5, 3))
    assert inner / 150 == pytest.approx(4 / 15, abs=0.11)
    assert outer == 150 - inner
    assert np.hypot(*np.array(split.test).T) == pytest.approx([1.75] * 4)
    assert np.hypot(*np.array(split.test_id).T) == pytest.approx([0.5] * 4 + [2.75] * 4)
    assert "standing still at the start: -350" in split.references.source


@pytest.mark.parametrize("family", BODIES)
def test_masses_are_powers_of_one_and_a_half(family):
    exponents = np.log(column(f"{family}.tavt")) / math.log(1.5)
    light, heavy = bands(exponents, (0, 0.5), (3, 3.5))
    assert 35 <= light <= 65
    assert 35 <= heavy <= 65
    assert column(f"{family}.tavt", "test") == pytest.approx([1.355, 1.660, 2.033, 2.490, 3.050], abs=6e-4)
    exponents = np.log(column(f"{family}.tavt", "test_id")) / math.log(1.5)
    assert exponents == pytest.approx([0.1, 0.25, 3.1, 3.25])
    assert get_family(family).parameters[0].size == 1


def test_both_bodies_have_the_same_masses():
    assert get_split("walker-mass.tavt").train == get_split("hopper-mass.tavt").train


def test_golden_first_tasks():
    assert column("cheetah-velocity.tavt")[:5] == pytest.approx(GOLDEN["speed"], abs=5e-5)
    assert column("walker-mass.tavt")[:5] == pytest.approx(GOLDEN["mass"], abs=5e-5)
    assert get_split("ant-goal.tavt").train[0] == pytest.approx(GOLDEN["goal"], abs=5e-5)
