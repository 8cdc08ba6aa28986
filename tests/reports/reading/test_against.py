"""Shipped rows beside one's own: those that were measured alike, under labels that say where they are from."""

import json

import pytest

from reports import style
from reports.reading.load import load
from suite.errors import UserError
from suite.results.reference import reference_table

RETURNS = [[-300.0, -310.0], [-290.0, -305.0]]  # (task, episode)


@pytest.fixture
def shipped(tmp_path, synthetic, monkeypatch):
    """A function () that makes a shipped table called `lite` with MIER and PEARL, three seeds."""
    from suite.results.packing import pack

    def ship():
        synthetic.rich_folder(tmp_path / "run", variants=("mier", "pearl"), seeds=(0, 1, 2), num_tasks=2)
        pack(tmp_path / "run", tmp_path / "shipped" / "lite")
        monkeypatch.setattr("suite.results.reference.SHIPPED", tmp_path / "shipped")

    return ship


def test_rows_of_a_shipped_table_stand_under_labels_of_their_own(tmp_path, synthetic, shipped):
    shipped()
    synthetic.simple_run(tmp_path / "mine", "mql", 0, RETURNS)
    results = load(tmp_path / "mine", against="lite")
    assert set(results.cells["variant"]) == {"mql", "mier [lite]", "pearl [lite]"}
    assert sorted(results.seeds.groupby("variant")["seed"].nunique().items()) == [
        ("mier [lite]", 3), ("mql", 1), ("pearl [lite]", 3)
    ]  # fmt: skip
    alone = load(reference_table("lite")).seeds
    beside = results.seeds[results.seeds["variant"] == "mier [lite]"]
    assert beside["after"].tolist() == alone.loc[alone["variant"] == "mier", "after"].tolist()
    assert "Rows marked [lite] are shipped with offmap, and were not run here." in results.notes
    assert results.looks["mier [lite]"].colour == style.look("mier").colour


def test_the_table_that_an_experiment_names(tmp_path, synthetic, shipped):
    shipped()
    synthetic.simple_run(tmp_path / "mine", "mql", 0, RETURNS)
    document = {"name": "mine", "splits": [synthetic.SPLIT], "algorithms": ["mql"], "seeds": [0], "budget": "smoke"}
    experiment = {"name": "mine", "experiment": document | {"against": "lite"}}
    (tmp_path / "mine" / "experiment.json").write_text(json.dumps(experiment))
    assert "pearl [lite]" in set(load(tmp_path / "mine").cells["variant"])


def test_a_table_with_another_protocol_is_refused_with_both_hashes(tmp_path, synthetic, shipped):
    shipped()
    synthetic.simple_run(tmp_path / "mine", "mql", 0, RETURNS, protocol_hash="f" * 12)
    with pytest.raises(UserError, match=r"lite follows another protocol on .*: \w{12} there, f{12} here"):
        load(tmp_path / "mine", against="lite")


def test_a_run_that_both_have_counts_once(tmp_path, synthetic, shipped):
    shipped()
    results = load(tmp_path / "run", against="lite")
    assert set(results.records["variant"]) == {"mier", "pearl"}
    assert any("6 of their runs were run here too" in note for note in results.notes)
