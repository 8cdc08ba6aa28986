"""The heat table leads to the seeds behind each of its cells."""

import re

from reports.numbers.aggregates import ALL_SPLITS
from reports.page import heat
from reports.reading.load import load
from reports.report import write


def two_splits(folder, synthetic):
    """Two seeds of MIER on two splits, one of PEARL on the first; a return of -500 is a score of 0, -100 one of 1."""
    for place, split in enumerate(("a.b", "c.d")):
        for seed in (0, 1):
            synthetic.simple_run(folder, "mier", seed, [[-400.0 + 40 * place], [-400.0 + 40 * seed]], split=split)
    synthetic.simple_run(folder, "pearl", 0, [[-450.0]], split="a.b")


def test_every_cell_with_a_number_leads_to_its_seeds(tmp_path, synthetic, one_figure):
    two_splits(tmp_path, synthetic)
    results = load(tmp_path)
    cells = [cell for _, whole, cells in heat.heat_table(results).rows for cell in (whole, *cells)]
    numbers = [cell for cell in cells if cell.text not in ("–", "")]
    assert len(numbers) == 5
    text = write(results, tmp_path / "report").read_text()
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert len(set(identifiers)) == len(identifiers)
    assert {cell.target for cell in numbers} <= set(identifiers)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(identifiers)


def test_the_seeds_of_all_splits_are_listed_by_split(tmp_path, synthetic):
    two_splits(tmp_path, synthetic)
    results = load(tmp_path)
    mier, pearl = (heat.anchor(results, ALL_SPLITS, variant) for variant in ("mier", "pearl"))
    assert heat.seed_scores(results).splits == ["a.b", "c.d"]
    assert heat.seed_scores(results).rows == [
        (mier, "MIER", ["0: 0.25, 1: 0.30", "0: 0.30, 1: 0.35"]),
        (pearl, "PEARL", ["0: 0.12", "–"]),
    ]
    assert [whole.target for _, whole, _ in heat.heat_table(results).rows] == [mier, pearl]
