"""Videos of episodes: the positions that a policy goes through, and these as an animated GIF."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.environments.rendering import Camera
from tasks.pictures.rendering import body_model, no_body
from tasks.registry import get_family, make_batch
from tasks.spec import Act, TaskFamily


def roll_out(family: TaskFamily | str, values: tuple[float, ...], act: Act) -> np.ndarray:
    """Positions `qpos`, (step + 1, coordinate), of one episode of a policy in the task with these values.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body.
    """
    family = get_family(family) if isinstance(family, str) else family
    environment: Any = make_batch(family, 1)
    if not hasattr(environment, "qpos"):
        raise no_body(family)
    environment.set_tasks(np.array([values]))
    observations = environment.reset(np.arange(1), [np.random.default_rng(0)])
    positions = [environment.qpos[0].copy()]
    for _ in range(family.horizon):
        step = environment.step(act(observations))
        observations = step.observations
        positions.append(environment.qpos[0].copy())
        if step.terminated[0]:
            break
    return np.stack(positions)


def record_video(family: TaskFamily | str, positions: np.ndarray, path: Path) -> Path:
    """The path of an animated GIF, in real time, of a body going through `positions` (step, coordinate).

    Raises:
        RenderingUnavailable: the family has no MuJoCo body, or OpenGL does not work here.
        ValueError: `path` does not end in .gif.
    """
    family = get_family(family) if isinstance(family, str) else family
    if path.suffix != ".gif":
        raise ValueError(f"videos are written as .gif, not {path.suffix or 'without an ending'}: {path.name}")
    images = [Image.fromarray(frame) for frame in _frames(family, positions)]
    path.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = max(20, round(1000 * family.dt))  # viewers slow down anything faster than 50 frames per second
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return path


def _frames(family: TaskFamily, positions: np.ndarray) -> list[np.ndarray]:
    """One image (height, width, 3) per position."""
    with closing(Camera(body_model(family))) as camera:
        return [camera.image(qpos) for qpos in positions]
