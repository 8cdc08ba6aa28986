"""Results after adaptation: bars, gaps, tasks, profiles and gates hold the numbers of their series."""

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.ticker import FuncFormatter

from reports import style
from reports.figures import alt_text, canvas, outcomes, per_task
from reports.numbers import aggregates, series, tables
from reports.page import page
from reports.reading.load import load


def drawn(draw, results, split, **named):
    with canvas.house_style():
        return draw(results, split=split, ax=canvas.new_figure().add_subplot(), **named)


def names(ticks):
    return [tick.get_text() for tick in ticks]


def test_bars_stand_on_the_return_of_doing_nothing(golden, synthetic):
    synthetic.write_cells(golden, [("grbal", synthetic.SPLIT, 0, None, "unsupported", "rewards vary")])
    ax = drawn(outcomes.out_of_distribution, load(golden), synthetic.SPLIT)
    assert names(ax.get_xticklabels()) == ["MIER", "GrBAL"]
    bars = [patch for patch in ax.patches if patch.get_height()]
    assert {(bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars} == {(-500.0, 32.5)}
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("not supported", (1, -500.0))]
    (ends,) = [line.get_ydata()[:2] for line in ax.lines if line.get_marker() == "_"]
    assert ends == pytest.approx([32.5 - 24.84, 32.5 + 24.84], abs=0.01)  # 4.303 x 10 / sqrt(3)
    dots = [collection.get_offsets()[:, 1] for collection in ax.collections if collection.get_offsets().shape[0] == 3]
    assert sorted(dots[0]) == [22.5, 32.5, 42.5]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":" and len(line.get_ydata())] == [
        -100.0
    ]
    assert ax.get_ylabel() == "return per episode"
    assert ax.get_legend_handles_labels()[1] == ["best known return", "doing nothing"]


def test_a_label_of_its_own_has_the_colour_of_its_algorithm(tmp_path, synthetic):
    for label in ("pearl bf16", "pearl fp32"):
        document = synthetic.document(label, 0, algorithm="pearl")
        synthetic.write_run(tmp_path, [{"variant": label, "algorithm": "pearl", "return": 1.0}], document)
    results = load(tmp_path)
    ax = drawn(outcomes.out_of_distribution, results, synthetic.SPLIT)
    edges = list(dict.fromkeys(to_hex(bar.get_edgecolor()) for bar in ax.patches if bar.get_height()))
    assert edges[0] == style.look("pearl").colour.lower()
    assert edges[1] == results.looks["pearl fp32"].colour.lower() != edges[0]
    assert {bar.get_hatch() for bar in ax.patches} >= {"||", "||--"}
    assert style.look("pearl fp32").colour in style.OTHER_COLOURS, "without an algorithm it would be any colour"


def test_the_gap_joins_inside_and_outside(golden, synthetic):
    ax = drawn(outcomes.in_and_out, load(golden), synthetic.SPLIT)
    assert names(ax.get_yticklabels()) == ["MIER"]
    assert [32.5, 70.0] in [list(line.get_xdata()) for line in ax.lines]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_marker() == "o"]
    ends = {line.get_xdata()[0]: line.get_markerfacecolor() for line in marks}
    assert ends == {70.0: style.PAPER, 32.5: style.look("mier").colour}
    assert ax.get_xlabel() == "return per episode"


def test_the_gap_has_one_row_per_variant_in_order(results, synthetic):
    ax = drawn(outcomes.in_and_out, results, synthetic.SPLIT)
    assert names(ax.get_yticklabels()) == ["ProMP", "PEARL", "MIER-wR", "MIER"]  # bottom to top; GrBAL has no result


def test_the_training_range_is_shaded_and_the_axis_has_its_unit(results, synthetic):
    ax = drawn(per_task.per_task, results, synthetic.SPLIT)
    (shade,) = [p for p in ax.patches if p.get_width() and to_hex(p.get_facecolor()) == style.SHADE.lower()]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.02, 1.48))
    assert ax.get_xlabel().startswith("target velocity (m/s)")
    frame = series.per_task(results, synthetic.SPLIT)
    mier = frame[(frame["variant"] == "mier") & (frame["task_list"] == "test")]
    # On the same tasks as the others, and drawn last: where marks coincide the first variant's is seen.
    *_, line = (line for line in ax.lines if np.array_equal(line.get_xdata(), mier["parameter"]))
    np.testing.assert_array_equal(line.get_ydata(), mier["mean"])


