"""The built-in splits, as frozen data: what is trained on, what is tested, and what shifts between the two.

Every split stands under the recorded hash of its lists. Lists that are no longer what was recorded make
`tasks.verify` fail; a change on purpose is a new `version`. Lists are drawn when they are first asked for, and kept.
A list `test_id`, fresh tasks of the training distribution, is carried by the out-of-distribution splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tasks import sampling
from tasks.sampling import SUITE_SEED, TEST_ID_SEED, TEST_RANDOM_SEED, Values, frozen
from tasks.spec import References, TaskSplit

PI = math.pi
HORIZON = 200

BUILDERS: dict[str, Callable[[], TaskSplit]] = {}
RECORDED_HASHES: dict[str, str] = {}


def _built_in(full_name: str, recorded_hash: str) -> Callable[[Callable[[], dict[str, Any]]], None]:
    """Decorator that files a split's fields, as the function returns them, under its name and recorded hash."""
    family, name = full_name.split(".")

    def file(fields: Callable[[], dict[str, Any]]) -> None:
        BUILDERS[full_name] = cache(lambda: TaskSplit(family=family, name=name, **{"test_id": ()} | fields()))
        RECORDED_HASHES[full_name] = recorded_hash

    return file


def _nearness(test: Values) -> References:
    """Ends for rewards of the form -|v - g|: standing still, and zero, as no reward is above it."""
    return References(
        null=round(-HORIZON * float(np.abs(np.array(test)).sum(axis=1).mean()), 1),
        ceiling=0.0,
        source="null: standing still at the start, -200 x mean |target|; ceiling: an upper bound, rewards are <= 0",
    )


def _best_known(null: float, ceiling: float, source: str) -> References:
    """Ends where nothing bounds the reward: the best return that anyone stated."""
    return References(
        null=null, ceiling=ceiling, source=f"null: measured, zero action, 20 episodes per test task; ceiling: {source}"
    )


_ANT_CEILING = 1045.0
_ANT_SOURCE = "PEARL at 2M steps on ant-direction.standard, third-party log; best known, no bound"


# --- cheetah-velocity: speeds in m/s ---


@_built_in("cheetah-velocity.standard", recorded_hash="fdf9698d034f")
def _() -> dict[str, Any]:
    train, test = sampling.uniform(1337, (0.0, 3.0, 100), (0.0, 3.0, 30))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on speeds in [0, 3] m/s.",
        "train": train,
        "test": test,
        "adaptation_transitions": 400,
        "references": _nearness(test),
        "drawn": "RandomState(1337), 130 of U(0, 3), the first 100 train",
        "axis": "target_speed",
    }


def _shifted_speeds(high: float) -> dict[str, Any]:
    """Fields of a split that trains below `high` and tests on [2.5, 3] m/s."""
    train, test = sampling.uniform(1337, (0.0, high, 100), (2.5, 3.0, 30))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (0.0, high, 30))
    return {
        "shift": "out_of_distribution",
        "train": train,
        "test": test,
        "test_id": test_id,
        "adaptation_transitions": 200,
        "references": _nearness(test),
        "drawn": f"RandomState(1337), 100 of U(0, {high}) train, then 30 of U(2.5, 3) test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "target_speed",
    }


@_built_in("cheetah-velocity.medium", recorded_hash="20f9f9715e8b")
def _() -> dict[str, Any]:
    description = "Trained on speeds in [0, 2.5] m/s, tested just above them, in [2.5, 3]."
    return {"description": description} | _shifted_speeds(2.5)


@_built_in("cheetah-velocity.hard", recorded_hash="6c05d489a1fc")
def _() -> dict[str, Any]:
    description = "Trained on speeds in [0, 1.5] m/s, tested far above them, in [2.5, 3]."
    return {"description": description} | _shifted_speeds(1.5)


@_built_in("cheetah-velocity.graded", recorded_hash="bc4f4b1f09c1")
def _() -> dict[str, Any]:
    hard, test = _shifted_speeds(1.5), sampling.evenly_spaced(1.75, 4.0, 10)
    return hard | {
        "description": "Trained on the tasks of `hard`, tested at ten speeds ever further off, 1.75 to 4 m/s.",
        "test": test,
        "test_id": hard["test_id"][: len(test)],
        "references": _nearness(test),
        "drawn": "train: the list of cheetah-velocity.hard; test: 1.75, 2.0, ..., 4.0; test_id: the first 10 of hard's",
    }


# --- two opposite directions: trained and tested on the same two tasks ---


