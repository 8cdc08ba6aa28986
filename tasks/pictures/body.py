"""A body in its rest pose with the joints that a split varies marked on it (MIER paper, Fig. 3c and 3d)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks.environments.rendering import RenderingUnavailable, open_renderer
from tasks.pictures.rendering import body_model
from tasks.pictures.task_lists import COLOURS, NAMES
from tasks.registry import get_family
from tasks.spec import TaskFamily, TaskSplit

WIDTH, HEIGHT = 1200, 720  # px of the rendered body
GREY = (0.5, 0.52, 0.55, 1.0)  # of the body, so that only marks have a colour
SIDE, ABOVE = -8.0, -40.0  # degrees of elevation from which a planar and a free body are seen
MARK = 21.0  # pt across
MARGIN = 70  # px around the body
SAME_PLACE = 20.0  # px within which joints share one mark, such as those of legs side by side
LISTS = ("train", "test")
VARIED = {"joint_signs": "negated in", "joint_damping": "damping varies in"}
"""What marks mean, by the name of the parameter whose elements belong to joints."""


class Joint(NamedTuple):
    """An actuated joint: its name, and the lists (`train`, `test`) in some task of which it is varied."""

    name: str
    lists: frozenset[str]


def has_body_picture(split: TaskSplit) -> bool:
    """Whether the split varies something that belongs to the joints of a body."""
    return _varied(get_family(split.family)) is not None


def joints(split: TaskSplit) -> list[Joint]:
    """The actuated joints of a split's body, in the order of its actuators.

    Raises:
        RenderingUnavailable: the family has no MuJoCo body, or nothing varies that belongs to its joints.
    """
    family = get_family(split.family)
    model = body_model(family)
    name, start, size = _require_varied(family)
    nominal = 1.0  # a sign or a multiplier: what leaves a joint as it is
    varied: dict[str, set[int]] = {}
    for task_list in LISTS:
        values = np.array([task.values for task in split.tasks(task_list)])[:, start : start + size]
        elements = np.flatnonzero((values != nominal).any(axis=0)).tolist()
        varied[task_list] = {_joint_of(model, name, element) for element in elements}
    return [
        Joint(model.joint(joint).name, frozenset(name for name in LISTS if joint in varied[name]))
        for joint in map(int, model.actuator_trnid[:, 0])
    ]


def _varied(family: TaskFamily) -> tuple[str, int, int] | None:
    """The parameter that belongs to joints: its name, where it starts in a task's values, and its size."""
    start = 0
    for parameter in family.parameters:
        if parameter.name in VARIED:
            return parameter.name, start, parameter.size
        start += parameter.size
    return None


def _require_varied(family: TaskFamily) -> tuple[str, int, int]:
    parameter = _varied(family)
    if parameter is None:
        raise RenderingUnavailable(f"{family.name} varies no joints; `offmap tasks render` draws its tasks.")
    return parameter


def _joint_of(model: Any, parameter: str, element: int) -> int:
    """The joint to which an element of a parameter belongs: signs are of actuators, damping of degrees of freedom."""
    return int(model.actuator_trnid[element, 0] if parameter == "joint_signs" else model.dof_jntid[element])


def save_body(split: TaskSplit, path: Path) -> Path:
    """The path of the picture of a split's body (png, pdf, svg by the ending).

    Each joint that varies is a numbered disc in the colours of the task lists that vary it.

    Raises:
        RenderingUnavailable: the family has no such body, or OpenGL does not work here.
    """
    family = get_family(split.family)
    marked, meaning = joints(split), VARIED[_require_varied(family)[0]]
    image, anchors = _render(body_model(family))
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image)
    axes.set_axis_off()
    for (lists, x, y), numbers in _places(marked, anchors).items():
        axes.add_line(_disc(lists, [x], [y]))
        axes.annotate(",".join(map(str, numbers)), (x, y), ha="center", va="center", color="white", weight="bold",
                      fontsize=10)  # fmt: skip
    _legend(figure, marked, meaning)
    axes.set_title(f"{split.full_name}: {family.body} in its rest pose", fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None} if path.suffix == ".png" else None)
    return path


