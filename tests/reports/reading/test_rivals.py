"""The variant that others are judged by: of a folder, of one of several folders, of a shipped table."""

from pathlib import Path

import pytest

from reports.reading.load import load
from reports.reading.rivals import rival
from suite.errors import UserError


@pytest.fixture
def judged(tmp_path, synthetic):
    for folder, variants in (("a", ("mier", "pearl", "null")), ("b", ("mier", "x:y"))):
        for variant in variants:
            synthetic.simple_run(tmp_path / folder, variant, 0, [[1.0]])
    return [load(tmp_path / name) for name in ("a", "b")]


def test_a_label_that_one_folder_has(judged):
    for name, place in (("pearl", 0), ("x:y", 1), ("a:mier", 0), ("b:mier", 1)):
        found = rival(name, judged, load)
        assert found.results is judged[place]
        assert found.name == name
    assert rival("null", judged, load).variant == "null (reference)"


def test_a_variant_of_a_shipped_table_or_of_another_folder(judged, tmp_path, synthetic):
    found = rival("published-budget/mier:mier-wr", judged, load)
    assert found.variant == "mier-wr"
    assert set(found.results.records["variant"]) == {"mier", "mier-wr"}
    synthetic.simple_run(tmp_path / "c", "mql", 0, [[1.0]])
    assert set(rival(f"{tmp_path / 'c'}:mql", judged, load).results.records["variant"]) == {"mql"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "mier",
            "2 of the folders have a variant 'mier'; say which one is meant: --against a:mier or --against b",
        ),
        ("perl", r"no variant is called 'perl'; did you mean pearl\? \(one of a shipped table: TABLE:VARIANT"),
        ("a:mql", "no variant is called 'mql'; known: mier, null, pearl"),
        ("published-budget/mir:mier", "no reference table is called 'published-budget/mir'; did you mean"),
    ],
)
def test_users_mistakes(judged, name, words):
    with pytest.raises(UserError, match=words):
        rival(name, judged, lambda folder: load(Path(folder)))
