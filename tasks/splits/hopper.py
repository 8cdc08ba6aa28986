"""The hopper's splits: multipliers of all masses alike."""

from __future__ import annotations

from tasks.splits import masses
from tasks.splits.record import Fields, best_known, built_in

_SOURCE = "PEARL at 2M steps on the training tasks of `tavt`, log of TAVT's first author; best known, no bound"


@built_in("hopper-mass.tavt", recorded_hash="d9b6192c4f43")
def _() -> Fields:
    return masses.tavt(best_known(58.9, 568.0, _SOURCE))


@built_in("hopper-mass.tuning", recorded_hash="7bc094c02f8c")
def _() -> Fields:
    return masses.tuning(best_known(63.6, 568.0, _SOURCE))
