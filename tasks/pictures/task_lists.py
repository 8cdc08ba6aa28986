"""The task lists of a split as a picture (MIER paper, Fig. 3), in the form that suits its parameters.

Speeds become ranges on a number line, angles arcs, goals points in the plane, negated joints a grid, and physical
parameters boxes. `offmap tasks render` draws splits with it, and reports draw what records say of them; so it takes
plain numbers, and imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle, Wedge
from matplotlib.ticker import MaxNLocator

COLOURS = {"train": "#1F6FD0", "test_id": "#4FB3E8", "test": "#D94801"}
OTHER_COLOUR = "#8E2F9E"
"""Of further test lists."""

NAMES = {"train": "training tasks", "test_id": "test_id", "test": "test tasks"}
"""What task lists are called in legends."""

FEWEST_FOR_RANGE = 5
"""Below this many different tasks a list is points, no range."""

LARGEST_GAP = 1 / 6
"""Of the whole that training tasks span: where two neighbours are further apart, nothing is trained on between them."""

INSIDE, RING = 0.62, 0.13
"""Radius of the innermost arc, and the width of each."""


class ShownParameter(NamedTuple):
    """A varied quantity: its name and unit as the picture shows them, its number of elements, its declared ends."""

    name: str
    unit: str
    size: int
    low: float | None
    high: float | None


Lists = Mapping[str, Sequence[np.ndarray]]
"""By the name of a task list, per parameter: the values (task, element), or quantiles over all of them, (share,)."""


def draw(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> list[Artist]:
    """Draw task lists on axes, in the colour of text where no list is meant; the legend's entries, one per list.

    Names are shown as matplotlib shows text: dollars and leading underscores have to be escaped.
    """
    _drawing_of(parameters, lists)(parameters, lists, axes)
    return [
        Rectangle((0, 0), 0, 0, color=_colour(name), alpha=0.8, linewidth=0, label=NAMES.get(name, f"{name} tasks"))
        for name in lists
    ]


def is_range(values: Iterable[float]) -> bool:
    """Whether the values of a list's tasks fill a range."""
    return len(set(values)) >= FEWEST_FOR_RANGE


def ranges(values: Iterable[float], largest_gap: float = LARGEST_GAP) -> list[tuple[float, float]]:
    """The ends of what the values fill, low to high: one range, or several about gaps; empty where they are points.

    A range ends where the next value is further off than `largest_gap` of the whole that all values span; a value
    that is alone between two gaps is a point.
    """
    ordered = np.unique(np.asarray([*values], dtype=float))
    if not is_range(ordered):
        return []
    behind = np.flatnonzero(np.diff(ordered) > largest_gap * np.ptp(ordered)) + 1
    return [(float(part[0]), float(part[-1])) for part in np.split(ordered, behind) if len(part) > 1]


def _gap_of(task_list: str) -> float:
    """Only training lists have gaps: others are short, so that chance alone leaves gaps as large."""
    return LARGEST_GAP if task_list == "train" else 1.0


Drawing = Callable[[Sequence[ShownParameter], Lists, Axes], None]


def _drawing_of(parameters: Sequence[ShownParameter], lists: Lists) -> Drawing:
    """The form that suits the parameters of a family."""
    if len(parameters) != 1 or any(values.ndim == 1 for (values,) in lists.values()):
        return _boxes
    (parameter,) = parameters
    if parameter.size == 1:
        return _arcs if parameter.unit == "rad" else _ranges
    if parameter.size == 2 and parameter.unit == "m":
        return _plane
    return _grid if (parameter.low, parameter.high) == (-1, 1) else _boxes


def _colour(task_list: str) -> str:
    return COLOURS.get(task_list, OTHER_COLOUR)


def _ink() -> str:
    return str(matplotlib.rcParams["text.color"])


