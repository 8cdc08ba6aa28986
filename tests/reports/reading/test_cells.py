"""Every cell of a grid has a status, and a reason where it has no result."""

import json

from reports.numbers.tables import main_table
from reports.reading.load import load


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
