"""Families as gymnasium environments, by the names that they have everywhere else here."""

from __future__ import annotations

from typing import Any

import gymnasium

from tasks.environments import gymnasium_id
from tasks.registry import get_family


def make(family: str, num_envs: int | None = None, **arguments: Any) -> Any:
    """The environment of a family: gymnasium's single one, or with `num_envs` a vector of so many.

    `offmap.make("cheetah-velocity", split="hard", list_name="test")` is
    `gymnasium.make("offmap/CheetahVelocity-v1", split="hard", list_name="test")`.

    Args:
        family: Name or nickname.
        num_envs: Rows of a vector, simulated side by side; None: a single environment.
        arguments: `split`, `list_name`, `max_episode_steps`; of a single one `render_mode="rgb_array"`, of a vector
            `threads`.

    Raises:
        UnknownName: there is no such family or split.
    """
    name = gymnasium_id(get_family(family))
    return gymnasium.make(name, **arguments) if num_envs is None else gymnasium.make_vec(name, num_envs, **arguments)
