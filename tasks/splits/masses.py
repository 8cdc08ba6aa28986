"""What the splits of bodies with scaled masses share: all masses times 1.5^c, with c of two bands and their gap.

Kim, Park, Kim and Han 2025 (TAVT); the exponents c are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.sampling import TAVT_SEED, TUNING_ID_SEED, TUNING_SEED, Values, frozen, spread
from tasks.spec import Interval, References
from tasks.splits.record import Fields

BASE = 1.5
TAVT_EXPONENTS = ((0.0, 0.5), (3.0, 3.5))


def tavt(references: References) -> Fields:
    """Fields of TAVT's split of a body, but for its name."""
    return {
        "shift": "out_of_distribution",
        "description": "Trained on light and on heavy bodies, 1 to 1.22 and 3.38 to 4.13 times nominal, tested between "
        "(TAVT).",
        "train": _drawn(np.random.RandomState(TAVT_SEED), TAVT_EXPONENTS, 100),
        "test": _scales(0.75, 1.25, 1.75, 2.25, 2.75),
        "test_id": _scales(0.1, 0.25, 3.1, 3.25),
        "adaptation_transitions": 400,
        "references": references,
        "drawn": f"RandomState({TAVT_SEED}), 100 of 1.5^c, c of U(0, 0.5) or U(3, 3.5), each as likely; test: c = "
        "0.75, 1.25, ..., 2.75; test_id: c = 0.1, 0.25, 3.1, 3.25",
        "axis": "mass",
        "support": _support(TAVT_EXPONENTS),
    }


def tuning(references: References) -> Fields:
    """Fields of the split that values for `tavt` are chosen on, but for its name."""
    exponents, margins = ((0.0, 0.25), (3.25, 3.5)), ((0.35, 0.5), (3.0, 3.15))
    generator = np.random.RandomState(TUNING_SEED)
    return {
        "shift": "out_of_distribution",
        "description": "Of the training masses of `tavt`, trained on those far from its gap and tested on the margins.",
        "train": _drawn(generator, exponents, 100),
        "test": _drawn(generator, margins, 20),
        "test_id": _drawn(np.random.RandomState(TUNING_ID_SEED), exponents, 20),
        "adaptation_transitions": 400,
        "references": references,
        "drawn": f"RandomState({TUNING_SEED}), 100 of 1.5^c, c of U(0, 0.25) or U(3.25, 3.5), each as likely, train, "
        f"then 20 with c of U(0.35, 0.5) or U(3, 3.15), test; RandomState({TUNING_ID_SEED}) test_id",
        "axis": "mass",
        "support": _support(exponents),
        "tunes": ("tavt",),
    }


def _drawn(generator: np.random.RandomState, exponents: Sequence[Interval], count: int) -> Values:
    return frozen(BASE ** spread(generator, exponents, count)[:, None])


def _scales(*exponents: float) -> Values:
    return frozen([[BASE**exponent] for exponent in exponents])


def _support(exponents: Sequence[Interval]) -> tuple[tuple[Interval, ...]]:
    return (tuple((BASE**low, BASE**high) for low, high in exponents),)
