"""The checks of a split: all built-in ones pass, and splits broken on purpose fail in the right place."""

import numpy as np
import pytest

from tasks import registry
from tasks.environments.point import PointGoal
from tasks.registry import get_family, get_split, splits
from tasks.splits import RECORDED_HASHES
from tasks.verify import verify


def failures(split):
    return {check.name: check.detail for check in verify(split) if not check.passed}


@pytest.mark.parametrize("split", splits(), ids=lambda split: split.full_name)
def test_every_split_passes(split):
    checks = verify(split)
    assert [check.name for check in checks] == ["lists", "role", "tasks differ", "rows agree", "hash"]
    assert all(check.passed for check in checks), checks


def test_training_tasks_in_the_test_list_must_be_declared():
    split = get_split("cheetah-velocity.hard")
    broken = split.model_copy(update={"test": split.train[:3]})
    assert "test shares 3 tasks with train" in failures(broken)["lists"]
    assert "hash" in failures(broken)
    undeclared = get_split("ant-direction.standard").model_copy(update={"shift": "in_distribution"})
    assert "lists" in failures(undeclared)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cheetah-direction.standard", {"test": ((1.0,),)}, "declares shift 'same_tasks'"),
        ("cheetah-negated-joints.ood", {"test_id_is_train": False}, "test_id shares 10 tasks"),
        ("point-goal.ood", {"test_id_is_train": True}, "declares test_id_is_train"),
        ("point-goal.ood", {"train": ((1.0,), (2.0,), (1.0,))}, r"train repeats \[2\]"),
        ("point-goal.ood", {"extra": {"more": ((3.9397903399,),)}}, "more shares tasks with train"),
        ("point-goal.ood", {"test_id": ()}, "needs a test_id list"),
        ("point-goal.ood", {"test": ((7.0,),)}, "angle = 7.0, allowed"),
        ("point-goal.ood", {"test": ((5.0,), (1.0,))}, r"test \[1\] lie inside the training distribution"),
        ("point-goal.standard", {"support": (((0.0, 3.0),),), "train": ((1.0,),)}, "lie outside the training distrib"),
        ("point-goal.ood", {"shift": "in_distribution"}, "'in_distribution', but test .* lie outside the training"),
        ("point-goal.ood", {"test_id": ((1.0,), (5.5,)), "test": ((5.5,), (6.0,))}, "test_id shares 1 tasks with test"),
        ("ant-direction.tavt-4", {"test": ((0.0,),)}, "test shares 1 tasks with train"),
        ("cheetah-direction.standard", {"test": ((1.0,), (-1.0,), (1.0,))}, r"test repeats \[2\]"),
    ],
)
def test_lists_that_are_not_as_declared(name, changes, message):
    broken = get_split(name).model_copy(update=changes)
    with pytest.raises(AssertionError, match=message):
        assert not failures(broken)["lists"]


def test_a_changed_list_is_noticed():
    split = get_split("point-goal.ood")
    changed = split.model_copy(update={"test": (*split.test[:-1], (6.25,))})
    assert list(failures(changed)) == ["hash"]
    assert "needs a new version" in failures(changed)["hash"]


def test_a_parameter_that_does_not_bite(monkeypatch):
    nominal, heavy_world = np.ones(65), np.ones(65)
    heavy_world[0] = 3.0  # the mass of the world body moves nothing
    split = get_split("walker-parameters.ood").model_copy(
        update={
            "name": "own",
            "shift": "in_distribution",
            "train": (tuple(nominal),),
            "test": (tuple(heavy_world),),
            "test_id": (),
        }
    )
    monkeypatch.setitem(RECORDED_HASHES, split.full_name, split.hash)
    assert "the same next states in train 0 and test 0" in failures(split)["tasks differ"]
    assert list(failures(split)) == ["tasks differ"]


def test_what_varies_must_be_what_is_declared(monkeypatch):
    split = get_split("cheetah-negated-joints.ood")
    family = get_family(split.family).model_copy(update={"varies": "reward"})
    monkeypatch.setattr(registry, "FAMILIES", (family,))
    assert "declared as reward-varying" in failures(split)["tasks differ"]


def test_a_batch_that_differs_from_single_rows(monkeypatch):
    exact = PointGoal.distance
    monkeypatch.setattr(PointGoal, "distance", lambda self: exact(self) * (1 + 1e-6 * (self.num_rows > 1)))
    assert "rewards differ from step" in failures(get_split("point-goal.ood"))["rows agree"]


def test_an_observation_that_tells_the_task(monkeypatch):
    reset = PointGoal.reset
    monkeypatch.setattr(PointGoal, "reset", lambda self, *given: (reset(self, *given) + self.values).astype(np.float32))
    assert "first observation" in failures(get_split("point-goal.ood"))["tasks differ"]


def test_a_split_without_a_record():
    split = get_split("point-goal.ood").model_copy(update={"name": "own"})
    assert list(failures(split)) == ["hash"]
    assert "point-goal.own is not on record" in failures(split)["hash"]
