"""Carrying a search out: what has to hold before anything runs, and the rungs one after the other.

Nothing is kept but the runs themselves, as those of any experiment. Who went on from a rung is worked out again from
their records, so that the same command goes on where it was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import Cell, expand
from suite.experiment.origins import origin_of
from suite.experiment.presets import presets, resolve_blocks
from suite.experiment.specs import MetatestSpec
from suite.results.records import read_table
from suite.results.status import DIVERGED, read_status
from suite.tuning.search import PUBLISHED, TASK_BLIND, Search, SearchedAlgorithm, candidates, experiment_of, furthest
from suite.tuning.selection import INSIDE, SHIFTED, Value, decide, survivors
from tasks.registry import splits
from tasks.spec import TaskSplit


def check(search: Search) -> None:
    """Nothing, if a search may run.

    Raises:
        UserError: a split is none to tune on, an algorithm does not run on one, what all its configurations share sets
            a knob that is searched, or the experiments that the search stands for are not valid.
    """
    cells = expand(experiment_of(search, furthest(search)))
    for split in {cell.split.full_name: cell.split for cell in cells}.values():
        _refuse_benchmark(split)
    for cell in cells:
        if cell.reason is not None:
            raise UserError(
                f"algorithms: {cell.algorithm} does not run on {cell.split.full_name} ({cell.reason}); give it a "
                "search of its own, with other splits and the same effort"
            )
    for searched in search.algorithms:
        for split in {cell.split.full_name: cell.split for cell in cells}.values():
            _refuse_changed_knobs(searched, split, search.device)


def _refuse_benchmark(split: TaskSplit) -> None:
    if split.role != "tuning":
        others = [other.full_name for other in splits() if other.role == "tuning" and other.family == split.family]
        remedy = f"take {' or '.join(others)}" if others else "the family has no tuning split"
        raise UserError(
            f"splits: {split.full_name} is a benchmark split, and no value of ours is chosen by the results that are "
            f"reported: {remedy}, or declare one in own_splits, with the splits that it `tunes`"
        )


def _refuse_changed_knobs(searched: SearchedAlgorithm, split: TaskSplit, device: str) -> None:
    """Refuse a shared value of a knob that is searched, or the first configuration would not be the published one.

    Published is what the searched preset has, if it says so of itself, or else what `default` has.
    """
    entry = get_algorithm(searched.name)
    preset = presets(entry.training).get(searched.preset or "default", {})
    is_published = origin_of(preset, entry.name, split.full_name) == "published"
    published = resolve_blocks(entry, split, searched.preset if is_published else None, {}, {}, device)
    shared = resolve_blocks(entry, split, searched.preset, searched.train, searched.adapt, device)
    for knob in searched.knobs:
        block, _, field = knob.partition(".")
        number = ("train", "adapt").index(block)
        values = [getattr(blocks[number], field, None) for blocks in (published, shared)]
        if values[0] != values[1]:
            raise UserError(
                f"algorithms: {searched.variant}: {knob} is searched, and what its configurations share sets it to "
                f"{values[1]} on {split.full_name}, so that none would have the published {values[0]}; take it out "
                "there, and list it among the configurations"
            )


def climb(search: Search, out: Path, carry_out: Callable[[Experiment], None]) -> list[Value]:
    """The values of all rungs, after whatever of them was left to run has been run.

    Args:
        search: One that `check` accepts.
        out: The results folder.
        carry_out: Prepares an experiment in it and runs what is left of it, or raises.

    Raises:
        UserError: a run has not ended, or the task-blind row has no return.
    """
    last_rung = {label: 0 for label in furthest(search)}
    values: list[Value] = []
    for number, rung in enumerate(search.rungs):
        experiment = experiment_of(search, last_rung)
        cells = expand(experiment)
        if any(not _has_ended(test, out) for _, test in _tests_of(search, cells, rung.env_steps)):
            carry_out(experiment)
        values += _values(search, rung.env_steps, cells, out)
        for algorithm, rungs in decide(search, values).items():
            for left in survivors(search, rungs[number], number) if rung is not search.rungs[-1] else ():
                last_rung[f"{algorithm} #{left}"] = number + 1
    return values


def _tests_of(search: Search, cells: Sequence[Cell], env_steps: int) -> Iterator[tuple[Cell, MetatestSpec]]:
    """Every cell that is on a rung, with its meta-test there; a task-blind row with a budget of its own is on every."""
    own = search.task_blind.variant if search.task_blind.budget is not None else None
    return (
        (cell, test)
        for cell in cells
        for test in cell.metatests
        if (test.is_final if cell.variant == own else test.env_steps == env_steps)
    )


def _has_ended(test: MetatestSpec, out: Path) -> bool:
    """Whether nothing is left to do of a meta-test: it has records, or its training has diverged."""
    folder = out / test.training
    return (folder / "metatests" / test.hash / "records.parquet").exists() or has_diverged(folder)


def has_diverged(folder: Path) -> bool:
    """Whether a training has come to an end by itself without a result: part of what its configuration is worth."""
    status = read_status(folder)
    return status["state"] == "failed" and str(status.get("message", "")).startswith(DIVERGED)


def _values(search: Search, env_steps: int, cells: Sequence[Cell], out: Path) -> Iterator[Value]:
    """The values on the rung of so many env steps, of every variant that has been on it.

    Raises:
        UserError: one has not ended.
    """
    names = {
        candidate.choice.variant: (candidate.algorithm, candidate.number)
        for listed in candidates(search).values() for candidate in listed
    } | {search.task_blind.variant: (TASK_BLIND, PUBLISHED)}  # fmt: skip
    for cell, test in _tests_of(search, cells, env_steps):
        if not _has_ended(test, out):
            raise UserError(
                f"{cell.variant} on {cell.split.full_name}, seed {cell.seed}, has not reached {env_steps} env steps"
            )
        records = out / test.training / "metatests" / test.hash / "records.parquet"
        returns = returns_after(records) if records.exists() else {}
        for task_list in (SHIFTED, INSIDE):
            place = (*names[cell.variant], env_steps, cell.split.full_name, cell.seed, task_list)
            yield Value(*place, returns.get(task_list, math.nan), test.hash)


def returns_after(records: Path) -> dict[str, float]:
    """The final return on each task list of a run's records: a mean over episodes, then over tasks."""
    table, _ = read_table(records)
    episodes: dict[str, dict[int, list[float]]] = {}
    columns = (table[name].to_pylist() for name in ("phase", "task_list", "task", "return"))
    for phase, task_list, task, value in zip(*columns):
        if phase == "after":
            episodes.setdefault(task_list, {}).setdefault(task, []).append(math.nan if value is None else value)
    return {name: _mean([_mean(returns) for _, returns in sorted(tasks.items())]) for name, tasks in episodes.items()}


def _mean(numbers: Sequence[float]) -> float:
    """The mean, which does not depend on the order; NaN if any of them is none."""
    return math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else math.nan
