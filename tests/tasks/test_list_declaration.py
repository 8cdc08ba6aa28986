"""Task lists as users write them: by values, uniform, grid, normal, from several intervals, parameter by parameter."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import kstest, truncnorm

from tasks.list_declaration import TaskList
from tasks.registry import InvalidDeclaration, UnknownName, get_family
from tasks.schemes import MOST_TASKS
from tasks.spec import Parameter

ONE = get_family("cheetah-velocity")
GOAL = get_family("ant-goal")
WALKER = get_family("walker-parameters")
TWO = ONE.model_copy(update={"name": "two", "parameters": (
    Parameter(name="speed", unit="m/s"), Parameter(name="mass", unit="", low=0.0, size=3),
)})  # fmt: skip


def rows(family=ONE, **fields):
    return TaskList.model_validate(fields).rows(family)


# One parameter -------------------------------------------------------------------------------------------------------


def test_a_grid_has_both_ends_of_every_interval():
    assert rows(grid=[0, 2], number=5) == ((0.0,), (0.5,), (1.0,), (1.5,), (2.0,))
    assert rows(grid=[[0, 1], [3, 4]], number=3) == ((0.0,), (0.5,), (1.0,), (3.0,), (3.5,), (4.0,))


def test_a_normal_draw_is_of_the_distribution_that_is_cut_off():
    values = np.array(rows(normal={"mean": 1.0, "std": 0.5, "within": [0.8, 2.5]}, number=4000, seed=1))[:, 0]
    assert ((values >= 0.8) & (values <= 2.5)).all()
    assert kstest(values, truncnorm(-0.4, 3.0, loc=1.0, scale=0.5).cdf).pvalue > 0.01
    assert kstest(values, truncnorm(-0.4, 3.0, loc=1.05, scale=0.5).cdf).pvalue < 1e-3, "which this test would see"


def test_a_normal_draw_from_several_intervals_keeps_to_their_shares():
    values = np.array(rows(normal={"mean": 0, "std": 1, "within": [[-2, -1], [0, 3]]}, number=4000, seed=2))[:, 0]
    left = (values >= -2) & (values <= -1)
    assert (left | ((values >= 0) & (values <= 3))).all()
    # Phi(-1) - Phi(-2) = 0.1359, Phi(3) - Phi(0) = 0.4987
    assert left.mean() == pytest.approx(0.1359 / (0.1359 + 0.4987), abs=0.025)


def test_draws_are_the_same_on_every_machine():
    """As values, which hashes are of."""
    normal = {"mean": 1, "std": 2, "within": [0, 9]}
    assert rows(normal=normal, number=3, seed=4) == ((4.997110222,), (1.9742253918,), (5.1532303403,))
    assert rows(uniform=[0, 2], number=3, seed=4) == tuple((v,) for v in np.random.RandomState(4).uniform(0, 2, 3))


def test_a_place_is_drawn_by_its_distance():
    distances = np.linalg.norm(rows(GOAL, uniform=[[0.5, 1], [2, 3]], number=200, seed=1), axis=1)
    inner, outer = (distances <= 1), (distances >= 2)
    assert (inner | outer).all()
    # areas 0.75 pi and 5 pi
    assert inner.mean() == pytest.approx(0.75 / 5.75, abs=0.08)
    for fields in ({"normal": {"mean": 1, "std": 1, "within": [0, 2]}}, {"uniform": [-1, 1]}):
        with pytest.raises(InvalidDeclaration, match="goal is a place: it is drawn by `uniform` of its distance"):
            rows(GOAL, number=3, seed=1, **fields)
    with pytest.raises(InvalidDeclaration, match="goal has 2 elements, and a grid is of one"):
        rows(GOAL, grid=[0, 1], number=3)


def test_elements_of_one_parameter_are_drawn_each_by_itself():
    signs = get_family("cheetah-negated-joints")
    drawn = np.array(rows(signs, uniform=[-1, 1], number=400, seed=1))
    assert drawn.shape == (400, 6)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 0.2


# Several -------------------------------------------------------------------------------------------------------------


def both(number=None, seed=None, **schemes):
    return np.array(rows(TWO, parameters=schemes, number=number, seed=seed))


def test_what_is_listed_is_crossed_and_what_is_drawn_is_drawn_for_each_combination():
    crossed = both(speed={"grid": [0, 1], "number": 2}, mass={"values": [1, [1, 2, 3]]})
    assert crossed.tolist() == [[0, 1, 1, 1], [0, 1, 2, 3], [1, 1, 1, 1], [1, 1, 2, 3]]
    mixed = both(speed={"values": [0, 5]}, mass={"uniform": [1, 2]}, number=3, seed=1)
    assert mixed[:, 0].tolist() == [0, 0, 0, 5, 5, 5]
    assert len({*mixed[:, 1:].flatten()}) == 18
    drawn = both(speed={"normal": {"mean": 0, "std": 1, "within": [-2, 2]}}, mass={"uniform": [1, 2]}, number=9, seed=1)
    assert drawn.shape == (9, 4)


def test_the_draws_of_a_parameter_depend_on_no_other():
    masses = {"uniform": [1, 2]}
    first = both(speed={"uniform": [0, 1]}, mass=masses, number=6, seed=3)
    other = both(speed={"normal": {"mean": 0, "std": 1, "within": [-2, 2]}}, mass=masses, number=6, seed=3)
    listed = both(speed={"values": [0, 1]}, mass=masses, number=3, seed=3)
    assert (first[:, 1:] == other[:, 1:]).all()
    assert (first[:, 1:] == listed[:, 1:]).all()
    assert (first[:, 1:] != both(speed={"uniform": [0, 1]}, mass=masses, number=6, seed=4)[:, 1:]).all()


@pytest.mark.parametrize(("fields", "said"), [
    ({"parameters": {"speed": {"values": [1]}}}, "parameters lacks mass; what does not vary has one value"),
    ({"parameters": {"speed": {"values": [[1, 2]]}, "mass": {"values": [1]}}}, "2 values given, speed takes 1"),
    ({"parameters": {"speed": {"values": [1]}, "mass": {"values": [[1, 2]]}}}, "2 values given, mass takes 3"),
    ({"parameters": {"speed": {"values": [1]}, "mass": {"grid": [1, 2], "number": 2}}}, "mass has 3 elements, and a"),
    ({"uniform": [0, 1], "number": 3, "seed": 1}, "two has several parameters: give each its own way"),
    ({"parameters": {"speed": {"grid": [0, 1], "number": 101}, "mass": {"values": list(range(100))}}}, "10,100 tasks"),
])  # fmt: skip
def test_lists_that_are_none_of_the_family(fields, said):
    with pytest.raises(InvalidDeclaration, match=said):
        rows(TWO, **fields)


def test_lists_of_too_many_tasks_and_of_unknown_parameters_are_refused():
    with pytest.raises(InvalidDeclaration, match=f"20,000 tasks in a list; at most {MOST_TASKS:,}"):
        rows(grid=[[0, 1], [2, 3]], number=MOST_TASKS)
    with pytest.raises(UnknownName, match="there is no parameter 'sped': did you mean 'speed'"):
        both(sped={"values": [1]}, mass={"values": [1]})


def test_where_tasks_are_from_is_known_as_far_as_it_is_said():
    def said(family=TWO, **fields):
        return TaskList.model_validate(fields).support(family)

    assert said(ONE, values=[1, 2]) == said(parameters={"speed": {"values": [1]}, "mass": {"values": [1]}}) == {}
    assert said(ONE, grid=[0, 2], number=3) == {"target_speed": ((0.0, 2.0),)}
    assert said(ONE, normal={"mean": 0, "std": 1, "within": [0, 2]}, number=3, seed=1) == {"target_speed": ((0, 2),)}
    assert said(ONE, same_as="cheetah-vel.hard.train") == {"target_speed": ((0.0, 1.5),)}
    assert said(ONE, same_as="cheetah-vel.hard.test") == {}
    assert said(same_as="ant-negated-joints.ood.train") == "listed"
    drawn = {"number": 3, "seed": 1}
    assert said(parameters={"speed": {"uniform": [0, 1]}, "mass": {"values": [2]}}, **drawn) == {
        "speed": ((0, 1),), "mass": ((2, 2),)}  # fmt: skip
    for masses in ([1, 2], [[1, 1, 2]]):
        assert said(parameters={"speed": {"uniform": [0, 1]}, "mass": {"values": masses}}, **drawn) == {
            "speed": ((0, 1),)}  # fmt: skip


# Mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "said"), [
    ({}, "give exactly one of values, uniform, grid, normal, parameters and same_as, not none"),
    ({"values": [1.0], "uniform": [0, 1], "number": 1, "seed": 1}, "not values and uniform"),
    ({"uniform": [0, 1]}, "a uniform draw needs number and seed"),
    ({"uniform": [0, 1], "number": 3}, "a uniform draw needs number and seed"),
    ({"uniform": [1, 0], "number": 3, "seed": 1}, "low end below its high end"),
    ({"uniform": [1, 1], "number": 3, "seed": 1}, "low end below its high end"),
    ({"uniform": [0, float("inf")], "number": 3, "seed": 1}, "finite number"),
    ({"uniform": [[0, 1], [3, float("inf")]], "number": 3, "seed": 1}, "finite number"),
    ({"uniform": [[0, 1], [4, 3]], "number": 3, "seed": 1}, "low end below its high end"),
    ({"uniform": [[3, 4], [0, 1]], "number": 3, "seed": 1}, "apart and in order, the lowest first"),
    ({"uniform": [[0, 2], [1, 3]], "number": 3, "seed": 1}, "apart and in order, the lowest first"),
    ({"uniform": [[0, 1], 3], "number": 3, "seed": 1}, "valid tuple"),
    ({"uniform": [], "number": 3, "seed": 1}, "Field required"),
    ({"values": [float("nan")]}, "finite number"),
    ({"values": [[float("inf"), 1.0]]}, "finite number"),
    ({"values": [1.0], "number": 3}, "number and seed belong to a uniform or normal draw"),
    ({"normal": {"mean": 0, "std": 1, "within": [0, 1]}, "number": 3}, "a normal draw needs number and seed"),
    ({"normal": {"mean": 0, "std": 0, "within": [0, 1]}, "number": 3, "seed": 1}, "greater than 0"),
    ({"normal": {"mean": 0, "std": 1, "within": [1, 0]}, "number": 3, "seed": 1}, "low end below its high end"),
    ({"normal": {"mean": 0, "std": 1, "within": [9, 99]}, "number": 3, "seed": 1}, "next to nothing"),
    ({"normal": {"mean": 0, "std": 1}, "number": 3, "seed": 1}, "Field required"),
    ({"grid": [0, 1]}, "a grid needs number, at least 2"),
    ({"grid": [0, 1], "number": 1}, "a grid needs number, at least 2"),
    ({"grid": [1, 0], "number": 3}, "low end below its high end"),
    ({"grid": [0, 1], "number": 3, "seed": 1}, "number to a grid too"),
    ({"parameters": {"a": {}}}, "parameters.a: give exactly one of values, uniform, grid and normal, not none"),
    ({"parameters": {"a": {"uniform": [0, 1]}}}, "what draws parameters needs number and seed"),
    ({"parameters": {"a": {"values": [1]}}, "number": 3}, "number and seed belong to"),
    ({"parameters": {"a": {"uniform": [0, 1], "number": 3}}, "number": 3, "seed": 1}, "parameters.a: number is of a"),
    ({"uniform": [0, 1], "number": 0, "seed": 1}, "greater than 0"),
    ({"uniform": [0, 1], "number": 1, "seed": -1}, "greater than or equal to 0"),
    ({"uniform": [0, 1], "number": 1, "seed": 2**32}, "less than 4294967296"),
    ({"vlaues": [1.0]}, "Extra inputs are not permitted"),
])  # fmt: skip
def test_what_is_no_list(fields, said):
    with pytest.raises(ValidationError, match=said):
        TaskList.model_validate(fields)
