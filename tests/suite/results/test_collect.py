"""Collecting: one tidy table of what belongs together, and a refusal of what does not."""

import errno
import json
import shutil

import pyarrow.parquet as pq
import pytest

from suite.errors import UserError
from suite.results.collect import collect, metrics_table
from suite.results.layout import metatest_folders
from suite.results.records import SCHEMA, read_table, write_table


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def results(tiny_experiment, run_here, tmp_path_factory, kept, tmp_path):
    """A copy of the results of MIER, MIER-wR and PEARL with two seeds."""
    if not kept:
        kept["out"] = tmp_path_factory.mktemp("results") / "tiny"
        run_here(tiny_experiment(("mier", "mier-wr", "pearl"), env_steps=1100, seeds=[0, 1]), kept["out"])
    shutil.copytree(kept["out"], tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def other(tiny_experiment, run_here, tmp_path_factory, kept, results):
    """A function (name, **fields) -> results of another experiment beside `results`."""

    def build(name, **fields):
        out = results.parent / name
        run_here(tiny_experiment(("pearl",), env_steps=1100, **fields), out)
        return out

    return build


def records_below(folder):
    return sorted(path for path in folder.rglob("records.parquet") if ".set-aside" not in path.parts)


def test_all_rows_of_all_runs(results):
    path = collect(results)
    assert path == results / "results.parquet"
    table, metadata = read_table(path)
    assert table.schema.equals(SCHEMA)
    assert (metadata["runs"], metadata["broken"]) == (6, [])
    assert len(table) == sum(len(read_table(part)[0]) for part in records_below(results))
    rows = table.to_pandas()
    assert set(zip(rows.variant, rows.seed)) == {
        (name, seed) for name in ("mier", "mier-wr", "pearl") for seed in (0, 1)
    }
    assert collect(results).read_bytes() == path.read_bytes()  # its own output is none of its input
    assert not list(results.glob(".*"))


def test_a_table_written_in_many_groups_is_the_same(results, monkeypatch):
    whole = read_table(collect(results))
    monkeypatch.setattr("suite.results.collect.GROUP_ROWS", 1)
    path = collect(results)
    assert pq.read_metadata(path).num_row_groups == 6  # one for each run
    parts = read_table(path)
    assert parts[0].equals(whole[0])
    assert parts[1] == whole[1]


def test_what_was_set_aside_stays_out(results, run_here, tiny_experiment):
    before = read_table(collect(results))[0].to_pandas()
    run_here(tiny_experiment(("mier", "mier-wr", "pearl"), env_steps=1100, seeds=[0, 1],
                             protocol={"evaluation_episodes": 1}), results)  # fmt: skip
    assert len(list(results.rglob("records.parquet"))) == 12
    after = read_table(collect(results))[0].to_pandas()
    assert after.protocol_hash.nunique() == before.protocol_hash.nunique() == 1
    assert after.protocol_hash[0] != before.protocol_hash[0]


@pytest.mark.parametrize("harm", ["cut", "foreign", "columns", "kind", "twice", "deep", "version"])
def test_broken_parts_are_named_and_left_out(results, harm):
    victim = records_below(results)[0]
    table, metadata = read_table(victim)
    if harm == "cut":
        victim.write_bytes(victim.read_bytes()[:200])
    elif harm == "foreign":
        victim.write_text("not parquet at all")
    elif harm == "columns":
        fewer = table.drop_columns(["length"])
        write_table(victim, fewer.to_pylist(), fewer.schema, metadata)
    elif harm == "kind":
        words = table.set_column(table.column_names.index("seed"), "seed", [["three"] * len(table)])
        pq.write_table(words, victim)
    elif harm == "twice":
        pq.write_table(table.append_column("seed", table["seed"]), victim)
    elif harm == "deep":
        said = '{"schema_version": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
        pq.write_table(table.replace_schema_metadata({"offmap": said}), victim)
    else:
        later = SCHEMA.with_metadata({"offmap": json.dumps({"schema_version": 99})})
        pq.write_table(table.cast(later), victim)
    heard = []
    _, metadata = read_table(collect(results, say=heard.append))
    assert metadata["runs"] == 5
    (broken,) = metadata["broken"]
    assert broken.startswith(f"{victim}: ")
    assert heard == [f"left out: {broken}"]


def test_where_nothing_is_whole_nothing_is_written(results):
    for path in records_below(results):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"nothing to collect: .*cannot be read as parquet"):
        collect(results)
    assert not (results / "results.parquet").exists()