def _ranges(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> None:
    """A number line with a bar per list over each range of its tasks, and a tick per task."""
    upwards = [*lists.items()][::-1]
    for height, (name, (table,)) in enumerate(upwards):
        values = table[:, 0]
        for low, high in ranges(values, _gap_of(name)):
            axes.barh(height, high - low, left=low, height=0.55, facecolor=(_colour(name), 0.3), linewidth=0)
        axes.plot(values, np.full(len(values), height), linestyle="none", marker="|", markersize=9, color=_colour(name))
    axes.use_sticky_edges = False  # a task at the end of a range is seen beside the axis
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_yticks(range(len(lists)), [_counted(name, table) for name, (table,) in upwards])
    axes.set_ylim(-0.7, len(lists) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_named(parameters[0].name, parameters[0].unit))


def _arcs(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> None:
    """Angles around the body: one ring per list, an arc over each range of its tasks and a mark per task."""
    for ring, (name, (table,)) in enumerate(lists.items()):
        angles, radius = table[:, 0], INSIDE + RING * ring
        for start, end in arcs(angles, _gap_of(name)):
            axes.add_patch(Wedge((0, 0), radius + RING / 2, start, end, width=RING * 0.9,
                                 facecolor=(_colour(name), 0.3), linewidth=0))  # fmt: skip
        axes.plot(radius * np.cos(angles), radius * np.sin(angles), linestyle="none", marker="o", markersize=3,
                  color=_colour(name))  # fmt: skip
    axes.plot(0, 0, marker="+", color=_ink(), markersize=7)
    outside = INSIDE + RING * len(lists) + 0.05
    for angle, label in ((0, "0"), (90, "π/2"), (180, "π"), (270, "3π/2")):
        at = np.radians(angle)
        axes.annotate(label, (outside * np.cos(at), outside * np.sin(at)), ha="center", va="center", color=_ink())
    axes.annotate(_named(parameters[0].name, ""), (0, -0.2), ha="center", color=_ink())
    axes.set_xlim(-1.25 * outside, 1.25 * outside)
    axes.set_ylim(-1.12 * outside, 1.12 * outside)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def arcs(angles: np.ndarray, largest_gap: float = LARGEST_GAP) -> list[tuple[float, float]]:
    """The ends, in degrees and counter-clockwise, of the ranges that angles (rad) fill.

    They are those of `ranges` on the shortest arc over all angles.
    """
    turned = np.sort(np.asarray(angles, dtype=float) % (2 * np.pi))
    start = turned[(int(np.diff(turned, append=turned[0] + 2 * np.pi).argmax()) + 1) % len(turned)]
    from_start = (turned - start) % (2 * np.pi)
    spans = ranges(from_start, largest_gap)
    return [(float(np.degrees(start + low)), float(np.degrees(start + high))) for low, high in spans]


def _plane(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> None:
    """Goals in the plane; the body starts at the cross."""
    for name, (table,) in lists.items():
        axes.plot(*table.T, linestyle="none", marker="o", markersize=2.6, color=_colour(name))
    axes.plot(0, 0, marker="+", color=_ink(), markersize=7)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"x ({parameters[0].unit})")
    axes.set_ylabel(f"y ({parameters[0].unit})")


def _grid(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> None:
    """Negated joints: a row per task, a column per joint, filled where the joint is negated."""
    top = 0
    for name, (table,) in lists.items():
        for row, column in zip(*np.nonzero(table < 0)):
            axes.add_patch(Rectangle((column + 0.54, top + row), 0.92, 0.9, facecolor=_colour(name), linewidth=0))
        axes.annotate(_counted(name, table), (0.4, top + len(table) / 2), ha="right", va="center", rotation=90,
                      color=_ink(), annotation_clip=False)  # fmt: skip
        top += len(table) + 1
    joints = parameters[0].size
    axes.set_xlim(0.5, joints + 0.5)
    axes.set_ylim(top - 1, 0)
    axes.set_xticks(range(1, joints + 1))
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_xlabel("joint (filled where negated)")
    axes.set_ylabel(" ")


def _boxes(parameters: Sequence[ShownParameter], lists: Lists, axes: Axes) -> None:
    """Physical parameters: for each, one box per list over all elements and tasks, on a logarithmic axis."""
    width = 0.8 / max(len(lists), 1)
    for place, (name, tables) in enumerate(lists.items()):
        for group, values in enumerate(tables):
            axes.bxp([_box(values)], showfliers=False, patch_artist=True,
                     positions=[group + (place - (len(lists) - 1) / 2) * width], widths=[0.8 * width],
                     manage_ticks=False, boxprops={"facecolor": (_colour(name), 0.5), "edgecolor": _colour(name)},
                     medianprops={"color": _ink()}, whiskerprops={"color": _colour(name)},
                     capprops={"color": _colour(name)})  # fmt: skip
    axes.set_yscale("log")
    axes.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    axes.minorticks_off()
    axes.axhline(1.0, color=_ink(), linewidth=0.7, linestyle=":")
    axes.set_xticks(range(len(parameters)), [parameter.name.replace("_", "\n") for parameter in parameters])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(parameters[0].unit if parameters else "")


def _box(values: np.ndarray) -> dict[str, Any]:
    """Quartiles with the extremes as whiskers; of five evenly spaced quantiles these are the quantiles themselves."""
    low, first, middle, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high}


def _counted(task_list: str, table: np.ndarray) -> str:
    return f"{task_list} ({len(table)})"


def _named(parameter: str, unit: str) -> str:
    words = parameter.replace("_", " ")
    return f"{words} ({unit})" if unit else words
