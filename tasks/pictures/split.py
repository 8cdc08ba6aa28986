"""The picture of a split as a file, for `offmap tasks render`."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.pictures.look import LOOK
from tasks.pictures.task_lists import ShownParameter, draw
from tasks.registry import get_family
from tasks.spec import TaskSplit

SIZE = (5.0, 4.0)
"""Inches, width and height."""

DOTS_PER_INCH = 200


def draw_split(split: TaskSplit, axes: Axes) -> list[Artist]:
    """Draw the training range and the test tasks of a split, in the form that suits its parameters.

    Returns the entries of its legend, one per task list.
    """
    parameters = get_family(split.family).parameters
    ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
    lists = {
        name: np.split(np.array([task.values for task in split.tasks(name)]), ends, axis=1)
        for name in ("train", "test_id", "test", *sorted(split.extra))
        if split.tasks(name) and not (name == "test_id" and split.test_id_is_train)
    }
    axes.set_title(f"{split.full_name} ({split.shift.replace('_', ' ')})")
    return draw([ShownParameter(p.name, p.unit, p.size, p.low, p.high) for p in parameters], lists, axes)


def save_split(split: TaskSplit, path: Path) -> Path:
    """The path of the picture of a split, written in the format of its ending (png, pdf, svg).

    Nothing of the user's `matplotlibrc` or style counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.style.context(LOOK, after_reset=True):
        figure = Figure(figsize=SIZE, layout="constrained")
        entries = draw_split(split, figure.subplots())
        figure.legend(handles=entries, loc="outside lower left", ncols=len(entries))
        figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white")
    return path
