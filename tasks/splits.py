"""The built-in splits, as frozen data: what is trained on, what is tested, and what shifts between the two.

Every split stands under the hash of its lists. A list that is no longer what was recorded makes `verify` fail; a
change on purpose is a new `version`. Lists are drawn when they are first asked for, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from tasks import sampling
from tasks.sampling import SUITE_SEED, TEST_ID_SEED, TEST_RANDOM_SEED, Values
from tasks.spec import References, TaskSplit

PI = math.pi
HORIZON = 200
BUILDERS: dict[str, Callable[[], TaskSplit]] = {}
RECORDED_HASHES: dict[str, str] = {}


def _built_in(full_name: str, recorded_hash: str) -> Callable[[Callable[[], TaskSplit]], Callable[[], TaskSplit]]:
    """Decorator that files the function that builds a split under its name, next to its recorded hash."""

    def file(build: Callable[[], TaskSplit]) -> Callable[[], TaskSplit]:
        BUILDERS[full_name] = cache(build)
        RECORDED_HASHES[full_name] = recorded_hash
        return BUILDERS[full_name]

    return file


def _mean_magnitude(values: Values) -> float:
    """Mean over tasks of the sum of a task's absolute values: |speed|, or the 1-norm of a goal."""
    return float(np.abs(np.array(values)).sum(axis=1).mean())


def _standing_still(test: Values) -> References:
    """Ends for rewards -|v - g|: the zero action stands still, and no reward is above zero."""
    return References(
        null=round(-HORIZON * _mean_magnitude(test), 1),
        ceiling=0.0,
        source="null: standing still, -200 x mean target speed; ceiling: upper bound, every reward is <= 0",
    )


# --- cheetah-velocity -----------------------------------------------------------------------------------------------

_VELOCITY_DRAW = "RandomState(1337), train then test, one stream; test_id RandomState(20201)"


@_built_in("cheetah-velocity.standard", recorded_hash="")
def _velocity_standard() -> TaskSplit:
    train, test = sampling.uniform(1337, (0.0, 3.0, 100), (0.0, 3.0, 30))
    return TaskSplit(
        family="cheetah-velocity",
        name="standard",
        shift="in_distribution",
        description="Trained and tested on speeds in [0, 3] m/s.",
        train=train,
        test=test,
        test_id=(),
        adaptation_transitions=400,
        references=_standing_still(test),
        drawn="RandomState(1337), 130 draws of U(0, 3), the first 100 train",
        axis="target_speed",
    )


def _velocity_shifted(name: str, high: float, description: str) -> TaskSplit:
    train, test = sampling.uniform(1337, (0.0, high, 100), (2.5, 3.0, 30))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (0.0, high, 30))
    return TaskSplit(
        family="cheetah-velocity",
        name=name,
        shift="out_of_distribution",
        description=description,
        train=train,
        test=test,
        test_id=test_id,
        adaptation_transitions=200,
        references=_standing_still(test),
        drawn=f"100 of U(0, {high}) train, 30 of U(2.5, 3) test: {_VELOCITY_DRAW}",
        axis="target_speed",
    )


@_built_in("cheetah-velocity.medium", recorded_hash="")
def _velocity_medium() -> TaskSplit:
    return _velocity_shifted("medium", 2.5, "Trained on speeds in [0, 2.5] m/s, tested just above, in [2.5, 3].")


@_built_in("cheetah-velocity.hard", recorded_hash="")
def _velocity_hard() -> TaskSplit:
    return _velocity_shifted("hard", 1.5, "Trained on speeds in [0, 1.5] m/s, tested far above, in [2.5, 3].")


@_built_in("cheetah-velocity.graded", recorded_hash="")
def _velocity_graded() -> TaskSplit:
    test = sampling.evenly_spaced(1.75, 4.0, 10)
    return TaskSplit(
        family="cheetah-velocity",
        name="graded",
        shift="out_of_distribution",
        description="The training tasks of `hard`, tested at ten speeds from 1.75 to 4 m/s: how far does it reach?",
        train=_velocity_hard().train,
        test=test,
        test_id=_velocity_hard().test_id[: len(test)],
        adaptation_transitions=200,
        references=_standing_still(test),
        drawn="train: the list of cheetah-velocity.hard; test: 1.75, 2.0, ..., 4.0; test_id: the first 10 of hard's",
        axis="target_speed",
    )


# --- point ----------------------------------------------------------------------------------------------------------


def _point(family: str, name: str) -> TaskSplit:
    """A split of a point family: all angles, or the last quadrant unseen in training."""
    shifted = name == "ood"
    high = 1.5 * PI if shifted else 2 * PI
    train, drawn_test = sampling.uniform(SUITE_SEED, (0.0, high, 40), (0.0, high, 10))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (0.0, high, 10))
    test = sampling.evenly_spaced(1.525 * PI, 1.975 * PI, 10) if shifted else drawn_test
    return TaskSplit(
        family=family,
        name=name,
        shift="out_of_distribution" if shifted else "in_distribution",
        description=(
            "Trained on angles in [0, 1.5 pi], tested in the quadrant that was left out."
            if shifted
            else "Trained and tested on angles in [0, 2 pi]."
        ),
        train=train,
        test=test,
        test_id=test_id if shifted else (),
        adaptation_transitions=40,
        references=POINT_REFERENCES[family],
        drawn=f"RandomState({SUITE_SEED}), 40 train"
        + (f"; test 10 evenly spaced; test_id RandomState({TEST_ID_SEED})" if shifted else ", then 10 test"),
        axis="angle",
    )


POINT_REFERENCES = {
    "point-goal": References(
        null=-20.0,
        ceiling=-1.5,
        source="null: 20 steps at distance 1; ceiling: straight there, distances 0.75 + 0.5 + 0.25",
    ),
    "point-dynamics": References(
        null=-20.0,
        ceiling=-1.6875,
        source="null: 20 steps at distance U(0.5, 1.5); ceiling: straight there, the mean over the start distances",
    ),
}


@_built_in("point-goal.standard", recorded_hash="")
def _point_goal_standard() -> TaskSplit:
    return _point("point-goal", "standard")


@_built_in("point-goal.ood", recorded_hash="")
def _point_goal_ood() -> TaskSplit:
    return _point("point-goal", "ood")


@_built_in("point-dynamics.standard", recorded_hash="")
def _point_dynamics_standard() -> TaskSplit:
    return _point("point-dynamics", "standard")


@_built_in("point-dynamics.ood", recorded_hash="")
def _point_dynamics_ood() -> TaskSplit:
    return _point("point-dynamics", "ood")
