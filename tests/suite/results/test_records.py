"""Records: what is written comes back, and what cannot be read says which file, why, and what to do."""

import json
import math
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.results.records import (
    DIAGNOSTICS_SCHEMA,
    METRICS_SCHEMA,
    PHASES,
    SCHEMA,
    RecordsError,
    in_schema,
    read_table,
    write_table,
)

ROW = {
    "run": "r" * 12, "training": "t" * 12, "algorithm": "mier", "variant": "mine", "family": "point-goal",
    "split": "point-goal.ood", "split_hash": "s" * 12, "protocol_hash": "p" * 12, "seed": 3, "env_steps": 1600,
    "is_final": True, "task_list": "test", "task": 2, "parameter": 0.1 + 0.2, "phase": "after", "update": 6,
    "transitions": 40, "episode": 1, "return": -21.339959447085857, "length": 20, "terminated": False, "cut": False,
}  # fmt: skip
METADATA = {"run": "r" * 12, "split": {"axis": "angle", "references": {"null": -20.0, "ceiling": None}}}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "records.parquet"
    write_table(path, [ROW, ROW | {"episode": 2, "parameter": float("nan")}], SCHEMA, METADATA)
    return path


def test_rows_and_metadata_come_back(written):
    table, metadata = read_table(written)
    first, second = table.to_pylist()
    assert first == ROW
    assert math.isnan(second["parameter"])
    assert metadata == METADATA | {"schema_version": 1}
    assert table.schema.equals(SCHEMA)
    assert [path.name for path in written.parent.iterdir()] == ["records.parquet"]


@pytest.mark.parametrize("schema", [SCHEMA, DIAGNOSTICS_SCHEMA, METRICS_SCHEMA])
def test_no_rows_are_a_table_too(tmp_path, schema):
    write_table(tmp_path / "a.parquet", [], schema, {})
    table, _ = read_table(tmp_path / "a.parquet")
    assert (len(table), table.column_names) == (0, schema.names)


def test_a_value_of_another_kind_is_not_written(tmp_path):
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_table(tmp_path / "a.parquet", [ROW | {"seed": "three"}], SCHEMA, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 3, 100, 0.5, -9])
def test_a_truncated_file_is_said_to_be_one(written, size):
    held = written.read_bytes()
    written.write_bytes(held[: int(len(held) * size) if isinstance(size, float) else size])
    with pytest.raises(RecordsError) as caught:
        read_table(written)
    message = str(caught.value)
    assert message.startswith(f"{written}: cannot be read as parquet (")
    assert message.endswith(
        "delete it, then `offmap run` (a run's files) or `offmap collect` (results.parquet) writes it again"
    )


def test_a_bit_that_flipped_on_the_disk_is_noticed(tmp_path):
    """Take bits of which the format itself sees nothing: the file reads, with another return in it."""
    path = tmp_path / "records.parquet"
    returns = np.random.default_rng(0).standard_normal(300).tolist()
    write_table(path, [ROW | {"return": value} for value in returns], SCHEMA, METADATA)
    column = pq.read_metadata(path).row_group(0).column(SCHEMA.get_field_index("return"))
    whole, start = path.read_bytes(), column.dictionary_page_offset or column.data_page_offset
    unseen = 0
    for place in range(start + 100, start + column.total_compressed_size, 150):
        held = bytearray(whole)
        held[place] ^= 1
        path.write_bytes(bytes(held))
        try:
            unseen += pq.read_table(path)["return"].to_pylist() != returns
        except (OSError, pa.ArrowException):
            continue
        with pytest.raises(RecordsError, match="cannot be read as parquet"):
            read_table(path)
    assert unseen > 3


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecordsError, match="cannot be read as parquet"):
        read_table(tmp_path / "nothing.parquet")


def test_a_table_of_somebody_elses(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(RecordsError, match="holds no offmap metadata, so it is not a records file"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize(("document", "said"), [
    ({"schema_version": 2}, "records of schema version 2; this offmap reads version 1"),
    ({"schema_version": None}, "records of schema version None"), ({}, "records of schema version None"),
    ([1], "its offmap metadata is not a document"),
])  # fmt: skip
def test_a_schema_version_that_is_not_known_is_refused(tmp_path, document, said):
    schema = SCHEMA.with_metadata({"offmap": json.dumps(document)})
    pq.write_table(pa.Table.from_pylist([ROW], schema=schema), tmp_path / "a.parquet")
    with pytest.raises(RecordsError, match=said):
        read_table(tmp_path / "a.parquet")


def test_metadata_that_is_cut_is_no_traceback(tmp_path):
    pq.write_table(
        pa.Table.from_pylist([ROW], schema=SCHEMA.with_metadata({"offmap": '{"run": '})), tmp_path / "a.parquet"
    )
    with pytest.raises(RecordsError, match="its offmap metadata is not a document"):
        read_table(tmp_path / "a.parquet")


def test_the_columns_that_reports_rely_on():
    assert PHASES == ("before", "collect", "during", "after")
    assert set(ROW) == set(SCHEMA.names)


def test_what_would_fill_the_memory_is_refused_by_its_footer(tmp_path, monkeypatch):
    table = pa.Table.from_pylist([ROW | {"variant": "x" * 1000}] * 3000, schema=SCHEMA)
    described = table.replace_schema_metadata({"offmap": json.dumps({"schema_version": 1})})
    pq.write_table(described, tmp_path / "a.parquet")
    with pytest.raises(RecordsError, match=r"is larger than any run's: 3,000 rows, [\d,]+ bytes"):
        read_table(tmp_path / "a.parquet", most_rows=2999)
    assert len(read_table(tmp_path / "a.parquet", most_rows=3000)[0]) == 3000
    monkeypatch.setattr("suite.results.records.MOST_UNPACKED", 3_000_000)  # less than that label three thousand times
    with pytest.raises(RecordsError, match="bytes of texts"):
        read_table(tmp_path / "a.parquet")
    monkeypatch.setattr("suite.results.records.MOST_UNPACKED", 6_000_000)
    assert len(read_table(tmp_path / "a.parquet")[0]) == 3000
    monkeypatch.setattr("suite.results.records.MOST_METADATA", 10)
    with pytest.raises(RecordsError, match="metadata is longer than 10 bytes"):
        read_table(tmp_path / "a.parquet")


def test_a_pipe_is_no_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "records.parquet")
    with pytest.raises(RecordsError, match="is no plain file"):
        read_table(tmp_path / "records.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.append_column("seed", table["seed"]), "holds twice the columns seed"),
        (lambda table: table.drop_columns(["seed", "task"]), "lacks the columns seed, task"),
        (lambda table: with_column(table, "seed", ["three"]), "its columns are not those of records"),
        (lambda table: with_column(table, "run", [{"a": 1}]), "its columns are not those of records"),
        (lambda table: with_column(table, "run", [b"\xff"]), "its columns are not those of records"),
        (lambda table: with_column(table, "split", [None]), "lacks values in split"),
    ],
)
def test_columns_of_another_kind_are_named(tmp_path, change, said):
    table = change(pa.Table.from_pylist([ROW], schema=SCHEMA))
    with pytest.raises(RecordsError, match=f"a.parquet: {said}"):
        in_schema(table, SCHEMA, tmp_path / "a.parquet")


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_a_return_may_be_missing(tmp_path):
    table = pa.Table.from_pylist([ROW | {"return": None, "parameter": None}], schema=SCHEMA)
    assert in_schema(table, SCHEMA, tmp_path).equals(table)
