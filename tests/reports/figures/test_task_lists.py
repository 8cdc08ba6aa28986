"""The picture of a split from records is the one that `offmap tasks render` draws."""

import numpy as np
import pytest
from matplotlib.lines import Line2D

from reports.figures import canvas, task_lists
from reports.numbers import split_tasks
from reports.reading.load import load
from suite.run.metadata import drawable
from tasks.pictures.split import draw_split
from tasks.registry import get_family, get_split, splits


def recorded(folder, synthetic, name, **given):
    """The results of one run on a built-in split, with what a worker writes about it."""
    split = get_split(name)
    family = get_family(split.family)
    document = synthetic.document(split=name)
    document["split"] |= {
        "parameters": [parameter.model_dump(exclude={"description"}) for parameter in family.parameters],
        "tasks": {
            part: drawable([task.values for task in split.tasks(part)], family)
            for part in ("train", "test", "test_id", *split.extra) if split.tasks(part)
        },
        "test_id_is_train": split.test_id_is_train,
    }  # fmt: skip
    document["split"] |= given
    synthetic.write_run(folder, [{"split": name, "return": 1.0}], document)
    return load(folder)


def drawn(results, name):
    with canvas.house_style():
        return task_lists.split_picture(results, split=name, ax=canvas.new_figure().add_subplot())


def shapes(axes):
    """What is drawn on axes: the ends of areas, the points of lines, the words of ticks and labels."""
    areas = [patch.get_path().get_extents(patch.get_patch_transform()).bounds for patch in axes.patches]
    points = [np.array(line.get_data(), dtype=float) for line in axes.lines if isinstance(line, Line2D)]
    ticks = [tick.get_text() for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    words = [axes.get_xlabel(), axes.get_ylabel(), *ticks, *(text.get_text() for text in axes.texts)]
    return [area for area in areas if area[2]], points, words


@pytest.mark.parametrize("name", sorted({split.family: split.full_name for split in splits()}.values()))
def test_the_report_draws_a_split_as_the_command_does(tmp_path, synthetic, name):
    with canvas.house_style():
        axes = canvas.new_figure().add_subplot()
        draw_split(get_split(name), axes)
    one, two = shapes(drawn(recorded(tmp_path, synthetic, name), name)), shapes(axes)
    np.testing.assert_allclose(one[0], two[0])
    assert len(one[1]) == len(two[1])
    for points, others in zip(one[1], two[1]):
        np.testing.assert_allclose(points, others)
    assert one[2] == two[2]


def test_its_legend_names_the_lists(tmp_path, synthetic):
    axes = drawn(recorded(tmp_path, synthetic, "cheetah-velocity.hard"), "cheetah-velocity.hard")
    assert axes.get_legend_handles_labels()[1] == ["training tasks", "test_id", "test tasks"]


def test_old_records_hold_speeds_too(tmp_path, synthetic):
    results = recorded(tmp_path, synthetic, "cheetah-velocity.hard", parameters=None, tasks=None)
    frame = split_tasks.tasks(results, "cheetah-velocity.hard")
    assert list(frame.loc[frame["task_list"] == "train", "value"]) == synthetic.TRAINED
    axes = drawn(results, "cheetah-velocity.hard")
    assert axes.get_xlabel() == "target velocity (m/s)"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["test (2)", "test_id (2)", "train (9)"]


def test_names_of_others_stay_text(tmp_path, synthetic):
    parameters = [{"name": "$x_1$", "unit": "$", "size": 1}]
    tasks = {"train": [[1.0], [2.0]], "_test": [[3.0]]}
    axes = drawn(recorded(tmp_path, synthetic, "cheetah-velocity.hard", parameters=parameters, tasks=tasks),
                 "cheetah-velocity.hard")  # fmt: skip
    assert axes.get_xlabel() == r"\$x 1\$ (\$)"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [" _test (1)", "train (2)"]
    axes.figure.draw_without_rendering()
