"""The frozen lists: their golden first values, their sizes, and what is derived from them."""

import json
import math

import numpy as np
import pytest

from tasks import sampling
from tasks.registry import get_family, get_split, splits
from tasks.splits import RECORDED_HASHES

# The lists of every split as they were first drawn: a source whose lists and records changed together does not pass.
HASHES = {
    "cheetah-velocity.standard": "fdf9698d034f", "cheetah-velocity.medium": "20f9f9715e8b",
    "cheetah-velocity.hard": "6c05d489a1fc", "cheetah-velocity.graded": "bc4f4b1f09c1",
    "cheetah-velocity.tavt": "2c9febda8b32", "cheetah-velocity.tuning": "ec9c7bae4444",
    "cheetah-direction.standard": "e43241335822", "cheetah-negated-joints.ood": "bedffe8ee3d2",
    "cheetah-negated-joints.tuning": "1169ef0f0476", "ant-direction.standard": "9c7096c601a7",
    "ant-direction.ood": "b64bc61cf636", "ant-direction.tavt-2": "46d9bcb25741",
    "ant-direction.tavt-4": "77c091c4e9a8", "ant-direction.tuning": "e6ac079462be",
    "ant-goal.standard": "aa11ed7554ab", "ant-goal.tavt": "db9117f19f93", "ant-goal.tuning": "f36c847ebaf7",
    "ant-negated-joints.ood": "580aac6b2b47", "ant-negated-joints.tuning": "9abeeec19c1f",
    "humanoid-direction.standard": "1a5d3e944276", "walker-parameters.standard": "38b05c7dd1bd",
    "walker-parameters.ood": "afe9b0fdcd42", "walker-parameters.tuning": "b7ec628081a5",
    "walker-mass.tavt": "edd574c43f39", "walker-mass.tuning": "f32776b34437",
    "hopper-mass.tavt": "d9b6192c4f43", "hopper-mass.tuning": "7bc094c02f8c",
    "point-goal.standard": "b963a017e01d", "point-goal.ood": "51e324adbb8e", "point-goal.tuning": "62e6d4d84c32",
    "point-dynamics.standard": "ff7082079a90", "point-dynamics.ood": "2898c22afa33",
    "point-dynamics.tuning": "962b4b91c581",
}  # fmt: skip

SIZES = {
    "cheetah-velocity.standard": (100, 30, 0, 400),
    "cheetah-velocity.medium": (100, 30, 30, 200),
    "cheetah-velocity.hard": (100, 30, 30, 200),
    "cheetah-velocity.graded": (100, 10, 10, 200),
    "cheetah-velocity.tavt": (100, 5, 4, 400),
    "cheetah-velocity.tuning": (100, 30, 30, 200),
    "cheetah-direction.standard": (2, 2, 0, 400),
    "cheetah-negated-joints.ood": (10, 10, 10, 400),
    "cheetah-negated-joints.tuning": (4, 6, 4, 400),
    "ant-direction.standard": (2, 2, 0, 400),
    "ant-direction.ood": (100, 10, 10, 400),
    "ant-direction.tavt-2": (2, 2, 2, 400),
    "ant-direction.tavt-4": (4, 4, 4, 400),
    "ant-direction.tuning": (100, 10, 10, 400),
    "ant-goal.standard": (150, 30, 0, 400),
    "ant-goal.tavt": (150, 4, 8, 800),
    "ant-goal.tuning": (150, 20, 20, 400),
    "ant-negated-joints.ood": (35, 15, 35, 400),
    "ant-negated-joints.tuning": (15, 20, 15, 400),
    "humanoid-direction.standard": (100, 30, 0, 400),
    "walker-parameters.standard": (40, 10, 0, 400),
    "walker-parameters.ood": (40, 20, 20, 400),
    "walker-parameters.tuning": (40, 20, 20, 400),
    "walker-mass.tavt": (100, 5, 4, 400),
    "walker-mass.tuning": (100, 20, 20, 400),
    "hopper-mass.tavt": (100, 5, 4, 400),
    "hopper-mass.tuning": (100, 20, 20, 400),
    "point-goal.standard": (40, 10, 0, 40),
    "point-goal.ood": (40, 10, 10, 40),
    "point-goal.tuning": (40, 10, 10, 40),
    "point-dynamics.standard": (40, 10, 0, 40),
    "point-dynamics.ood": (40, 10, 10, 40),
    "point-dynamics.tuning": (40, 10, 10, 40),
}


