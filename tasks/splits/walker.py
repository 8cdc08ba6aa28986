"""The walker's splits: multipliers of masses, inertias, damping and friction one by one, and of all masses alike."""

from __future__ import annotations

import numpy as np

from tasks import sampling
from tasks.sampling import (
    SUITE_SEED,
    TEST_ID_SEED,
    TUNING_ID_SEED,
    TUNING_SEED,
    WALKER_BLOCKS,
    WALKER_EXPONENTS,
    frozen,
)
from tasks.spec import Interval
from tasks.splits import masses
from tasks.splits.record import Fields, best_known, built_in

# --- walker-parameters ---

_SOURCE = "an expert per task, as the authors of VariBAD report it; best known, no bound"


def _support(exponents: Interval) -> tuple[tuple[Interval], ...]:
    low, high = exponents
    return tuple(((base**low, base**high),) for base, _ in WALKER_BLOCKS)


@built_in("walker-parameters.standard", recorded_hash="38b05c7dd1bd")
def _() -> Fields:
    drawn = frozen(sampling.walker_multipliers(np.random.RandomState(SUITE_SEED), 50))
    return {
        "shift": "in_distribution",
        "description": "Trained and tested on bodies whose every parameter is off by a factor of up to 3.4.",
        "train": drawn[:40],
        "test": drawn[40:],
        "adaptation_transitions": 400,
        "references": best_known(45.9, 1300.0, _SOURCE),
        "drawn": f"RandomState({SUITE_SEED}), 50 of 1.5^U(-3, 3) (damping: 1.3^U(-3, 3)), the first 40 train",
        "support": _support(WALKER_EXPONENTS),
    }


@built_in("walker-parameters.ood", recorded_hash="afe9b0fdcd42")
def _() -> Fields:
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
        "references": best_known(
            43.9,
            1300.0,
            f"{_SOURCE}; of standard bodies: these are several times heavier, so it may be out of reach",
        ),
        "drawn": "RandomState(42), 40 as `standard`, then 20 of |N(mean + 5 std, std)| per element; "
        f"RandomState({TEST_ID_SEED}) test_id",
        "support": _support(WALKER_EXPONENTS),
    }


@built_in("walker-parameters.tuning", recorded_hash="b7ec628081a5")
def _() -> Fields:
    small, large = (-3.0, 1.0), (1.5, 3.0)
    generator = np.random.RandomState(TUNING_SEED)
    train = sampling.walker_multipliers(generator, 40, small)
    test = sampling.walker_multipliers(generator, 20, large)
    test_id = sampling.walker_multipliers(np.random.RandomState(TUNING_ID_SEED), 20, small)
    return {
        "shift": "out_of_distribution",
        "description": "Trained on multipliers of 0.30 to 1.5 (damping 0.46 to 1.3), tested on larger ones, 1.84 to "
        "3.38 (1.48 to 2.20), five standard deviations above, as in `ood`, and inside its training range.",
        "train": frozen(train),
        "test": frozen(test),
        "test_id": frozen(test_id),
        "adaptation_transitions": 400,
        "references": best_known(36.2, 1300.0, f"{_SOURCE}; of standard bodies"),
        "drawn": f"RandomState({TUNING_SEED}), 40 of 1.5^U(-3, 1) (damping: 1.3^U(-3, 1)) train, then 20 of "
        f"1.5^U(1.5, 3) (1.3^U(1.5, 3)) test; RandomState({TUNING_ID_SEED}) test_id",
        "support": _support(small),
        "tunes": ("standard", "ood"),
    }


# --- walker-mass ---

_MASS_SOURCE = "PEARL at 2M steps on the training tasks of `tavt`, log of TAVT's first author; best known, no bound"


@built_in("walker-mass.tavt", recorded_hash="edd574c43f39")
def _() -> Fields:
    return masses.tavt(best_known(40.9, 654.0, _MASS_SOURCE))


@built_in("walker-mass.tuning", recorded_hash="f32776b34437")
def _() -> Fields:
    return masses.tuning(best_known(43.4, 654.0, _MASS_SOURCE))
