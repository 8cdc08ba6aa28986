import json
import shutil

import pandas as pd
import pytest

from reports.numbers.tables import main_table
from reports.reading.load import load
from suite.errors import UserError
from suite.results.records import METRICS_SCHEMA, SCHEMA, write_table


def test_everything_below_the_folder_is_read(golden, synthetic):
    metric = {
        "training": "t", "algorithm": "mier", "split": synthetic.SPLIT, "seed": 0, "env_steps": 1,
        "wall_seconds": 1.0, "name": "return", "value": 1.0,
    }  # fmt: skip
    write_table(golden / "metrics.parquet", [metric], METRICS_SCHEMA, {})
    results = load(golden)
    assert len(results.records) == 3 * (3 + 2 + 3)
    assert len(results.metrics) == 1
    assert len(results.runs) == 3
    assert list(results.cells["status"]) == ["done"] * 3
    assert results.problems == ()
    assert results.notes == ()


def test_no_such_folder_empty_folder_and_a_file(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no readable records\.parquet"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "file")


def test_a_broken_file_is_named_and_the_rest_is_read(golden, synthetic):
    broken = golden / "t-mier-0" / f"mier-{synthetic.SPLIT}-0" / "records.parquet"
    broken.write_bytes(broken.read_bytes()[:100])
    results = load(golden)
    (problem,) = results.problems
    assert problem.where == f"t-mier-0/mier-{synthetic.SPLIT}-0/records.parquet"
    assert "cannot be read as parquet" in problem.why
    assert str(golden) not in problem.why
    assert set(results.records["seed"]) == {1, 2}


def test_only_broken_files_is_an_error_that_names_them(tmp_path):
    (tmp_path / "records.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"records\.parquet: cannot be read"):
        load(tmp_path)


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


def test_several_folders_are_one_report(tmp_path, synthetic):
    synthetic.simple_run(tmp_path / "a", "mier", 0, test=[[1.0]])
    synthetic.simple_run(tmp_path / "b", "pearl", 0, test=[[2.0]])
    results = load([tmp_path / "a", tmp_path / "b"])
    assert results.folders == ("a", "b")
    assert set(results.records["variant"]) == {"mier", "pearl"}


def test_hidden_folders_are_not_results(golden, synthetic):
    synthetic.simple_run(golden / ".trash", "pearl", 0, test=[[1.0]])
    assert set(load(golden).records["variant"]) == {"mier"}


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


def test_a_cell_without_records_keeps_its_status_and_reason(golden, synthetic):
    synthetic.write_cells(golden, [
        ("mier", synthetic.SPLIT, 0, f"mier-{synthetic.SPLIT}-0", "done", None),
        ("pearl", synthetic.SPLIT, 0, None, "failed", "out of memory"),
        ("mql", synthetic.SPLIT, 0, "gone", "done", None),
    ])  # fmt: skip
    cells = load(golden).cells.set_index(["variant", "seed"])
    assert cells.loc[("pearl", 0), "reason"] == "out of memory"
    assert cells.loc[("mql", 0), "status"] == "failed"
    assert "no records of it were found" in cells.loc[("mql", 0), "reason"]
    assert list(cells.loc["mier", "status"]) == ["done"] * 3  # seeds 1 and 2 were found, though not declared


def test_a_done_cell_whose_file_is_broken_says_so(golden, synthetic):
    run = f"mier-{synthetic.SPLIT}-0"
    synthetic.write_cells(golden, [("mier", synthetic.SPLIT, 0, run, "done", None)])
    (golden / "t-mier-0" / run / "records.parquet").write_bytes(b"broken")
    cells = load(golden).cells.set_index("seed")
    assert cells.loc[0, "status"] == "left out"
    assert cells.loc[0, "reason"].startswith("cannot be read as parquet")


def test_broken_grids_are_problems(golden):
    (golden / "cells.json").write_text("{")
    (golden / "a").mkdir()
    (golden / "a" / "cells.json").write_text(
        json.dumps([{"variant": "a", "split": "b", "seed": "x", "status": "done", "run": None}])
    )
    reasons = [problem.why for problem in load(golden).problems]
    assert len(reasons) == 2
    assert all("is no list of cells" in reason for reason in reasons)


def test_the_run_that_the_grid_names_replaces_an_older_one(golden, synthetic):
    synthetic.simple_run(golden, "mier", 0, test=[[99.0]], run="older", budget_env_steps=10)
    synthetic.write_cells(golden, [("mier", synthetic.SPLIT, 0, f"mier-{synthetic.SPLIT}-0", "done", None)])
    results = load(golden)
    assert "older" not in set(results.records["run"])
    assert results.problems[0].where == "run older"
    assert "the grid names another run" in results.problems[0].why


def test_a_run_with_checkpoints_only_is_still_running(tmp_path, synthetic):
    synthetic.write_run(tmp_path, [{"is_final": False, "return": 1.0}], synthetic.document())
    (cell,) = load(tmp_path).cells.to_dict("records")
    assert cell["status"] == "running"


def test_any_status_is_shown_as_it_is(tmp_path, synthetic):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, 0, "r", "killed", "no heartbeat for 90 s")])
    (row,) = main_table(load(tmp_path)).itertuples()
    assert row.text == "seed 0 killed: no heartbeat for 90 s"


def test_of_two_grids_the_one_that_is_further_counts(tmp_path, synthetic):
    synthetic.write_cells(tmp_path / "a", [("mier", synthetic.SPLIT, 0, None, "pending", None)])
    synthetic.write_cells(tmp_path / "b", [("mier", synthetic.SPLIT, 0, "r", "running", "half way")])
    (cell,) = load(tmp_path).cells.to_dict("records")
    assert (cell["status"], cell["reason"]) == ("running", "half way")
