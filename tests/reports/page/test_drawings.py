import html
import re

import pandas as pd

from reports import style
from reports.figures import canvas
from reports.figures.marks import tell
from reports.layout import ANYWHERE
from reports.page.drawings import Drawings


def drawn(*labels, title="a title"):
    """Two panels of ours as the text of an SVG."""

    def draw(split, ax):
        for place, label in enumerate(labels):
            ax.plot([0, 1], [place, 1.23456789], color=style.INK, marker="o", label=label)
        ax.set_title(f"{title} {split}")
        return ax

    with canvas.house_style():
        figure = canvas.sheet(draw, ["a", "b"])
        return canvas.svg(figure), canvas.boxes(figure, figure.axes), canvas.boxes(figure, figure.legends)


def test_each_panel_and_the_legend_are_parts_that_refer_to_what_is_shared():
    svg, _, _ = drawn("one", "two")
    drawings = Drawings()
    parts = drawings.parts(svg)
    assert {"axes_1", "axes_2", "legend_1"} <= parts.keys()
    markup, definitions = "".join(parts.values()), drawings.definitions()
    named = re.findall(r'id="(\w+)"', definitions)
    assert len(named) == len(set(named)) > 10  # letters, marks, edges
    assert set(re.findall(r"#(d\d+)", markup)) <= set(named)
    assert set(re.findall(r'class="(c\d+)"', markup + definitions)) <= set(re.findall(r"\.(c\d+)\{", drawings.rules()))
    assert " id=" not in markup
    assert "style=" not in markup


def test_a_second_figure_adds_only_what_is_new():
    drawings = Drawings()
    first = drawings.parts(drawn("one", "two")[0])
    definitions, rules = drawings.definitions(), drawings.rules()
    assert drawings.parts(drawn("one", "two")[0]) == first
    assert (drawings.definitions(), drawings.rules()) == (definitions, rules)
    drawings.parts(drawn("one", "two", title="wxyz")[0])
    assert drawings.definitions().startswith(definitions)
    assert drawings.definitions() != definitions


def test_it_is_a_fraction_of_what_it_was_and_follows_the_colour_scheme():
    svg, _, _ = drawn("one", "two")
    drawings = Drawings()
    parts = drawings.parts(svg)
    assert sum(map(len, parts.values())) < 0.6 * len(svg)
    assert style.INK.lower() not in drawings.rules()
    assert "stroke: currentColor" in drawings.rules()
    assert "var(--grid)" in drawings.rules()
    assert not re.search(r'(?:x|y|d)="[^"]*\.\d{3}', "".join(parts.values()))


def test_text_of_a_figure_is_no_markup():
    drawings = Drawings()
    parts = drawings.parts(drawn("<script>x</script>", title="--> <b>")[0])
    tags = set(re.findall(r"<(\w+)", "".join(parts.values()) + drawings.definitions()))
    assert tags <= {"g", "use", "path", "clipPath", "rect"}


def test_what_a_mark_tells_is_its_title_and_no_markup():
    def draw(split, ax):
        (mark,) = ax.plot([0], [1.25], marker="o")
        tell(mark, f"<b> & {split}\x01", pd.DataFrame([{"mean": 1.25, "low": 1.0, "high": 1.5}]))
        return ax

    with canvas.house_style():
        svg = canvas.svg(canvas.sheet(draw, ["a"]))
    markup = Drawings().parts(svg)["axes_1"]
    (told,) = re.findall(r"<g[^>]*><title>(.*?)</title><", markup)
    assert html.unescape(told) == r"<b> & a\x01: 1.25 [1.00, 1.50]"
    assert "<b>" not in markup


def test_boxes_hold_their_panels_side_by_side_and_the_legend_below():
    _, (left, right), (legend,) = drawn("one", "two")
    assert left.left + left.width < right.left + 4
    assert abs(left.top - right.top) < 4
    assert legend.top > left.top + left.height - 4
    assert right.left + right.width <= 72 * ANYWHERE.page + 4
