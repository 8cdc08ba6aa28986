import pandas as pd
import pytest

from reports import formats
from reports.numbers import tables
from reports.numbers.intervals import WILSON
from reports.reading.load import load


def table(*rows):
    """Cells: (variant, split, mean, low, high, n, text)."""
    names = ["variant", "split", "mean", "low", "high", "n", "text"]
    made = pd.DataFrame(rows, columns=names).assign(task_list="test", method="a method", best=False, tied=False)
    made.loc[0, "best"], made.loc[1, "tied"] = True, True
    return made


CELLS = table(
    ("mier", "a_b", -1.5, -2.0, -1.0, 7, "-1.50 [-2.00, -1.00], n = 7 (seed 9 pending)"),
    ("pearl", "a_b", -3.0, -4.0, -2.0, 8, "-3.00 [-4.00, -2.00], n = 8"),
    ("50%", "a_b", float("nan"), float("nan"), float("nan"), 0, "not supported: #1 & {x}"),
)
COLUMNS = ("split", "task_list")


def test_markdown_marks_the_best_bold_and_ties_italic():
    text = formats.markdown(formats.wide(CELLS, COLUMNS), formats.marks(CELLS, COLUMNS))
    assert text.splitlines() == [
        "| variant | a_b test |",
        "| --- | --- |",
        "| MIER | **-1.50 [-2.00, -1.00], n = 7 (seed 9 pending)** |",
        "| PEARL | *-3.00 [-4.00, -2.00], n = 8* |",
        "| 50% | not supported: #1 & {x} |",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"),
        ("**x**", r"\*\*x\*\*"),
        ("[x](http://y)", r"[x]\(http://y)"),
        ("<img src=x>", "&lt;img src=x>"),
        ("`x`", r"\`x\`"),
    ],
)
def test_names_stay_text_in_markdown(name, shown):
    frame = pd.DataFrame([["1"]], index=pd.Index([name], name="variant"), columns=["x"])
    assert formats.markdown(frame).splitlines()[-1] == f"| {shown} | 1 |"


def test_latex_of_every_letter_that_it_would_take_for_a_command():
    assert formats.latex_text("\\&%$#_{}~^<>") == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
    )
    assert formats.latex_text("a -- b\n– é 中") == r"a -{}- b – é \textbackslash{}u4e2d"


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    frame = pd.DataFrame({"name": ["=1+1", "@x", "+x", "-cmd", "-12.5, n = 3", "fine"], "value": [-1.0, 2, 3, 4, 5, 6]})
    formats.write_csv(frame, tmp_path / "x.csv")
    read = pd.read_csv(tmp_path / "x.csv")
    assert list(read["name"]) == ["'=1+1", "'@x", "'+x", "'-cmd", "-12.5, n = 3", "fine"]
    assert list(read["value"]) == list(frame["value"])
    assert frame["name"].iloc[0] == "=1+1"  # what was given is as it was


def test_the_caption_names_methods_and_warns_of_few_seeds(golden):
    text = formats.caption(tables.main_table(load(golden)))
    assert text.startswith("In brackets: 95% intervals (Student's t over seeds). n: seeds. With fewer than 5 seeds")
    assert "Bold" not in text  # one variant is the best of nothing
    assert "Bold: the best of its column. Italic: not shown" in formats.caption(CELLS)


def test_a_panel_says_its_seeds_its_intervals_and_what_its_checkpoints_share():
    numbers = pd.DataFrame({"variant": ["mier", "pearl", "null (reference)"], "n": [3, 0, 1], "method": ["t", "", ""]})
    assert formats.seeds_words(numbers) == "n = 3 seeds"
    assert formats.panel_words(numbers) == "n = 3 seeds; 95% intervals: t"
    several = numbers.assign(n=[20, 2, 1], tasks=10, update=[0, 2000, 0])
    assert formats.panel_words(several) == (
        "n = 2 to 20 seeds; 95% intervals: t; every checkpoint: 10 tasks, 0 to 2,000 adaptation updates, by variant"
    )
    one = numbers.assign(n=1, method="")
    assert formats.panel_words(one) == "n = 1 seed; no intervals"
    gate = pd.DataFrame({"variant": ["mier"] * 3, "seed": [0, 0, 7]})
    assert formats.panel_words(gate) == "n = 2 seeds"
    assert formats.panel_words(pd.DataFrame({"task_list": ["test"], "value": [1.0]})) == ""


def test_a_caption_says_why_a_number_has_no_interval_and_what_wilsons_do_not_assume():
    nan = float("nan")
    cells = [("mier", 3.0, 2.0, 4.0, 3, "t", True), ("pearl", 2.0, nan, nan, 1, "", False)]
    columns = ["variant", "mean", "low", "high", "n", "method", "best"]
    table = pd.DataFrame(cells, columns=columns).assign(tied=False)
    assert "A number without an interval has one seed, and takes no part" in formats.caption(table)
    alike = pd.concat([table, table.iloc[1:].assign(variant="mql", n=3)])
    assert "has one seed or seeds none of which changes it, and takes no part" in formats.caption(alike)
    assert "scatter normally" in formats.caption(table)
    assert "scatter normally" not in formats.caption(table.assign(method=WILSON))
    assert "fewer than 5 seeds the intervals are wide." in formats.caption(table.assign(method=WILSON))
