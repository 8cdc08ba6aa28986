"""What pictures and videos of bodies need: a body's MuJoCo model, and OpenGL."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from tasks.errors import UserError
from tasks.spec import TaskFamily

if sys.platform == "linux" and "DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is first imported, here in `open_renderer`


class RenderingUnavailable(UserError, RuntimeError):
    """A picture or video was asked for that cannot be made here; the message says what is missing."""


def no_body(family: TaskFamily) -> RenderingUnavailable:
    """The error for a family without a MuJoCo body."""
    return RenderingUnavailable(f"{family.name} has no body to film; `offmap tasks render` draws its tasks.")


def body_model(family: TaskFamily) -> Any:
    """The MuJoCo model (`MjModel`) of a family's body.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body.
    """
    module, _, class_name = family.entry_point.partition(":")
    environment = getattr(import_module(module), class_name)
    if not hasattr(environment, "xml"):
        raise no_body(family)
    from tasks.environments.simulation import load_model

    return load_model(environment.xml, environment.timestep)


def open_renderer(model: Any, width: int, height: int) -> Any:
    """A `mujoco.Renderer` of images (height, width, 3), to be closed or used in a `with`.

    Raises:
        RenderingUnavailable: OpenGL does not work here.
    """
    import mujoco

    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as problem:
        raise RenderingUnavailable(
            f"OpenGL does not work here ({type(problem).__name__}: {problem}). Without a display, set MUJOCO_GL=egl "
            "(needs a driver with libEGL, on Debian `libegl1`) or MUJOCO_GL=osmesa (`libosmesa6`) before Python starts."
        ) from problem