def first(rows, count):
    return [row[0] for row in rows[:count]]


def test_every_split_has_the_declared_sizes():
    sizes = {
        split.full_name: (len(split.train), len(split.test), len(split.test_id), split.adaptation_transitions)
        for split in splits()
    }
    assert sizes == SIZES


@pytest.mark.parametrize("split", splits(), ids=lambda split: split.full_name)
def test_lists_are_what_was_recorded(split):
    assert split.hash == RECORDED_HASHES[split.full_name] == HASHES[split.full_name]
    family = get_family(split.family)
    for name in ("train", "test", "test_id", *split.extra):
        assert all(len(task.values) == family.parameter_dim for task in split.tasks(name))
    assert split.adaptation_transitions % family.horizon == 0
    assert (split.axis == "") == (family.parameter_dim > 1)


def test_cheetah_velocity_lists():
    standard, medium, hard = (get_split(f"cheetah-velocity.{name}") for name in ("standard", "medium", "hard"))
    assert first(standard.train, 5) == pytest.approx([0.7861, 0.4761, 0.8344, 1.3780, 0.9630], abs=5e-5)
    assert first(medium.train, 5) == pytest.approx([0.6551, 0.3967, 0.6953, 1.1483, 0.8025], abs=5e-5)
    assert first(hard.train, 5) == pytest.approx([0.3930, 0.2380, 0.4172, 0.6890, 0.4815], abs=5e-5)
    assert first(hard.test, 5) == pytest.approx([2.8418, 2.5138, 2.6169, 2.8682, 2.9671], abs=5e-5)
    assert medium.test == hard.test
    assert np.mean(hard.test) == pytest.approx(2.7363, abs=5e-5)
    assert (np.min(hard.test), np.max(hard.test)) == pytest.approx((2.5138, 2.9964), abs=5e-5)
    assert np.mean(standard.train) == pytest.approx(1.5246, abs=5e-5)
    assert np.mean(standard.test) == pytest.approx(1.4177, abs=5e-5)


def test_graded_speeds_belong_to_the_training_of_hard():
    graded, hard = get_split("cheetah-velocity.graded"), get_split("cheetah-velocity.hard")
    assert first(graded.test, 10) == [1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0]
    assert graded.train == hard.train
    assert graded.hash != hard.hash


def test_directions():
    ood = get_split("ant-direction.ood")
    degrees = np.degrees(first(ood.train, 5))
    assert degrees == pytest.approx([101.13, 256.69, 197.64, 161.64, 42.13], abs=5e-3)
    assert np.degrees(first(ood.test, 10)) == pytest.approx(np.arange(270, 361, 10))
    assert max(first(ood.train, 100)) < 1.5 * math.pi
    assert get_split("ant-direction.standard").test == ((0.0,), (math.pi,))


def test_negated_joints_are_lexicographic():
    cheetah, ant = get_split("cheetah-negated-joints.ood"), get_split("ant-negated-joints.ood")
    negated = [tuple(np.flatnonzero(np.array(row) < 0)) for row in cheetah.train]
    assert negated == sorted(negated)
    assert negated[0] == (0, 1, 2)
    assert all(row[5] == -1 and sum(row) == 0 for row in cheetah.test)
    assert all(row[0] == -1 and row[7] == -1 for row in ant.test), "the first 15 are those that contain joint 0"
    assert len(set(ant.extra["test_random"])) == 15
    assert all(row[7] == -1 and sum(row) == 0 for row in ant.extra["test_random"])
    assert any(row[0] == 1 for row in ant.extra["test_random"])


def test_goals_fill_a_disc():
    goals = np.array(get_split("ant-goal.standard").train)
    radius = np.hypot(*goals.T)
    assert radius.max() < 3
    assert (radius < 3 * math.sqrt(0.5)).mean() == pytest.approx(0.5, abs=0.1), "half of the disc's area"


