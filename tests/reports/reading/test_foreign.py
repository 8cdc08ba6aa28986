"""Results folders of others: nothing in them runs, escapes, hides or stops the report of the rest."""

import json
import os
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reports.numbers import tables
from reports.reading.load import load
from reports.reading.metadata import checked, printable
from reports.report import write
from suite.errors import UserError
from suite.results.records import SCHEMA, RecordsError, write_table


def reasons(folder):
    return {problem.where: problem.why for problem in load(folder).problems}


def test_links_out_of_the_folder_and_what_is_no_file_are_left_out(golden, tmp_path_factory, synthetic):
    outside = tmp_path_factory.mktemp("outside")
    path = synthetic.simple_run(outside, "pearl", 0, test=[[1.0]])
    (golden / "file").mkdir()
    (golden / "file" / "records.parquet").symlink_to(path)
    (golden / "cells.json").symlink_to("/etc/hostname")
    (golden / "pipe").mkdir()
    os.mkfifo(golden / "pipe" / "records.parquet")
    found = reasons(golden)
    assert found["file/records.parquet"] == found["cells.json"] == "is a link that leads out of the folder"
    assert found["pipe/records.parquet"] == "is no plain file"
    assert set(load(golden).records["variant"]) == {"mier"}


def test_a_link_within_the_folder_is_no_escape(golden, synthetic):
    run = golden / "t-mier-0" / f"mier-{synthetic.SPLIT}-0" / "records.parquet"
    (golden / "again").mkdir()
    (golden / "again" / "records.parquet").symlink_to(run)
    assert "again" in next(iter(reasons(golden).values()))


@pytest.mark.parametrize("name", ["", "figures", "tables", "report.html"])
def test_a_report_is_not_written_through_a_link(golden, tmp_path_factory, name, build):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "mine.png").write_text("mine")
    link = golden / "report" / name if name else golden / "report"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(UserError, match="is a link"):
        build(golden)
    assert [path.name for path in outside.iterdir()] == ["mine.png"]


def test_labels_that_climb_stay_labels(tmp_path, synthetic, one_figure, build):
    up = "../../../escaped"
    synthetic.simple_run(tmp_path / "x" / "y", "mier", 0, test=[[1.0]], split=f"{up}.{up}")
    synthetic.write_cells(tmp_path / "x" / "y", [(up, up, 0, f"{up}/{up}", "failed", up)])
    before = {path for path in tmp_path.rglob("*") if (tmp_path / "x" / "y") not in path.parents}
    build(tmp_path / "x" / "y")
    assert {path for path in tmp_path.rglob("*") if (tmp_path / "x" / "y") not in path.parents} == before


def test_a_pickle_is_never_opened(golden):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(golden / "exploded"),)

    for name in ("records.parquet", "metrics.parquet", "cells.json"):
        (golden / "bomb").mkdir(exist_ok=True)
        (golden / "bomb" / name).write_bytes(pickle.dumps(Bomb()))
    assert len(load(golden).problems) == 3
    assert not (golden / "exploded").exists()


def test_control_characters_and_endless_names_do_not_reach_a_terminal(tmp_path, synthetic):
    name = "mier\x1b[2J\u202egnp\n" + "x" * 1000
    synthetic.write_run(tmp_path, [{"variant": name, "return": 1.0}], synthetic.document())
    synthetic.write_cells(tmp_path, [("b\x07", "c\r.d", 1, None, "fai\x9bled", "why\x1b]0;")])
    results = load(tmp_path)
    texts = [*results.cells.drop(columns="seed").to_numpy().ravel(), *tables.main_table(results)["text"]]
    assert all(text is None or (text.isprintable() and len(text) < 700) for text in texts)
    assert printable("a\tb\x00") == "a b\ufffd"
    assert len(printable("x" * 1000)) == 200


