"""The walker: a planar two-legged body with six actuated joints, whose physical parameters vary from task to task.

Observation (17): qpos[1:9] (height m, pitch and joint angles rad) and qvel clipped to [-10, 10] (m/s, rad/s).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.environments.simulation import Simulation, all_finite, squared, squared_actions
from tasks.spec import TaskFamily

NOISE = 0.005  # m, rad, m/s and rad/s, uniform
LOWEST, HIGHEST = 0.8, 2.0  # m, the torso's height outside which an episode ends
MOST_PITCH = 1.0  # rad, beyond which an episode ends
MOST_VELOCITY = 10.0  # observed velocities are clipped here
CONTROL_COST = 1e-3  # per squared unit of control
SURVIVAL = 1.0  # per step
OBSERVED_SPEED = 8  # where the root's speed along x stands in an observation
VARIED_FIELDS = ("body_mass", "body_inertia", "dof_damping", "geom_friction")  # in the order of a task's values


class WalkerParameters(Simulation):
    """Walk forwards; masses, inertias, damping and friction are the nominal ones times the task's multipliers."""

    xml = "walker2d.xml"
    timestep = 0.004
    frame_skip = 4

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        super().__init__(family, num_rows, threads)
        self._fields = [self.batch.expand(name) for name in VARIED_FIELDS]
        self._nominal = [getattr(self.model, name).copy() for name in VARIED_FIELDS]
        self.values[...] = 1.0

    def reset_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Uniform noise on positions and velocities."""
        return generator.uniform(-NOISE, NOISE, self.model.nq), generator.uniform(-NOISE, NOISE, self.model.nv)

    def start_tasks(self, rows: np.ndarray) -> None:
        """Write these rows' physical parameters, and the constants that MuJoCo derives from them."""
        before = self.values[rows]
        super().start_tasks(rows)
        rows = rows[(self.values[rows] != before).any(axis=1)]
        if len(rows) == 0:
            return
        start = 0
        for field, nominal in zip(self._fields, self._nominal):
            multipliers = self.values[rows, start : start + nominal.size]
            field[rows] = nominal * multipliers.reshape(-1, *nominal.shape)
            start += nominal.size
        self.batch.set_const(rows)

    def position(self) -> np.ndarray:
        """The root's x, (row,), in m."""
        return self.qpos[:, 0].copy()

    def observe(self) -> list[np.ndarray]:
        """All positions but x, and clipped velocities."""
        return [self.qpos[:, 1:], np.clip(self.qvel, -MOST_VELOCITY, MOST_VELOCITY)]

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed forwards, minus the control cost, plus the bonus for being alive."""
        return velocity - CONTROL_COST * squared(control) + SURVIVAL

    @staticmethod
    def reward_of(observations: Any, actions: Any, next_observations: Any) -> Any:
        """The reward from what is observed, (..., 17), (..., 6), (..., 17) -> (...).

        With the mean of the speeds before and after the step for that over it: on random actions a seventh as far
        off as either speed alone.
        """
        speed = 0.5 * (observations[..., OBSERVED_SPEED] + next_observations[..., OBSERVED_SPEED])
        return speed - CONTROL_COST * squared_actions(actions) + SURVIVAL

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether the walker fell, or a value is not finite; (..., 17) -> (...)."""
        height, pitch = next_observations[..., 0], next_observations[..., 1]
        upright = (height > LOWEST) & (height < HIGHEST) & (pitch > -MOST_PITCH) & (pitch < MOST_PITCH)
        return ~(upright & all_finite(next_observations))
