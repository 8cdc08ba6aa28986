"""What the page says around the numbers."""

import pytest

from reports.figures.catalogue import FIGURES
from reports.page import sections
from reports.reading.load import load
from reports.report import write

SPLITS = ("a.b", "c.d", "e.f")


def test_what_is_missing_is_said_once_for_task_lists_that_lack_the_same(tmp_path, synthetic):
    synthetic.rich_folder(tmp_path, ("mier", "grbal"), (0,), num_tasks=2)
    (hole,) = sections.holes(load(tmp_path))
    assert hole[:2] == ("GrBAL", f"{synthetic.SPLIT}, test and test_id")
    assert "not supported: rewards vary" in hole[2]


def test_all_splits_are_counted_and_some_are_named(tmp_path, synthetic):
    for variant, splits in (("mier", SPLITS), ("pearl", SPLITS[:2])):
        for split in splits:
            synthetic.simple_run(tmp_path, variant, 0, [[1.0]], split=split)
    results = load(tmp_path)
    assert [row[1].text for row in sections.variants(results).body] == ["all 3 splits", "a.b, c.d"]
    assert [where for _, where, _ in sections.configurations(results)] == ["all 3 splits", "a.b, c.d"]


@pytest.fixture
def top_of(tmp_path, monkeypatch):
    """A function that returns what stands on the page of a folder before its splits, with the figure `overall`."""
    monkeypatch.setattr("reports.report.FIGURES", [kind for kind in FIGURES if kind.name == "overall"])

    def top(folder):
        text = write(load(folder), tmp_path / "out").read_text()
        return text[text.index('id="summary"') : text.index('id="by-split"')]

    return top


def test_the_figure_on_top_says_its_seeds_and_its_intervals(tmp_path, synthetic, top_of):
    for split in SPLITS[:2]:
        synthetic.simple_run(tmp_path / "runs", "mier", 0, [[1.0]], split=split)
    assert "<figcaption>all splits; n\u00a0=\u00a01 seed; no intervals." in top_of(tmp_path / "runs")


def test_nothing_is_pooled_on_top_that_no_variant_has_all_of(tmp_path, synthetic, top_of):
    for variant, split in zip(("mier", "pearl"), SPLITS):
        synthetic.simple_run(tmp_path / "runs", variant, 0, [[1.0]], split=split)
    top = top_of(tmp_path / "runs")
    assert "all splits</th>" not in top
    assert "<figure>" not in top
