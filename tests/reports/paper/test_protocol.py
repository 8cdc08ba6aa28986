"""How splits were measured and with which settings, as the runs resolved them; and whom to cite."""

import dataclasses
import re

import pytest

from algorithms.registry import ALGORITHMS, SHOWN
from reports.layout import ANYWHERE
from reports.paper.bibliography import papers, references_bib
from reports.paper.protocol import protocol_tex
from reports.reading.load import load
from suite.results.reference import SHIPPED, reference_table


def rows(text, label):
    """The rows of a float, by their first cell."""
    body = text.partition(f"\\label{{tab:{label}}}")[2].partition("\\end{table")[0]
    lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if line.endswith(r" \\")]
    return {line[0]: line[1:] for line in lines}


def test_the_facts_of_each_split_and_the_settings_of_each_algorithm():
    text = protocol_tex(load(reference_table("published-budget/mier")), ANYWHERE)
    facts = rows(text, "protocol")[r"cheetah-velocity.hard"]
    assert facts == ["out of distribution", "100", "30", "30", "200", "3", "none", "500,000"]
    assert rows(text, "settings-mier")[r"adapt.relabel\_updates"] == ["4,000"]
    assert rows(text, "settings-mier")[r"train.model\_hidden"] == ["200, 200, 200, 200"]
    assert rows(text, "settings-mier")["budget"] == ["500,000"]
    assert r"adapt.relabel\_updates" not in rows(text, "settings-mier-wr")


def test_variants_of_one_algorithm_stand_side_by_side_and_equal_configurations_once():
    text = protocol_tex(load(reference_table("parity")), ANYWHERE)
    assert rows(text, "settings-pearl")["train.precision"] == ["bf16", "fp32"]
    assert len(rows(text, "settings-mier-wr")["train.precision"]) == 3


def test_what_a_split_resolves_otherwise_has_a_column_of_its_own(tmp_path, synthetic):
    for split, rate in (("a.b", 0.5), ("c.d", 0.25), ("e.f", 0.25)):
        config = {"train": {"rate": rate, "flag": True, "none": None}, "adapt": {}, "seed": 0}
        synthetic.simple_run(tmp_path, "mier", 0, [[1.0]], split=split, config=config)
    text = protocol_tex(load(tmp_path), ANYWHERE)
    settings = rows(text, "settings-mier")
    assert sorted(zip(settings["train.rate"], settings["train.flag"], settings["train.none"])) == [
        ("0.25", "yes", "none"), ("0.5", "yes", "none")
    ]  # fmt: skip
    assert "seed" not in settings
    heads = " ".join(text.partition("tab:settings-mier")[2].partition("\\midrule")[0].replace(r" \\ ", " ").split())
    assert "MIER on a.b" in heads
    assert "MIER on c.d" in heads


def test_every_key_that_an_algorithm_cites_has_an_entry_and_every_entry_is_cited():
    cited = {key for entry in ALGORITHMS.values() if not entry.is_plugin for key in entry.cites}
    (folder,) = {entry.path.parent for entry in ALGORITHMS.values() if not entry.is_plugin}
    entries = papers(folder)
    assert set(entries) == cited
    for text in entries.values():
        fields = re.findall(r"^  (\w+) = \{", text, re.MULTILINE)
        assert {"title", "author", "year"} <= set(fields)
        assert {"journal", "booktitle"} & set(fields)
        assert text.count("{") == text.count("}")


@pytest.mark.parametrize("name", [n for n, e in ALGORITHMS.items() if not e.is_reference and not e.is_plugin])
def test_every_competitor_cites_a_paper(name):
    assert ALGORITHMS[name].cites


def test_the_references_of_a_report_are_those_of_its_algorithms():
    text = references_bib(load(reference_table("parity")))
    assert re.findall(r"@\w+\{(\w+),", text) == ["mendonca2020mier", "rakelly2019pearl"]
    assert "% MIER-wR\n@article{mendonca2020mier," in text
    everything = references_bib(load(SHIPPED))
    assert everything.count("@article{mendonca2020mier") == 1
    assert "% MIER, MIER-wR, PEARL+relabeling\n" in everything


def test_an_algorithm_that_only_its_results_folder_knows_has_no_entry(tmp_path, synthetic, monkeypatch):
    entry = dataclasses.replace(
        ALGORITHMS["mier"], name="theirs", title="Theirs", module="no_such_module", cites=("k",)
    )
    monkeypatch.setitem(SHOWN, "theirs", entry)
    synthetic.simple_run(tmp_path, "theirs", 0, [[1.0]])
    assert references_bib(load(tmp_path)).endswith("% Theirs\n% (no entry for k)\n")


def test_a_folder_of_others_with_odd_settings_breaks_nothing(tmp_path, synthetic):
    config = {"train": {"a": [[1], {}], "b": float("inf"), "": ""}, "adapt": []}
    protocol = {"evaluation_episodes": [3], "max_updates": {"a": 1}, "adaptation_transitions": "x"}
    synthetic.simple_run(tmp_path, "mier", 0, [[1.0]], config=config, protocol=protocol)
    text = protocol_tex(load(tmp_path), ANYWHERE)
    assert rows(text, "settings-mier")["train.b"] == ["inf"]


def test_an_algorithm_that_is_not_known_cites_nothing(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "made-up", 0, [[1.0]])
    assert "@" not in references_bib(load(tmp_path))
