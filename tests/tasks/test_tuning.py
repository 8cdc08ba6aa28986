"""Tuning splits: inside the training of what they tune, off every test list; what is not is refused with a remedy."""

import math

import numpy as np
import pytest

from tasks.registry import InvalidDeclaration, families, get_family, get_split, refuse_leaks, splits
from tasks.tuning import leaks, outside, shared_test_tasks, support_in_words
from tasks.verify import check_disjoint, check_role

GOLDEN_SPEEDS = [0.3662, 0.5037, 0.7117]
TUNING = [split for split in splits() if split.role == "tuning"]


def changed(full_name, /, **changes):
    return get_split(full_name).model_copy(update=changes)


def problems(split, others=None):
    return leaks(split, get_family(split.family), splits() if others is None else others)


# What there is --------------------------------------------------------------------------------------------------------


def test_every_family_with_a_shift_has_one_and_it_is_called_tuning():
    shifted = {s.family for s in splits() if s.role == "benchmark" and s.shift == "out_of_distribution"}
    assert {split.family for split in TUNING} == shifted
    assert {split.name for split in TUNING} == {"tuning"}
    without = {family.name for family in families()} - shifted
    assert without == {"cheetah-direction", "humanoid-direction"}  # two tasks, both tested; no shift to prepare for


@pytest.mark.parametrize("split", TUNING, ids=lambda split: split.full_name)
def test_it_has_the_shape_of_what_it_tunes(split):
    assert split.shift == "out_of_distribution"
    targets = [get_split(f"{split.family}.{name}") for name in split.tunes]
    assert any(other.shift == "out_of_distribution" for other in targets)
    assert problems(split) == []
    if split.support is not None:  # the shifted tasks really are outside what it trains on itself
        assert len(outside(split, "test", split, get_family(split.family))) == len(split.test)


def column(split, which):
    return np.array(split.values(which))[:, 0]


def test_speeds():
    split = get_split("cheetah-velocity.tuning")
    assert column(split, "train").max() < 1.0
    assert column(split, "test_id").max() < 1.0
    assert 1.2 < column(split, "test").min() < column(split, "test").max() < 1.5
    assert split.tunes == ("standard", "medium", "hard", "graded")
    assert column(split, "train")[:3] == pytest.approx(GOLDEN_SPEEDS, abs=5e-5)


@pytest.mark.parametrize("name", ["ant-direction", "point-goal", "point-dynamics"])
def test_directions_leave_out_a_quadrant_between_two_as_the_shifted_split_does(name):
    split = get_split(f"{name}.tuning")
    quarters = column(split, "train") / (math.pi / 2)
    assert {int(quarter) for quarter in quarters} == {0, 2}
    assert {int(quarter) for quarter in column(split, "test_id") / (math.pi / 2)} == {0, 2}
    assert (column(split, "test") / math.pi).tolist() == pytest.approx(np.linspace(0.525, 0.975, 10).tolist())


def test_goals_and_masses_train_far_from_the_gap_and_test_at_its_margins():
    goals = get_split("ant-goal.tuning")
    radius = {name: np.hypot(*np.array(goals.values(name)).T) for name in ("train", "test", "test_id")}
    for name in ("train", "test_id"):
        assert ((radius[name] < 0.5) | ((radius[name] > 2.75) & (radius[name] < 3))).all()
    inner, outer = radius["test"] < 2, radius["test"] > 2
    assert ((radius["test"][inner] > 0.75) & (radius["test"][inner] < 1)).all()
    assert ((radius["test"][outer] > 2.5) & (radius["test"][outer] < 2.6)).all()
    assert min(inner.sum(), outer.sum()) >= 5
    for family in ("walker-mass", "hopper-mass"):
        split = get_split(f"{family}.tuning")
        train, test = (np.log(column(split, which)) / math.log(1.5) for which in ("train", "test"))
        assert ((train < 0.25) | ((train > 3.25) & (train < 3.5))).all()
        assert (((test > 0.35) & (test < 0.5)) | ((test > 3) & (test < 3.15))).all()


