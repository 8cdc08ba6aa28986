"""A point in the plane, without a simulator: reach a goal that is not observed, or undo an unknown rotation.

Observation (2): position x, y. An action moves the point by up to `STEP` in its direction; longer actions than 1 are
shortened to 1. The position never reveals the task: the goal family always starts at the origin, and the dynamics
family starts at a random place around its goal.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.spec import Step, TaskFamily

STEP = 0.25  # distance that an action of length 1 moves
START_DISTANCE = (0.5, 1.5)  # from the goal, uniform, in the dynamics family
VIEW, IMAGE = 2.5, 240  # half the width of an image, and its pixels
RING = (217, 72, 1)  # colour of the ring around a goal


class Point(ABC):
    """The body: a position that is moved by the action. Implements `tasks.spec.BatchedEnvironment`."""

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        del threads  # a few array operations in all
        self.family, self.num_rows = family, num_rows
        self.positions = np.zeros((num_rows, 2))
        self.values = np.zeros((num_rows, family.parameter_dim))
        self._next_values = self.values.copy()
        self._heading = np.tile([1.0, 0.0], (num_rows, 1))

    def start(self, generator: np.random.Generator) -> tuple[float, float]:
        """Where an episode starts: the origin."""
        del generator
        return 0.0, 0.0

    def move(self, actions: np.ndarray) -> np.ndarray:
        """The direction and length of the move, in steps, (row, 2)."""
        return actions

    @abstractmethod
    def distance(self) -> np.ndarray:
        """From the point to its goal, (row,)."""

    def image(self, row: int) -> np.ndarray:
        """A row's point in the plane, seen from above, (height, width, 3) bytes; the task is not to be seen."""
        pixels = np.full((IMAGE, IMAGE, 3), 255, np.uint8)
        y, x = np.mgrid[VIEW : -VIEW : complex(IMAGE), -VIEW : VIEW : complex(IMAGE)]
        pixels[(abs(x) < 1.5 * VIEW / IMAGE) | (abs(y) < 1.5 * VIEW / IMAGE)] = 220  # the axes
        pixels[np.hypot(x - self.positions[row, 0], y - self.positions[row, 1]) < VIEW / 20] = 0
        return pixels

    def goal(self, row: int) -> np.ndarray:
        """Where a row's point has to go, (2,): the origin."""
        del row
        return np.zeros(2)

    def image_with_goal(self, row: int) -> np.ndarray:
        """The same with a ring around the goal, for people to see."""
        pixels, (x, y) = self.image(row), self.goal(row)
        column, line = np.meshgrid(np.linspace(-VIEW, VIEW, IMAGE), np.linspace(VIEW, -VIEW, IMAGE))
        pixels[abs(np.hypot(column - x, line - y) - VIEW / 14) < VIEW / 80] = RING
        return pixels

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether an episode ends with these observations, (..., observation) -> (...): never."""
        return next_observations[..., 0] < -math.inf

    def set_tasks(self, values: np.ndarray) -> None:
        """Give every row its task, `values: (row, 1)`, an angle in rad; takes effect at the row's next reset."""
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self.values.shape:
            raise ValueError(
                f"{self.family.name}: task values of shape {values.shape} given, (row, parameter) = "
                f"{self.values.shape} needed."
            )
        self._next_values = values.copy()

    def reset(self, rows: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Observations of all rows, (row, 2), after an episode was started in the named rows."""
        for row, generator in zip(rows, generators, strict=True):
            self.values[row] = self._next_values[row]
            angle = self.values[row, 0]
            self._heading[row] = math.cos(angle), math.sin(angle)
            self.positions[row] = self.start(generator)
        return self.positions.astype(np.float32)

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Move the active rows (boolean mask; None: all) by one step. actions: (row, 2)."""
        active = np.ones(self.num_rows, dtype=bool) if active is None else active
        length = np.sqrt(np.square(actions.astype(np.float64)).sum(axis=1, keepdims=True))
        moves = STEP * self.move(actions / np.maximum(length, 1.0))
        self.positions = np.where(active[:, None], self.positions + moves, self.positions)
        rewards = np.where(active, -self.distance(), 0.0).astype(np.float32)
        observations = self.positions.astype(np.float32)
        return Step(observations, rewards, self.terminated(observations) & active)


class PointGoal(Point):
    """Reach the place at `angle` on the unit circle."""

    def goal(self, row: int) -> np.ndarray:
        """Where a row's point has to go, (2,)."""
        return self._heading[row]

    def distance(self) -> np.ndarray:
        """From the point to the goal, (row,)."""
        return np.sqrt(np.square(self.positions - self._heading).sum(axis=1))


class PointDynamics(Point):
    """Reach the origin while every action is rotated by `angle`."""

    def start(self, generator: np.random.Generator) -> tuple[float, float]:
        """Where an episode starts: anywhere around the goal."""
        angle, distance = generator.uniform(0.0, 2 * math.pi), generator.uniform(*START_DISTANCE)
        return distance * math.cos(angle), distance * math.sin(angle)

    def move(self, actions: np.ndarray) -> np.ndarray:
        """The action, rotated."""
        cosine, sine = self._heading.T
        x, y = actions.T
        return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)

    def distance(self) -> np.ndarray:
        """From the point to the origin, (row,)."""
        return np.sqrt(np.square(self.positions).sum(axis=1))

    @staticmethod
    def reward_of(observations: Any, actions: Any, next_observations: Any) -> Any:
        """Minus the distance to the origin, (..., 2), (..., 2), (..., 2) -> (...)."""
        del observations, actions
        return -((next_observations * next_observations).sum(-1) ** 0.5)
