"""The humanoid: a two-legged body with seventeen actuated joints that must stay upright; walk in a direction.

Observation (376): qpos[2:] (22), qvel (23), and of all 14 bodies the inertias in the centre-of-mass frame (cinert,
140), velocities (cvel, 84); the actuator forces (23) and contact forces (cfrc_ext, 84, not clipped).

The body is gymnasium's humanoid.xml. The one that the results of PEARL and its successors were made with (gym before
openai/gym#932 of 2019) lets `left_hip_y` bend by -120 to 20 degrees, and `right_hip_y` by -110 to 20; here both have
-110 to 20. That joint's lower end is the only difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.environments.simulation import Simulation, all_finite, squared, unit_vectors
from tasks.spec import TaskFamily

NOISE = 0.01  # m, rad, m/s and rad/s, uniform
LOWEST, HIGHEST = 1.0, 2.0  # m, the root's height outside which an episode ends
SPEED_WEIGHT = 0.25 * 5  # per m/s: 0.25 x distance over one *time step*, of which a control step has five
CONTROL_COST = 0.1  # per squared unit of control
CONTACT_COST, MOST_CONTACT_COST = 0.5e-6, 10.0  # per squared contact force; per step
SURVIVAL = 5.0  # per step


class HumanoidDirection(Simulation):
    """Walk upright in the direction `angle`."""

    xml = "humanoid.xml"
    frame_skip = 5
    uses_contact_forces = True

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        super().__init__(family, num_rows, threads)
        self._xipos = self.batch.bind("xipos")
        self._per_body = [self.batch.bind(name) for name in ("cinert", "cvel")]
        self._actuator_forces = self.batch.bind("qfrc_actuator")
        self._mass_fractions = self.model.body_mass / self.model.body_mass.sum()
        self._directions = unit_vectors(self.values[:, 0])

    def reset_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Uniform noise on positions and velocities."""
        return generator.uniform(-NOISE, NOISE, self.model.nq), generator.uniform(-NOISE, NOISE, self.model.nv)

    def start_tasks(self, rows: np.ndarray) -> None:
        """Turn these rows' angles into directions."""
        super().start_tasks(rows)
        self._directions[rows] = unit_vectors(self.values[rows, 0])

    def position(self) -> np.ndarray:
        """The centre of mass, x and y, (row, 2), in m."""
        return (self._xipos[:, :, :2] * self._mass_fractions[:, None]).sum(axis=1)

    def observe(self) -> list[np.ndarray]:
        """Positions but x and y, velocities, body inertias and velocities, actuator and contact forces."""
        bodies = [array.reshape(self.num_rows, -1) for array in self._per_body]
        return [self.qpos[:, 2:], self.qvel, *bodies, self._actuator_forces, self.contact_forces]

    def reward(self, velocity: np.ndarray, control: np.ndarray) -> np.ndarray:
        """Speed in the task's direction, minus costs, plus the bonus for being alive."""
        speed = (velocity * self._directions).sum(axis=1)
        contact_cost = np.minimum(CONTACT_COST * squared(self.contact_forces), MOST_CONTACT_COST)
        return SPEED_WEIGHT * speed - CONTROL_COST * squared(control) - contact_cost + SURVIVAL

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether the root left the allowed heights, or a value is not finite; (..., 376) -> (...)."""
        height = next_observations[..., 0]
        return ~((height >= LOWEST) & (height <= HIGHEST) & all_finite(next_observations))
