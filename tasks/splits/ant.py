"""The ant's splits: directions as angles in rad, goals in m, sets of negated joints."""

from __future__ import annotations

import math

from tasks import sampling
from tasks.sampling import SUITE_SEED, TAVT_SEED, TEST_ID_SEED, TEST_RANDOM_SEED, TUNING_ID_SEED, TUNING_SEED
from tasks.splits.record import Fields, best_known, built_in, nearness

PI = math.pi

_CEILING = 1045.0
_SOURCE = "PEARL at 2M steps on ant-direction.standard, third-party log; best known, no bound"
_ANY_DIRECTION = f"{_SOURCE}; the body is nearly the same in every direction"
_ANY_MASK = f"{_SOURCE}; whoever knows the mask can undo it, and the reward is that of angle 0"

# --- ant-direction ---


@built_in("ant-direction.standard", recorded_hash="9c7096c601a7")
def _() -> Fields:
    both = ((0.0,), (PI,))
    return {
        "shift": "same_tasks",
        "description": "Walk forwards or backwards; tested on the two training tasks.",
        "train": both,
        "test": both,
        "adaptation_transitions": 400,
        "references": best_known(199.2, _CEILING, _SOURCE),
        "drawn": "listed",
        "axis": "angle",
    }


@built_in("ant-direction.ood", recorded_hash="b64bc61cf636")
def _() -> Fields:
    quadrants = ((0.0, 1.5 * PI),)
    (train,) = sampling.uniform(42, (quadrants, 100))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (quadrants, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on three quadrants of directions, tested in the fourth, its edges included.",
        "train": train,
        "test": sampling.evenly_spaced(1.5 * PI, 2 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 400,
        "references": best_known(198.8, _CEILING, _ANY_DIRECTION),
        "drawn": "RandomState(42), 100 of U(0, 1.5 pi) train; 10 evenly spaced from 1.5 pi to 2 pi test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "angle",
        "support": (quadrants,),
    }


@built_in("ant-direction.tavt-2", recorded_hash="46d9bcb25741")
def _() -> Fields:
    train = ((0.0,), (0.5 * PI,))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on two directions at a right angle, tested beyond them: extrapolation (TAVT).",
        "train": train,
        "test": ((0.75 * PI,), (1.75 * PI,)),
        "test_id": train,
        "test_id_is_train": True,
        "extra": {"test_between": ((0.25 * PI,),)},
        "adaptation_transitions": 400,
        "references": best_known(
            199.2,
            1321.0,
            "PEARL at 5M steps on the training directions, log of TAVT's first author; best known, no bound",
        ),
        "drawn": "listed; test_between: the direction between the two, which the authors count as in distribution; "
        "test_id: the training list",
        "axis": "angle",
    }


@built_in("ant-direction.tavt-4", recorded_hash="77c091c4e9a8")
def _() -> Fields:
    train = ((0.0,), (0.5 * PI,), (PI,), (1.5 * PI,))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on four directions at right angles, tested half-way between: interpolation (TAVT).",
        "train": train,
        "test": ((0.25 * PI,), (0.75 * PI,), (1.25 * PI,), (1.75 * PI,)),
        "test_id": train,
        "test_id_is_train": True,
        "adaptation_transitions": 400,
        "references": best_known(
            198.2,
            1054.0,
            "PEARL at 10M steps on the training directions, log of TAVT's first author; best known, no bound",
        ),
        "drawn": "listed; test_id: the training list",
        "axis": "angle",
    }