def test_negated_joints_split_the_training_sets_at_the_last_joint_but_one():
    for name, negated, last, sizes in (("cheetah", 3, 4, (4, 6)), ("ant", 4, 6, (15, 20))):
        split, ood = (get_split(f"{name}-negated-joints.{which}") for which in ("tuning", "ood"))
        assert (len(split.train), len(split.test)) == sizes
        assert set(split.train) | set(split.test) == set(ood.train)
        assert all((np.array(row) < 0).sum() == negated for row in (*split.train, *split.test))
        assert {row[last] for row in split.train} == {1.0}
        assert {row[last] for row in split.test} == {-1.0}
        assert split.test_id_is_train


def test_walkers_are_shifted_upwards_as_far_as_in_the_shifted_split():
    split, ood = get_split("walker-parameters.tuning"), get_split("walker-parameters.ood")

    def shift_of(which):
        train, test = np.array(which.train), np.array(which.test)
        return np.median((test.mean(0) - train.mean(0)) / train.std(0))

    assert shift_of(ood) == pytest.approx(5.0, abs=0.3)
    assert shift_of(split) == pytest.approx(5.0, abs=0.7)
    assert np.array(split.test).max() < 1.5**3
    others = np.r_[0:32, 41:65]
    assert np.array(split.train)[:, others].max() < 1.5 < np.array(split.test)[:, others].min()


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_task_that_is_tested_is_named_with_the_list_it_is_on():
    hard = get_split("cheetah-velocity.hard")
    split = changed("cheetah-velocity.tuning", train=(hard.test[3], (0.4,)))
    reasons = problems(split)
    assert any(
        words.startswith("1 task lies of its train list, such as number 0 (2.868), on the test list of "
                         "cheetah-velocity.hard: what is tuned on test tasks says nothing") for words in reasons
    )  # fmt: skip
    assert any("on the test list of cheetah-velocity.medium" in words for words in reasons)
    assert any("outside the training distribution of cheetah-velocity.hard (target_speed in 0 to 1.5 m/s)" in words
               and "take 'hard' out of tunes" in words for words in reasons)  # fmt: skip
    check = check_role(split)
    assert not check.passed
    assert "on the test list of cheetah-velocity.hard" in check.detail


@pytest.mark.parametrize("list_name", ["train", "test", "test_id"])
@pytest.mark.parametrize(
    ("name", "task", "says"),
    [
        ("cheetah-velocity.tuning", (1.6,), "outside the training distribution of cheetah-velocity.hard"),
        ("cheetah-velocity.tuning", (-0.1,), "outside the training distribution of cheetah-velocity.standard"),
        ("ant-direction.tuning", (1.51 * math.pi,), "outside the training distribution of ant-direction.ood (angle in"),
        ("ant-goal.tuning", (1.2, 1.2), "outside the training distribution of ant-goal.tavt (goal's distance from the "
         "origin in 0 to 1 or 2.5 to 3 m)"),
        ("cheetah-negated-joints.tuning", (1, 1, 1, -1, -1, -1), "on the test list of cheetah-negated-joints.ood"),
        ("cheetah-negated-joints.tuning", (-1, -1, 1, 1, 1, 1), "ood (one of its 10 training tasks)"),
        ("ant-negated-joints.tuning", (1, 1, 1, 1, -1, -1, -1, -1), "(one of its 35 training tasks)"),
        ("walker-mass.tuning", (1.3,), "outside the training distribution of walker-mass.tavt (mass in 1 to 1.225 or "),
        ("walker-parameters.tuning", (3.4,) + (1.0,) * 64, "(body_mass in 0.2963 to 3.375 x nominal, body_inertia in"),
        ("point-dynamics.tuning", (1.6 * math.pi,), "outside the training distribution of point-dynamics.ood"),
    ],
)  # fmt: skip
def test_any_list_that_leaves_the_training_distribution_is_seen(name, task, says, list_name):
    task = tuple(float(value) for value in task)
    split = changed(name, test_id_is_train=False, **{list_name: (*get_split(name).values(list_name), task)})
    assert any(says in words and f"of its {list_name} list" in words for words in problems(split)), problems(split)
    assert not check_role(split).passed


def test_further_lists_of_a_tuning_split_and_of_what_is_tested_count_too():
    ood = get_split("ant-negated-joints.ood")
    (only_random,) = set(ood.extra["test_random"][:1]) - set(ood.test) or {ood.extra["test_random"][1]}
    split = changed("ant-negated-joints.tuning", extra={"more": (only_random,)})
    assert any("of its more list" in words and "on the test_random list of" in words for words in problems(split))