def test_rows_without_an_identity_are_refused(golden, synthetic):
    path = golden / "holes" / "records.parquet"
    path.parent.mkdir()
    rows = [synthetic.row(), synthetic.row(variant=None, algorithm="mier")]
    write_table(path, rows, SCHEMA, synthetic.document())
    assert reasons(golden) == {"holes/records.parquet": "lacks values in variant"}


def test_variants_that_are_called_alike_keep_their_labels(golden, synthetic, one_figure, build):
    synthetic.simple_run(golden, "MI er", 0, test=[[3.0]])
    text = build(golden).parent.joinpath("tables", "improvement.md").read_text()
    assert text.splitlines()[0] == f"| variant | {synthetic.SPLIT} than MI er | {synthetic.SPLIT} than mier |"


def test_ends_that_are_one_are_no_scale(tmp_path, synthetic, one_figure, build):
    for split, null in (("a.b", 1.0), ("c.d", 1e-320)):
        said = synthetic.document(split=split)
        said["split"]["references"] = {"null": null, "ceiling": 1.0 if split == "a.b" else 0.0}
        synthetic.write_run(tmp_path, [{"split": split, "return": 1e300}], said)
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0]])
    build(tmp_path)
    table = tables.aggregate_table(load(tmp_path))
    assert set(table["split"]) == {synthetic.SPLIT}


def test_a_command_of_another_kind_is_shown_as_text(golden, synthetic, one_figure, build):
    provenance = synthetic.document()["provenance"] | {"command": {"run": ["x"]}, "threads": "many"}
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]], provenance=provenance)
    assert "{&#39;run&#39;: [&#39;x&#39;]}" in build(golden).read_text()


def test_files_that_would_fill_the_memory_are_left_out(golden, synthetic, monkeypatch):
    monkeypatch.setattr("reports.reading.cells.MOST_BYTES", 100)
    synthetic.write_cells(golden, [("mier", synthetic.SPLIT, seed, None, "pending", None) for seed in range(9)])
    columns = {field.name: pa.array([None]).cast(field.type).take(pa.array([0] * 3000)) for field in SCHEMA}
    (golden / "x").mkdir()
    pq.write_table(pa.table(columns, schema=SCHEMA), golden / "x" / "records.parquet")
    monkeypatch.setattr("reports.reading.records.MOST_RECORDS", 2999)
    found = reasons(golden)
    assert found["cells.json"] == "is longer than 100 bytes"
    assert found["x/records.parquet"].startswith("is larger than any run's: 3,000 rows")
    monkeypatch.setattr("reports.reading.records.MOST_RECORDS", 3000)
    assert "holds no offmap metadata" in reasons(golden)["x/records.parquet"]


def test_a_missing_return_is_a_failed_one(tmp_path, synthetic):
    synthetic.write_run(tmp_path, [{"return": None}, {"return": 1.0, "episode": 1}], synthetic.document())
    (row,) = tables.main_table(load(tmp_path)).itertuples()
    assert row.text == "seed 0 failed: a return is not a number in 1 of 1 tasks"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("split", "references", "null"), "zero"),
        (("split", "references", "ceiling"), float("inf")),
        (("split", "test_lists"), [1, 2]),
        (("split", "train_axis_values"), ["a"]),
        (("split",), "all"),
        (("protocol",), 3),
        (("provenance", "git_revision"), 12),
        (("cost", "train_wall_seconds"), "long"),
    ],
)
def test_metadata_of_another_kind_leaves_the_file_out(golden, synthetic, place, value, one_figure, build):
    document = synthetic.document("pearl", 0)
    held = document
    for key in place[:-1]:
        held[key] = dict(held[key])
        held = held[key]
    held[place[-1]] = value
    synthetic.write_run(golden, [{"variant": "pearl", "return": 1.0}], document)
    (why,) = reasons(golden).values()
    assert "its metadata is not that of a run: " + ".".join(place) in why
    assert build(golden).exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_whatever_metadata_says_it_is_left_out_or_a_page_is_made(synthetic, tmp_path_factory, one_figure, data):
    document = synthetic.document()
    for part in data.draw(st.lists(st.sampled_from(["split", "protocol", "config", "cost", "provenance"]), min_size=1)):
        key = data.draw(st.sampled_from(sorted(document[part]) or ["x"]))
        document[part] = document[part] | {key: data.draw(JSON)}
    try:
        made = checked(json.loads(json.dumps(document)))
    except RecordsError:
        return
    folder = tmp_path_factory.mktemp("foreign")
    synthetic.write_run(folder, [{"return": 1.0}], made)
    write(load(folder), folder / "report")


