"""A body in its rest pose with the joints that a split varies marked on it (MIER paper, Fig. 3c and 3d).

Where a split negates actions, arrows say which way a positive one moves a limb, and which way where it is negated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import Normal, Stroke

from tasks.environments.rendering import RenderingUnavailable
from tasks.pictures.look import INK, LOOK
from tasks.pictures.pose import render
from tasks.pictures.rendering import body_model
from tasks.pictures.task_lists import COLOURS, NAMES
from tasks.registry import get_family
from tasks.spec import TaskFamily, TaskSplit

SIZE = (5.0, 3.9)  # inches of the picture
DOTS_PER_INCH = 180
MARK = 17.0  # pt across
SAME_PLACE = 20.0  # px within which joints share one mark
LISTS = ("train", "test")
NEGATED = "joint_signs"
MOTION_DASHES: tuple[Literal["-", "--"], ...] = ("-", "--")
"""Of the arrows: as the joint is, and where it is negated."""
HALO = Stroke(linewidth=2.6, foreground="white")
"""Around the arrows, so that they are seen on the body too."""
VARIED = {NEGATED: "negated in", "joint_damping": "damping varies in"}
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
    marked, parameter = joints(split), _require_varied(family)[0]
    body = render(body_model(family))
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.style.context(LOOK, after_reset=True):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.imshow(body.image)
        axes.set_axis_off()
        if parameter == NEGATED:
            _draw_motions(axes, marked, body.motions)
        for (lists, x, y), numbers in _places(marked, body.anchors).items():
            axes.add_line(_disc(lists, [x], [y]))
            axes.annotate(",".join(map(str, numbers)), (x, y), ha="center", va="center", color="white", weight="bold",
                          fontsize=8)  # fmt: skip
        _legend(figure, marked, parameter)
        axes.set_title(f"{split.full_name}: {family.body}, at rest{body.remark}")
        software = {"Software": None} if path.suffix == ".png" else None
        figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white", metadata=software)
    return path


def _draw_motions(axes: Axes, marked: list[Joint], motions: np.ndarray) -> None:
    """An arrow each way beside the limb of every joint that varies: solid as it is, dashed where it is negated."""
    for joint, ways in zip(marked, motions):
        for points, dashes in zip(ways, MOTION_DASHES) if joint.lists else ():
            axes.add_patch(FancyArrowPatch(path=Outline(points), arrowstyle="-|>", mutation_scale=7, color=INK,
                                           linewidth=1.0, linestyle=dashes, path_effects=[HALO, Normal()]))  # fmt: skip


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


def _legend(figure: Figure, marked: list[Joint], parameter: str) -> None:
    """What each kind of disc that occurs means, with the numbers of its joints, and their names; what arrows mean."""
    handles, meaning = list[Line2D](), VARIED[parameter]
    kinds = {joint.lists for joint in marked} - {frozenset()}
    for lists in sorted(kinds, key=lambda names: (-len(names), sorted(names))):
        numbers = [str(number) for number, joint in enumerate(marked, 1) if joint.lists == lists]
        words = " and in ".join(NAMES[name] for name in LISTS if name in lists)
        handle = _disc(lists, [], [], 9)
        handle.set_label(f"{meaning} {words}{' only' if len(lists) == 1 else ''}: {', '.join(numbers)}")
        handles.append(handle)
    names = ", ".join(f"{number} {joint.name}" for number, joint in enumerate(marked, 1))
    if parameter == NEGATED:
        ways = ("a positive action moves the limb this way", "and this way where the joint is negated")
        for text, dashes in zip(ways, MOTION_DASHES):
            handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle=dashes, label=text))
            handles[-1].set(marker=">", markevery=[1], markersize=3.5)
    figure.legend(handles=handles, loc="outside lower left", title=f"joints: {names}", title_fontsize=7,
                  alignment="left")  # fmt: skip
