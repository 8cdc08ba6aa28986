"""Episodes in the rows of a batched environment that can be copied and pickled in the middle.

A simulator's state is not ours to copy. But rows do not influence one another, and the same task, generator and actions
give the same trajectory bit for bit: so each row remembers how its episode began and what was done in it since, and a
copy does that again. It takes as long as the steps did, once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.registry import InvalidDeclaration, get_family, make_batch
from tasks.spec import Step


class Episodes:
    """A batch of `num_rows` simulations of a family, with the history of each row's episode."""

    def __init__(self, family: str, num_rows: int, threads: int = 1) -> None:
        self.batch = make_batch(family, num_rows, threads)
        self._arguments = (family, num_rows, threads)
        self._values = np.zeros((num_rows, get_family(family).parameter_dim))
        self._begun: list[np.random.Generator | None] = [None] * num_rows  # as it was when the row's episode began
        self._actions: list[list[np.ndarray]] = [[] for _ in range(num_rows)]

    def start(self, rows: np.ndarray, values: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Observations of all rows, (row, observation), after an episode began in these, in tasks (row, parameter)."""
        for row, row_values, generator in zip(rows, values, generators):
            self._values[row], self._begun[row], self._actions[row] = row_values, copy.deepcopy(generator), []
        self.batch.set_tasks(self._values)
        return self.batch.reset(rows, generators)

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """As `BatchedEnvironment.step`.

        Raises:
            InvalidDeclaration: the actions are of another shape.
        """
        family = self.batch.family
        if actions.shape != (len(self._begun), family.action_dim):
            raise InvalidDeclaration(
                f"actions of {family.name} have {family.action_dim} numbers in each of {len(self._begun)} rows, (row, "
                f"action) = {(len(self._begun), family.action_dim)}; given {actions.shape}"
            )
        result = self.batch.step(actions, active)
        for row in range(len(actions)) if active is None else np.flatnonzero(active):
            self._actions[row].append(actions[row].copy())
        return result

    def __getstate__(self) -> dict[str, Any]:
        """What the episodes can be played again from."""
        histories = {"values": self._values, "begun": self._begun, "actions": self._actions}
        return {"arguments": self._arguments, **histories}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A new batch in which the same has happened."""
        Episodes.__init__(self, *state["arguments"])
        begun = [(row, generator) for row, generator in enumerate(state["begun"]) if generator is not None]
        if not begun:
            return
        rows = np.array([row for row, _ in begun])
        self.start(rows, np.array(state["values"])[rows], [copy.deepcopy(generator) for _, generator in begun])
        lengths = np.array([len(actions) for actions in state["actions"]])
        shape = (len(lengths), get_family(self._arguments[0]).action_dim)
        for number in range(lengths.max()):
            active = lengths > number
            actions = np.zeros(shape, np.float32)
            actions[active] = [done[number] for done in state["actions"] if len(done) > number]
            self.step(actions, active)
