import numpy as np
import pytest
from matplotlib.colors import to_hex

from reports import figures, series, style
from reports.load import load
from reports.report import FIGURES


@pytest.fixture(scope="module")
def results(rich):
    return load(rich)


def lines_of(ax, colour):
    return [line for line in ax.lines if to_hex(line.get_color()).upper() == colour and len(line.get_xdata())]


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
def test_every_figure_draws_on_the_axes_it_is_given(results, synthetic, kind):
    with figures.house_style():
        ax = figures.new_figure().add_subplot()
        assert kind.draw(results, split=synthetic.SPLIT, ax=ax) is ax
    assert ax.has_data()
    assert ax.get_xlabel()
    assert synthetic.SPLIT in ax.get_title(loc="left") + ax.get_title()
    assert ax.figure.legends


def test_the_adaptation_curve_draws_the_series(results, synthetic):
    with figures.house_style():
        ax = figures.adaptation_curve(results, split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
    frame = series.adaptation(results, synthetic.SPLIT)
    mier = frame[(frame["variant"] == "mier") & (frame["phase"] != "before")]
    curves = [line for line in lines_of(ax, style.look("mier").colour) if len(line.get_xdata()) == len(mier)]
    np.testing.assert_array_equal(curves[0].get_xdata(), mier["update"])
    np.testing.assert_array_equal(curves[0].get_ydata(), mier["mean"])
    assert ax.get_xlabel() == "adaptation updates"
    assert ax.get_xticklabels()[0].get_text() == "before"


def test_the_training_range_is_shaded_and_the_axis_has_its_unit(results, synthetic):
    with figures.house_style():
        ax = figures.per_task(results, split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
    (shade,) = [patch for patch in ax.patches if to_hex(patch.get_facecolor()) == style.SHADE.lower()]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((0.02, 1.48))
    assert ax.get_xlabel() == "target velocity (m/s)"


def test_tasks_without_a_parameter_stand_at_their_index(tmp_path, synthetic):
    rows = [{"task": task, "parameter": float("nan"), "return": float(task)} for task in range(3)]
    synthetic.write_run(tmp_path, rows, synthetic.document())
    with figures.house_style():
        ax = figures.per_task(load(tmp_path), split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
    assert "index" in ax.get_xlabel()
    assert [len(patch.get_path()) for patch in ax.patches] == []


def test_in_and_out_has_one_row_per_variant_in_order(results, synthetic):
    with figures.house_style():
        ax = figures.in_and_out(results, split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["ProMP", "PEARL", "MIER-wR", "MIER"]  # bottom to top; GrBAL has no result


def test_no_global_figure_is_left_behind(results, synthetic):
    from matplotlib import pyplot, rcParams

    before = dict(rcParams)
    with figures.house_style():
        figures.gate(results, split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before


def test_one_seed_draws_no_band(tmp_path, synthetic):
    synthetic.rich_folder(tmp_path, variants=("mier", "pearl"), seeds=(0,), num_tasks=2)
    results = load(tmp_path)
    for kind in FIGURES:
        with figures.house_style():
            ax = kind.draw(results, split=synthetic.SPLIT, ax=figures.new_figure().add_subplot())
        assert [c for c in ax.collections if type(c).__name__ == "FillBetweenPolyCollection"] == []
