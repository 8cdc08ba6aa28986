"""Everything below the given folders is read into one set of results."""

import pytest

from reports.reading.load import load
from suite.errors import UserError
from suite.results.records import METRICS_SCHEMA, write_table


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


def test_only_broken_files_is_an_error_that_names_them(tmp_path):
    (tmp_path / "records.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"records\.parquet: cannot be read"):
        load(tmp_path)


def test_several_folders_are_one_report(tmp_path, synthetic):
    synthetic.simple_run(tmp_path / "a", "mier", 0, test=[[1.0]])
    synthetic.simple_run(tmp_path / "b", "pearl", 0, test=[[2.0]])
    results = load([tmp_path / "a", tmp_path / "b"])
    assert results.folders == ("a", "b")
    assert set(results.records["variant"]) == {"mier", "pearl"}


def test_hidden_folders_are_not_results(golden, synthetic):
    synthetic.simple_run(golden / ".trash", "pearl", 0, test=[[1.0]])
    assert set(load(golden).records["variant"]) == {"mier"}