@built_in("ant-direction.tuning", recorded_hash="e6ac079462be")
def _() -> Fields:
    quadrants = ((0.0, 0.5 * PI), (PI, 1.5 * PI))
    (train,) = sampling.uniform(TUNING_SEED, (quadrants, 100))
    (test_id,) = sampling.uniform(TUNING_ID_SEED, (quadrants, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Of the three training quadrants of `ood`, trained on the outer two, tested inside the middle "
        "one: as there, a quadrant between two that are trained on.",
        "train": train,
        "test": sampling.evenly_spaced(0.525 * PI, 0.975 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 400,
        "references": best_known(198.5, _CEILING, _ANY_DIRECTION),
        "drawn": f"RandomState({TUNING_SEED}), 100 of U(0, pi / 2) or U(pi, 1.5 pi), each as likely, train; 10 evenly "
        f"spaced from 0.525 pi to 0.975 pi test; RandomState({TUNING_ID_SEED}) test_id",
        "axis": "angle",
        "support": (quadrants,),
        "tunes": ("ood",),
    }


# --- ant-goal ---

DISC = ((0.0, 3.0),)
TAVT_RINGS = ((0.0, 1.0), (2.5, 3.0))


@built_in("ant-goal.standard", recorded_hash="aa11ed7554ab")
def _() -> Fields:
    train, test = sampling.places(SUITE_SEED, (DISC, 150), (DISC, 30))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on goals on a disc of radius 3 m.",
        "train": train,
        "test": test,
        "adaptation_transitions": 400,
        "references": nearness(train, test),
        "drawn": f"RandomState({SUITE_SEED}), 180 of angle U(0, 2 pi), radius 3 sqrt(U), the first 150 train",
        "support": (DISC,),
    }


@built_in("ant-goal.tavt", recorded_hash="db9117f19f93")
def _() -> Fields:
    (train,) = sampling.places(TAVT_SEED, (TAVT_RINGS, 150))
    test = sampling.around(1.75)
    return {
        "shift": "out_of_distribution",
        "description": "Trained on goals nearer than 1 m and on a ring of 2.5 to 3 m, tested at 1.75 m (TAVT).",
        "train": train,
        "test": test,
        "test_id": sampling.around(0.5, 2.75),
        "adaptation_transitions": 800,
        # these goals lie on the axes: whichever way the ant drifts while it settles leads away from most of them
        "references": nearness(train, test, null=-382.0, remark="; standing still at the start: -350"),
        "drawn": f"RandomState({TAVT_SEED}), 150 of angle U(0, 2 pi), radius sqrt(U(0, 1)) or sqrt(U(6.25, 9)) as the "
        "areas are; test: 1.75 m at 0, 90, 180, 270 degrees; test_id: 0.5 and 2.75 m at these angles",
        "support": (TAVT_RINGS,),
    }


@built_in("ant-goal.tuning", recorded_hash="f36c847ebaf7")
def _() -> Fields:
    rings, margins = ((0.0, 0.5), (2.75, 3.0)), ((0.75, 1.0), (2.5, 2.6))
    train, test = sampling.places(TUNING_SEED, (rings, 150), (margins, 20))
    (test_id,) = sampling.places(TUNING_ID_SEED, (rings, 20))
    return {
        "shift": "out_of_distribution",
        "description": "Of the training goals of `tavt`, trained on those far from its gap and tested on the margins.",
        "train": train,
        "test": test,
        "test_id": test_id,
        "adaptation_transitions": 400,
        "references": nearness(train, test),
        "drawn": f"RandomState({TUNING_SEED}), 150 on a disc of 0.5 m or a ring of 2.75 to 3 m as the areas are, "
        f"train, then 20 on rings of 0.75 to 1 and 2.5 to 2.6 m, test; RandomState({TUNING_ID_SEED}) test_id",
        "support": (rings,),
        "tunes": ("standard", "tavt"),
    }


# --- ant-negated-joints: the last joint is never negated in training, always in the test tasks ---


@built_in("ant-negated-joints.ood", recorded_hash="580aac6b2b47")
def _() -> Fields:
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
        "references": best_known(198.8, _CEILING, _ANY_MASK),
        "drawn": "train: all subsets; test: the first 15 of 35 in lexicographic order, as in the authors' code; "
        f"test_random: 15 of the 35 by RandomState({TEST_RANDOM_SEED}), as the paper says; test_id: the training list",
    }


@built_in("ant-negated-joints.tuning", recorded_hash="9abeeec19c1f")
def _() -> Fields:
    train = sampling.sign_masks(joints=8, negated=4, among=6)
    shifted = sampling.sign_masks(joints=8, negated=3, among=6, always=(6,))
    return {
        "shift": "out_of_distribution",
        "description": "Trained with four of joints 0-5 negated, tested with joint 6 and three of them: the training "
        "tasks of `ood`, split at its last joint but one.",
        "train": train,
        "test": sampling.choose(TUNING_SEED, shifted, len(shifted)),
        "test_id": train,
        "test_id_is_train": True,
        "adaptation_transitions": 400,
        "references": best_known(198.7, _CEILING, _ANY_MASK),
        "drawn": "train: all subsets; test: all subsets, in an order drawn by "
        f"RandomState({TUNING_SEED}), so that the first few are a fair sample; test_id: the training list",
        "tunes": ("ood",),
    }
