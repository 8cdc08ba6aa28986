"""No words of a figure are cut off at its edge, and none run into those of the panel beside."""

import itertools

import pytest
from matplotlib.text import Text

from reports.figures import canvas, sheets
from reports.figures.catalogue import FIGURES
from reports.layout import layout
from reports.reading.load import load

SPLITS = ("cheetah-velocity.medium", "cheetah-negated-joints.ood", "walker-rand-params.ood")
SLACK = 2
"""Points that words may reach over the edge or into others: what the box of a text has around its letters."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory, synthetic):
    """Long names of splits, seeds that differ in number, a gate."""
    folder = tmp_path_factory.mktemp("wide")
    synthetic.rich_folder(folder, ("mier", "mier-wr", "pearl", "promp", "mql"), (0, 1, 2), SPLITS, 3)
    return load(folder)


def words(figure):
    """Where each text stands that is seen, but for those at ticks."""
    figure.draw_without_rendering()
    ticks = {text for ax in figure.axes for text in (*ax.get_xticklabels(), *ax.get_yticklabels())}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in texts if text not in ticks]


@pytest.mark.parametrize("kind", [k for k in FIGURES if k.name != "factors"], ids=lambda kind: kind.name)
def test_all_words_are_on_the_figure_and_apart(wide, tmp_path, monkeypatch, kind):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, stem: figures.append(figure))
    monkeypatch.setattr(canvas, "svg", lambda figure: "")
    sheets.draw(wide, [kind], tmp_path, layout=layout("icml"))
    assert figures
    for figure in figures:
        slack, edge = SLACK * figure.dpi / 72, figure.bbox
        for text, box in (shown := words(figure)):
            over = max(edge.x0 - box.x0, box.x1 - edge.x1, edge.y0 - box.y0, box.y1 - edge.y1)
            assert over <= slack, text
        for (text, box), (other, beside) in itertools.combinations(shown, 2):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            upwards = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert min(across, upwards) <= slack, (text, other)
