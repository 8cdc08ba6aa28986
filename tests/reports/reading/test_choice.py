"""Variants and splits that were asked for: alone, and in the order given."""

import json

import pytest

from reports import formats, style
from reports.numbers.tables import main_table
from reports.reading.load import load
from suite.errors import UserError


@pytest.fixture
def folder(tmp_path, synthetic):
    for variant in ("mier", "pearl", "maml", "null"):
        for split in ("a.b", "c.d", "e.f"):
            synthetic.simple_run(tmp_path, variant, 0, [[1.0]], split=split)
    return tmp_path


def test_what_is_asked_for_alone_in_its_order(folder):
    variants = ("null", "pearl", "mier")
    with style.in_order(variants):
        results = load(folder, variants=variants, splits=("e.f", "a.b"))
        table = formats.wide(main_table(results), ("split", "task_list"))
        assert list(table.index) == ["null (reference)", "PEARL", "MIER"]
        assert list(table.columns) == ["e.f test", "a.b test"]
        assert style.ordered(["MIER", "PEARL"]) == ["PEARL", "MIER"]  # as legends call them
    assert style.ordered(["pearl", "mier"]) == ["mier", "pearl"]
    assert set(results.records["variant"]) == {"mier", "pearl", f"null{style.REFERENCE}"}
    assert len(results.runs) == 6


def test_without_a_choice_all_are_there_and_splits_stand_as_experiments_declare_them(folder):
    assert load(folder).splits == ["a.b", "c.d", "e.f"]
    experiment = {"name": "x", "splits": ["e.f", "c.d"], "algorithms": ["mier"], "seeds": [0], "budget": "smoke"}
    (folder / "experiment.json").write_text(json.dumps({"experiment": experiment}))
    assert load(folder).splits == ["e.f", "c.d", "a.b"]


def test_a_report_shows_what_its_experiment_declares_unless_it_is_told_otherwise(folder):
    shown = {"variants": ["pearl", "mier"], "splits": ["e.f", "a.b"]}
    experiment = {"name": "x", "splits": ["e.f", "c.d"], "algorithms": ["mier"], "seeds": [0], "budget": "smoke"}
    (folder / "experiment.json").write_text(json.dumps({"experiment": experiment | {"report": shown}}))
    assert load(folder).chosen_variants == ()  # a comparison leaves nothing out
    results = load(folder, as_declared=True)
    assert (results.chosen_variants, results.splits) == (("pearl", "mier"), ["e.f", "a.b"])
    results = load(folder, splits=["c.d"], as_declared=True)
    assert (results.chosen_variants, results.splits) == (("pearl", "mier"), ["c.d"])
    (folder / "more").mkdir()
    (folder / "more" / "experiment.json").write_text(json.dumps({"experiment": experiment | {"name": "y"}}))
    assert load(folder, as_declared=True).chosen_variants == ()  # two experiments: neither speaks for the other


def test_a_name_that_is_not_there_is_a_users_mistake(folder):
    with pytest.raises(UserError, match="no variant 'peral'; did you mean pearl"):
        load(folder, variants=["peral"])
    with pytest.raises(UserError, match=r"no split 'x'; known: a\.b, c\.d, e\.f"):
        load(folder, splits=["x"])