@_built_in("cheetah-direction.standard", recorded_hash="e43241335822")
def _() -> dict[str, Any]:
    both = ((-1.0,), (1.0,))
    return {
        "shift": "same_tasks",
        "description": "Run backwards or forwards; tested on the two training tasks.",
        "train": both,
        "test": both,
        "adaptation_transitions": 400,
        "references": References(
            null=0.0,
            ceiling=1664.0,
            source="null: opposite tasks cancel exactly; ceiling: PEARL at 1.44M steps, third-party log; best known, "
            "no bound",
        ),
        "drawn": "listed",
        "axis": "direction",
    }


@_built_in("ant-direction.standard", recorded_hash="9c7096c601a7")
def _() -> dict[str, Any]:
    both = ((0.0,), (PI,))
    return {
        "shift": "same_tasks",
        "description": "Walk forwards or backwards; tested on the two training tasks.",
        "train": both,
        "test": both,
        "adaptation_transitions": 400,
        "references": _best_known(199.2, _ANT_CEILING, _ANT_SOURCE),
        "drawn": "listed",
        "axis": "angle",
    }


# --- all directions and goals ---


@_built_in("ant-direction.ood", recorded_hash="b64bc61cf636")
def _() -> dict[str, Any]:
    (train,) = sampling.uniform(42, (0.0, 1.5 * PI, 100))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (0.0, 1.5 * PI, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on three quadrants of directions, tested in the fourth, its edges included.",
        "train": train,
        "test": sampling.evenly_spaced(1.5 * PI, 2 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 400,
        "references": _best_known(
            198.8, _ANT_CEILING, f"{_ANT_SOURCE}; the body is nearly the same in every direction"
        ),
        "drawn": "RandomState(42), 100 of U(0, 1.5 pi) train; 10 evenly spaced from 1.5 pi to 2 pi test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "angle",
    }


@_built_in("humanoid-direction.standard", recorded_hash="1a5d3e944276")
def _() -> dict[str, Any]:
    train, test = sampling.uniform(SUITE_SEED, (0.0, 2 * PI, 100), (0.0, 2 * PI, 30))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on all directions of the plane.",
        "train": train,
        "test": test,
        "adaptation_transitions": 400,
        "references": _best_known(
            198.0, 1007.0, "PEARL at 1.67M steps, third-party log, about what staying up returns; best known, no bound"
        ),
        "drawn": f"RandomState({SUITE_SEED}), 130 of U(0, 2 pi), the first 100 train",
        "axis": "angle",
    }


@_built_in("ant-goal.standard", recorded_hash="aa11ed7554ab")
def _() -> dict[str, Any]:
    goals = sampling.disc(SUITE_SEED, 3.0, 180)
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on goals on a disc of radius 3 m.",
        "train": goals[:150],
        "test": goals[150:],
        "adaptation_transitions": 400,
        "references": _nearness(goals[150:]),
        "drawn": f"RandomState({SUITE_SEED}), 180 of angle U(0, 2 pi), radius 3 sqrt(U), the first 150 train",
    }


# --- negated joints: the last joint is never negated in training, always in the test tasks ---


@_built_in("cheetah-negated-joints.ood", recorded_hash="bedffe8ee3d2")
def _() -> dict[str, Any]:
    train = sampling.sign_masks(joints=6, negated=3, among=5)
    return {
        "shift": "out_of_distribution",
        "description": "Trained with three of joints 0-4 negated, tested with joint 5 and two of them.",
        "train": train,
        "test": sampling.sign_masks(joints=6, negated=2, among=5, always=(5,)),
        "test_id": train,
        "test_id_is_train": True,
        "adaptation_transitions": 400,
        "references": _best_known(
            -0.2, 1390.0, "the released MIER weights on the training tasks, whose masks they know; best known, no bound"
        ),
        "drawn": "all subsets, in lexicographic order; the training set is finite, so test_id is the training list",
    }


@_built_in("ant-negated-joints.ood", recorded_hash="580aac6b2b47")
def _() -> dict[str, Any]:
    train = sampling.sign_masks(joints=8, negated=4, among=7)
    candidates = sampling.sign_masks(joints=8, negated=3, among=7, always=(7,))
    return {
        "shift": "out_of_distribution",
        "description": "Trained with four of joints 0-6 negated, tested with joint 7 and three of them.",
        "train": train,
        "test": candidates[:15],
        "test_id": train,
        "test_id_is_train": True,
        "extra": {"test_random": sampling.choose(TEST_RANDOM_SEED, candidates, 15)},
        "adaptation_transitions": 400,
        "references": _best_known(
            198.8, _ANT_CEILING, f"{_ANT_SOURCE}; whoever knows the mask can undo it, and the reward is that of angle 0"
        ),
        "drawn": "train: all subsets; test: the first 15 of 35 in lexicographic order, as in the authors' code; "
        f"test_random: 15 of the 35 by RandomState({TEST_RANDOM_SEED}), as the paper says; test_id: the training list",
    }


