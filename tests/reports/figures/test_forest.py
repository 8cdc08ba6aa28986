"""Forest plots hold the numbers of their series, a row per variant."""

import numpy as np
from matplotlib.colors import to_hex

from reports import style
from reports.figures import canvas, forest
from reports.numbers import from_best, ranks


def drawn(draw, results, split):
    with canvas.house_style():
        return draw(results, split=split, ax=canvas.new_figure().add_subplot())


def marks(ax):
    """Places of the marks of variants from top to bottom, with whether they are filled."""
    shown = [line for line in ax.lines if line.get_marker() not in ("None", "|", None) and len(line.get_xdata()) == 1]
    shown.sort(key=lambda line: -line.get_ydata()[0])
    return [(line.get_xdata()[0], to_hex(line.get_markerfacecolor()) != style.PAPER.lower()) for line in shown]


def rows(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()][::-1]


def test_differences_have_an_interval_of_their_own_and_one_for_all_together(results, synthetic):
    ax = drawn(forest.differences, results, synthetic.SPLIT)
    frame = from_best.differences(results, synthetic.SPLIT)
    assert rows(ax) == [results.look(name).name for name in frame["variant"]]
    shown = (frame["high_all"] < 0) | (frame["low_all"] > 0)
    assert shown.nunique() >= 1
    assert marks(ax) == list(zip(frame["mean"], shown))
    thin, thick = (
        [line.get_xdata()[:2] for line in ax.lines if line.get_linewidth() == width and len(line.get_xdata()) == 3]
        for width in (0.7, 2.2)
    )
    np.testing.assert_allclose(thin, frame[["low_all", "high_all"]])
    np.testing.assert_allclose(thick, frame[["low", "high"]])
    assert ax.get_title(loc="left") == f"{synthetic.SPLIT}\nbest: MIER"
    assert "hollow: not shown to differ" in ax.get_legend_handles_labels()[1]


def test_chances_stand_against_one_half(results, synthetic):
    ax = drawn(forest.chances, results, synthetic.SPLIT)
    frame = from_best.chances(results, synthetic.SPLIT)
    assert marks(ax) == list(zip(frame["mean"], (frame["low"] > 0.5) | (frame["high"] < 0.5)))
    assert 0.5 in [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2]


def test_ranks_stand_the_best_on_top_and_one_has_a_tick(results, synthetic):
    ax = drawn(forest.average_ranks, results, synthetic.SPLIT)
    frame = ranks.average_ranks(results, synthetic.SPLIT).sort_values("mean")
    assert [place for place, _ in marks(ax)] == list(frame["mean"])
    assert rows(ax)[0] == "MIER"
    assert list(ax.get_xticks()) == [1, 2, 3, 4]
