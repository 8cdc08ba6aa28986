"""The hopper: a planar one-legged body with three actuated joints, whose masses vary from task to task.

Observation (11): qpos[1:6] (height m, pitch and joint angles rad) and qvel clipped to [-10, 10] (m/s, rad/s).
"""

from __future__ import annotations

from typing import Any

from tasks.environments.simulation import all_finite
from tasks.environments.upright import Upright

LOWEST = 0.7  # m, the torso's height below which an episode ends
MOST_PITCH = 0.2  # rad, beyond which an episode ends
MOST_VALUE = 100.0  # rad, m/s, rad/s: no other value of the state is larger while an episode goes on


class Hopper(Upright):
    """The body, and when it has fallen."""

    xml = "hopper.xml"

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether the hopper fell, or a value is out of all bounds or not finite; (..., 11) -> (...).

        The published rule bounds the velocities as they are, this one as they are observed, clipped: it is the same
        for all velocities below 100, and the simulated ones stay far below.
        """
        height, pitch = next_observations[..., 0], next_observations[..., 1]
        upright = (height > LOWEST) & (pitch > -MOST_PITCH) & (pitch < MOST_PITCH)
        bounded = (abs(next_observations[..., 1:]) < MOST_VALUE).all(-1)
        return ~(upright & bounded & all_finite(next_observations))


class HopperMass(Hopper):
    """All masses vary alike; inertias stay, as in the published splits."""

    varied_fields = ("body_mass",)
