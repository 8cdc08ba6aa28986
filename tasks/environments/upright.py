"""What walker and hopper share: planar bodies that walk forwards upright, whose physics varies from task to task.

Observation: qpos without the root's x (height m, pitch and joint angles rad), and qvel clipped to [-10, 10] (m/s,
rad/s). Facts: the randomised bodies of PEARL's experiments (Rakelly et al. 2019), which run 4 steps of 0.004 s.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tasks.environments.simulation import Simulation, squared, squared_actions
from tasks.spec import TaskFamily

NOISE = 0.005  # m, rad, m/s and rad/s, uniform
MOST_VELOCITY = 10.0  # observed velocities are clipped here
CONTROL_COST = 1e-3  # per squared unit of control
SURVIVAL = 1.0  # per step


class Upright(Simulation):
    """Walk forwards; some physical parameters are the nominal ones times the task's multipliers.

    A body says which: `varied_fields` are MuJoCo's, one for each parameter of the family and in its order. A parameter
    of one element multiplies the whole field alike, any other one each element of it by one of its own.
    """

    timestep = 0.004
    frame_skip = 4
    varied_fields: ClassVar[tuple[str, ...]]

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        super().__init__(family, num_rows, threads)
        self._fields = [self.batch.expand(name) for name in self.varied_fields]
        self._nominal = [getattr(self.model, name).copy() for name in self.varied_fields]
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
        for parameter, field, nominal in zip(self.family.parameters, self._fields, self._nominal):
            multipliers = self.values[rows, start : start + parameter.size]
            shape = nominal.shape if parameter.size > 1 else (1,) * nominal.ndim
            field[rows] = nominal * multipliers.reshape(-1, *shape)
            start += parameter.size
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
        """The reward from what is observed, (..., observation), (..., action), (..., observation) -> (...).

        With the mean of the speeds before and after the step for that over it: on random actions a seventh (walker)
        to a tenth (hopper) as far off as either speed alone.
        """
        speed = 0.5 * (_observed_speed(observations) + _observed_speed(next_observations))
        return speed - CONTROL_COST * squared_actions(actions) + SURVIVAL


def _observed_speed(observations: Any) -> Any:
    """The root's speed along x: the first of the velocities, which are one more than the positions shown."""
    return observations[..., observations.shape[-1] // 2]