def test_walker_multipliers():
    split = get_split("walker-parameters.ood")
    train, test = np.array(split.train), np.array(split.test)
    damping = slice(32, 41)
    others = np.r_[0:32, 41:65]
    assert train[:, others].min() > 1.5**-3
    assert train[:, others].max() < 1.5**3
    assert train[:, damping].min() > 1.3**-3
    assert train[:, damping].max() < 1.3**3
    assert np.log(train[:, others]).std() == pytest.approx(math.log(1.5) * 6 / math.sqrt(12), rel=0.03)
    assert test[:, others].mean() == pytest.approx(5.5, abs=0.2)
    assert test[:, damping].mean() == pytest.approx(3.5, abs=0.2)
    legacy = np.random.RandomState(42)  # the first task: mass and inertia, then damping
    expected = np.concatenate([1.5 ** legacy.uniform(-3, 3, 32), 1.3 ** legacy.uniform(-3, 3, 9)])
    assert train[0, :41] == pytest.approx(expected, abs=1e-9)


def test_null_references_follow_from_the_lists():
    assert get_split("cheetah-velocity.standard").references.null == pytest.approx(-284, abs=1)
    assert get_split("cheetah-velocity.hard").references.null == pytest.approx(-547, abs=1)
    goals = np.array(get_split("ant-goal.standard").test)
    assert get_split("ant-goal.standard").references.null == pytest.approx(-200 * np.abs(goals).sum(1).mean(), abs=0.1)


# The task-blind optimum, worked out independently of this code: the median training speed, start-up apart.
BLIND = {"standard": (-140, -161), "medium": (-117, -301), "hard": (-70, -400)}


@pytest.mark.parametrize("name", BLIND)
def test_the_task_blind_optimum_is_the_median_training_speed(name):
    references = get_split(f"cheetah-velocity.{name}").references
    assert (references.blind_train, references.blind_test) == pytest.approx(BLIND[name], abs=0.6)


def test_no_other_place_serves_the_training_goals_better():
    split = get_split("ant-goal.tavt")
    goals = np.array(split.train)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 81)] * 2), -1).reshape(-1, 1, 2)
    best = -200 * np.abs(goals - grid).sum(2).mean(1).min()
    assert best - 0.1 <= split.references.blind_train <= best + 2
    assert split.references.blind_test == pytest.approx(-373.0, abs=0.1)


def test_what_has_no_task_blind_optimum_in_figures_says_nothing_of_one():
    for split in splits():
        known = split.references.model_dump().keys() >= {"blind_train", "blind_test"}
        assert known == (split.family in ("cheetah-velocity", "ant-goal"))


def test_point_dynamics_ceiling_is_the_integral_over_start_distances():
    distances = np.linspace(0.5, 1.5, 100_001)
    best = sum(np.maximum(distances - 0.25 * step, 0.0) for step in range(1, 21))
    assert get_split("point-dynamics.ood").references.ceiling == pytest.approx(-best.mean(), abs=1e-5)


def test_a_hash_survives_json_and_notices_every_value():
    split = get_split("walker-parameters.standard")
    again = type(split).model_validate(json.loads(split.model_dump_json()))
    assert again.hash == split.hash
    nudged = (*split.train[:-1], (*split.train[-1][:-1], split.train[-1][-1] + 1e-9))
    assert split.model_copy(update={"train": nudged}).hash != split.hash
    assert split.model_copy(update={"description": "other words"}).hash == split.hash


def test_lists_are_drawn_privately():
    np.random.seed(0)
    expected = np.random.RandomState(0).random_sample(3)
    list(sampling.uniform(1, (((0, 1),), 5)))
    list(sampling.places(1, (((0, 1),), 5)))
    sampling.walker_multipliers(np.random.RandomState(2), 3)
    assert np.array_equal(np.random.random_sample(3), expected), "the global stream was touched"


def test_a_changed_copy_has_an_identity_of_its_own():
    split = get_split("point-goal.ood")
    assert split.hash == split.hash
    other = split.model_copy(update={"version": split.version + 1})
    assert other.hash != split.hash
    assert split.model_copy() == split
    assert split.model_copy().hash == split.hash
