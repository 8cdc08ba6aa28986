"""What running an experiment would do: its cells, its trainings, what is done of both, and the hours of the rest."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import Cell, expand
from suite.experiment.specs import MetatestSpec
from suite.monitor.progress import duration
from suite.results import code_changes
from suite.results.code_changes import Made
from suite.results.layout import SET_ASIDE, refuse_foreign
from suite.results.prepare import refuse_incomparable


class PlannedCell(NamedTuple):
    """A cell of the grid: done, to do, or unsupported and why."""

    variant: str
    algorithm: str
    split: str
    seed: int
    training: str | None
    run: str | None
    state: str
    reason: str | None
    changed_modules: tuple[str, ...] = ()  # code that it was made by, and that is another now


class PlannedTraining(NamedTuple):
    """A training, shared by the cells in its label, and what is left of it; hours are None without calibration."""

    label: str
    training: str
    budget: int
    env_steps_left: int
    metatests: int
    metatests_left: int
    hours: float | None


class Plan(NamedTuple):
    """Everything that `offmap run` would do."""

    name: str
    out: Path
    workers: int
    cells: list[PlannedCell]
    trainings: list[PlannedTraining]
    lacks_bfloat16: bool = False
    """Whether the device has no bfloat16 of its own, so that `precision: auto` is float32 here."""
    unscored: tuple[str, ...] = ()  # splits without a return of the zero action, stated or to be measured

    @property
    def hours(self) -> float | None:
        """From start to end, the trainings given to the workers in their order as each becomes free."""
        if any(training.hours is None for training in self.trainings):
            return None
        free = [0.0] * self.workers
        for training in self.trainings:
            heapq.heappush(free, heapq.heappop(free) + (training.hours or 0.0))
        return max(free)

    def summary(self) -> list[str]:
        """The plan in a few sentences."""
        done = sum(cell.state == "done" for cell in self.cells)
        left = sum(training.env_steps_left for training in self.trainings)
        sentences = [
            f"{len(self.cells)} cells, {done} done; {len(self.trainings)} trainings; {left:,} env steps of "
            f"meta-training to do; results in {self.out}"
        ]
        if self.hours is not None:
            sentences.append(
                f"about {duration(3600 * self.hours)} with {self.workers} workers on this machine, if it does nothing "
                "else and every test task is fine-tuned to the end"
            )
        if self.lacks_bfloat16 and self.trainings:
            sentences.append(
                "this machine does not multiply bfloat16 natively: `precision: auto` is fp32 here, and what `lite` "
                "takes elsewhere, a quarter of an hour of one core per training, is no guide"
            )
        if self.unscored:
            sentences.append(
                f"no scores on {', '.join(self.unscored)}: nothing says what the zero action returns there; run the "
                "reference `null` beside, which measures it, or state `null_return`"
            )
        return sentences + code_changes.sentences((cell.variant, cell.changed_modules) for cell in self.cells)

    def as_json(self) -> dict[str, Any]:
        """A JSON document."""
        left = sum(training.env_steps_left for training in self.trainings)
        return {
            "experiment": self.name, "out": str(self.out), "workers": self.workers,
            "cells": [cell._asdict() for cell in self.cells],
            "trainings": [training._asdict() for training in self.trainings],
            "total": {"env_steps_left": left, "hours": self.hours},
        }  # fmt: skip


def make_plan(
    experiment: Experiment, out: Path, workers: int, calibrate: bool, say: Callable[[str], None] = lambda words: None
) -> Plan:
    """The plan of an experiment whose results are in `out`, or would be; `say` is called with what is being timed.

    Raises:
        UserError: the experiment is not valid, or `out` belongs to another one.
    """
    from algorithms.kit.networks import native_precision  # loads torch

    cells = expand(experiment)
    refuse_incomparable(experiment, cells)
    refuse_foreign(experiment.name, out)
    by_training: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.training is not None:
            by_training.setdefault(cell.training.hash, []).append(cell)
    done = {test.hash for cell in cells for test in cell.metatests if _is_done(test, out)}
    trainings = [_planned_training(sharing, out, done, calibrate, say) for sharing in by_training.values()]
    lacks_bfloat16 = native_precision(experiment.device.partition(":")[0]) == "fp32"
    planned = list(_planned_cells(cells, out, done))
    return Plan(experiment.name, out, workers, planned, trainings, lacks_bfloat16, tuple(_unscored(cells)))


def _unscored(cells: list[Cell]) -> Iterator[str]:
    """The splits on which there is no score 0: none is declared, and the null reference does not run."""
    splits = {cell.split.full_name: cell.split for cell in cells}
    measured = {cell.split.full_name for cell in cells if cell.algorithm == "null" and cell.reason is None}
    yield from (name for name, split in splits.items() if split.references.null is None and name not in measured)


def _planned_cells(cells: list[Cell], out: Path, done: set[str]) -> Iterator[PlannedCell]:
    made = [
        Made(cell.variant, cell.algorithm, cell.split.family, out / (cell.training.hash if cell.training else ""))
        for cell in cells
    ]
    for cell, names in zip(cells, code_changes.code_changes(made)):
        yield _planned_cell(cell, done)._replace(changed_modules=names)


def _planned_cell(cell: Cell, done: set[str]) -> PlannedCell:
    if cell.training is None:
        named = (cell.variant, cell.algorithm, cell.split.full_name, cell.seed)
        return PlannedCell(*named, None, None, "unsupported", cell.reason)
    state = "done" if all(test.hash in done for test in cell.metatests) else "to do"
    return PlannedCell(
        cell.variant, cell.algorithm, cell.split.full_name, cell.seed, cell.training.hash, cell.metatests[-1].hash,
        state, None,
    )  # fmt: skip


def _planned_training(
    cells: list[Cell], out: Path, done: set[str], calibrate: bool, say: Callable[[str], None]
) -> PlannedTraining:
    training, execution = cells[0].training, cells[0].execution
    assert training is not None
    assert execution is not None
    tests = {test.hash: test for cell in cells for test in cell.metatests}
    left = [test for name, test in tests.items() if name not in done]
    taken = 0 if left else execution.env_steps
    if left:
        taken = min(_env_steps_taken(out / training.hash), execution.env_steps)
    names = [", ".join(dict.fromkeys(column)) for column in zip(*((c.variant, c.split.full_name) for c in cells))]
    label = f"{' · '.join(names)} · seed {training.seed}"
    hours = None
    if calibrate:
        hours = _seconds(cells, left, taken, label, say) / 3600
    return PlannedTraining(
        label, training.hash, execution.env_steps, execution.env_steps - taken, len(tests), len(left), hours
    )


def _seconds(cells: list[Cell], left: list[MetatestSpec], taken: int, label: str, say: Callable[[str], None]) -> float:
    """Seconds of what is left of a training and its meta-tests."""
    from suite.calibration import estimate

    training, execution = cells[0].training, cells[0].execution
    assert training is not None
    assert execution is not None

    def say_timing(undeclared: str) -> None:
        whole = f", whole {undeclared}: its configuration does not declare what they are made of" if undeclared else ""
        say(f"timing {label}{whole}")

    total, training_seconds = 0.0, 0.0
    for test in left:
        try:
            cost = estimate(training, test, execution.device, say_timing)
        except RuntimeError as error:
            raise UserError(f"{error}\nUse --no-calibrate to plan without hours.") from None
        training_seconds = cost.training.seconds(execution.env_steps, taken)
        total += cost.metatest_seconds(test)
    return total + training_seconds


def _is_done(test: MetatestSpec, out: Path) -> bool:
    places = (out / test.training / place / test.hash for place in ("metatests", SET_ASIDE))
    return any((place / "records.parquet").exists() for place in places)


def _env_steps_taken(folder: Path) -> int:
    """Environment steps of the newest checkpoint, whose name tells them."""
    names = [path.name for path in (folder / "checkpoints").glob("[0-9]*") if path.name.isdigit()]
    return max(map(int, names), default=0)
