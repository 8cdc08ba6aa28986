"""Many lines are named beside their ends, in the order of their heights and without overlapping."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from reports.figures import canvas, curves, forest, marks, outcomes, overall, per_task
from reports.figures.canvas import panels_for
from reports.reading.load import load


def test_places_are_moved_as_little_as_can_be():
    np.testing.assert_allclose(marks.spread(np.array([0.1, 0.5, 0.9]), 0.1), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(marks.spread(np.array([0.5, 0.5, 0.9]), 0.1), [0.45, 0.55, 0.9])
    np.testing.assert_allclose(marks.spread(np.array([0.99, 1.0]), 0.2), [0.8, 1.0])
    np.testing.assert_allclose(marks.spread(np.array([0.0, 0.0, 0.0]), 0.8), [-0.3, 0.5, 1.3], atol=1e-12)


@pytest.fixture(scope="module")
def many(tmp_path_factory, synthetic):
    """Twelve variants with two seeds, eighteen tasks and two checkpoints; the later in the alphabet, the better."""
    folder = tmp_path_factory.mktemp("many")
    for place, letter in enumerate("abcdefghijkl"):
        for seed in (0, 1):
            rows = [
                {"variant": f"variant {letter}", "algorithm": "mier", "env_steps": steps, "is_final": steps == 20,
                 "task_list": task_list, "task": task, "parameter": float("nan"), "phase": phase,
                 "transitions": 0 if phase == "before" else 200,
                 "return": -500.0 + steps + 20 * place + seed - 3 * task + 5 * (phase == "after")}
                for steps in (10, 20) for task_list in ("test", "test_id") for task in range(18)
                for phase in ("before", "after")
            ]  # fmt: skip
            document = synthetic.document(f"variant {letter}", seed, algorithm="mier", env_steps=20)
            synthetic.write_run(folder, rows, document)
    return load(folder)


def drawn(draw, results, split):
    with canvas.house_style():
        figure = canvas.sheet(lambda name, ax: draw(results, split=name, ax=ax), [split], panels_for(12))
    return figure.axes[0]


@pytest.mark.parametrize(
    "draw", [curves.shifted_samples, curves.before_and_after, curves.wall_time, per_task.per_task, outcomes.profile,
             curves.adaptation_curve]
)  # fmt: skip
def test_many_lines_are_named_at_their_ends(many, synthetic, draw):
    ax = drawn(draw, many, synthetic.SPLIT)
    names = [text for text in ax.texts if text.get_text().startswith("variant")]
    assert len(names) == 12
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in zip(boxes, boxes[1:])), "they do not overlap"
    assert all(box.x1 <= ax.figure.bbox.x1 for box in boxes)
    (cut_out,) = canvas.boxes(ax.figure, [ax])  # what the page shows of the sheet
    assert all(cut_out.left + cut_out.width >= 72 / ax.figure.dpi * box.x1 for box in boxes)
    upwards = sorted(names, key=lambda text: text.xy[1])
    assert [text.get_text()[-1] for text in upwards] == list("abcdefghijkl")
    assert not [name for name in ax.get_legend_handles_labels()[1] if name.startswith("variant")]
    assert "intervals in the CSV" in ax.get_title(loc="left")
    assert not [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]


def test_tasks_without_a_parameter_stand_in_the_order_of_their_difficulty(many, synthetic):
    ax = drawn(per_task.per_task, many, synthetic.SPLIT)
    lines = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == per_task.BINS]
    assert len(lines) == 12
    assert all((np.diff(line) < 0).all() for line in lines), "a later task has a lower return"
    assert ax.get_xlabel() == "test tasks, easiest to hardest"


def test_a_line_without_an_end_has_no_name(many):
    with canvas.house_style():
        ax = canvas.new_figure().add_subplot()
    names = [f"variant {letter}" for letter in "abcdefghijkl"]
    ends = {name: (1.0, float(place)) for place, name in enumerate(names)} | {"variant a": (1.0, float("nan"))}
    del ends["variant b"]
    marks.name_lines(ax, many.look, names, ends)
    assert [text.get_text() for text in ax.texts] == names[2:]


def test_panels_are_taller_for_more_rows_and_broader_for_many():
    assert panels_for(4) == panels_for(9) == canvas.Panels(canvas.HEIGHT, 3)
    assert panels_for(18) == canvas.Panels(canvas.CROWDED, 2)
    assert panels_for(3, row=0.2).height == canvas.HEIGHT
    assert panels_for(18, row=0.2) == canvas.Panels(0.75 + 3.6, 2)
    assert panels_for(4).on_a_page == 9
    assert panels_for(18, row=0.2).on_a_page == 4


def test_whiskers_are_one_line_with_a_bar_and_two_caps_per_interval():
    rows = pd.DataFrame({"low": [1.0, np.nan, 3.0], "high": [2.0, np.nan, 5.0]})
    with canvas.house_style():
        ax = canvas.new_figure().add_subplot()
        marks.whiskers(ax, rows, [7, 8, 9], "#102030", 0.9, 1.5)
        marks.whiskers(ax, rows, [7, 8, 9], "#102030", 0.9, upright=True)
        marks.whiskers(ax, rows.iloc[[1]], [8], "#102030", 0.9, 1.5)
    lying, upright = ax.lines
    np.testing.assert_array_equal(lying.get_xdata()[[0, 1, 2, 6, 7, 8]], [1, 2, np.nan, 3, 5, np.nan])
    np.testing.assert_array_equal(lying.get_ydata(), [7, 7, 7, 8, 8, 8, 9, 9, 9])
    assert not np.isfinite(lying.get_xdata()[3:6]).any(), "a point without an interval has no bar"
    assert (lying.get_marker(), lying.get_markersize(), lying.get_linewidth()) == ("|", 3.0, 0.9)
    np.testing.assert_array_equal(upright.get_ydata(), lying.get_xdata())
    assert upright.get_marker() == "none"


@pytest.mark.parametrize(("draw", "marks_of_each"), [
    (outcomes.out_of_distribution, 2),  # its bar and its point
    (outcomes.in_and_out, 2), (overall.overall, 4), (forest.average_ranks, 1), (curves.adaptation_curve, 2),
])  # fmt: skip
def test_marks_that_stand_alone_tell_whose_they_are_and_their_value(many, synthetic, draw, marks_of_each):
    ax = drawn(draw, many, synthetic.SPLIT)
    told = [str(mark.get_gid()).removeprefix(marks.TOLD) for mark in ax.get_children() if mark.get_gid()]
    assert len(told) == 12 * marks_of_each
    assert all(re.fullmatch(r"variant [a-l](, [\w ]+)?: -?[\d.]+( \[.+\])?", text) for text in told)


def test_a_bar_tells_its_mean_and_its_interval(golden, synthetic):
    ax = drawn(outcomes.out_of_distribution, load(golden), synthetic.SPLIT)
    told = {str(mark.get_gid()).removeprefix(marks.TOLD) for mark in ax.get_children() if mark.get_gid()}
    assert told == {"MIER: 32.5 [7.7, 57.3]"}
