"""The simulated environments, one file a body, batched over tasks; and each as a gymnasium environment.

Importing this package registers the built-in families with gymnasium, and so does importing `offmap`; then
`gymnasium.make("offmap/CheetahVelocity-v1", split="hard")` works, and without an import
`gymnasium.make("offmap:offmap/CheetahVelocity-v1", split="hard")`. It imports no simulator.
"""

import gymnasium

from tasks.registry import families
from tasks.spec import TaskFamily


def gymnasium_id(family: TaskFamily) -> str:
    """What gymnasium calls a family."""
    return f"offmap/{family.name.title().replace('-', '')}-v{family.version}"


def register(family: TaskFamily) -> None:
    """Make a family known to gymnasium."""
    gymnasium.register(
        id=gymnasium_id(family),
        entry_point="tasks.environments.gymnasium_env:TaskEnv",
        vector_entry_point="tasks.environments.gymnasium_env:TaskVectorEnv",
        max_episode_steps=family.horizon,
        kwargs={"family": family.name},
    )


def unregister(family: TaskFamily) -> None:
    """Have gymnasium forget a family."""
    gymnasium.registry.pop(gymnasium_id(family), None)


for _family in families():
    register(_family)
