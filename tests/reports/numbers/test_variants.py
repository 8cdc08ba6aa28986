"""What a report says of each variant before its rows are read."""

from reports.numbers.variants import NOT_RECORDED, variant_table
from reports.page import sections
from reports.reading.load import load

BEFORE = {"kind": "explores", "sentence": "each episode draws a z"}


def test_where_values_come_from_and_what_before_is_of(tmp_path, synthetic):
    gain = {"before": BEFORE, "twin": "a", "is_twin": False}
    synthetic.simple_run(tmp_path, "pearl", 0, test=[[1.0]], gain=gain, values="not tuned (preset small)")
    synthetic.simple_run(tmp_path, "pearl", 1, test=[[1.0]], gain=gain, values="not tuned (preset small)")
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]])
    rows = variant_table(load(tmp_path)).to_dict("records")
    assert rows == [
        {"variant": "mier", "splits": synthetic.SPLIT, "values": NOT_RECORDED, "before": NOT_RECORDED,
         "twin": NOT_RECORDED},
        {"variant": "pearl", "splits": synthetic.SPLIT, "values": "not tuned (preset small)",
         "before": "explores: each episode draws a z", "twin": "its unadapted twin"},
    ]  # fmt: skip
    shown = sections.variants(load(tmp_path))
    assert [[cell.text for cell in row][:3] for row in shown.body] == [
        ["MIER", synthetic.SPLIT, NOT_RECORDED], ["PEARL", synthetic.SPLIT, "not tuned (preset small)"],
    ]  # fmt: skip


def test_a_page_shows_them(tmp_path, synthetic, one_figure, build):
    synthetic.simple_run(tmp_path, "pearl", 0, test=[[1.0]], values="tuning record lite")
    page = build(tmp_path).read_text()
    assert "where its values come from" in page
    assert "tuning record lite" in page
    assert (tmp_path / "report" / "tables" / "variants.csv").read_text().count("tuning record lite") == 1
