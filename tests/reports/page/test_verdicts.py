"""The page's table of verdicts: a row per claim that there are results for."""

from reports.page.verdicts import HEAD, rows
from reports.reading.load import load


def test_a_row_per_claim_with_results_and_none_without(tmp_path, synthetic):
    for seed in (0, 1, 2):
        for variant, level in (("mier", -200), ("pearl", -100)):
            synthetic.simple_run(tmp_path, variant, seed, [[level + seed]], [[-50.0]])
    table = rows(load(tmp_path))
    assert table.head == HEAD
    (row,) = table.body  # of twelve claims and questions on the split
    assert [cell.text for cell in row] == [
        "mier does better than pearl on cheetah-velocity.hard (test)", "Mendonca et al. 2020",
        "-100.0 [-102.3, -97.7]", "3", "contradicted", "1,000",
    ]  # fmt: skip


def test_there_is_no_table_without_a_claim(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "pearl", 0, [[-100.0]])
    assert rows(load(tmp_path)) is None
