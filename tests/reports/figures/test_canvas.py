"""Sheets, sizes, fonts and files."""

import re
import warnings

import pytest
from matplotlib import pyplot, rcParams
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.text import Text
from PIL import Image

from reports import style
from reports.figures import canvas, outcomes, per_task, sheets
from reports.figures.catalogue import FIGURES
from reports.figures.marks import aside
from reports.layout import LEAST_TYPE, layout
from reports.reading.load import load


@pytest.mark.parametrize("kind", [k for k in FIGURES if k.name != "factors"], ids=lambda kind: kind.name)
def test_every_figure_draws_on_the_axes_it_is_given(results, synthetic, kind):
    with canvas.house_style():
        ax = canvas.new_figure().add_subplot()
        assert kind.draw(results, split=synthetic.SPLIT, ax=ax) is ax
    assert ax.has_data()
    assert synthetic.SPLIT in ax.get_title(loc="left")
    assert ax.get_xlabel() or names(ax)
    assert ax.get_legend_handles_labels()[1]


def names(ax):
    return [tick.get_text() for tick in ax.get_xticklabels()]


def banded(results, split):
    """The figures with a band."""
    found = set()
    for kind in FIGURES:
        with canvas.house_style():
            ax = kind.draw(results, split=split, ax=canvas.new_figure().add_subplot())
        if any(isinstance(drawn, FillBetweenPolyCollection) for drawn in ax.collections):
            found.add(kind.name)
    return found


def test_one_seed_draws_no_band(tmp_path, results, synthetic):
    synthetic.rich_folder(tmp_path, variants=("mier", "pearl"), seeds=(0,), num_tasks=2)
    assert banded(load(tmp_path), synthetic.SPLIT) == set()
    assert {"adaptation_test", "profile", "training_curve"} <= banded(results, synthetic.SPLIT)


def test_no_global_figure_is_left_behind(results, synthetic):
    before = dict(rcParams)
    with canvas.house_style():
        outcomes.gate(results, split=synthetic.SPLIT, ax=canvas.new_figure().add_subplot())
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before


def test_a_sheet_has_a_panel_per_split_and_one_legend_in_the_order_of_tables():
    shown = {"a": ["PEARL", "MIER"], "b": ["MIER", "MQL"]}

    def draw(split, ax):
        for label in shown[split]:
            ax.plot([0, 1], label=label)
        ax.plot([], color=style.INK, label="a remark")
        return ax

    with canvas.house_style():
        sheet = canvas.sheet(draw, ["a", "b"])
    assert len(sheet.axes) == 2
    (legend,) = sheet.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MIER", "PEARL", "MQL", "a remark"]


def test_a_legend_is_no_wider_than_its_figure():
    def draw(_, ax):
        for number in range(7):
            ax.plot([0, 1], label=f"a variant with a long name {number}")
        return ax

    with canvas.house_style():
        for splits in (["a"], ["a", "b"]):
            sheet = canvas.sheet(draw, splits)
            (legend,) = sheet.legends
            ends = legend.get_window_extent()
            assert 0 <= ends.x0 < ends.x1 <= sheet.bbox.width
            assert len(legend.get_texts()) == 7


def test_a_remark_stands_below_the_title_beside_others():
    ax = canvas.new_figure().add_subplot()
    ax.set_title("a split", loc="left")
    with canvas.house_style():
        for text in ("", "n = 3 seeds", "gate open: 5%"):
            aside(ax, text)
        assert ax.get_title(loc="left") == "a split\nn = 3 seeds; gate open: 5%"


@pytest.mark.parametrize(
    ("panels", "columns", "width"), [(1, 1, 3.4), (2, 2, 7.0), (3, 3, 7.0), (4, 2, 7.0), (6, 3, 7.0), (9, 3, 7.0)]
)
def test_sheets_have_the_widths_of_journals(panels, columns, width):
    assert canvas.per_row(panels) == columns
    assert canvas.new_figure(panels).get_size_inches()[0] == width


def test_files_have_embedded_fonts_and_enough_dots(results, synthetic, tmp_path):
    with canvas.house_style():
        sheet = canvas.sheet(lambda split, ax: per_task.per_task(results, split=split, ax=ax), [synthetic.SPLIT])
        canvas.save(sheet, tmp_path / "a.b")
    pdf = (tmp_path / "a.b.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert not re.search(rb"/Subtype\s*/Type3", pdf)
    assert Image.open(tmp_path / "a.b.png").size[0] == round(3.4 * 300)


def test_the_lines_of_a_figure_can_be_told_apart_in_grey():
    looks = [(look.marker, look.dashes, look.hatch) for look in style.LOOKS.values()]
    assert len({marker for marker, _, _ in looks}) == len(looks)
    assert len({hatch for _, _, hatch in looks}) == len(looks)


@pytest.mark.parametrize("paper", [layout("icml", serif=True), layout("neurips"), layout(width=3.25)])
def test_figures_for_a_paper_are_as_wide_as_it_and_their_type_is_large_enough(paper, synthetic, tmp_path, monkeypatch):
    synthetic.rich_folder(tmp_path, ("mier", "mier-wr", "pearl", "grbal"), (0, 1), ("a.b", synthetic.SPLIT), 2)
    sizes, widths = {}, set()

    def measure(figure, stem):
        widths.add(figure.get_figwidth())
        assert figure.get_figheight() <= paper.height
        for text in figure.findobj(Text):
            if text.get_text().strip() and text.get_visible():
                sizes[stem.name, text.get_text()] = text.get_fontsize()

    monkeypatch.setattr(canvas, "save", measure)
    monkeypatch.setattr(canvas, "svg", lambda figure: "")
    kinds = [kind for kind in FIGURES if kind.name in ("out_of_distribution", "gate", "per_task", "profile")]
    sheets.draw(load(tmp_path), kinds, tmp_path, layout=paper)
    assert widths <= {paper.column, paper.page}
    assert min(sizes.values()) >= LEAST_TYPE, min(sizes.items(), key=lambda item: item[1])


def test_a_serif_figure_is_set_in_it_and_other_letters_in_the_usual_type(tmp_path):
    georgian = "\u10d0"  # which the serif type does not have
    with canvas.house_style(layout(serif=True)), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")  # which the font lacks
        figure = canvas.sheet(lambda split, ax: ax.set_title(style.plain(split)).axes, ["a", f"{georgian} ä"])
        families = figure.axes[0].title.get_fontfamily()
        canvas.save(figure, tmp_path / "figure")
    assert families == [style.SERIF, style.FONT]
    assert b"STIXGeneral" in (tmp_path / "figure.pdf").read_bytes()


@pytest.mark.parametrize("dpi", [72, 300])
def test_pinned_labels_stay_where_each_file_would_put_them(results, synthetic, dpi):
    with canvas.house_style():
        sheet = canvas.sheet(lambda split, ax: outcomes.in_and_out(results, split=split, ax=ax), [synthetic.SPLIT])
        label = sheet.axes[0].xaxis.label
        places = []
        for _ in range(2):
            sheet.set_dpi(dpi)
            sheet.canvas.draw()
            places.append(label.get_window_extent().get_points() / dpi)
            sheet.set_dpi(100)
            canvas.boxes(sheet, sheet.axes)
            canvas.pin(sheet)
    assert abs(places[1] - places[0]).max() < max(0.75 / 72, 1.25 / dpi)  # inches: a point, or the dot rounded to