def test_a_folder_that_cannot_be_written_is_one_message(results, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "[Errno 13] Failed to open local file")  # as pyarrow says it: no filename

    monkeypatch.setattr("suite.results.collect.pq.ParquetWriter", refuse)
    with pytest.raises(UserError, match=r"results.parquet cannot be written there \(Permission denied\)"):
        collect(results)


def test_folders_without_results(tmp_path):
    with pytest.raises(UserError, match=f"there is no results folder {tmp_path / 'nowhere'}"):
        collect(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no run has finished; `offmap status` tells how far they are"):
        collect(tmp_path)


def test_another_protocol_is_refused(results, other):
    other("other", protocol={"evaluation_episodes": 1})
    with pytest.raises(
        UserError, match=r"runs on point-goal.ood were made with different protocols \(\w{12}, \w{12}\)"
    ):
        collect(results.parent)
    assert not list(results.parent.glob("*results.parquet*"))
    assert not list(results.parent.glob(".results.parquet*"))
    rows = read_table(collect(results.parent, mix=True))[0].to_pandas()
    assert rows.protocol_hash.nunique() == 2


def test_another_task_list_under_the_same_name_is_refused(results, other):
    own = {"family": "point-goal", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 40,
           "train": {"same_as": "point-goal.ood.train"}}  # fmt: skip
    other("one", split="point-goal.mine", own_splits=[own | {"test": {"values": [5.0]}}])
    other("two", split="point-goal.mine", own_splits=[own | {"test": {"values": [6.0]}}])
    with pytest.raises(UserError, match=r"runs on point-goal\.mine were made with different task lists"):
        collect(results.parent)
    assert read_table(collect(results.parent / "one"))[1]["runs"] == 1


def test_a_protocol_of_milestones_beside_that_of_the_result_is_no_mixture(other):
    out = other("milestones", budget={"env_steps": 1400, "milestones": [1100]}, milestone_protocol={"max_tasks": 2})
    rows = read_table(collect(out))[0].to_pandas()
    assert rows.protocol_hash.nunique() == 2
    assert sorted(zip(rows.env_steps, rows.is_final))[0] == (1100, False)


def test_metrics_as_a_table(results):
    folder = next(path.parent for path in results.glob("*/metrics.jsonl"))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (folder / "metrics.parquet").unlink()
    metrics_table(folder)
    table, metadata = read_table(folder / "metrics.parquet")
    rows = table.to_pandas()
    assert metadata["training"] == folder.name
    assert set(rows.split) == {"point-goal.ood"}
    for line in lines:
        found = rows[rows.env_steps == line["env_steps"]].set_index("name").value.to_dict()
        assert found == {
            name: value for name, value in line.items() if name not in ("env_steps", "iteration", "seconds")
        }
    assert len(metatest_folders(folder)) >= 1


def test_a_metric_that_was_no_number_is_no_row(results):
    folder = next(path.parent for path in results.glob("*/metrics.jsonl"))
    with (folder / "metrics.jsonl").open("a") as handle:
        handle.write('{"env_steps": 9, "iteration": 9, "seconds": 1.0, "return": null, "loss": 2.0}\n')
    metrics_table(folder)
    rows = read_table(folder / "metrics.parquet")[0].to_pandas()
    assert rows[rows.env_steps == 9].name.tolist() == ["loss"]
