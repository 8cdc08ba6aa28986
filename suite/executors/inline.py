"""The inline executor: one run after the other in this very process, for tests and debuggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suite.executors.base import Outcome, Pool, Tick


def run_inline(folders: Sequence[Path], on_tick: Tick = lambda pool: None) -> list[Outcome]:
    """How the work on each folder ended; what a worker would write to its log appears here."""
    from suite.run.worker import work

    outcomes: list[Outcome] = []
    for number, folder in enumerate(folders):
        on_tick(Pool(tuple(folders[number + 1 :]), (folder,), tuple(outcomes)))
        outcomes.append(Outcome(folder, work(folder)))
    on_tick(Pool((), (), tuple(outcomes)))
    return outcomes
