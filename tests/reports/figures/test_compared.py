"""The forest plot of a comparison: a row per judged cell, its interval, and whether that excludes zero."""

import pytest

from reports import style
from reports.compare import compare
from reports.figures import canvas, compared
from reports.layout import layout
from reports.reading.load import load
from suite.errors import UserError


@pytest.fixture
def table(tmp_path, synthetic):
    """MIER is far above PEARL by shared trainings, MQL about as good."""
    for seed in (0, 1, 2):
        for variant, value in (("pearl", 0.0), ("mier", 100.0 + seed), ("mql", 5.0 * (-1) ** seed)):
            training = f"t{seed}"
            synthetic.simple_run(tmp_path, variant, seed, [[value]], test_id=[[value]], training=training)
    results = load(tmp_path)
    return compare(results, results, "pearl", "pearl")


def test_rows_are_differences_with_intervals_filled_where_they_exclude_zero(table, synthetic):
    with canvas.house_style():
        figure = compared.figure(table)
    test, test_id = figure.axes
    assert test.get_title(loc="left") == f"{synthetic.SPLIT}\ntest"
    assert test_id.get_title(loc="left") == f"{synthetic.SPLIT}\ntest_id"
    assert [label.get_text() for label in test.get_yticklabels()] == ["MQL (n = 3)", "MIER (n = 3)"]
    mier, mql = (line for line in test.lines if len(line.get_xdata()) == 1)
    assert mier.get_xdata()[0] == pytest.approx(101.0)
    assert mier.get_markerfacecolor() == style.look("mier").colour
    assert mql.get_markerfacecolor() == style.PAPER
    ends = next(line.get_xdata()[:2] for line in test.lines if line.get_marker() == "|")
    assert ends == pytest.approx([101 - 4.303 / 3**0.5, 101 + 4.303 / 3**0.5], rel=1e-3)
    assert test.get_xlabel() == "return minus that of pearl"


def test_it_is_as_wide_as_asked(table):
    narrow = layout(width=3.25)
    with canvas.house_style(narrow):
        assert compared.figure(table, narrow).get_figwidth() == 3.25


def test_nothing_to_draw_is_a_users_mistake(table):
    with pytest.raises(UserError, match="no cell could be compared"):
        compared.figure(table.assign(n=0))
