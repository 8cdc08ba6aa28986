"""Tables of cells as floats: what stands in a cell, in a note and in the caption."""

import re

import numpy as np
import pandas as pd
import pytest

from reports import style
from reports.layout import ANYWHERE
from reports.numbers import tables
from reports.numbers.cell_text import NOT_DECLARED
from reports.paper.tables import float_names, latex, latex_tables, usual_seeds
from reports.reading.load import load

NAN = float("nan")
STATISTICS = ("IQM", "mean", "median", "optimality_gap")


def table(*rows):
    """Cells: (variant, split, mean, low, high, n, text)."""
    made = pd.DataFrame(rows, columns=["variant", "split", "mean", "low", "high", "n", "text"])
    return made.assign(task_list="test", method="a method", best=False, tied=False)


CELLS = table(
    ("mier", "a.b", -1.5, -2.0, -1.0, 5, "-1.50 [-2.00, -1.00], n = 5"),
    ("mier", "c.d", -1234.5, -1300.0, -1200.0, 5, "-1235 [-1300, -1200], n = 5"),
    ("pearl", "a.b", -30.0, -40.0, -20.0, 3, "-30.0 [-40.0, -20.0], n = 3 of 5 (seeds 3, 4 failed: no memory)"),
    ("pearl", "c.d", NAN, NAN, NAN, 0, NOT_DECLARED),
    ("grbal", "a.b", NAN, NAN, NAN, 0, "not supported: rewards vary"),
    ("grbal", "c.d", -2.0, NAN, NAN, 1, "-2.0, n = 1, no interval"),
    ("mql", "a.b", NAN, NAN, NAN, 0, NOT_DECLARED),
    ("mql", "c.d", NAN, NAN, NAN, 0, NOT_DECLARED),
)


def test_a_cell_has_its_number_and_interval_and_a_note_where_its_seeds_are_not_those_of_the_caption():
    text = latex(CELLS, "split", "Returns.", "x", ANYWHERE)
    rows = [line for line in text.splitlines() if line.startswith(("MIER", "PEARL", "GrBAL", "MQL"))]
    assert rows == [
        r"MIER & $-$1.5 [$-$2.0, $-$1.0] & $-$1234 [$-$1300, $-$1200] \\",
        r"PEARL & $-$30.0\textsuperscript{1} [$-$40.0, $-$20.0] &  \\",
        r"GrBAL & –\textsuperscript{2} & $-$2\textsuperscript{3} \\",
    ]  # MQL is in no grid
    notes = [line.rstrip("}") for line in text.splitlines() if "~" in line]
    assert notes == [
        r"\textsuperscript{1}~n = 3 of 5 (seeds 3, 4 failed: no memory)\par",
        r"\textsuperscript{2}~not supported: rewards vary\par",
        r"\textsuperscript{3}~n = 1, no interval",
    ]
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert caption.startswith(r"\caption{Returns. Empty: in no experiment's grid. In brackets: 95\% intervals")
    assert "n = 5 seeds, where no note says otherwise." in caption


def test_the_number_of_seeds_of_the_caption_is_that_of_most_cells_but_references():
    assert usual_seeds(CELLS) == 5
    references = table(*[(f"null{style.REFERENCE}", str(n), 1.0, NAN, NAN, 1, "") for n in range(9)])
    assert usual_seeds(pd.concat([references, CELLS])) == 5
    assert usual_seeds(references) == 0
    alike = CELLS.iloc[:2]
    assert "n = 5 seeds." in latex(alike, "split", "Returns.", "x", ANYWHERE)


def test_there_is_a_float_per_statistic_and_none_without_a_number(rich):
    results = load(rich)
    names = {name: list(latex_tables(kind, kind.make(results), name, ANYWHERE)) for name, kind in tables.TABLES.items()}
    assert names["main"] == ["main-test", "main-test_id"]
    assert sorted(names["aggregates"]) == [f"aggregates-{name}" for name in STATISTICS]
    assert names["gain"] == []  # these records name no twin
    kind = tables.TABLES["improvement"]
    (text,) = latex_tables(kind, kind.make(results), "improvement", ANYWHERE).values()
    heads = text.partition("\\toprule")[2].partition("\\midrule")[0].replace(r" \\ ", " ")
    assert [name in heads for name in ("than MIER", "than MIER-wR", "than PEARL", "than GrBAL")] == [True] * 3 + [False]
    assert float_names(kind, kind.make(results), "x") == {"x-cheetah-velocity.hard": "cheetah-velocity.hard"}


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_number_of_a_table_stands_in_its_floats_with_its_mark(rich, name):
    kind = tables.TABLES[name]
    table = kind.make(load(rich))
    text = "".join(latex_tables(kind, table, name, ANYWHERE).values())
    assert text.count(r"\textbf{") == table["best"].sum()
    assert text.count(r"\underline{") == table["tied"].sum()
    assert bool(text) == (table["n"] > 0).any()
    ends = re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", text.replace("$-$", "-"))
    expected = table.loc[(table["n"] > 0) & table["low"].notna(), ["low", "high"]].to_numpy(dtype=float)
    assert len(ends) == len(expected)
    written = np.array(ends, dtype=float).reshape(-1, 2)
    np.testing.assert_allclose(np.sort(written, axis=0), np.sort(expected, axis=0), rtol=0.01, atol=0.006)
