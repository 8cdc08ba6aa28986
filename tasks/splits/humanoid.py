"""The humanoid's split: directions as angles in rad. It has no shift, and so no split to tune one on."""

from __future__ import annotations

import math

from tasks import sampling
from tasks.sampling import SUITE_SEED
from tasks.splits.record import Fields, best_known, built_in


@built_in("humanoid-direction.standard", recorded_hash="1a5d3e944276")
def _() -> Fields:
    circle = ((0.0, 2 * math.pi),)
    train, test = sampling.uniform(SUITE_SEED, (circle, 100), (circle, 30))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on all directions of the plane.",
        "train": train,
        "test": test,
        "adaptation_transitions": 400,
        "references": best_known(
            198.0, 1007.0, "PEARL at 1.67M steps, third-party log, about what staying up returns; best known, no bound"
        ),
        "drawn": f"RandomState({SUITE_SEED}), 130 of U(0, 2 pi), the first 100 train",
        "axis": "angle",
        "support": (circle,),
    }
