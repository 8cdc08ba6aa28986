"""The simulated environments, one file a body, batched over tasks; and each as a gymnasium environment.

Importing this package registers the built-in families with gymnasium, so that
`gymnasium.make("tasks.environments:offmap/CheetahVelocity-v1", split="hard")` works; it imports no simulator.
"""

import gymnasium

from tasks.families import FAMILIES

for family in FAMILIES:
    gymnasium.register(
        id=f"offmap/{family.name.title().replace('-', '')}-v{family.version}",
        entry_point="tasks.environments.gymnasium_env:TaskEnv",
        vector_entry_point="tasks.environments.gymnasium_env:TaskVectorEnv",
        max_episode_steps=family.horizon,
        kwargs={"family": family.name},
    )
