"""A page of many variants and splits: what answers the question stands on top, and it stays light."""

import pytest

from reports.figures.catalogue import FIGURES
from reports.reading.load import load
from reports.report import write


@pytest.mark.slow
def test_a_page_of_eight_variants_on_three_splits(large, tmp_path, monkeypatch):
    kinds = [kind for kind in FIGURES if kind.name in ("overall", "profile", "per_task")]
    monkeypatch.setattr("reports.report.FIGURES", kinds)
    large.large_folder(tmp_path / "runs", tuple(large.SPLITS)[:3], range(3), steps=(500_000,), num_tasks=6)
    text = write(load(tmp_path / "runs"), tmp_path / "out").read_text()
    assert len(text) < 1_000_000
    top = text[text.index('id="summary"') : text.index('id="by-split"')]
    assert "MIER" in top[: top.index("<table")]
    assert "Not ranked over all splits: GrBAL (2 of 3 splits)." in top
    assert top.count('class="best') >= 4  # over all splits and on each
    assert top.count('role="img"') == 1
    assert top.count("<details") == 1  # what follows is folded
