"""The text that stands for a figure states its numbers."""

import re

import pytest

from reports import style
from reports.figures import alt_text
from reports.figures.catalogue import FIGURES
from reports.reading.load import load


@pytest.mark.parametrize("kind", [k for k in FIGURES if k.name != "factors"], ids=lambda kind: kind.name)
def test_alternative_texts_state_numbers(rich, synthetic, kind):
    results = load(rich)
    text = kind.describe(results, synthetic.SPLIT)
    frame = kind.series(results, synthetic.SPLIT)
    assert ("MIER" in text) == (kind.name != "splits")
    assert synthetic.SPLIT in text
    assert not re.search(r"\bnan\b", text)
    if "mean" in frame:
        mier = frame[frame["variant"].str.startswith("mier")]
        assert any(style.number(value) in text or f"{value:.0%}" in text for value in mier["mean"])


def test_the_adaptation_text_by_hand(tmp_path, synthetic):
    rows = [
        {"phase": "before", "return": -50.0}, {"phase": "during", "update": 10, "return": -5.0},
        {"phase": "after", "update": 20, "return": -20.0},
    ]  # fmt: skip
    synthetic.write_run(tmp_path, rows, synthetic.document())
    text = alt_text.describe_adaptation(load(tmp_path), synthetic.SPLIT, "test")
    assert text == (
        f"Return on {synthetic.SPLIT}, test tasks, through adaptation. "
        "MIER -50.0 before, -20.0 after 20 updates (n = 1), highest on the way -5.00."
    )
