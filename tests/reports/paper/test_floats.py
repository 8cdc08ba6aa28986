"""LaTeX floats fit the page that they are for, by their estimated sizes and, where TeX is installed, by TeX itself."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.layout import ANYWHERE, LEAST_TYPE, VENUES, layout
from reports.numbers import tables
from reports.paper.bibliography import references_bib
from reports.paper.floats import (
    GAP,
    SPARE,
    Cell,
    Grid,
    Setting,
    caption_height,
    floats,
    head_lines,
    table_height,
    table_width,
    text_width,
)
from reports.paper.protocol import protocol_tex
from reports.paper.tables import latex_tables
from reports.reading.load import load
from suite.results.reference import reference_table

SPLITS = (
    "ant-direction.ood", "ant-negated-joints.ood", "cheetah-negated-joints.ood", "cheetah-velocity.hard",
    "cheetah-velocity.medium", "walker-parameters.ood", "all splits", "humanoid-direction.standard [runs/a]",
)  # fmt: skip
LAYOUTS = {**VENUES, "anywhere": ANYWHERE, "narrow": layout(width=3.25)}


def grid(rows=8, splits=SPLITS, lines=("-1234.5", "[-1300.1, -1100.2]")):
    """A table with a note per row; the first of each column is the best, the second tied with it."""
    marks = ("best", "tied", *[""] * rows)
    return Grid(
        tuple(splits),
        tuple(
            (f"variant {row} of mine_too", tuple(Cell(lines, marks[row], f"n = {row % 4}") for _ in splits))
            for row in range(rows)
        ),
    )


def small(*heads):
    cells = Cell(("-1.5", "[-2.0, -1.0]"), "best"), Cell(("–",), note="not supported: #1 & {x}")
    return Grid(heads, (("MIER", cells), ("[2ex]", cells)))


def test_numbers_are_left_to_siunitx_if_asked():
    grid = Grid(("a", "b"), (("MIER 2", (Cell(("-1.5", "[-2.0, 1.0]"), "best"), Cell(("3 of 4",)))),))
    text = floats(grid, "Of -1.", "x", layout(siunitx=True))
    assert r"MIER 2 & \textbf{\num{-1.5}} [\num{-2.0}, \num{1.0}] & 3 of 4 \\" in text
    assert r"\caption{Of -1.}" in text


def test_a_float_to_the_letter():
    assert floats(small("a_b", "c"), "100% of it.", "x", ANYWHERE) == "\n".join([
        r"\begin{table}[tbp]",
        r"\centering",
        r"\caption{100\% of it.}",
        r"\label{tab:x}",
        r"\smallskip",
        r"\fontsize{9}{10.8}\selectfont",
        r"\setlength{\tabcolsep}{2.5pt}",
        r"\begin{tabular}{@{}lrr@{}}",
        r"\toprule",
        r" & a\_b & c \\",
        r"\midrule",
        r"MIER & \textbf{$-$1.5} [$-$2.0, $-$1.0] & –\textsuperscript{1} \\",
        r"{}[2ex] & \textbf{$-$1.5} [$-$2.0, $-$1.0] & –\textsuperscript{1} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip",
        r"\parbox{\linewidth}{\fontsize{7}{8.4}\selectfont\raggedright",
        r"\textsuperscript{1}~not supported: \#1 \& \{x\}}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def test_what_is_wider_than_a_column_spans_the_page_and_what_is_wider_than_that_stands_in_parts():
    two = floats(grid(splits=SPLITS[:4]), "It.", "x", VENUES["icml"])
    assert two.count(r"\begin{table*}") == two.count(r"\begin{tabular}{@{}l") == 1
    assert r"\begin{table}" in floats(grid(splits=SPLITS[:4]), "It.", "x", VENUES["neurips"])  # has one column
    many = floats(grid(splits=SPLITS * 2), "It.", "x", VENUES["icml"])
    assert many.count(r"\begin{tabular}{@{}l") > 1
    assert many.count("ant-direction.") == 2  # no column is lost


def test_where_there_is_no_room_an_interval_stands_below_its_number():
    text = floats(grid(2, SPLITS[:6]), "It.", "x", VENUES["neurips"])
    assert r"& $-$1234.5" not in text.replace(r"\textbf{$-$1234.5}", "").replace(r"\underline{$-$1234.5}", "")
    first, second = re.findall(r"^(?:variant\\?.*|.*1300.*)$", text, re.MULTILINE)[:2]
    assert "1234.5" in first
    assert "1300" not in first
    assert second.startswith(" & [$-$1300.1")


def test_a_table_longer_than_a_page_is_continued_and_loses_no_row():
    text = floats(grid(130, SPLITS[:3]), "It.", "x", VENUES["neurips"])
    pages = text.split(r"\end{table}")[:-1]
    assert len(pages) > 1
    assert text.count("variant ") == 130
    assert "Continued from the table before." in pages[1]
    assert r"\label{tab:x-2}" in pages[1]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("rows", [1, 8, 60])
def test_no_type_is_smaller_than_it_may_be(name, rows):
    text = floats(grid(rows), "It.", "x", LAYOUTS[name])
    assert min(map(float, re.findall(r"\\fontsize\{([\d.]+)\}", text))) >= LEAST_TYPE
    assert "resizebox" not in text
    assert "scalebox" not in text


def test_sizes_of_text_by_hand():
    assert text_width("123", 10) == pytest.approx(15)
    assert text_width("-1", 10) == pytest.approx(7.8 + 5)
    assert text_width("", 10) == 0
    assert head_lines("cheetah-negated-joints.ood", text_width("cheetah-negated-", 7), 7) == [
        "cheetah-negated-", "joints.ood"
    ]  # fmt: skip
    one = Grid(("1",), (("a", (Cell(("1", "2")),)),))
    flat, stacked = (table_width(one, Setting(is_flat, 10)) for is_flat in (True, False))
    assert flat - stacked == pytest.approx(5 + 4)  # the second digit and the gap before it
    assert table_height(one, Setting(False, 10)) - table_height(one, Setting(True, 10)) == pytest.approx(14)
    assert caption_height("x" * 400, 3.25) > caption_height("x" * 400, 6.75)


# What follows asks TeX itself.

DOCUMENT = r"""\documentclass[%s10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
%s
\usepackage[letterpaper,textwidth=%gin,textheight=%gin,columnsep=0.25in]{geometry}
\begin{document}
%s
\end{document}
"""


SIUNITX = r"\usepackage{siunitx}\sisetup{mode=match, propagate-math-font, reset-text-series=false}"


def has_siunitx():
    """Whether TeX has version 3 or later of it, which has these settings."""
    if shutil.which("kpsewhich") is None:
        return False
    place = subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True, text=True, check=False).stdout.strip()
    return bool(place) and "mode .choices:nn" in Path(place).read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def compiled(tmp_path):
    """A function (floats, layout, ending) -> the log of a paper of that layout with each of the floats on a page."""

    def compile_paper(texts, layout, ending=""):
        columns = "twocolumn," if layout.has_columns else ""
        body = "\n\\clearpage\n".join([*texts, ending])
        packages = SIUNITX if layout.siunitx else ""
        text = DOCUMENT % (columns, packages, layout.page, layout.height, body)
        (tmp_path / "paper.tex").write_text(text, encoding="utf-8")
        tex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        for command in (tex, ["bibtex", "paper"], tex, tex) if ending else (tex,):
            ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
            assert ran.returncode == 0, ran.stdout[-2000:]
        return (tmp_path / "paper.log").read_text(errors="replace")

    return compile_paper


needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="TeX is not installed; see the estimates above")


@needs_tex
@pytest.mark.parametrize(
    "siunitx", [False, pytest.param(True, marks=pytest.mark.skipif(not has_siunitx(), reason="TeX has no siunitx"))]
)
@pytest.mark.parametrize("name", LAYOUTS)
def test_tex_sets_every_table_within_its_page(name, siunitx, compiled):
    paper = LAYOUTS[name]._replace(siunitx=siunitx)
    awkward = Grid(("[a] \\ % $ # _", "中文 é"), (("*star {x} ~^<>", (Cell(("-5",)), Cell(("–",), note="a_b & c %"))),))
    tables = [grid(1, SPLITS[:1]), grid(8), grid(30, SPLITS[:3]), grid(120, SPLITS[:6]), awkward]
    texts = [floats(table, f"The caption. {'Of many words. ' * 20}", f"x{n}", paper) for n, table in enumerate(tables)]
    log = compiled(texts, paper)
    assert "Overfull" not in log
    assert "too large" not in log  # a float for its page


def of_a_report(results, paper):
    """All floats that a report has for a paper, in its files."""
    made = tables.made(results).items()
    texts = [text for n, table in made for text in latex_tables(tables.TABLES[n], table, n, paper).values()]
    assert len(texts) > 3
    return [protocol_tex(results, paper), *texts]


@needs_tex
@pytest.mark.parametrize("name", ["neurips", "icml"])
def test_tex_sets_all_that_a_report_of_a_shipped_table_has_for_a_paper(name, compiled, tmp_path):
    results, paper = load(reference_table("published-budget/mql")), VENUES[name]
    (tmp_path / "references.bib").write_text(references_bib(results), encoding="utf-8")
    log = compiled(
        of_a_report(results, paper), paper, ending=r"\nocite{*}\bibliographystyle{plain}\bibliography{references}"
    )
    assert "Overfull" not in log
    assert "too large" not in log
    assert "Warning--" not in (tmp_path / "paper.blg").read_text(errors="replace")


def test_by_its_estimated_size_every_part_of_a_table_fits_a_page():
    for paper in LAYOUTS.values():
        text = floats(grid(120, SPLITS), "It.", "x", paper)
        for page in text.split(r"\begin{table")[1:]:
            lines = page.count(r" \\") + page.count("addlinespace") * 2 / (1.2 * LEAST_TYPE)
            assert lines * 1.2 * LEAST_TYPE + SPARE < paper.height * 72


def widths_as_written(text):
    """Of each part of the tables in some floats, whether it spans the page, and its estimated width in points."""
    for star, content in re.findall(r"\\begin\{table(\*?)\}(.*?)\\end\{table", text, re.DOTALL):
        size = float(re.search(r"\\fontsize\{([\d.]+)\}", content)[1])
        for part in re.findall(r"\\toprule(.*?)\\bottomrule", content, re.DOTALL):
            rows = [line.removesuffix(r" \\").split(" & ") for line in part.splitlines() if line.endswith(r" \\")]
            columns = [max(written_width(cell, size) for cell in column) for column in zip(*rows, strict=True)]
            yield bool(star), sum(columns) + GAP * (len(columns) - 1)


def written_width(cell, size):
    """The width of the longest line of a cell of LaTeX: without what sets it off, and with a note as large as text."""
    markup = r"\\(?:begin|end)\{tabular\}(?:\[b\]\{@\{\}c@\{\}\})?|\\text\w+|\\underline|[{}$\\]"
    return max(text_width(re.sub(markup, "", line), size) for line in cell.split(r" \\ "))


@pytest.mark.parametrize("name", LAYOUTS)
def test_by_its_estimated_width_every_part_of_a_table_fits_its_column_or_page(name):
    paper = LAYOUTS[name]
    texts = [floats(table, "It.", "x", paper) for table in (grid(), grid(120), grid(splits=SPLITS * 2), grid(1))]
    texts += of_a_report(load(reference_table("published-budget/mql")), paper)
    found = [part for text in texts for part in widths_as_written(text)]
    assert len(found) > len(texts)  # one of them has several parts at the least
    for spans_the_page, width in found:
        assert 72 < width <= 72 * (paper.page if spans_the_page or not paper.has_columns else paper.column)
