"""The walker: a planar two-legged body with six actuated joints, whose physical parameters vary from task to task.

Observation (17): qpos[1:9] (height m, pitch and joint angles rad) and qvel clipped to [-10, 10] (m/s, rad/s).
"""

from __future__ import annotations

from typing import Any

from tasks.environments.simulation import all_finite
from tasks.environments.upright import Upright

LOWEST, HIGHEST = 0.8, 2.0  # m, the torso's height outside which an episode ends
MOST_PITCH = 1.0  # rad, beyond which an episode ends


class Walker(Upright):
    """The body, and when it has fallen."""

    xml = "walker2d.xml"

    @staticmethod
    def terminated(next_observations: Any) -> Any:
        """Whether the walker fell, or a value is not finite; (..., 17) -> (...)."""
        height, pitch = next_observations[..., 0], next_observations[..., 1]
        upright = (height > LOWEST) & (height < HIGHEST) & (pitch > -MOST_PITCH) & (pitch < MOST_PITCH)
        return ~(upright & all_finite(next_observations))


class WalkerParameters(Walker):
    """Masses, inertias, damping and friction vary, each element by itself."""

    varied_fields = ("body_mass", "body_inertia", "dof_damping", "geom_friction")


class WalkerMass(Walker):
    """All masses vary alike; inertias stay, as in the published splits."""

    varied_fields = ("body_mass",)
