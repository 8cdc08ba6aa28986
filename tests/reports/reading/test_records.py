"""Records files are read whole and in one order, or named with what is wrong with them."""

import shutil

import pandas as pd

from reports.reading.load import load
from suite.results.records import METRICS_SCHEMA, SCHEMA, write_table


def test_a_broken_file_is_named_and_the_rest_is_read(golden, synthetic):
    broken = golden / "t-mier-0" / f"mier-{synthetic.SPLIT}-0" / "records.parquet"
    broken.write_bytes(broken.read_bytes()[:100])
    results = load(golden)
    (problem,) = results.problems
    assert problem.where == f"t-mier-0/mier-{synthetic.SPLIT}-0/records.parquet"
    assert "cannot be read as parquet" in problem.why
    assert str(golden) not in problem.why
    assert set(results.records["seed"]) == {1, 2}


def test_foreign_and_incomplete_parquet_files_are_problems(golden, synthetic):
    pd.DataFrame({"a": [1]}).to_parquet(golden / "diagnostics.parquet")
    (golden / "short").mkdir()
    write_table(golden / "short" / "records.parquet", [], METRICS_SCHEMA, synthetic.document())
    (golden / "empty").mkdir()
    write_table(golden / "empty" / "records.parquet", [], SCHEMA, synthetic.document())
    reasons = {problem.where: problem.why for problem in load(golden).problems}
    assert "no offmap metadata" in reasons["diagnostics.parquet"]
    assert "lacks the columns" in reasons["short/records.parquet"]
    assert reasons["empty/records.parquet"] == "holds no rows"


def test_a_newer_schema_is_refused_by_name(golden, synthetic, monkeypatch):
    monkeypatch.setattr("suite.results.records.SCHEMA_VERSION", 99)
    path = synthetic.simple_run(golden, "pearl", 0, test=[[1.0]])
    monkeypatch.undo()
    (problem,) = load(golden).problems
    assert path.parent.name in problem.where
    assert "schema version 99" in problem.why


def test_a_copied_run_counts_once_and_is_named(golden):
    shutil.copytree(golden / "t-mier-0", golden / "t-mier-0-copy")
    results = load(golden)
    assert len(results.records) == 24
    assert "again" in results.problems[0].why


def test_the_order_of_rows_and_files_changes_nothing(tmp_path, synthetic):
    rows = [
        {"task": task, "episode": episode, "return": 0.1 * task + episode} for task in range(5) for episode in (0, 1)
    ]
    synthetic.write_run(tmp_path / "x", rows, synthetic.document(seed=0))
    synthetic.write_run(tmp_path / "y", rows, synthetic.document(seed=1))
    synthetic.write_run(tmp_path / "other" / "y", rows[::-1], synthetic.document(seed=0))
    synthetic.write_run(tmp_path / "other" / "x", rows[::-1], synthetic.document(seed=1))
    one, other = load([tmp_path / "x", tmp_path / "y"]), load(tmp_path / "other")
    pd.testing.assert_frame_equal(one.records, other.records)
