"""What pictures of bodies need: a body's MuJoCo model."""

from __future__ import annotations

from typing import Any

from tasks.environments.rendering import RenderingUnavailable
from tasks.plugins import imported
from tasks.spec import TaskFamily


def body_model(family: TaskFamily) -> Any:
    """The MuJoCo model (`MjModel`) of a family's body.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body.
    """
    module, _, class_name = family.entry_point.partition(":")
    environment = getattr(imported(module), class_name)
    if not hasattr(environment, "xml"):
        raise RenderingUnavailable(f"{family.name} has no body to picture; `offmap tasks render` draws its tasks.")
    from tasks.environments.simulation import load_model

    return load_model(environment.xml, environment.timestep)
