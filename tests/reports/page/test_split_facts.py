"""What a report says of a split: what it is for, and what its lists are where that is not what one would expect."""

from reports.page import sections
from reports.reading.load import load


def facts(folder, synthetic, **given):
    document = synthetic.document()
    synthetic.write_run(folder, [{"return": 1.0}], document | {"split": document["split"] | given})
    return sections.split_facts(load(folder), synthetic.SPLIT)


def test_what_is_meant_is_noted(tmp_path, synthetic):
    notes = ["test holds each of its 2 tasks 10 times, for other adaptation data", "another"]
    shown = facts(tmp_path, synthetic, remarks=notes, test_id_is_train=True)
    assert [value for name, value in shown if name == "note"] == notes
    assert ("test_id", "the training tasks themselves (declared)") in shown


def test_a_tuning_split_is_shown_as_one(tmp_path, synthetic):
    assert ("role", "tuning split, for hard, medium") in facts(
        tmp_path, synthetic, role="tuning", tunes=["hard", "medium"]
    )


def test_others_have_nothing_to_note(tmp_path, synthetic):
    assert {"note", "role"}.isdisjoint(name for name, _ in facts(tmp_path, synthetic))