def test_a_gap_in_training_is_not_shaded(tmp_path, synthetic):
    speeds = [0.0, 0.1, 0.3, 0.5, 3.0, 3.2, 3.5]
    split = synthetic.document()["split"] | {"axis": "speed", "train_axis_values": speeds}
    rows = [{"task": task, "parameter": 1.0 + task / 2, "return": -float(task)} for task in range(3)]
    synthetic.write_run(tmp_path, rows, synthetic.document() | {"split": split})
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    shades = [p for p in ax.patches if p.get_width() and to_hex(p.get_facecolor()) == style.SHADE.lower()]
    assert [(p.get_x(), p.get_x() + p.get_width()) for p in shades] == [(0.0, 0.5), (3.0, 3.5)]


def test_angles_are_counted_in_turns(tmp_path, synthetic):
    split = synthetic.document()["split"] | {"axis": "angle", "axis_unit": "rad", "train_axis_values": [0, 1, 2, 3, 4]}
    rows = [{"task": task, "parameter": 4.7 + task / 2, "return": -float(task)} for task in range(3)]
    synthetic.write_run(tmp_path, rows, synthetic.document() | {"split": split})
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    assert ax.get_xlabel() == "angle (rad)"
    assert isinstance(ax.xaxis.get_major_formatter(), FuncFormatter)
    assert [ax.xaxis.get_major_formatter()(value, 0) for value in (0, np.pi / 2, np.pi)] == ["0", "0.5π", "1π"]


def test_tasks_of_few_values_are_not_joined(tmp_path, synthetic):
    rows = [{"task": task, "parameter": (-1.0, 1.0)[task % 2], "return": float(task)} for task in range(10)]
    synthetic.write_run(tmp_path, rows, synthetic.document())
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    (line,) = [line for line in ax.lines if len(line.get_xdata()) == 10]
    assert line.get_linestyle() == "None"


@pytest.mark.parametrize("variants", ["mier pearl", "mier mier-wr pearl mql maml promp"])
def test_at_few_values_variants_stand_side_by_side(tmp_path, synthetic, variants):
    for place, variant in enumerate(variants.split()):
        rows = [{"variant": variant, "task": task, "parameter": (-1.0, 1.0)[task % 2], "return": 10.0 * place + task}
                for task in range(4)]  # fmt: skip
        synthetic.write_run(tmp_path, rows, synthetic.document(variant))
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    places = [tuple(np.unique(line.get_xdata())) for line in lines]
    assert len(set(places)) == len(variants.split())
    assert all(-1.5 < left < -0.5 and right - left == pytest.approx(2) for left, right in places)
    if len(places) > per_task.MOST_BANDS:  # tasks of one value are averaged
        assert list(lines[-1].get_ydata()) == [1.0, 2.0]
    assert list(ax.get_xticks()) == [-1, 1]


def test_tasks_without_a_parameter_stand_at_their_index(tmp_path, synthetic):
    rows = [{"task": task, "parameter": float("nan"), "return": float(task)} for task in range(3)]
    synthetic.write_run(tmp_path, rows, synthetic.document())
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    assert "index" in ax.get_xlabel()
    assert [patch for patch in ax.patches if patch.get_width()] == []


def test_profiles_are_those_of_the_statistics(results, synthetic):
    ax = drawn(outcomes.profile, results, synthetic.SPLIT)
    frame = aggregates.profiles(results)
    mier = frame[frame["variant"] == "mier"]
    line = next(line for line in ax.lines if to_hex(line.get_color()) == style.look("mier").colour.lower())
    np.testing.assert_array_equal(line.get_xdata(), mier["score"])
    np.testing.assert_array_equal(line.get_ydata(), mier["mean"])
    assert ax.get_xlabel().startswith("score (0: doing nothing")


