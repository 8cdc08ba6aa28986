"""A packed table: a handful of files from which a report reads what it would from the folder itself."""

import json
from pathlib import Path

import pytest

from reports.reading.load import load
from suite.errors import UserError
from suite.results.collect import collect
from suite.results.packing import pack, packed_documents
from suite.results.records import RecordsError, read_table

FILES = {"records.parquet", "runs.parquet", "diagnostics.parquet", "metrics.parquet", "cells.json", "experiment.json"}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def results(kept, tiny_experiment, run_here, tmp_path_factory):
    """Results of MIER and PEARL with two seeds, and an earlier meta-test that was set aside; not to be changed."""
    if kept:
        return kept["out"]
    kept["out"] = out = tmp_path_factory.mktemp("packing") / "tiny"
    choice = {"env_steps": 1100, "seeds": [0, 1]}
    run_here(tiny_experiment(("mier", "pearl"), **choice), out)
    run_here(tiny_experiment(("mier", "pearl"), **choice, protocol={"evaluation_episodes": 1}), out)
    assert list(out.rglob(".set-aside/*/records.parquet"))
    return out


def test_a_report_reads_the_same_from_a_packed_table(results, tmp_path):
    table = pack(results, tmp_path / results.name)  # results say the name of their folder
    assert {path.name for path in table.iterdir()} == FILES
    original, packed = load(results), load(table)
    assert packed.records.equals(original.records)
    assert packed.diagnostics.equals(original.diagnostics)
    assert packed.runs == original.runs
    assert packed.cells.equals(original.cells)
    assert packed.experiments == original.experiments
    assert packed.problems == ()
    returns = original.metrics[original.metrics["name"] == "return"].reset_index(drop=True)
    assert packed.metrics.equals(returns)
    assert read_table(collect(table))[0].equals(read_table(collect(results))[0])


def test_a_packed_table_is_replaced_and_anything_else_is_not(results, tmp_path):
    table = pack(results, tmp_path / "table")
    before = {path.name: path.read_bytes() for path in table.iterdir()}
    pack(results, table)
    assert {path.name: path.read_bytes() for path in table.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="is not empty, and no packed table"):
        pack(results, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


def test_what_else_is_in_a_packed_table_is_not_deleted_with_it(results, tmp_path, monkeypatch):
    table = pack(results, tmp_path / "table")
    (table / "thesis").mkdir()
    (table / "thesis" / "one.tex").write_text("precious")
    with pytest.raises(UserError, match=r"with other files in it \('thesis'\), which would be deleted with it"):
        pack(results, table)
    assert (table / "thesis" / "one.tex").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert {path.name for path in pack(results, Path()).iterdir()} == FILES


def test_nothing_to_pack(tmp_path):
    with pytest.raises(UserError, match="there is nothing to copy"):
        pack(tmp_path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_damaged_file_leaves_the_table_before_it_as_it_was(results, tmp_path):
    table = pack(results, tmp_path / "table")
    before = {path.name: path.read_bytes() for path in table.iterdir()}
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordsError, match="cannot be read as parquet"):
        pack(broken, table)
    assert {path.name: path.read_bytes() for path in table.iterdir()} == before


def test_documents_say_of_each_run_what_its_own_file_says(results, tmp_path):
    documents = packed_documents(pack(results, tmp_path / "table"))
    for path in results.glob("*/metatests/*/records.parquet"):
        metadata = read_table(path)[1]
        assert json.loads(json.dumps(documents[metadata["run"]])) == metadata


def test_records_of_a_run_that_nothing_is_said_about_are_left_out(results, tmp_path):
    table = pack(results, tmp_path / "table")
    other = pack(next(results.glob("*/metatests/*")), tmp_path / "one")
    (table / "runs.parquet").write_bytes((other / "runs.parquet").read_bytes())
    (problem,) = load(table).problems
    assert "says nothing about run" in problem.why