@pytest.mark.parametrize("levels", [70, 400, 900, 100_000])
def test_deep_metadata_leaves_the_file_out(golden, synthetic, levels, one_figure, build):
    path = synthetic.simple_run(golden, "pearl", 0, test=[[1.0]])
    said = json.dumps(synthetic.document("pearl") | {"schema_version": 1})
    deep = said[:-1] + ', "x": ' + "[" * levels + "]" * levels + "}"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"offmap": deep}), path)
    (why,) = reasons(golden).values()
    assert "metadata is nested" in why
    assert build(golden).exists()


def test_deep_experiments_are_left_out(golden):
    (golden / "experiment.json").write_text('{"experiment": ' + "[" * 400 + "]" * 400 + "}")
    assert reasons(golden) == {"experiment.json": "its metadata is nested deeper than 60 levels"}


def test_more_tasks_than_a_split_may_have_leave_the_file_out(golden, synthetic):
    rows = [{"variant": "pearl", "task": 0}, {"variant": "pearl", "task": 1}]
    synthetic.write_run(golden, rows, synthetic.document("pearl"))
    one = pq.read_table(next(golden.rglob("pearl*/records.parquet"))).take(pa.array([0] * 10_001))
    many = one.set_column(one.column_names.index("task"), "task", pa.array(range(10_001)))
    (golden / "many").mkdir()
    pq.write_table(many, golden / "many" / "records.parquet")
    assert reasons(golden)["many/records.parquet"].startswith("holds a list of 10,001 tasks")
    said = synthetic.document("mql")
    for number, lists in enumerate(({"test_lists": {"test": [0.5] * 10_001}}, {"tasks": {"test": [[0.5]] * 10_001}})):
        synthetic.write_run(golden, rows[:1], said | {"run": f"m{number}", "split": said["split"] | lists})
        assert "its metadata is not that of a run" in reasons(golden)[f"t-mql-0/m{number}/records.parquet"]


def test_a_column_that_is_there_twice_leaves_the_file_out(golden, synthetic):
    path = synthetic.simple_run(golden, "pearl", 0, test=[[1.0]])
    table = pq.read_table(path)
    pq.write_table(table.append_column("seed", table["seed"]), path)
    (why,) = reasons(golden).values()
    assert why.startswith("holds twice the columns seed")


def test_deep_and_strange_json_is_a_problem(golden):
    for number, text in enumerate(("[" * 100_000, '[{"variant": "a", "split": "b", "seed": 1e999, "status": "x"}]')):
        (golden / str(number)).mkdir()
        (golden / str(number) / "cells.json").write_text(text)
    assert len(load(golden).problems) == 2


def test_a_truncated_file_at_any_length_is_reported(golden, synthetic):
    whole = (golden / "t-mier-0" / f"mier-{synthetic.SPLIT}-0" / "records.parquet").read_bytes()
    (golden / "cut").mkdir()
    for share in (0.0, 0.3, 0.6, 0.99):
        (golden / "cut" / "records.parquet").write_bytes(whole[: int(share * len(whole))])
        assert list(reasons(golden)) == ["cut/records.parquet"]


def test_a_table_of_ours_with_foreign_columns_is_read_for_ours_alone(golden, synthetic):
    path = golden / "t-mier-0" / f"mier-{synthetic.SPLIT}-0" / "records.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("extra", pa.array([object.__name__] * len(table))), path)
    assert "extra" not in load(golden).records
    assert len(load(golden).records) == 24
