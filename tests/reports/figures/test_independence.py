"""Figures are the same bytes for everybody: no `matplotlibrc` of the user counts, and every letter can be drawn."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from patience import PATIENCE

from reports import style
from reports.figures import canvas

DRAW = """
import sys
from pathlib import Path
from reports.figures import canvas

def panel(split, ax):
    ax.plot([0, 1], [2, 1], label="a variant", marker="o")
    ax.set_title(split)
    ax.set_xlabel("env steps")
    return ax

with canvas.house_style():
    figure = canvas.sheet(panel, ["a.split"])
    canvas.save(figure, Path(sys.argv[1]))
    Path(sys.argv[1]).with_name("figure.svg").write_text(canvas.svg(figure))
"""
LOUD = "\n".join((
    "text.usetex: True", "font.size: 31", "font.family: serif", "lines.linewidth: 9", "savefig.bbox: tight",
    "savefig.transparent: True", "axes.formatter.limits: -1, 1", "legend.fancybox: False", "path.sketch: 3, 100, 2",
    "svg.fonttype: none", "pdf.compression: 0", "figure.constrained_layout.w_pad: 0.4", "xtick.direction: in",
))  # fmt: skip


def drawn(folder, rc):
    """The bytes of a figure in each format, drawn by a process whose user has this `matplotlibrc`."""
    folder.mkdir()
    (folder / "matplotlibrc").write_text(rc)
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", DRAW, str(folder / "figure")], check=True, timeout=PATIENCE, cwd=root,
        env=os.environ | {"MATPLOTLIBRC": str(folder / "matplotlibrc"), "PYTHONPATH": str(root)},
    )  # fmt: skip
    return {path.suffix: path.read_bytes() for path in folder.glob("figure.*")}


def test_the_matplotlibrc_of_the_user_changes_no_byte(tmp_path):
    plain = drawn(tmp_path / "plain", "")
    assert plain.keys() == {".pdf", ".png", ".svg"}
    assert drawn(tmp_path / "tex", "text.usetex: True") == plain
    assert drawn(tmp_path / "loud", LOUD) == plain


def test_letters_that_the_font_lacks_are_spelt_out_and_nobody_is_warned(tmp_path):
    assert style.plain("π → ü 中a") == r"π → ü \u4e2da"
    assert style.drawn_name(style.look("中文标签变異")) == r"\u4e2d\u658…\u53d8\u7570"
    with warnings.catch_warnings(), canvas.house_style():
        warnings.simplefilter("error")
        figure = canvas.sheet(lambda split, ax: ax.set_title(style.plain(split)).axes, ["标签変異 \U0001f600"])
        canvas.save(figure, tmp_path / "figure")
        canvas.svg(figure)


@pytest.mark.parametrize("text", ["MIER", "mier, two steps", "α β", "–…±"])
def test_letters_of_the_font_stay(text):
    assert style.drawable(text) == text