def test_a_training_list_that_also_serves_as_test_id_is_no_test_list():
    ood = get_split("cheetah-negated-joints.ood")
    assert list(shared_test_tasks(changed("cheetah-negated-joints.tuning", train=ood.train), ood)) == []
    honest = ood.model_copy(update={"test_id_is_train": False})
    (words,) = shared_test_tasks(changed("cheetah-negated-joints.tuning", test=(), test_id=()), honest)
    assert "4 tasks lie of its train list" in words
    assert "on the test_id list" in words


def test_it_may_only_tune_benchmark_splits_of_its_family():
    (words,) = problems(changed("cheetah-velocity.tuning", tunes=("hrad",)))
    assert words == "tunes names 'hrad', but cheetah-velocity has no benchmark split of that name: did you mean hard?"
    own = changed("point-goal.tuning", name="own", tunes=("tuning",))
    (words,) = problems(own)
    assert words == "tunes names 'tuning', but point-goal has no benchmark split of that name: it has ood, standard"


def test_what_counts_is_what_it_says_it_tunes():
    gap = changed("cheetah-velocity.tuning", tunes=("hard", "tavt"))
    assert any("outside the training distribution of cheetah-velocity.tavt" in words for words in problems(gap))
    near = changed("cheetah-velocity.tuning", name="near", test=((2.1,), (2.4,)), tunes=("medium",))
    assert problems(near) == []


def test_a_benchmark_split_that_tests_what_is_tuned_on_fails_its_own_check():
    own = changed("point-goal.ood", name="own", test=get_split("point-goal.tuning").test[:2])
    check = check_role(own)
    assert not check.passed
    assert "of point-goal.tuning 2 tasks lie of its test list" in check.detail
    assert check_role(get_split("point-goal.ood")).detail == "benchmark: no test task is on a list of point-goal.tuning"
    assert check_role(get_split("humanoid-direction.standard")).passed


def test_a_leaking_split_is_refused():
    leaking = changed("point-goal.tuning", name="own", test=get_split("point-goal.ood").test)
    with pytest.raises(
        InvalidDeclaration, match=r"'point-goal.own' is declared as a tuning split, but 10 tasks lie of"
    ):
        refuse_leaks(leaking, splits())
    refuse_leaks(leaking.model_copy(update={"tunes": ()}), splits())  # a benchmark split may test what it likes
    fine = changed("point-goal.tuning", name="own")
    refuse_leaks(fine, splits())
    assert check_role(fine).detail == "tuning: inside the training of standard, ood, and on no test list of the family"


# The declared training distribution -----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", splits(), ids=lambda split: split.full_name)
def test_training_lists_lie_in_the_declared_support_and_use_most_of_it(split):
    family = get_family(split.family)
    for name in ("train", "test_id"):
        assert outside(split, name, split, family) == []
    if split.support is None or family.parameter_dim > 2:
        return
    values = np.array(split.train)
    quantity = np.hypot(*values.T) if family.parameter_dim == 2 else values[:, 0]
    for low, high in split.support[0]:
        members = quantity[(quantity >= low - 1e-9) & (quantity <= high + 1e-9)]
        share = 0.5 if family.parameter_dim == 2 else 0.8  # few places are near the middle of a disc
        assert np.ptp(members) > share * (high - low), "a support much wider than the list would let tuning tasks out"


def test_a_support_that_is_not_where_the_training_tasks_are():
    assert "train [" in check_disjoint(changed("cheetah-velocity.hard", support=(((0.0, 1.0),),))).detail
    gap = check_disjoint(changed("cheetah-velocity.tavt", test_id=((1.0,),)))
    assert not gap.passed
    assert "test_id [0] lie outside the declared support, target_speed in 0 to 0.5 or 3 to 3.5 m/s" in gap.detail
    short = check_disjoint(changed("walker-parameters.ood", support=(((0.0, 9.0),),)))
    assert "declares the support of 1 parameters, walker-parameters has 4" in short.detail


def test_supports_in_words():
    assert support_in_words(get_split("humanoid-direction.standard"), get_family("humanoid-direction")) == (
        "angle in 0 to 6.283 rad"
    )
    assert support_in_words(get_split("ant-direction.tavt-4"), get_family("ant-direction")) == (
        "one of its 4 training tasks"
    )
