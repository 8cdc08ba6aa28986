"""The point's splits: angles in rad."""

from __future__ import annotations

import math

from tasks import sampling
from tasks.sampling import SUITE_SEED, TEST_ID_SEED, TUNING_ID_SEED, TUNING_SEED
from tasks.spec import References
from tasks.splits.record import Fields, built_in

PI = math.pi

_REFERENCES = {
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


def _standard(family: str) -> Fields:
    circle = ((0.0, 2 * PI),)
    train, test = sampling.uniform(SUITE_SEED, (circle, 40), (circle, 10))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on all angles.",
        "train": train,
        "test": test,
        "adaptation_transitions": 40,
        "references": _REFERENCES[family],
        "drawn": f"RandomState({SUITE_SEED}), 50 of U(0, 2 pi), the first 40 train",
        "axis": "angle",
        "support": (circle,),
    }


def _ood(family: str) -> Fields:
    quadrants = ((0.0, 1.5 * PI),)
    (train,) = sampling.uniform(SUITE_SEED, (quadrants, 40))
    (test_id,) = sampling.uniform(TEST_ID_SEED, (quadrants, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Trained on three quadrants of angles, tested inside the fourth.",
        "train": train,
        "test": sampling.evenly_spaced(1.525 * PI, 1.975 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 40,
        "references": _REFERENCES[family],
        "drawn": f"RandomState({SUITE_SEED}), 40 of U(0, 1.5 pi) train; 10 evenly spaced, 1.525 pi to 1.975 pi, test; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "axis": "angle",
        "support": (quadrants,),
    }


def _tuning(family: str) -> Fields:
    quadrants = ((0.0, 0.5 * PI), (PI, 1.5 * PI))
    (train,) = sampling.uniform(TUNING_SEED, (quadrants, 40))
    (test_id,) = sampling.uniform(TUNING_ID_SEED, (quadrants, 10))
    return {
        "shift": "out_of_distribution",
        "description": "Of the three training quadrants of `ood`, trained on the outer two, tested in the middle one.",
        "train": train,
        "test": sampling.evenly_spaced(0.525 * PI, 0.975 * PI, 10),
        "test_id": test_id,
        "adaptation_transitions": 40,
        "references": _REFERENCES[family],
        "drawn": f"RandomState({TUNING_SEED}), 40 of U(0, pi / 2) or U(pi, 1.5 pi), each as likely, train; 10 evenly "
        f"spaced from 0.525 pi to 0.975 pi test; RandomState({TUNING_ID_SEED}) test_id",
        "axis": "angle",
        "support": (quadrants,),
        "tunes": ("standard", "ood"),
    }


built_in("point-goal.standard", recorded_hash="b963a017e01d")(lambda: _standard("point-goal"))
built_in("point-goal.ood", recorded_hash="51e324adbb8e")(lambda: _ood("point-goal"))
built_in("point-goal.tuning", recorded_hash="62e6d4d84c32")(lambda: _tuning("point-goal"))
built_in("point-dynamics.standard", recorded_hash="ff7082079a90")(lambda: _standard("point-dynamics"))
built_in("point-dynamics.ood", recorded_hash="2898c22afa33")(lambda: _ood("point-dynamics"))
built_in("point-dynamics.tuning", recorded_hash="962b4b91c581")(lambda: _tuning("point-dynamics"))
