"""A user's own split: what is checked before it counts as one (how its lists are given: `test_list_declaration`)."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.list_checks import remarks
from tasks.registry import InvalidDeclaration, UnknownName, get_family, get_split, splits
from tasks.split_declaration import SplitDeclaration

GOOD = {
    "family": "cheetah-velocity", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 200,
    "train": {"uniform": [0.0, 2.0], "number": 20, "seed": 4}, "test": {"values": [2.5, 3.0]},
}  # fmt: skip


def declared(**changes):
    return SplitDeclaration.model_validate(GOOD | changes).split()


def test_a_declared_split_is_a_split():
    split = declared()
    assert split.full_name == "cheetah-velocity.mine"
    assert split.test == ((2.5,), (3.0,))
    assert split.train == tuple((value,) for value in np.random.RandomState(4).uniform(0, 2, 20))
    assert (split.test_id, split.test_id_is_train) == (split.train, True)
    assert (split.axis, split.adaptation_transitions) == ("target_speed", 200)
    assert (split.references.null, split.references.ceiling) == (None, None)
    assert declared(null_return=-550).references.null == -550.0
    assert split.description == "declared by the user"
    assert split.drawn == "declared by the user: train 20 of U(0, 2), seed 4; test 2 listed; test_id the training list"


def test_the_hash_follows_the_lists_and_not_the_words():
    base = declared()
    assert declared(description="other", null_return=-500.0, ceiling=0).hash == base.hash
    changes = (
        {"test": {"values": [2.5]}}, {"name": "other"}, {"adaptation_transitions": 400},
        {"train": {"uniform": [0.0, 2.0], "number": 20, "seed": 5}}, {"test_id": {"values": [1.0]}},
    )  # fmt: skip
    assert len({declared(**change).hash for change in changes} | {base.hash}) == len(changes) + 1
    assert declared(test={"values": [2.5]}).train == base.train


def test_a_list_may_be_another_splits():
    hard = get_split("cheetah-velocity.hard")
    split = declared(train={"same_as": "cheetah-velocity.hard.train"}, test_id={"same_as": "cheetah-vel.hard.test_id"})
    assert split.train == hard.train
    assert (split.test_id, split.test_id_is_train) == (hard.test_id, False)
    ant = declared(family="ant-negated-joints", train={"same_as": "ant-negated-joints.ood.train"},
                   test={"same_as": "ant-negated-joints.ood.test_random"})  # fmt: skip
    assert len(ant.test) == 15
    assert ant.axis == ""


def test_a_family_may_be_given_by_its_nickname():
    assert declared(family="cheetah-vel") == declared()


def test_a_draw_may_be_from_several_intervals():
    bands = [[0.0, 0.5], [3.0, 3.5]]
    split = declared(train={"uniform": bands, "number": 200, "seed": 4}, test={"values": [1.75]})
    speeds = np.array(split.train)[:, 0]
    slow, fast = speeds <= 0.5, (speeds >= 3.0) & (speeds <= 3.5)
    assert (slow | fast).all()
    assert 70 < slow.sum() < 130
    assert split.support == (((0.0, 0.5), (3.0, 3.5)),)
    assert split.train == declared(train={"uniform": bands, "number": 200, "seed": 4}).train


def test_where_training_tasks_are_drawn_from_is_kept_as_far_as_it_is_declared():
    assert declared().support == (((0.0, 2.0),),)
    assert declared(train={"values": [1.0, 2.0]}).support is None
    assert declared(train={"same_as": "cheetah-vel.hard.train"}).support == (((0.0, 1.5),),)
    assert declared(train={"same_as": "cheetah-vel.hard.test"}, test={"values": [1.0]}).support is None


def test_a_tuning_split_is_declared_by_what_it_tunes():
    split = declared(tunes=["hard"], train={"uniform": [0.0, 0.9], "number": 20, "seed": 4}, test={"values": [1.3]})
    assert (split.role, split.tunes) == ("tuning", ("hard",))
    assert declared().role == "benchmark"
    assert "tunes" not in SplitDeclaration.model_validate(GOOD).model_dump()


def test_several_parameters_are_given_row_by_row():
    split = declared(family="ant-goal", train={"values": [[1, 2], [0, 1]]}, test={"values": [[2.5, -1]]})
    assert split.train == ((1.0, 2.0), (0.0, 1.0))
    assert get_family("ant-goal").parameter_dim == 2


def test_what_is_built_in_runs_as_declared():
    split = declared(family="point-goal", train={"values": [0.0, 1.0]}, test={"values": [2.0]})
    assert [task.values for task in split.tasks("test")] == [(2.0,)]


@pytest.mark.parametrize(("changes", "said"), [
    ({"test": {"values": [[2.5, 1.0]]}}, "test task 0: 2 values given, cheetah-velocity takes 1: target_speed"),
    ({"train": {"values": []}}, "its train list is empty"),
    ({"test": {"values": []}}, "its test list is empty"),
    ({"family": "cheetah-direction", "train": {"values": [-1]}, "test": {"values": [1.5]}},
     "test task 0: direction = 1.5, allowed: -1.0 to 1.0"),
    ({"family": "ant-goal"}, "test task 0: 1 values given, ant-goal takes 2: goal"),
    ({"family": "walker-parameters"}, "walker-parameters has several parameters: give each its own way, `parameters: "),
    ({"test": {"values": [2.5, 3.0]}, "train": {"values": [3.0, 2.5, 1.0]}},
     "test shares 2 tasks with train, such as (2.5): take them out"),
    ({"test_id": {"values": [[1.0, 2.0]]}}, "test_id task 0: 2 values given"),
    ({"name": "hard"}, "split 'cheetah-velocity.hard' exists already; give yours a name of its own"),
])  # fmt: skip
def test_what_is_no_split(changes, said):
    with pytest.raises(InvalidDeclaration) as caught:
        declared(**changes)
    assert said in str(caught.value)


def test_shared_tasks_have_to_be_declared():
    shared = {"train": {"values": [1.0, 2.0]}, "test": {"values": [2.0, 1.0]}}
    with pytest.raises(InvalidDeclaration, match="declare shift: same_tasks"):
        declared(**shared)
    assert declared(**shared, shift="same_tasks").test == ((2.0,), (1.0,))


# Lists are what they are called, and a shift is one ------------------------------------------------------------------

SPEEDS = {"values": [0.0, 0.5, 1.0, 1.5, 2.0]}
MASKS = {"family": "cheetah-negated-joints", "train": {"same_as": "cheetah-negated-joints.ood.train"}}
GOALS = {"family": "ant-goal", "train": {"values": [[0.5, 0], [0, -0.5]]}}
IN = {"shift": "in_distribution"}
FRESH = {"train": {"values": [0.1, 1.9]}, "support": {"target_speed": [0, 2]}}


@pytest.mark.parametrize(("changes", "said"), [
    ({"test_id": {"uniform": [0.0, 2.0], "number": 20, "seed": 4}},
     "test_id shares 20 tasks with train, such as (0.0124605): its tasks are fresh ones; take them out, or leave"),
    ({"train": SPEEDS, "test_id": {"values": [0.7, 1.0]}}, "test_id shares 1 tasks with train, such as (1)"),
    ({"test_id": {"values": [1.0, 2.5]}}, "test_id shares 1 tasks with test, such as (2.5)"),
    ({"test_id": {"values": [1.0, 2.4]}},
     "test_id [1] lie outside the declared support, target_speed in 0 to 2 m/s"),
    ({"train": {"values": [1.0, 2.0]}, "test_id": {"values": [9.0]}},
     "test_id holds fresh tasks of the training distribution, but that is one of its 2 training tasks: declare where"),
    ({"test_id": {"values": []}}, "needs a test_id list"),
    ({"test": {"values": [2.5, 3.0, 2.5]}}, "test repeats [2]: list each task once"),
    ({"train": {"values": [1.0, 2.0, 1.0]}}, "train repeats [2]"),
    ({"test_id": {"values": [1.1, 1.1]}}, "test_id repeats [1]"),
    ({"train": {"values": [1.0, 1.0 + 1e-12]}}, "train repeats [1]"),
    ({"shift": "same_tasks", "train": SPEEDS, "test": {"values": [1.0]}},
     "test differs from train: 4 training tasks are not tested, 0 test tasks not trained on"),
    ({"shift": "same_tasks", "train": {"values": [1.0, 2.0]}, "test": {"values": [1.0, 2.0, 1.0]}}, "test repeats [2]"),
    ({"test": {"values": [1.0, 2.5]}}, "test [0] lie inside the training distribution (target_speed in 0 to 2 m/s)"),
    ({"test": {"values": [2.0]}}, "test [0] lie inside the training distribution"),  # nothing but the edge
    ({"train": {"uniform": [[0, 1], [2, 3]], "number": 9, "seed": 1}, "test": {"values": [1.5, 2.5]}}, "test [1] lie"),
    ({**IN, "train": {"uniform": [[0, 1], [2, 3]], "number": 9, "seed": 1}, "test": {"values": [1.5, 2.5]}},
     "test [0] lie outside the training distribution (target_speed in 0 to 1 or 2 to 3 m/s)"),
    (IN, "test [0, 1] lie outside the training distribution (target_speed in 0 to 2 m/s): take them out,"),
    ({**IN, "train": SPEEDS, "test": {"values": [1.2]}}, "lie outside the training distribution (one of its 5"),
    ({"train": SPEEDS, "test": {"values": [1.2]}}, "declare `support: {target_speed: [low, high]}`, or `support: l"),
    ({"family": "point-goal", "train": {"values": [0.5, 6.0]}, "test": {"values": [6.2]}}, "lies between training"),
    ({"family": "point-goal", "train": {"values": [0.0, 2.0]}, "test": {"values": [2 * np.pi]}}, "test shares 1 tasks"),
    ({"train": SPEEDS, "support": {"target_speed": [0, 1.8]}}, "train [4] lie outside the declared support"),
    ({**FRESH, "test": {"values": [1.0, 3.0]}}, "test [0] lie inside the training distribution"),
    ({**MASKS, "test": {"values": [[-1, -1, 1, 1, 1, 1], [-1, 1, 1, 1, -1, 1]]}, **IN}, "(one of its 10 training"),
    ({**MASKS, "test": {"same_as": "cheetah-negated-joints.ood.train"}}, "test shares 10 tasks with train"),
    ({**MASKS, "train": {"values": [[-1, -1, 1, 1, 1, 1]]}, "test": {"values": [[1, 1, 1, 1, -1, -1]]},
      "support": {"joint_signs": [-1, 1]}}, "test [0] lie inside the training distribution (joint_signs in -1 to 1)"),
    ({**GOALS, "support": {"goal": [0, 1]}, "test": {"values": [[0.6, 0.6], [2, 0]]}}, "test [0] lie inside"),
    ({**GOALS, "support": {"goal": [[0, 1], [2, 3]]}, "test": {"values": [[1.2, 0], [1.5, 1.5]]}}, "test [1] lie"),
    ({**GOALS, "support": {"goal": [0, 0.4]}, "test": {"values": [[1.2, 0]]}}, "train [0, 1] lie outside"),
    ({"support": {"target_speed": [0, 2]}}, "support follows from train"),
    ({"support": "listed"}, "support follows from train"),
    ({"train": SPEEDS, "support": {}}, "support lacks target_speed"),
])  # fmt: skip
def test_lists_and_shifts_that_are_not_what_they_say(changes, said):
    with pytest.raises(InvalidDeclaration) as caught:
        declared(**changes)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"split '{declared_family(changes)}.mine': ")


# Of several parameters, and further lists --------------------------------------------------------------------------

ONE = {"values": [1]}
NOMINAL = dict.fromkeys(("body_inertia", "joint_damping", "friction"), ONE)
WALKER = {
    "family": "walker-parameters",
    "train": {"parameters": {**NOMINAL, "body_mass": {"uniform": [0.8, 1.2]}}, "number": 6, "seed": 1},
    "test": {"parameters": {**NOMINAL, "body_mass": {"values": [1.5, 2.0]}}},
}
"""A body of which the masses alone vary."""


def with_train(support=None, **schemes):
    return {**WALKER, "train": {"parameters": {**NOMINAL, **schemes}, "number": 4, "seed": 1},
            **({"support": support} if support is not None else {})}  # fmt: skip


def test_each_parameter_may_have_a_way_of_its_own():
    split = declared(**WALKER)
    assert np.array(split.train).shape == (6, 65)
    assert len({value for row in split.train for value in row[:8]}) == 48, "each body a multiplier of its own"
    assert {value for row in split.train for value in row[8:]} == {1.0}
    assert [row[:9] for row in split.test] == [(1.5,) * 8 + (1.0,), (2.0,) * 8 + (1.0,)]
    assert split.support == (((0.8, 1.2),), ((1.0, 1.0),), ((1.0, 1.0),), ((1.0, 1.0),))
    assert "joint_damping listed, friction listed, body_mass of U(0.8, 1.2), 6 draws each, seed 1; test" in split.drawn


def test_what_is_listed_beside_what_is_drawn_has_to_say_where_it_is_from():
    mixed = {"body_mass": {"uniform": [0.8, 1.2]}, "friction": {"values": [1, 2]}}
    for support, said in (
        (None, "support lacks friction: say where training values of it are from, such as support: {friction: [low"),
        ("listed", "support lacks friction"),
        ({"body_mass": [0, 2]}, "support of body_mass follows from train; take it out"),
        ({"friction": "listed"}, "support.friction: it has 24 elements, so that no list of numbers is all there are"),
        ({"friction": [1.2, 2]}, "train [0, 1, 2, 3] lie outside the declared support"),
    ):  # fmt: skip
        with pytest.raises(InvalidDeclaration, match=re.escape(said)):
            declared(**with_train(support, **mixed))
    split = declared(**with_train({"friction": [1, 2]}, **mixed))
    assert split.support[3] == ((1.0, 2.0),)
    assert len(split.train) == 8, "four draws for each of the two frictions"


@pytest.mark.parametrize(("masses", "damping", "shift", "said"), [
    (1.5, 1, "out_of_distribution", None),
    (1.0, 1, "out_of_distribution", "test [0] lie inside the training distribution (body_mass in 0.8 to 1.2 x nominal, "
                                    "body_inertia in 1 x nominal,"),
    (1.0, 2, "out_of_distribution", None),  # what never varied is elsewhere
    (1.2, 1, "out_of_distribution", "test [0] lie inside"),  # nothing but the edge
    (1.0, 1, "in_distribution", None),
    (1.0, 1.001, "in_distribution", "test [0] lie outside the training distribution"),
])  # fmt: skip
def test_a_shift_of_several_parameters_is_one_or_is_refused(masses, damping, shift, said):
    schemes = {**NOMINAL, "body_mass": {"values": [masses]}, "joint_damping": {"values": [damping]}}
    changes = {**WALKER, "shift": shift, "test": {"parameters": schemes}}
    if said is None:
        assert declared(**changes).shift == shift
        return
    with pytest.raises(InvalidDeclaration, match=re.escape(said)):
        declared(**changes)


def test_a_task_that_never_varied_is_inside_whatever_its_neighbours_are():
    """A single value has no edge that a test task could lie on."""
    schemes = {**NOMINAL, "body_mass": {"values": [1.1, 1.5]}}
    with pytest.raises(InvalidDeclaration, match=re.escape("test [0] lie inside")):
        declared(**WALKER | {"test": {"parameters": schemes}})


def test_values_of_one_parameter_may_be_all_there_are(monkeypatch):
    from tasks import registry
    from tasks.spec import Parameter

    two = (Parameter(name="angle", unit="rad"), Parameter(name="side", unit="", low=-1, high=1))
    family = get_family("point-goal").model_copy(update={"name": "two", "nickname": "both", "parameters": two})
    monkeypatch.setitem(registry.ADDED, "two", family)
    train = {"parameters": {"angle": {"uniform": [0, 2]}, "side": {"values": [-1, 1]}}, "number": 3, "seed": 1}

    def tested(angles, sides, **changes):
        test = {"parameters": {"angle": {"values": angles}, "side": {"values": sides}}}
        return declared(family="two", train=train, test=test, support={"side": "listed"}, **changes)

    assert tested([3], [-1, 1]).support == (((0.0, 2.0),), ((-1.0, -1.0), (1.0, 1.0)))
    assert tested([1], [0]).test == ((1.0, 0.0),), "between two values that are all there are"
    assert tested([1], [-1, 1], **IN).shift == "in_distribution"
    with pytest.raises(InvalidDeclaration, match=r"test \[0\] lie inside .*side in -1 or 1"):
        tested([1, 3], [1])


def test_further_lists_are_of_the_declared_shift():
    extra = {"far": {"grid": [4.0, 5.0], "number": 3}, "farther": {"normal": {"mean": 7, "std": 1, "within": [6, 8]},
                                                                   "number": 2, "seed": 1}}  # fmt: skip
    split = declared(extra=extra)
    assert split.lists == ("train", "test", "test_id", "far", "farther")
    assert split.values("far") == ((4.0,), (4.5,), (5.0,))
    assert split.hash not in (declared().hash, declared(extra={"far": extra["far"]}).hash)
    assert split.drawn.endswith("; far evenly spaced, 4 to 5; farther 2 of N(7, 1) within 6 to 8, seed 1")
    for values, said in (
        ([1.0, 4.0], "declares shift 'out_of_distribution', but far [0] lie inside"), ([], "its far list is empty"),
        ([declared().train[0][0], 4.0], "far shares tasks with train"), ([4.0, 4.0], "far repeats [1]"),
    ):  # fmt: skip
        with pytest.raises(InvalidDeclaration, match=re.escape(said)):
            declared(extra={"far": {"values": values}})
    with pytest.raises(InvalidDeclaration, match=re.escape("but far [0] lie outside")):
        declared(**IN, test={"values": [1.0]}, extra={"far": {"values": [4.0]}})
    with pytest.raises(InvalidDeclaration, match="every far task lies between training tasks"):
        declared(train=SPEEDS, test={"values": [2.5]}, extra={"far": {"values": [1.2]}})
    assert "extra" not in SplitDeclaration.model_validate(GOOD).model_dump()


def declared_family(changes):
    return changes.get("family", GOOD["family"])


@pytest.mark.parametrize("changes", [
    {"test_id": {"values": [0.5, 1.5]}},
    {"train": SPEEDS, "test_id": {"values": [1.2]}, "support": {"target_speed": [0, 2]}},
    {"test": {"values": [2.0, 2.5]}},  # begins at the edge
    {"shift": "same_tasks", "train": {"values": [1.0, 2.0]}, "test": {"values": [1.0, 2.0] * 10}},
    {"train": SPEEDS, "test": {"values": [2.5]}},
    {"train": SPEEDS, "test": {"values": [1.2]}, "support": "listed"},
    {"train": SPEEDS, "test": {"values": [1.2]}, "support": {"target_speed": [0, 2]}, **IN},
    {**IN, "test": {"values": [0.0, 1.0, 2.0]}},
    {"train": {"uniform": [[0, 1], [2, 3]], "number": 9, "seed": 1}, "test": {"values": [1.5]}},
    {"family": "point-goal", "train": {"values": [0.5, 6.0]}, "test": {"values": [3.0]}},  # on the other side
    {**MASKS, "test": {"values": [[1, 1, 1, -1, -1, -1]]}},
    {**MASKS, "train": {"values": [[-1, -1, 1, 1, 1, 1]]}, "test": {"values": [[1, 1, 1, 1, -1, -1]]},
     "support": {"joint_signs": [-1, 1]}, **IN},
    {**GOALS, "support": {"goal": [[0, 1], [2, 3]]}, "test": {"values": [[1.2, 0], [1.0, 1.0]]}},
])  # fmt: skip
def test_lists_and_shifts_that_are_what_they_say(changes):
    assert declared(**changes).shift == changes.get("shift", "out_of_distribution")


def test_what_is_meant_is_remarked():
    def said(**changes):
        split = declared(**changes)
        return remarks(split, get_family(split.family))

    (repeated,) = said(shift="same_tasks", train={"values": [1.0, 2.0]}, test={"values": [1.0, 2.0] * 10})
    assert repeated == "test holds each of its 2 tasks 10 times, for other adaptation data"
    (between,) = said(train=SPEEDS, test={"values": [1.2]}, support="listed")
    assert between.startswith("the training distribution is the training list alone: tasks in test lie between")
    assert said() == said(train=SPEEDS, test={"values": [2.5]}) == []
    assert all(remarks(split, get_family(split.family)) == [] for split in splits())


def test_a_support_that_cannot_be():
    for support, said in (
        ({"target_speed": [2, 0]}, "low end below"), ("lsited", "listed"), ([0, 2], "listed"),
        ({"target_speed": [0, True]}, "true and false are no values"), ({"target_speed": True}, "true and false"),
        ({"target_speed": [[0, 1], [True, 3]]}, "true and false are no values"), (True, "true and false"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=said):
            declared(train=SPEEDS, support=support)
    with pytest.raises(UnknownName, match="there is no parameter 'targt_speed': did you mean 'target_speed'"):
        declared(train=SPEEDS, support={"targt_speed": [0, 2]})
    assert "support" not in SplitDeclaration.model_validate(GOOD).model_dump()


@pytest.mark.parametrize(("changes", "said"), [
    ({"family": "cheetah-velocty"}, "'cheetah-velocity'"),
    ({"train": {"same_as": "cheetah-velocity.hrad.train"}}, "'cheetah-velocity.hard'"),
    ({"train": {"same_as": "cheetah-velocity.hard.trian"}}, "'cheetah-velocity.hard.train'"),
    ({"train": {"same_as": "cheetah-velocity.hard.references"}}, "there is no task list"),
    ({"train": {"same_as": "cheetah-velocity.hard"}}, "there is no split 'cheetah-velocity'"),
    ({"train": {"same_as": ""}}, "there is no"),
])  # fmt: skip
def test_names_that_are_unknown_show_the_nearest(changes, said):
    with pytest.raises(UnknownName) as caught:
        declared(**changes)
    assert said in str(caught.value)


def test_no_global_random_state_is_touched():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    declared()
    assert (np.random.get_state()[1] == before).all()
