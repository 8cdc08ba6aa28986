"""References in reports: marked, grey, last, never the best, and the ends of the score."""

import pytest

from algorithms.registry import ALGORITHMS
from reports import formats, style
from reports.numbers import scores, tables
from reports.page import summary
from reports.reading.load import load


def references(folder, synthetic, null=-500.0, oracle=-60.0, **oracle_given):
    """A null row and an oracle row, one seed each; the label of the oracle is not its name."""
    synthetic.simple_run(folder, "null", 0, test=[[null], [null]], budget_env_steps=0)
    document = synthetic.document("told", 0, algorithm="oracle", budget_env_steps=77, **oracle_given)
    rows = [{"algorithm": "oracle", "variant": "told", "task": task, "return": oracle} for task in (0, 1)]
    synthetic.write_run(folder, rows, document)
    return folder


def test_a_report_knows_every_reference_of_the_registry():
    assert set(style.REFERENCES) == {name for name, entry in ALGORITHMS.items() if entry.is_reference}
    assert not set(style.REFERENCES) & set(style.LOOKS)


def test_they_are_grey_dotted_distinct_and_last():
    looks = [style.look(name + style.REFERENCE) for name in style.REFERENCES]
    assert len({look.colour for look in looks}) == 1
    channels = [int(looks[0].colour[i : i + 2], 16) for i in (1, 3, 5)]
    assert max(channels) - min(channels) < 16
    assert {look.dashes for look in looks} == {":"}
    assert not {look.dashes for look in style.LOOKS.values()} & {":"}
    markers = {look.marker for look in (*looks, *style.LOOKS.values())}
    assert len(markers) == len(style.REFERENCES) + len(style.LOOKS)
    names = ["oracle (reference)", "zzz", "null (reference)", "pearl"]
    assert style.ordered(names) == ["pearl", "zzz", "null (reference)", "oracle (reference)"]


def test_no_label_makes_a_reference_a_competitor(golden, synthetic):
    results = load(references(golden, synthetic))
    assert set(results.cells["variant"]) == {"mier", "null (reference)", "told (reference)"}
    assert list(formats.wide(tables.main_table(results), tables.CELL[1:]).index) == [
        "MIER",
        "null (reference)",
        "told (reference)",
    ]
    assert style.look("told (reference)").colour == style.REFERENCES["oracle"].colour


def test_a_reference_is_never_the_best_nor_compared(golden, synthetic):
    (_, split, caution) = summary.verdict(load(references(golden, synthetic, oracle=1000.0)))
    assert "test tasks: MIER 32.5 (n = 3)." in split
    assert "To read them by: null (reference) -500.0, told (reference) 1000." in split
    assert "minus" not in split
    assert "fewer than 5 seeds" in caution  # not the caution of a single seed


def test_references_alone_are_no_result(tmp_path, synthetic):
    split = summary.verdict(load(references(tmp_path, synthetic)))[1]
    assert (
        split == f"{synthetic.SPLIT}: no result yet. To read them by: null (reference) -500.0, told (reference) -60.0."
    )


def test_another_budget_of_a_reference_is_no_unequal_budget(golden, synthetic):
    config = {"train": {"precision": "float64"}}
    notes = load(references(golden, synthetic, config=config)).notes
    assert not [note for note in notes if "budgets differ" in note or "precisions" in note]


def scored(folder):
    results = load(folder)
    table = tables.score_table(results)
    return dict(zip(table["variant"], table["mean"])), results


def without_ends(folder, synthetic, monkeypatch, null=-500.0, ceiling=None):
    """The golden folder and what is written there later, on a split that states no best, or no null return."""
    ended = synthetic.document()["split"]["references"] | {"null": null, "ceiling": ceiling}
    whole = synthetic.document

    def document(*given, **named):
        made = whole(*given, **named)
        return made | {"split": made["split"] | {"references": ended}}

    monkeypatch.setattr(synthetic, "document", document)
    for seed, up in ((0, 0), (1, 10), (2, 20)):
        synthetic.simple_run(folder, "mier", seed, test=[[10 + up, 20 + up], [30 + up]])
    return folder


