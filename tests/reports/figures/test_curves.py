"""Curves hold the numbers of their series, on axes with the right words."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from reports import style
from reports.figures import canvas, curves
from reports.numbers import series, training_curves
from reports.reading.load import load


def drawn(draw, results, split, **named):
    with canvas.house_style():
        return draw(results, split=split, ax=canvas.new_figure().add_subplot(), **named)


def curve_of(ax, variant):
    """The line of a variant that joins the most points."""
    colour = style.look(variant).colour.lower()
    return max(
        (line for line in ax.lines if to_hex(line.get_color()) == colour), key=lambda line: len(line.get_xdata())
    )


def entries(ax):
    return ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize(
    ("draw", "numbers", "task_list"),
    [(curves.sample_efficiency, training_curves.sample_efficiency, "test_id"),
     (curves.shifted_samples, training_curves.shifted_samples, "test")],
)  # fmt: skip
def test_returns_against_meta_training_samples(results, synthetic, draw, numbers, task_list):
    ax = drawn(draw, results, synthetic.SPLIT)
    frame = numbers(results, synthetic.SPLIT)
    assert frame.equals(training_curves.checkpoints(results, synthetic.SPLIT, task_list))
    mier = frame[frame["variant"] == "mier"]
    line = curve_of(ax, "mier")
    np.testing.assert_array_equal(line.get_xdata(), [125_000, 250_000, 375_000, 500_000])
    np.testing.assert_array_equal(line.get_ydata(), mier["mean"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("meta-training environment steps", "return per episode")
    assert ax.get_title(loc="left") == synthetic.SPLIT
    assert entries(ax) == ["MIER", "MIER-wR", "PEARL", "ProMP"]
    assert ax.xaxis.get_major_formatter()(500_000) == "500k"


def test_where_nothing_shifts_test_is_the_training_distribution(tmp_path, synthetic):
    split = synthetic.document()["split"] | {"shift": "in_distribution"}
    rows = [{"env_steps": steps, "is_final": steps == 20, "return": float(steps)} for steps in (10, 20)]
    synthetic.write_run(tmp_path, rows, synthetic.document() | {"split": split})
    results = load(tmp_path)
    assert list(training_curves.sample_efficiency(results, synthetic.SPLIT)["mean"]) == [10.0, 20.0]
    assert training_curves.shifted_samples(results, synthetic.SPLIT).empty


def test_wall_time_stands_at_the_hours_that_each_checkpoint_took(results, synthetic):
    ax = drawn(curves.wall_time, results, synthetic.SPLIT)
    line = curve_of(ax, "pearl")
    np.testing.assert_allclose(line.get_xdata(), 0.02 * np.array([125_000, 250_000, 375_000, 500_000]) / 3600)
    frame = training_curves.wall_time(results, synthetic.SPLIT)
    np.testing.assert_array_equal(line.get_ydata(), frame.loc[frame["variant"] == "pearl", "mean"])
    assert ax.get_xlabel() == "meta-training wall-clock time (hours)"
    assert -0.1 < ax.get_xlim()[0] < 0  # a mark at zero is seen whole


@pytest.mark.parametrize(
    ("seconds", "unit", "shown"), [(7300, "hours", 7300 / 3600), (600, "minutes", 10), (5, "seconds", 5)]
)
def test_the_clock_counts_in_units_that_suit(tmp_path, synthetic, seconds, unit, shown):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]], cost={"train_wall_seconds": float(seconds)})
    ax = drawn(curves.wall_time, load(tmp_path), synthetic.SPLIT)
    assert ax.get_xlabel().endswith(f"({unit})")
    assert curve_of(ax, "mier").get_xdata() == pytest.approx([shown])


@pytest.mark.parametrize(("longest", "scale"), [(400, "log"), (399, "linear")])
def test_budgets_far_apart_stand_on_a_logarithmic_axis(tmp_path, synthetic, longest, scale):
    for variant, last in (("mier", 20), ("maml", longest)):
        rows = [
            {"variant": variant, "task_list": "test_id", "env_steps": steps, "is_final": steps == last, "return": 1.0}
            for steps in (last // 2, last)
        ]
        synthetic.write_run(tmp_path, rows, synthetic.document(variant))
    ax = drawn(curves.sample_efficiency, load(tmp_path), synthetic.SPLIT)
    assert ax.get_xscale() == scale
    assert ax.get_xlabel().endswith("(log)") == (scale == "log")


def test_wall_time_of_a_lone_checkpoint_is_a_point_and_of_none_is_nothing(golden, synthetic):
    frame = training_curves.wall_time(load(golden), synthetic.SPLIT)
    assert list(frame["hours"]) == [1.5]
    assert list(frame["mean"]) == [32.5]
    for path in golden.rglob("records.parquet"):
        path.unlink()
    synthetic.simple_run(golden, "mier", 0, test=[[1.0]], cost={})
    assert training_curves.wall_time(load(golden), synthetic.SPLIT).empty


def test_adaptation_data_is_evaluated_and_collected(tmp_path, synthetic):
    rows = [
        {"phase": "before", "transitions": 0, "return": 1.0},
        {"phase": "collect", "transitions": 200, "return": 2.0},
        {"phase": "collect", "transitions": 300, "return": 99.0, "cut": True},
        {"phase": "after", "transitions": 300, "return": 5.0},
    ]
    synthetic.write_run(tmp_path, rows, synthetic.document())
    results = load(tmp_path)
    frame = series.adaptation_data(results, synthetic.SPLIT)
    found = list(frame[["kind", "transitions", "mean"]].itertuples(index=False, name=None))
    assert found == [("collected", 200, 2.0), ("evaluated", 0, 1.0), ("evaluated", 300, 5.0)]
    ax = drawn(curves.before_and_after, results, synthetic.SPLIT)
    line = curve_of(ax, "mier")
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 1], [1.0, 5.0])
    (collected,) = [line for line in ax.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert (list(collected.get_xdata()), list(collected.get_ydata())) == ([0.5], [2.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["before", "while\ncollecting", "after"]
    assert ax.get_xlabel() == "adaptation (300 transitions)"
    assert entries(ax) == ["MIER", "hollow: while collecting"]


def test_compute_is_what_training_took_on_the_reference_core(results, synthetic, golden):
    ax = drawn(curves.compute, results, synthetic.SPLIT)
    line = curve_of(ax, "pearl")
    np.testing.assert_allclose(line.get_xdata(), [25, 50, 75, 100])
    frame = training_curves.compute(results, synthetic.SPLIT)
    np.testing.assert_array_equal(line.get_ydata(), frame.loc[frame["variant"] == "pearl", "mean"])
    assert ax.get_xlabel() == "meta-training core-minutes"
    assert training_curves.compute(load(golden), synthetic.SPLIT).empty, "records of before it was measured"


def test_the_adaptation_curve_draws_the_series_and_says_how_often_the_gate_was_open(results, synthetic):
    ax = drawn(curves.adaptation_curve, results, synthetic.SPLIT)
    frame = series.adaptation(results, synthetic.SPLIT)
    mier = frame[(frame["variant"] == "mier") & (frame["phase"] != "before")]
    line = curve_of(ax, "mier")
    np.testing.assert_array_equal(line.get_xdata(), mier["update"])
    np.testing.assert_array_equal(line.get_ydata(), mier["mean"])
    after = frame[frame["phase"] == "after"].set_index("variant")
    carried = [collection.get_segments()[0] for collection in ax.collections if collection.get_linestyle()[0][1]]
    assert [segment[0].tolist() for segment in carried] == after[["update", "mean"]].to_numpy().tolist()
    assert {segment[1][0] for segment in carried} == {2000.0}  # on to the end of the longest
    assert ax.get_xlabel() == "adaptation updates"
    assert [label.get_text().strip() for label in ax.get_xticklabels()] == ["before", "0", "1k", "2k", "after"]
    share = series.open_share(results, synthetic.SPLIT)["mier"]
    gates = results.diagnostics[
        (results.diagnostics["name"] == "gate_open") & (results.diagnostics["task_list"] == "test")
    ]
    assert share == pytest.approx(gates["value"].mean())
    assert ax.get_title(loc="left") == f"{synthetic.SPLIT}\ngate open: MIER {share:.0%}"


def test_the_training_curve_is_one_line_for_variants_of_one_training(results, synthetic):
    ax = drawn(curves.training_curve, results, synthetic.SPLIT)
    assert entries(ax) == ["MIER / MIER-wR", "PEARL", "ProMP"]
    frame = training_curves.training(results, synthetic.SPLIT)
    np.testing.assert_array_equal(
        curve_of(ax, "mier").get_ydata(), frame.loc[frame["variant"] == "mier / mier-wr", "mean"]
    )


def test_bands_are_the_intervals(results, synthetic):
    ax = drawn(curves.shifted_samples, results, synthetic.SPLIT)
    frame = training_curves.shifted_samples(results, synthetic.SPLIT)
    mier = frame[frame["variant"] == "mier"]
    (band,) = [c for c in ax.collections if to_hex(c.get_facecolor()[0]) == style.look("mier").colour.lower()]
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((mier["low"].min(), mier["high"].max()))
