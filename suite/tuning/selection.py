"""The rule by which a search decides, "shifted mean rank": who goes on from a rung, and who wins.

On each tuning split the configurations of an algorithm are ranked by their final return on the shifted list `test`, a
mean over seeds; equal returns share the mean of their ranks, and a configuration without a return (it diverged, a seed
is missing) shares the last ones. They are ordered by the mean of their ranks over the splits, then by that of their
ranks on `test_id`, then by their numbers. Behind all others stand, in the same order, the vetoed ones: those that on
some split do not beat the task-blind row in distribution, and those without a return. A vetoed one never wins.

Ranks, not returns, are averaged, since returns of different families have no common scale; one configuration is chosen
for all splits together, as one algorithm is compared on all of them (Patterson et al., 2024, "The Cross-environment
Hyperparameter Setting Benchmark for Reinforcement Learning").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from suite.errors import UserError
from suite.tuning.search import TASK_BLIND, Search

SHIFTED, INSIDE = "test", "test_id"
"""The lists that the rule compares by, and those that it asks to be better than the task-blind row on."""


class Value(NamedTuple):
    """A final return of one configuration on one task list, a mean over its tasks; NaN where there is none."""

    algorithm: str  # label of the searched algorithm, or `search.TASK_BLIND`
    configuration: int
    env_steps: int  # of the rung
    split: str
    seed: int
    task_list: str
    value: float
    run: str  # hash of the meta-test


class Standing(NamedTuple):
    """How a configuration stands on a rung; returns are means over seeds, in the order of the search's splits."""

    configuration: int
    mean_rank: float
    is_vetoed: bool
    shifted: tuple[float, ...]
    inside: tuple[float, ...]


Standings = dict[str, list[list[Standing]]]
"""Algorithm -> rung -> its configurations, the best first."""


def decide(search: Search, values: Sequence[Value]) -> Standings:
    """The standings on every rung up to the last that has values, by the search's rule.

    Raises:
        UserError: the task-blind row has no return where it has to be beaten.
    """
    reached = {value.env_steps for value in values}
    rungs = [rung for rung in search.rungs if rung.env_steps in reached]
    means = _Means(search, values)
    decided: Standings = {}
    for searched in search.algorithms:
        numbers = list(range(search.configurations))
        decided[searched.variant] = []
        for rung in rungs:
            placed = _standings(means, searched.variant, numbers, rung.env_steps)
            decided[searched.variant].append(placed)
            numbers = sorted(standing.configuration for standing in placed[: rung.keep])
    return decided


def survivors(search: Search, placed: Sequence[Standing], rung: int) -> list[int]:
    """The configurations that go on from a rung, or that are left at the end."""
    return [standing.configuration for standing in placed[: search.rungs[rung].keep]]


def winner(search: Search, rungs: Sequence[Sequence[Standing]]) -> int | None:
    """The configuration that was chosen for an algorithm; None before the end, or if all are vetoed there."""
    if len(rungs) < len(search.rungs) or rungs[-1][0].is_vetoed:
        return None
    return rungs[-1][0].configuration


def task_blind(search: Search, values: Sequence[Value], env_steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The returns of the task-blind row on a rung, shifted and in distribution, each by split."""
    means = _Means(search, values)
    return means.of(TASK_BLIND, 0, env_steps, SHIFTED), means.of(TASK_BLIND, 0, env_steps, INSIDE)


class _Means:
    """Means over seeds of the values of a search; NaN where one is missing."""

    def __init__(self, search: Search, values: Sequence[Value]) -> None:
        self._search = search
        self._values = {value[:6]: value.value for value in values}

    def of(self, algorithm: str, number: int, env_steps: int, task_list: str) -> tuple[float, ...]:
        """One mean per split of the search."""
        return tuple(
            float(np.mean([
                self._values.get((algorithm, number, env_steps, split, seed, task_list), np.nan)
                for seed in self._search.seeds
            ]))
            for split in self._search.splits
        )  # fmt: skip

    def to_beat(self, env_steps: int) -> tuple[float, ...]:
        """The returns of the task-blind row in distribution.

        Raises:
            UserError: it has none on a split.
        """
        blind = self.of(TASK_BLIND, 0, env_steps, INSIDE)
        for split, value in zip(self._search.splits, blind):
            if not np.isfinite(value):
                raise UserError(
                    f"{self._search.task_blind.variant} has no return on {split} at {env_steps} env steps, so nothing "
                    "can be said about what has to beat it: give `task_blind` values that it learns with"
                )
        return blind


def _standings(means: _Means, algorithm: str, numbers: Sequence[int], env_steps: int) -> list[Standing]:
    """The configurations of an algorithm on a rung, the best first."""
    blind = np.array(means.to_beat(env_steps))
    shifted, inside = (
        np.array([means.of(algorithm, number, env_steps, task_list) for number in numbers])
        for task_list in (SHIFTED, INSIDE)
    )  # (configuration, split) each
    mean_ranks, inside_ranks = _ranks(shifted).mean(axis=1), _ranks(inside).mean(axis=1)
    is_vetoed = ~((inside > blind) & np.isfinite(inside) & np.isfinite(shifted)).all(axis=1)
    order = np.lexsort((numbers, inside_ranks, mean_ranks, is_vetoed))
    return [
        Standing(
            numbers[row], float(mean_ranks[row]), bool(is_vetoed[row]), tuple(shifted[row].tolist()),
            tuple(inside[row].tolist()),
        )
        for row in order
    ]  # fmt: skip


def _ranks(returns: np.ndarray) -> np.ndarray:
    """Ranks on every split, (configuration, split): 1 the highest return, ties the mean of theirs, no return last."""
    below = np.where(np.isfinite(returns), -returns, np.inf)
    less = (below[None] < below[:, None]).sum(axis=1)
    equal = (below[None] == below[:, None]).sum(axis=1)
    ranks: np.ndarray = less + (equal + 1) / 2
    return ranks