# --- walker: multipliers of masses, inertias, damping and friction ---


_WALKER_SOURCE = "an expert per task, as the authors of VariBAD report it; best known, no bound"


@_built_in("walker-parameters.standard", recorded_hash="38b05c7dd1bd")
def _() -> dict[str, Any]:
    drawn = frozen(sampling.walker_multipliers(np.random.RandomState(SUITE_SEED), 50))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on bodies whose every parameter is off by a factor of up to 3.4.",
        "train": drawn[:40],
        "test": drawn[40:],
        "adaptation_transitions": 400,
        "references": _best_known(45.9, 1300.0, _WALKER_SOURCE),
        "drawn": f"RandomState({SUITE_SEED}), 50 of 1.5^U(-3, 3) (damping: 1.3^U(-3, 3)), the first 40 train",
    }


@_built_in("walker-parameters.ood", recorded_hash="afe9b0fdcd42")
def _() -> dict[str, Any]:
    generator = np.random.RandomState(42)
    train = sampling.walker_multipliers(generator, 40)
    test = sampling.shifted_walker_multipliers(generator, train, 20)
    test_id = sampling.walker_multipliers(np.random.RandomState(TEST_ID_SEED), 20)
    return {
        "shift": "out_of_distribution",
        "description": "Trained as `standard`, tested on parameters five standard deviations above the training mean.",
        "train": frozen(train),
        "test": frozen(test),
        "test_id": frozen(test_id),
        "adaptation_transitions": 400,
        "references": _best_known(
            43.9,
            1300.0,
            f"{_WALKER_SOURCE}; of standard bodies: these are several times heavier, so it may be out of reach",
        ),
        "drawn": "RandomState(42), 40 as `standard`, then 20 of |N(mean + 5 std, std)| per element; "
        f"RandomState({TEST_ID_SEED}) test_id",
    }


# --- point: angles in rad ---

_POINT_REFERENCES = {
    "point-goal": References(
        null=-20.0,
        ceiling=-1.5,
        source="null: 20 steps at distance 1; ceiling: straight to the goal, at distances 0.75, 0.5, 0.25, 0",
    ),
    "point-dynamics": References(
        null=-20.0,
        ceiling=-1.6875,
        source="null: 20 steps at a mean distance of 1; ceiling: straight to the goal, sum over steps k of "
        "E max(d - k/4, 0) with d from U(0.5, 1.5)",
    ),
}


def _point_standard(family: str) -> dict[str, Any]:
    train, test = sampling.uniform(SUITE_SEED, (0.0, 2 * PI, 40), (0.0, 2 * PI, 10))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on all angles.",
        "train": train,
        "test": test,
        "adaptation_transitions": 40,
        "references": _POINT_REFERENCES[family],
        "drawn": f"RandomState({SUITE_SEED}), 50 of U(0, 2 pi), the first 40 train",
        "axis": "angle",
    }


def _point_ood(family: str) -> dict[str, Any]:
    (train,) = sampling.uniform(SUITE_SEED, (0.0, 1.5 * PI, 40))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (0.0, 1.5 * PI, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on three quadrants of angles, tested inside the fourth.",
        "train": train,
        "test": sampling.evenly_spaced(1.525 * PI, 1.975 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 40,
        "references": _POINT_REFERENCES[family],
        "drawn": f"RandomState({SUITE_SEED}), 40 of U(0, 1.5 pi) train; 10 evenly spaced, 1.525 pi to 1.975 pi, test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "angle",
    }


_built_in("point-goal.standard", recorded_hash="b963a017e01d")(lambda: _point_standard("point-goal"))
_built_in("point-goal.ood", recorded_hash="51e324adbb8e")(lambda: _point_ood("point-goal"))
_built_in("point-dynamics.standard", recorded_hash="ff7082079a90")(lambda: _point_standard("point-dynamics"))
_built_in("point-dynamics.ood", recorded_hash="2898c22afa33")(lambda: _point_ood("point-dynamics"))
