"""The registry: names, errors, and what is allowed in a list."""

import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pydantic
import pytest

from tasks import registry
from tasks.registry import InvalidDeclaration, UnknownName, check_lists, get_family, get_split
from tasks.spec import Parameter, fingerprint


def test_names_and_nicknames():
    assert get_family("cheetah-vel") is get_family("cheetah-velocity")
    assert get_split("cheetah-vel.hard") is get_split("cheetah-velocity.hard")
    assert get_family("ant-goal").spaces.observation_dim == 113


def test_all_names_are_different():
    names = [name for family in registry.families() for name in (family.name, family.nickname)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("cheetah-velocity.hrad", "cheetah-velocity.hard"),
        ("cheeta-velocity.hard", "cheetah-velocity"),
        ("ant-direction.hard", "ant-direction.ood"),
        ("ant-direction", "ant-direction.ood"),
    ],
)
def test_an_unknown_split_names_the_nearest(given, nearest):
    with pytest.raises(UnknownName) as error:
        get_split(given)
    assert nearest in str(error.value)
    assert given.partition(".")[0] in str(error.value)


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'humanoid-direction'"):
        get_family("humanoid-directions")
    with pytest.raises(UnknownName, match="known: ant-dir, ant-direction"):
        get_family("???")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cheetah-velocity.hard", {"test": ()}, "its test list is empty"),
        ("cheetah-velocity.hard", {"test": ((1.0, 2.0),)}, "2 values given, cheetah-velocity takes 1: target_speed"),
        ("ant-direction.ood", {"extra": {"far": ((7.0,),)}}, r"far task 0: angle = 7.0, allowed: 0.0 to 6.28"),
    ],
)
def test_lists_that_do_not_fit_their_family(name, changes, message):
    split = get_split(name).model_copy(update=changes)
    with pytest.raises(InvalidDeclaration, match=message):
        check_lists(split, get_family(split.family))


def test_what_is_built_in_is_immutable():
    with pytest.raises(pydantic.ValidationError):
        get_family("ant-goal").horizon = 10
    with pytest.raises(pydantic.ValidationError):
        get_split("ant-goal.standard").train = ()
    with pytest.raises(TypeError):
        get_split("ant-goal.standard").train[0][0] = 1.0
    with pytest.raises(pydantic.ValidationError):
        registry.TaskFamily(**get_family("ant-goal").model_dump(), horizonn=1)


# name and version of a family -> fingerprint of its views: other numbers under the same name are a new version
RECORDED_VIEWS = {
    ("cheetah-velocity", 1): "5ec66cb6e3fd", ("cheetah-direction", 1): "5ec66cb6e3fd",
    ("cheetah-negated-joints", 1): "5ec66cb6e3fd",
}  # fmt: skip


def test_views_are_those_on_record():
    declared = {(family.name, family.version): family.views for family in registry.families() if family.views}
    assert {name: fingerprint(dict(views)) for name, views in declared.items()} == RECORDED_VIEWS


def test_without_its_position_a_cheetah_shows_the_same_wherever_it_is():
    """Joint positions and velocities are unbounded by no distance; the three numbers left out are the torso's place."""
    family = get_family("cheetah-direction")
    environment = registry.make_batch(family, 1)
    environment.set_tasks(np.ones((1, 1)))
    shown = list(family.spaces.columns("without_position"))
    assert len(shown) == 17
    seen = []
    for distance in (0.0, 1000.0):
        environment.reset(np.arange(1), [np.random.default_rng(0)])
        environment.qpos[:, 0] += distance
        for _ in range(3):
            seen.append(environment.step(np.full((1, 6), 0.5, np.float32)).observations[0])
    near, far = np.array(seen[:3]), np.array(seen[3:])
    np.testing.assert_allclose(near[:, shown], far[:, shown], atol=1e-4)
    assert (far[:, 17] - near[:, 17] > 999).all()
    assert len(family.spaces.columns("full")) == 20


@pytest.mark.parametrize(("views", "message"), [
    ({"full": (0, 1)}, "the view 'full' is every family's own"),
    ({"some": ()}, "needs positions from 0 to 19"), ({"some": (0, 20)}, r"given \[0, 20\]"),
    ({"some": (1, 0)}, "ascending"), ({"some": (0, 0)}, "each once"),
])  # fmt: skip
def test_views_that_do_not_fit_their_family_are_refused(views, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        registry.TaskFamily(**get_family("cheetah-velocity").model_dump(exclude={"views"}), views=views)


def test_views_are_frozen():
    with pytest.raises(TypeError):
        get_family("cheetah-velocity").views["mine"] = (0,)


def test_a_batch_needs_rows():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        registry.make_batch("point-goal", 0)


def test_families_declare_what_their_environments_are():
    for family in registry.families():
        environment = registry.make_batch(family, 2)
        split = next(split for split in registry.splits() if split.family == family.name)
        environment.set_tasks(np.array(split.train[:2]))
        observations = environment.reset(np.arange(2), [np.random.default_rng(seed) for seed in range(2)])
        step = environment.step(np.zeros((2, family.action_dim), np.float32))
        assert observations.shape == step.observations.shape == (2, family.observation_dim)
        assert observations.dtype == step.observations.dtype == step.rewards.dtype == np.float32
        assert step.rewards.shape == step.terminated.shape == (2,)
        assert step.terminated.dtype == bool
        assert np.isfinite(step.observations).all()
        assert getattr(environment, "dt", family.dt) == pytest.approx(family.dt)


def test_reading_the_registry_imports_no_simulator():
    code = (
        "import sys, tasks, tasks.registry as r; r.splits(); r.get_split('ant-dir.ood').hash; "
        "print([m for m in ('mujoco', 'torch', 'matplotlib', 'gymnasium', 'tasks.environments') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_angle_that_goes_round_is_circular_and_nothing_else_is():
    circular = {
        family.name for family in registry.families() if any(parameter.is_circular for parameter in family.parameters)
    }
    assert circular == {"ant-direction", "humanoid-direction", "point-goal", "point-dynamics"}
    half = Parameter(name="angle", unit="rad", low=0.0, high=math.pi)
    assert not half.is_circular
    assert not Parameter(name="angle", unit="rad").is_circular


def test_families_and_splits_can_be_copied_and_pickled():
    for thing in (*registry.families(), registry.get_split("cheetah-velocity.hard")):
        assert copy.deepcopy(thing) == pickle.loads(pickle.dumps(thing)) == thing
    split = registry.get_split("cheetah-velocity.hard")
    assert pickle.loads(pickle.dumps(split)).hash == split.hash
