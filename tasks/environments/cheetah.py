"""The half cheetah: a planar runner with six actuated joints; run at a speed, in a direction, or with joints negated.

Observation (20): qpos[1:9] (m, rad), qvel[0:9] (m/s, rad/s), and the torso's world position x, y, z (m).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.environments.simulation import Simulation, squared, squared_actions

POSITION_NOISE = 0.1  # m and rad, uniform
VELOCITY_NOISE = 0.1  # m/s and rad/s, standard deviation
CONTROL_COST = 0.05  # per squared unit of control
NEGATED_CONTROL_COST = 0.1  # the negated-joints family weighs control twice as much
FRAME, SUBSTEP = 0.05, 0.01  # s, an environment step and a simulator step
OBSERVED_SPEED, OBSERVED_X = 8, 17  # where the root's speed and the torso's x stand in an observation


class Cheetah(Simulation):
    """The body: what is observed and measured of it. Episodes never terminate."""

    xml = "half_cheetah.xml"
    frame_skip = 5

    def reset_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Uniform noise on positions, normal noise on velocities."""
        positions = generator.uniform(-POSITION_NOISE, POSITION_NOISE, self.model.nq)
        return positions, VELOCITY_NOISE * generator.standard_normal(self.model.nv)

    def position(self) -> np.ndarray:
        """The root's x, (row,), in m."""
        return self.qpos[:, 0].copy()

    def observe(self) -> list[np.ndarray]:
        """Joint positions but x, all velocities, and where the torso is."""
        return [self.qpos[:, 1:], self.qvel, self.torso()]

    def torso(self) -> np.ndarray:
        """The torso's world position, (row, 3), in m."""
        return self.xpos[:, 1]


class CheetahVelocity(Cheetah):
    """Run at `target_speed`, m/s."""

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """How near the speed is to the target, minus the control cost."""
        return -np.abs(velocity - self.values[:, 0]) - CONTROL_COST * squared(control)


class CheetahDirection(Cheetah):
    """Run forwards (`direction` +1) or backwards (-1)."""

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed in the task's direction, minus the control cost."""
        return self.values[:, 0] * velocity - CONTROL_COST * squared(control)


class CheetahNegatedJoints(Cheetah):
    """Run forwards with the actions of some joints negated by `joint_signs`."""

    def applied(self, control: np.ndarray) -> np.ndarray:
        """The control times the task's signs."""
        return control * self.values

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed forwards, minus the control cost."""
        return velocity - NEGATED_CONTROL_COST * squared(control)

    @staticmethod
    def reward_of(observations: Any, actions: Any, next_observations: Any) -> Any:
        """The reward from what is observed, (..., 20), (..., 6), (..., 20) -> (...): `reward`, exact but for the
        first step of an episode, whose first observation shows the torso where it is.
        """  # noqa: D205
        moved = _root_x(next_observations) - _root_x(observations)
        return moved / FRAME - NEGATED_CONTROL_COST * squared_actions(actions)


def _root_x(observations: Any) -> Any:
    """The root's x, m: the observed torso's is one substep behind, and an Euler step moves x at the new speed."""
    return observations[..., OBSERVED_X] + SUBSTEP * observations[..., OBSERVED_SPEED]