def _places(marked: list[Joint], anchors: np.ndarray) -> dict[tuple[frozenset[str], float, float], list[int]]:
    """The numbers of the joints that vary alike in one place of the image, by their lists and pixels."""
    places: dict[tuple[frozenset[str], float, float], list[int]] = {}
    for number, (joint, (x, y)) in enumerate(zip(marked, anchors), 1):
        near = (k for k in places if k[0] == joint.lists and np.hypot(k[1] - x, k[2] - y) < SAME_PLACE)
        if joint.lists:
            places.setdefault(next(near, (joint.lists, float(x), float(y))), []).append(number)
    return places


def _disc(lists: frozenset[str], x: list[float], y: list[float], size: float = MARK) -> Line2D:
    """A disc in the colour of its list; where both vary a joint, the left half is of training, the right of test."""
    left, right = (COLOURS[name] for name in (min(lists, key=LISTS.index), max(lists, key=LISTS.index)))
    fill: Literal["left", "full"] = "left" if left != right else "full"
    return Line2D(x, y, linestyle="none", marker="o", markersize=size, fillstyle=fill, markerfacecolor=left,
                  markerfacecoloralt=right, markeredgecolor="white", markeredgewidth=1.0)  # fmt: skip


def _legend(figure: Figure, marked: list[Joint], meaning: str) -> None:
    """What each kind of disc that occurs means, with the numbers of its joints, and their names."""
    handles = []
    kinds = {joint.lists for joint in marked} - {frozenset()}
    for lists in sorted(kinds, key=lambda names: (-len(names), sorted(names))):
        numbers = [str(number) for number, joint in enumerate(marked, 1) if joint.lists == lists]
        words = " and in ".join(NAMES[name] for name in LISTS if name in lists)
        handle = _disc(lists, [], [], 12)
        handle.set_label(f"{meaning} {words}{' only' if len(lists) == 1 else ''}: {', '.join(numbers)}")
        handles.append(handle)
    names = ", ".join(f"{number} {joint.name}" for number, joint in enumerate(marked, 1))
    figure.legend(handles=handles, loc="outside lower center", frameon=False, fontsize=9, title=f"joints: {names}",
                  title_fontsize=7.5)  # fmt: skip


def _render(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """A body on white, (height, width, 3), and the pixels (actuated joint, xy) of its joints' anchors."""
    import mujoco

    data = mujoco.MjData(model)
    limited = (model.jnt_limited == 1) & (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    places = model.jnt_qposadr[limited]
    data.qpos[places] = np.clip(data.qpos[places], *model.jnt_range[limited].T)
    model.geom_matid[:] = -1
    model.geom_rgba[:] = GREY
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, 3] = 0  # no floor
    mujoco.mj_forward(model, data)
    anchors = data.xanchor[model.actuator_trnid[:, 0]]
    bodies = data.geom_xpos[model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE]
    camera = mujoco.MjvCamera()
    camera.azimuth = 90.0
    camera.elevation = ABOVE if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else SIDE
    camera.lookat[:] = (bodies.min(axis=0) + bodies.max(axis=0)) / 2
    camera.distance = 2.0 * float(np.linalg.norm(np.ptp(bodies, axis=0)))
    with open_renderer(model, WIDTH, HEIGHT) as renderer:
        renderer.update_scene(data, camera)
        image = renderer.render().copy()
        pixels = _project(anchors, renderer.scene.camera)
        renderer.enable_segmentation_rendering()
        body = renderer.render()[..., 0] >= 0
    image[~body] = 255
    (top, bottom), (left, right) = ((np.flatnonzero(body.any(axis=axis)))[[0, -1]] for axis in (1, 0))
    top, left = max(top - MARGIN, 0), max(left - MARGIN, 0)
    return image[top : bottom + MARGIN, left : right + MARGIN], pixels - (left, top)


def _project(points: np.ndarray, eyes: Any) -> np.ndarray:
    """Where points (n, xyz) appear in the image, (n, xy) in pixels, seen from between MuJoCo's two eyes."""
    middle = (np.array(eyes[0].pos) + np.array(eyes[1].pos)) / 2
    forward, up = np.array(eyes[0].forward), np.array(eyes[0].up)
    seen = points - middle
    scale = HEIGHT / 2 * eyes[0].frustum_near / eyes[0].frustum_top / (seen @ forward)
    return np.stack([WIDTH / 2 + scale * (seen @ np.cross(forward, up)), HEIGHT / 2 - scale * (seen @ up)], axis=1)
