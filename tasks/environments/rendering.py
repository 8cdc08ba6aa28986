"""Images of bodies: MuJoCo's renderer where OpenGL works, and a word about what is missing where it does not."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tasks.errors import UserError

if sys.platform == "linux" and "DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is first imported, here in `open_renderer`

WIDTH, HEIGHT = 480, 320  # px


class RenderingUnavailable(UserError, RuntimeError):
    """A picture or video was asked for that cannot be made here; the message says what is missing."""


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
            f"OpenGL does not work here (MUJOCO_GL={os.environ.get('MUJOCO_GL', 'not set')}). Without a display, set "
            "MUJOCO_GL=egl (needs a driver with libEGL, on Debian `libegl1`) or MUJOCO_GL=osmesa (`libosmesa6`) before "
            "Python starts."
        ) from problem


class Camera:
    """Looks at a body (`MjModel`): from its own camera `track`, if it has one. To be closed.

    Raises:
        RenderingUnavailable: OpenGL does not work here.
    """

    def __init__(self, model: Any, width: int = WIDTH, height: int = HEIGHT) -> None:
        import mujoco

        self._model, self._data = model, mujoco.MjData(model)
        has_own = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track") >= 0
        self._camera: str | int = "track" if has_own else -1
        self._renderer = open_renderer(model, width, height)

    def image(self, qpos: np.ndarray) -> np.ndarray:
        """The body at a position (coordinate,), as an image (height, width, 3) of bytes."""
        import mujoco

        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Give OpenGL's memory back."""
        self._renderer.close()
