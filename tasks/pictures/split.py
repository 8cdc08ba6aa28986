"""Pictures of splits (what is trained on, what is tested) and films of episodes."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Wedge
from PIL import Image

from tasks.errors import UserError
from tasks.registry import get_family, make_batch
from tasks.spec import Act, TaskFamily, TaskSplit

if sys.platform == "linux" and "DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is first imported, here in `record_video`

COLOURS = {"train": "#1F6FD0", "test_id": "#4FB3E8", "test": "#D94801"}  # as in reports
LABELS = {"train": "training", "test_id": "test, training distribution", "test": "test"}
OTHER_COLOUR = "#8E2F9E"  # further test lists
FEWEST_FOR_RANGE = 5  # below this many training tasks there is no range to shade


class RenderingUnavailable(UserError, RuntimeError):
    """A film was asked for that cannot be made here; the message says what is missing."""


# --- pictures of a split ---


def draw_split(split: TaskSplit, axes: Axes) -> None:
    """Draw the training range and the test tasks of a split, in the form that suits its parameters.

    Speeds become a number line, angles an arc, goals points in the plane, negated joints a grid, and physical
    parameters one box per list.
    """
    family = get_family(split.family)
    lists = {
        name: np.array([task.values for task in split.tasks(name)])
        for name in ("train", "test_id", "test", *split.extra)
        if split.tasks(name) and not (name == "test_id" and split.test_id_is_train)
    }
    _drawing_for(family)(lists, family, axes)
    axes.set_title(f"{split.full_name} ({split.shift.replace('_', ' ')})", fontsize="medium")


def save_split(split: TaskSplit, path: Path) -> Path:
    """The path of the picture of a split, written in the format of its ending (png, pdf, svg)."""
    size = (7.0, 1.8) if _drawing_for(get_family(split.family)) is _draw_line else (7.0, 4.5)
    figure = Figure(figsize=size, layout="constrained")
    draw_split(split, figure.subplots())
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


Lists = dict[str, np.ndarray]
Drawing = Callable[[Lists, TaskFamily, Axes], None]


def _drawing_for(family: TaskFamily) -> Drawing:
    first = family.parameters[0]
    if len(family.parameters) > 1:
        return _draw_boxes
    if first.size == 1:
        return _draw_arc if first.unit == "rad" else _draw_line
    if first.size == 2 and first.unit == "m":
        return _draw_plane
    return _draw_grid if first.low == -1 and first.high == 1 else _draw_boxes


def _colour(list_name: str) -> str:
    return COLOURS.get(list_name, OTHER_COLOUR)


def _label(list_name: str, values: np.ndarray) -> str:
    return f"{LABELS.get(list_name, list_name.replace('_', ' '))} ({len(values)})"


def _axis_name(family: TaskFamily) -> str:
    first = family.parameters[0]
    return first.name.replace("_", " ") + (f" ({first.unit})" if first.unit else "")


def _draw_line(lists: Lists, family: TaskFamily, axes: Axes) -> None:
    """A number line: one row of ticks per list, over the training range."""
    if len(lists["train"]) >= FEWEST_FOR_RANGE:
        axes.axvspan(lists["train"].min(), lists["train"].max(), color=_colour("train"), alpha=0.15, lw=0)
    for height, (name, values) in enumerate(reversed(lists.items())):
        axes.plot(values[:, 0], np.full(len(values), height), "|", ms=14, mew=1.5, color=_colour(name))
    axes.set_yticks(range(len(lists)), [_label(*item) for item in reversed(lists.items())])
    axes.set_ylim(-0.7, len(lists) - 0.3)
    axes.set_xlabel(_axis_name(family))


def _draw_arc(lists: Lists, family: TaskFamily, axes: Axes) -> None:
    """Angles around a circle: one ring of marks per list, over the training range."""
    train = np.sort(lists["train"][:, 0] % (2 * math.pi))
    if len(train) >= FEWEST_FOR_RANGE:
        gaps = np.diff(train, append=train[0] + 2 * math.pi)
        widest = int(gaps.argmax())
        start = math.degrees(train[(widest + 1) % len(train)])
        axes.add_patch(
            Wedge((0, 0), 1, start, start + 360 - math.degrees(gaps[widest]), color=_colour("train"), alpha=0.15, lw=0)
        )
    for ring, (name, values) in enumerate(lists.items()):
        radius, angles = 1 + 0.12 * ring, values[:, 0]
        x, y = radius * np.cos(angles), radius * np.sin(angles)
        axes.plot(x, y, "o", ms=5, color=_colour(name), label=_label(name, values))
    axes.plot(0, 0, "k+")
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.annotate(_axis_name(family), (0, -0.12), ha="center", fontsize="small")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_plane(lists: Lists, family: TaskFamily, axes: Axes) -> None:
    """Goals as points in the plane; the body starts at the cross."""
    for name, values in lists.items():
        axes.plot(*values.T, "o", ms=4, color=_colour(name), label=_label(name, values))
    axes.plot(0, 0, "k+")
    axes.set_aspect("equal")
    unit = family.parameters[0].unit
    axes.set_xlabel(f"x ({unit})")
    axes.set_ylabel(f"y ({unit})")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_grid(lists: Lists, family: TaskFamily, axes: Axes) -> None:
    """Negated joints: one line per task, one column per joint, dark where the joint is negated."""
    rows = np.concatenate(list(lists.values()))
    image = np.ones((*rows.shape, 3))
    owners = [name for name, values in lists.items() for _ in values]
    for index, name in enumerate(owners):
        colour = np.array([int(_colour(name)[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        image[index] = np.where(rows[index][:, None] < 0, colour, 1 - 0.12 * (1 - colour))
    axes.imshow(image, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(rows.shape[1]))
    axes.set_xlabel("joint (filled where negated)")
    axes.set_ylabel("task")
    axes.set_yticks([])
    handles = [Patch(color=_colour(name), label=_label(name, values)) for name, values in lists.items()]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _draw_boxes(lists: Lists, family: TaskFamily, axes: Axes) -> None:
    """Physical parameters: for each, one box per list over all elements and tasks, on a logarithmic axis."""
    width = 0.8 / len(lists)
    for place, (name, values) in enumerate(lists.items()):
        start = 0
        for group, parameter in enumerate(family.parameters):
            elements = values[:, start : start + parameter.size].ravel()
            start += parameter.size
            box = axes.boxplot(
                elements,
                positions=[group + (place - (len(lists) - 1) / 2) * width],
                widths=0.8 * width,
                patch_artist=True,
                showfliers=False,
                medianprops={"color": "black"},
            )
            box["boxes"][0].set_facecolor(_colour(name))
    axes.set_yscale("log")
    axes.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    axes.minorticks_off()
    axes.axhline(1.0, color="grey", lw=0.8, ls=":")
    names = [parameter.name.replace("_", "\n") for parameter in family.parameters]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(family.parameters[0].unit or "value")
    handles = [Patch(color=_colour(name), label=_label(name, values)) for name, values in lists.items()]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


# --- films of episodes ---


def roll_out(family: TaskFamily | str, values: tuple[float, ...], act: Act) -> np.ndarray:
    """Positions `qpos`, (step + 1, coordinate), of one episode of a policy in the task with these values.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body.
    """
    family = get_family(family) if isinstance(family, str) else family
    environment: Any = make_batch(family, 1)
    if not hasattr(environment, "qpos"):
        raise RenderingUnavailable(f"{family.name} has no body to film; `draw_split` draws its tasks.")
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


def record_video(
    family: TaskFamily | str, positions: np.ndarray, path: Path, width: int = 480, height: int = 320
) -> Path:
    """The path of an animated GIF, in real time, of a body going through `positions` (step, coordinate).

    Raises:
        RenderingUnavailable: the family has no MuJoCo body, or OpenGL does not work here.
        ValueError: `path` does not end in .gif.
    """
    family = get_family(family) if isinstance(family, str) else family
    if path.suffix != ".gif":
        raise ValueError(f"films are written as .gif, not {path.suffix or 'without an ending'}: {path.name}")
    frames = [Image.fromarray(frame) for frame in _frames(family, positions, width, height)]
    path.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = max(20, round(1000 * family.dt))  # viewers slow down anything faster than 50 frames per second
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return path


def _frames(family: TaskFamily, positions: np.ndarray, width: int, height: int) -> list[np.ndarray]:
    """One image (height, width, 3) per position."""
    import mujoco

    model = body_model(family)
    data = mujoco.MjData(model)
    camera = "track" if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track") >= 0 else -1
    with open_renderer(model, width, height) as renderer:
        frames = []
        for qpos in positions:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            renderer.update_scene(data, camera)
            frames.append(renderer.render())
    return frames


def body_model(family: TaskFamily) -> Any:
    """The MuJoCo model (`MjModel`) of a family's body.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body.
    """
    module, _, class_name = family.entry_point.partition(":")
    environment = getattr(import_module(module), class_name)
    if not hasattr(environment, "xml"):
        raise RenderingUnavailable(f"{family.name} has no body to film; `draw_split` draws its tasks.")
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
