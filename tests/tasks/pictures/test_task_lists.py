"""Task lists are drawn in the form of their parameters, with the values of their tasks."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from tasks.pictures import task_lists
from tasks.pictures.split import draw_split
from tasks.pictures.task_lists import ShownParameter, arcs, draw, ranges
from tasks.registry import get_family, get_split


def drawn(name):
    axes = Figure().subplots()
    draw_split(get_split(name), axes)
    return axes


def test_speeds_are_ranges_with_a_tick_per_task():
    axes = drawn("cheetah-velocity.hard")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["test (30)", "test_id (30)", "train (100)"]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert ends[0] == pytest.approx((2.5, 3.0), abs=0.03)
    assert ends[2] == pytest.approx((0.0, 1.5), abs=0.03)
    assert sorted(axes.lines[0].get_xdata()) == sorted(row[0] for row in get_split("cheetah-velocity.hard").test)
    assert [to_hex(line.get_color()).upper() for line in axes.lines] == [
        task_lists.COLOURS[name] for name in ("test", "test_id", "train")
    ]
    assert axes.get_xlabel() == "target speed (m/s)"


def test_two_values_are_no_range_however_often_they_are_drawn():
    axes = Figure().subplots()
    lists = {"train": [np.array([[-1.0], [1.0]])], "test": [np.array([[-1.0], [1.0]] * 10)]}
    draw([ShownParameter("direction", "", 1, -1, 1)], lists, axes)
    assert [bar for bar in axes.patches if bar.get_width()] == []
    assert axes.get_xlim()[0] < -1  # the marks at the end are seen


def test_angles_are_arcs_that_leave_the_unseen_quadrant_open():
    axes = drawn("ant-direction.ood")
    arcs = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    assert (arcs[0].theta1 % 360, arcs[0].theta2 % 360) == pytest.approx((0, 270), abs=4)
    assert (arcs[2].theta1 % 360, arcs[2].theta2 % 360) == pytest.approx((270, 0), abs=4)
    assert axes.get_aspect() == 1


def test_an_arc_over_zero():
    assert arcs(np.radians([350, 355, 359, 4, 9, 12, 16, 20])) == [pytest.approx((350, 380))]


def test_a_range_breaks_where_nothing_lies_between():
    assert ranges([0.0, 0.1, 0.2, 3.0, 3.1]) == [(0.0, 0.2), (3.0, 3.1)]
    assert ranges([6.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == [(0.0, 6.0)]  # gaps of a sixth are none
    assert ranges([6.01, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == [(0.0, 5.0)]
    assert ranges([0.0, 0.1, 0.2, 3.0, 3.1], largest_gap=1.0) == [(0.0, 3.1)]
    assert ranges([0.0, 1.0, 2.0, 3.0, 4.0]) == []  # a quarter of the whole lies between any two
    assert ranges([1.0, 2.0, 3.0, 4.0]) == []  # points, as there are so few


def test_a_gap_in_training_is_left_open():
    bars = [bar for bar in drawn("cheetah-velocity.tavt").patches if bar.get_facecolor()[:3] == blue()]
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] == [
        pytest.approx((0.0, 0.5), abs=0.05), pytest.approx((3.0, 3.5), abs=0.05)
    ]  # fmt: skip
    wedges = [patch for patch in drawn("ant-direction.tuning").patches if patch.get_facecolor()[:3] == blue()]
    assert sorted((wedge.theta1 % 360, wedge.theta2 % 360) for wedge in wedges) == [
        pytest.approx((0, 90), abs=6), pytest.approx((180, 270), abs=6)
    ]  # fmt: skip
    axes = drawn("ant-direction.tuning")
    assert len(axes.patches) == 4  # the ten tasks of test_id, and of test, are one arc each


def blue():
    return to_rgb(task_lists.COLOURS["train"])


def test_negated_joints_are_filled_cells():
    axes = drawn("cheetah-negated-joints.ood")
    split = get_split("cheetah-negated-joints.ood")
    cells = {(round(p.get_x() - 0.54), round(p.get_y())) for p in axes.patches}
    below = len(split.train) + 1
    rows = [*enumerate(split.train), *((below + task, row) for task, row in enumerate(split.test))]
    assert cells == {(joint, top) for top, row in rows for joint in range(6) if row[joint] < 0}
    assert axes.get_xlabel() == "joint (filled where negated)"


def test_goals_are_points_in_the_plane():
    axes = drawn("ant-goal.standard")
    np.testing.assert_array_equal(np.array(axes.lines[0].get_data()).T, get_split("ant-goal.standard").train)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (m)", "y (m)")


def test_many_parameters_are_boxes():
    axes = drawn("walker-parameters.ood")
    assert axes.get_yscale() == "log"
    assert len(axes.patches) == 3 * len(get_family("walker-parameters").parameters)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [
        parameter.name.replace("_", "\n") for parameter in get_family("walker-parameters").parameters
    ]


def test_quantiles_make_the_boxes_of_the_values_they_are_of():
    values = np.random.default_rng(0).uniform(0.5, 2.0, (40, 3))
    parameters = [ShownParameter("mass", "x nominal", 3, 0.0, None)]
    shapes = []
    for table in (values, np.quantile(values, np.linspace(0, 1, 5))):
        axes = Figure().subplots()
        draw(parameters, {"train": [table]}, axes)
        shapes.append([line.get_ydata() for line in axes.lines])
    np.testing.assert_allclose(np.concatenate(shapes[0]), np.concatenate(shapes[1]))


def test_further_lists_have_a_colour_and_a_name_of_their_own():
    train, far = np.array([[0.1], [0.2]]), np.array([[5.0]])
    entries = draw(
        [ShownParameter("speed", "m/s", 1, None, None)], {"train": [train], "far": [far]}, Figure().subplots()
    )
    assert [entry.get_label() for entry in entries] == ["training tasks", "far tasks"]
    assert to_hex(entries[1].get_facecolor()).upper() == task_lists.OTHER_COLOUR
