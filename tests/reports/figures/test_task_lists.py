"""The picture of a split has the form of its parameters, and holds the values in the records' metadata."""

import numpy as np
import pytest
from matplotlib.patches import Wedge

from reports import figures, style
from reports.figures.task_lists import covering_arc
from reports.numbers import split_tasks
from reports.reading.load import load
from suite.run.metadata import drawable
from tasks.registry import get_family, get_split


def drawn(folder, synthetic, name, **said):
    """The picture of a built-in split from what a worker writes about it."""
    split = get_split(name)
    family = get_family(split.family)
    document = synthetic.document(split=name)
    document["split"] |= {
        "parameters": [parameter.model_dump(exclude={"description"}) for parameter in family.parameters],
        "tasks": {
            part: drawable([task.values for task in split.tasks(part)], family)
            for part in ("train", "test", "test_id") if split.tasks(part)
        },
        "test_id_is_train": split.test_id_is_train,
    }  # fmt: skip
    document["split"] |= said
    synthetic.write_run(folder, [{"split": name, "return": 1.0}], document)
    results = load(folder)
    with figures.house_style():
        return figures.split_picture(results, split=name, ax=figures.new_figure().add_subplot()), results


def test_speeds_are_ranges_with_a_tick_per_task(tmp_path, synthetic):
    ax, _ = drawn(tmp_path, synthetic, "cheetah-velocity.hard")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["test (30)", "test_id (30)", "train (100)"]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches if bar.get_width()]
    assert ends[0] == pytest.approx((2.5, 3.0), abs=0.03)
    assert ends[2] == pytest.approx((0.0, 1.5), abs=0.03)
    assert sorted(ax.lines[0].get_xdata()) == sorted(row[0] for row in get_split("cheetah-velocity.hard").test)
    assert ax.get_xlabel() == "target speed (m/s)"
    assert (
        ax.get_legend_handles_labels()[1] == ["test tasks", "test_id", "training tasks"]
        or len(ax.get_legend_handles_labels()[1]) == 3
    )


def test_two_values_are_no_range_however_often_they_are_drawn(tmp_path, synthetic):
    lists = {"train": [[-1.0], [1.0]], "test": [[-1.0], [1.0]] * 10}
    parameters = [{"name": "direction", "unit": "", "low": -1, "high": 1, "size": 1}]
    ax, _ = drawn(tmp_path, synthetic, "cheetah-direction.standard", tasks=lists, parameters=parameters)
    assert [bar for bar in ax.patches if bar.get_width()] == []
    assert ax.get_xlim()[0] < -1  # the marks at the end are seen


def test_old_records_know_speeds_too(tmp_path, synthetic):
    ax, results = drawn(tmp_path, synthetic, "cheetah-velocity.hard", parameters=None, tasks=None)
    frame = split_tasks.tasks(results, "cheetah-velocity.hard")
    assert list(frame.loc[frame["task_list"] == "train", "value"]) == [0.02, 0.4, 0.9, 1.2, 1.48]
    assert ax.get_xlabel() == "target velocity (m/s)"


def test_angles_are_arcs_that_leave_the_unseen_quadrant_open(tmp_path, synthetic):
    ax, _ = drawn(tmp_path, synthetic, "ant-direction.ood")
    arcs = [patch for patch in ax.patches if isinstance(patch, Wedge)]
    assert (arcs[0].theta1 % 360, arcs[0].theta2 % 360) == pytest.approx((0, 270), abs=4)
    assert (arcs[2].theta1 % 360, arcs[2].theta2 % 360) == pytest.approx((270, 360 % 360), abs=4)
    assert ax.get_aspect() == 1


def test_an_arc_over_zero():
    assert covering_arc(np.radians([350, 10, 20])) == pytest.approx((350, 380))


def test_negated_joints_are_filled_cells(tmp_path, synthetic):
    ax, _ = drawn(tmp_path, synthetic, "cheetah-negated-joints.ood")
    split = get_split("cheetah-negated-joints.ood")
    cells = {(round(p.get_x() - 0.54), round(p.get_y())) for p in ax.patches if p.get_width()}
    expected = {(joint, task) for task, row in enumerate(split.train) for joint in range(6) if row[joint] < 0}
    below = len(split.train) + 1
    expected |= {(joint, below + task) for task, row in enumerate(split.test) for joint in range(6) if row[joint] < 0}
    assert cells == expected
    assert ax.get_xlabel() == "joint (filled where negated)"


def test_goals_are_points_in_the_plane(tmp_path, synthetic):
    ax, _ = drawn(tmp_path, synthetic, "ant-goal.standard")
    np.testing.assert_array_equal(np.array(ax.lines[0].get_data()).T, get_split("ant-goal.standard").train)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (m)", "y (m)")


def test_many_parameters_are_boxes_of_recorded_quantiles(tmp_path, synthetic):
    ax, results = drawn(tmp_path, synthetic, "walker-parameters.ood")
    frame = split_tasks.tasks(results, "walker-parameters.ood")
    assert set(frame["share"]) == {0, 0.25, 0.5, 0.75, 1}
    family = get_family("walker-parameters")
    first = np.array(get_split("walker-parameters.ood").train)[:, : family.parameters[0].size]
    name = family.parameters[0].name
    part = frame[(frame["task_list"] == "train") & (frame["parameter"] == name)]
    np.testing.assert_allclose(part["value"], np.quantile(first, [0, 0.25, 0.5, 0.75, 1]))
    assert ax.get_yscale() == "log"
    assert len(ax.patches) - 3 == 3 * len(family.parameters)  # three legend entries


@pytest.mark.parametrize("tasks", [3, {"train": 5}, {"train": [["a"]]}, {"train": [[1.0], []]}, {"train": {"x": [1]}}])
def test_a_document_of_another_shape_draws_nothing(tmp_path, synthetic, tasks):
    said = {"parameters": [{"name": "speed", "unit": "m/s"}], "tasks": tasks}
    document = synthetic.document()
    synthetic.write_run(tmp_path, [{"return": 1.0}], document | {"split": document["split"] | said})
    found = split_tasks.tasks(load(tmp_path), synthetic.SPLIT)
    assert found.empty or tasks == 3


def test_the_colours_of_lists_are_fixed():
    assert set(style.LIST_COLOURS) == {"train", "test_id", "test"}