def test_a_stated_scale_counts_whatever_was_run(golden, synthetic):
    found, results = scored(references(golden, synthetic, null=-400.0, oracle=100.0))
    assert found["mier"] == scored(golden)[0]["mier"] == pytest.approx((32.5 + 500) / 400)
    assert found["told (reference)"] == pytest.approx((100 + 500) / 400)
    ends = scores.score_ends(results, synthetic.SPLIT)
    assert (ends.null, ends.best, ends.best_source, ends.note) == (-500.0, -100.0, "declared", "")


def test_where_no_best_is_stated_the_oracle_ends_the_score_and_every_cell_says_so(tmp_path, synthetic, monkeypatch):
    folder = references(without_ends(tmp_path, synthetic, monkeypatch), synthetic, oracle=100.0)
    found, results = scored(folder)
    assert found["mier"] == pytest.approx((32.5 + 500) / 600)
    assert scores.score_ends(results, synthetic.SPLIT).best_source == "the oracle, measured here"
    texts = tables.score_table(results)["text"]
    assert all(text.endswith("; score 1: the oracle, measured here") for text in texts)


def test_where_no_null_return_is_stated_the_null_reference_is_score_0_and_every_cell_says_so(
    tmp_path, synthetic, monkeypatch, one_figure, build
):  # fmt: skip
    folder = without_ends(tmp_path, synthetic, monkeypatch, null=None, ceiling=-100.0)
    assert scored(folder)[0] == {}
    assert "not declared: `null_return`, or run the reference `null` beside it" in build(folder).read_text()
    found, results = scored(references(folder, synthetic, null=-400.0))
    assert found["mier"] == pytest.approx((32.5 + 400) / 300)
    assert scores.score_ends(results, synthetic.SPLIT).null_source == "the zero action, measured here"
    texts = tables.score_table(results)["text"]
    assert all(text.endswith("; score 0: the zero action, measured here") for text in texts)


def test_both_ends_may_be_measured(tmp_path, synthetic, monkeypatch):
    folder = references(without_ends(tmp_path, synthetic, monkeypatch, null=None), synthetic, oracle=100.0)
    ends = scores.score_ends(scored(folder)[1], synthetic.SPLIT)
    assert ends.note == "score 0: the zero action, measured here; score 1: the oracle, measured here"


def test_an_oracle_that_has_not_learnt_ends_no_score(tmp_path, synthetic, monkeypatch):
    folder = references(without_ends(tmp_path, synthetic, monkeypatch), synthetic, null=-500.0, oracle=-501.0)
    found, results = scored(folder)
    assert scores.score_ends(results, synthetic.SPLIT).best is None
    assert found == {}


def test_the_page_says_what_the_rows_and_the_ends_are(golden, synthetic, one_figure, build):
    page = build(references(golden, synthetic)).read_text()
    assert page.count('<tr class="reference">') >= 4  # two rows in two tables
    assert "Rows marked (reference) are no competitors" in page
    assert "return of the zero action (score 0)" in page
    assert "(declared)" in page


def test_a_page_without_references_does_not_speak_of_them(golden, one_figure, build):
    assert "no competitors" not in build(golden).read_text()


def test_a_figure_draws_them_grey(golden, synthetic):
    from reports.figures import canvas, curves

    results = load(references(golden, synthetic))
    axes = curves.adaptation_curve(results, split=synthetic.SPLIT, ax=canvas.new_figure().add_subplot())
    colours = {label: line.get_color() for line, label in zip(*axes.get_legend_handles_labels())}
    assert colours["null (reference)"] == colours["told (reference)"] == style.REFERENCES["null"].colour
    assert colours["MIER"] == style.LOOKS["mier"].colour


def test_native_protocols_make_one_table_and_never_with_another(golden, synthetic):
    own = golden.parent / "native"
    for variant, name in (("mier", "a" * 12), ("pearl", "b" * 12)):
        given = {"protocol_hash": name, "protocol": {"name": "native"}, "run": f"native-{variant}"}
        synthetic.simple_run(own, variant, 0, test=[[1.0]], **given)
    results = load(own)
    assert set(results.cells["variant"]) == {"mier", "pearl"}
    assert any("own native protocol" in note for note in results.notes)
    both = load([golden, own])
    assert not set(both.seeds["run"]) & {"native-mier", "native-pearl"}  # three runs against two
    assert len(both.problems) == 2
    assert "2 different protocols: native, pppppppppppp; kept: protocol pppppp" in both.problems[0].why
