import pytest

from suite.errors import UserError
from suite.results.collect import export


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "runs"
    for name in (
        "cells.json", "t/config.json", "t/provenance.json", "t/checkpoints/1/state.safetensors",
        "t/log/0-5.safetensors", "t/worker.log",
        "t/metatests/r/records.parquet", "t/metatests/r/parts/x.records.parquet",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_copy_holds_records_and_their_origin_but_no_checkpoints_and_logs(results, tmp_path):
    written = export(results, tmp_path / "kept")
    names = {str(path.relative_to(tmp_path / "kept")) for path in written}
    assert names == {"cells.json", "t/config.json", "t/provenance.json", "t/metatests/r/records.parquet"}
    assert (tmp_path / "kept/t/metatests/r/records.parquet").read_text() == "t/metatests/r/records.parquet"


def test_a_copy_never_overwrites_and_never_is_empty(results, tmp_path):
    export(results, tmp_path / "kept")
    with pytest.raises(UserError, match="not empty"):
        export(results, tmp_path / "kept")
    (results / "t/metatests/r/records.parquet").unlink()
    with pytest.raises(UserError, match="no run has finished"):
        export(results, tmp_path / "other")