def test_the_gate_sets_gains_against_held_out_losses(tmp_path, synthetic):
    path = synthetic.simple_run(tmp_path, "mier", 0, test=[[10.0], [5.0], [1.0]], before=[[1.0], [1.0], [1.0]])
    synthetic.write_gate(path, "mier-cheetah-velocity.hard-0", [-5.0, -4.0, -1.0], threshold=-3.0)
    results = load(tmp_path)
    ax = drawn(outcomes.gate, results, synthetic.SPLIT)
    points = {
        line.get_markerfacecolor(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())
    }  # fmt: skip
    assert points == {style.look("mier").colour: ([-5.0, -4.0], [9.0, 4.0]), "none": ([-1.0], [0.0])}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("held-out loss of the adapted model", "gain in return")
    assert ax.get_title(loc="left").endswith("gate open: MIER 67%")


def test_without_a_gate_every_task_is_a_filled_mark_and_nothing_speaks_of_gates(tmp_path, synthetic):
    path = synthetic.simple_run(tmp_path, "mier", 0, test=[[10.0], [5.0]], before=[[1.0], [1.0]])
    synthetic.write_gate(path, "mier-cheetah-velocity.hard-0", [-5.0, 4.0], threshold=None)
    results = load(tmp_path)
    ax = drawn(outcomes.gate, results, synthetic.SPLIT)
    marks = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in marks] == [[-5.0, 4.0]]
    assert marks[0].get_markerfacecolor() == style.look("mier").colour
    assert "gate" not in ax.get_title(loc="left")
    assert "no gate; mean gain over the return before adaptation 6.50 in 2 test" in alt_text.describe_gate(
        results, synthetic.SPLIT
    )
    (row,) = tables.gate_table(results).itertuples()
    assert (row.tasks, row.gain_open) == (2, 6.5)
    assert np.isnan(row.open)
    assert np.isnan(row.gain_closed)
    assert "no gate" in str(page._gate_rows(results, synthetic.SPLIT))


def test_many_variants_are_binned_and_lists_that_lie_apart_are_equally_wide(tmp_path, synthetic):
    for variant in ("mier", "mier-wr", "pearl", "mql", "maml"):
        for seed in (0, 1):
            rows = [
                {"variant": variant, "task_list": task_list, "task": task, "parameter": start + width * task / 23,
                 "return": float(task), "split": synthetic.SPLIT}
                for task_list, start, width in (("test", 2.5, 0.5), ("test_id", 0.0, 1.5)) for task in range(24)
            ]  # fmt: skip
            synthetic.write_run(tmp_path, rows, synthetic.document(variant, seed))
    ax = drawn(per_task.per_task, load(tmp_path), synthetic.SPLIT)
    lines = [line for line in ax.lines if len(line.get_xdata()) == per_task.BINS]
    assert len(lines) == 2 * 5
    np.testing.assert_allclose(lines[0].get_ydata(), np.arange(24).reshape(8, 3).mean(axis=1))
    assert not [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]
    to_axis = ax.xaxis.get_transform().transform
    first, second = np.diff(to_axis(np.array([0.0, 1.5]))), np.diff(to_axis(np.array([2.5, 3.0])))
    assert first == pytest.approx(second)
    inverse = ax.xaxis.get_transform().inverted().transform
    assert inverse(to_axis(np.array([-0.3, 0.7, 2.0, 2.8, 4.0]))) == pytest.approx([-0.3, 0.7, 2.0, 2.8, 4.0])
    assert "own scale" in ax.get_xlabel()


def test_a_line_that_is_an_upper_bound_says_so(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]])
    split = synthetic.document()["split"]
    references = split["references"] | {"source": "null: simulated; best: upper bound, rewards are <= 0"}
    bound = synthetic.document("pearl") | {"split": split | {"references": references}}
    synthetic.write_run(tmp_path / "other", [{"variant": "pearl", "return": 1.0}], bound)
    known = drawn(outcomes.out_of_distribution, load(tmp_path / "t-mier-0"), synthetic.SPLIT)
    assert "best known return" in known.get_legend_handles_labels()[1]
    said = drawn(outcomes.out_of_distribution, load(tmp_path / "other"), synthetic.SPLIT)
    assert "upper bound of the return" in said.get_legend_handles_labels()[1]
