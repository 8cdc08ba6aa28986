"""The ant: a four-legged body with eight actuated joints; walk in a direction, to a goal, or with joints negated.

Observation (27): qpos[2:15] (height m, orientation quaternion, joint angles rad) and qvel (m/s, rad/s). The goal
family also sees x, y and the clipped contact forces on all bodies (113).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.environments.simulation import Simulation, all_finite, squared, squared_actions, unit_vectors
from tasks.spec import TaskFamily

POSITION_NOISE = 0.1  # m, rad and quaternion components, uniform
VELOCITY_NOISE = 0.1  # m/s and rad/s, standard deviation
LOWEST, HIGHEST = 0.2, 1.0  # m, the torso's height outside which an episode ends
CONTROL_COST = 0.5  # per squared unit of control
GOAL_CONTROL_COST = 0.1
CONTACT_COST = 0.5e-3  # per squared, clipped contact force
SURVIVAL = 1.0  # per step
OBSERVED_SPEED = 13  # where the torso's speed along x stands in an observation without x and y


class Ant(Simulation):
    """The body: what is observed and measured of it."""

    xml = "ant.xml"
    frame_skip = 5
    uses_contact_forces = True

    def reset_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Uniform noise on all positions, normal noise on velocities."""
        positions = generator.uniform(-POSITION_NOISE, POSITION_NOISE, self.model.nq)
        return positions, VELOCITY_NOISE * generator.standard_normal(self.model.nv)

    def position(self) -> np.ndarray:
        """The torso's x and y, (row, 2), in m."""
        return self.xpos[:, 1, :2].copy()

    def observe(self) -> list[np.ndarray]:
        """All positions but x and y, and all velocities."""
        return [self.qpos[:, 2:], self.qvel]

    def clipped_contact_forces(self) -> np.ndarray:
        """Contact torques and forces on all bodies, clipped to [-1, 1], (row, 84)."""
        return np.clip(self.contact_forces, -1.0, 1.0)

    def walking_costs(self, control: np.ndarray) -> np.ndarray:
        """The costs of control and contact minus the bonus for being alive, (row,)."""
        return CONTROL_COST * squared(control) + self.contact_cost() - SURVIVAL

    def contact_cost(self) -> np.ndarray:
        """The cost of contact forces, (row,); at most 0.042."""
        return CONTACT_COST * squared(self.clipped_contact_forces())

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether the torso left the allowed heights, or a value is not finite; (..., 27) -> (...)."""
        height = next_observations[..., 0]
        return ~((height >= LOWEST) & (height <= HIGHEST) & all_finite(next_observations))


class AntDirection(Ant):
    """Walk in the direction `angle`."""

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        super().__init__(family, num_rows, threads)
        self._directions = unit_vectors(self.values[:, 0])

    def start_tasks(self, rows: np.ndarray) -> None:
        """Turn these rows' angles into directions."""
        super().start_tasks(rows)
        self._directions[rows] = unit_vectors(self.values[rows, 0])

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed in the task's direction, minus costs, plus the bonus for being alive."""
        return (velocity * self._directions).sum(axis=1) - self.walking_costs(control)


class AntGoal(Ant):
    """Be at `goal`. Episodes never terminate."""

    terminated = staticmethod(Simulation.terminated)

    def observe(self) -> list[np.ndarray]:
        """All positions and velocities, and the clipped contact forces."""
        return [self.qpos, self.qvel, self.clipped_contact_forces()]

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """How near the torso is to the goal (1-norm, m), minus the costs of control and contact."""
        distance = np.abs(self.position() - self.values).sum(axis=1)
        return -distance - GOAL_CONTROL_COST * squared(control) - self.contact_cost()


class AntNegatedJoints(Ant):
    """Walk forwards with the actions of some joints negated by `joint_signs`."""

    def applied(self, control: np.ndarray) -> np.ndarray:
        """The control times the task's signs."""
        return control * self.values

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed forwards, minus costs, plus the bonus for being alive."""
        return velocity[:, 0] - self.walking_costs(control)

    @staticmethod
    def reward_of(observations: Any, actions: Any, next_observations: Any) -> Any:
        """The reward from what is observed, (..., 27), (..., 8), (..., 27) -> (...).

        Without the contact cost, and with the mean of the speeds before and after the step for that over it: on
        random actions half to a third as far off as either speed alone.
        """
        speed = 0.5 * (observations[..., OBSERVED_SPEED] + next_observations[..., OBSERVED_SPEED])
        return speed - CONTROL_COST * squared_actions(actions) + SURVIVAL
