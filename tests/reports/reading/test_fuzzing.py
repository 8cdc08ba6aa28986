"""Results folders that time, programs or people changed: a page or one message, soon, and nothing else is touched."""

import gc
import json
import os
import resource
import shutil
import signal
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import (
    HANGING_SECONDS,
    MEGABYTES,
    SECONDS,
    SEED,
    fuzz,
    number_of_cases,
    resident_megabytes,
    snapshot,
)

import reports.report
import suite.cli
from reports.figures.catalogue import FIGURES
from reports.reading.load import load
from suite.results.packing import pack
from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA

FEW = 10

ODD = [None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 5000, "中文", "\ud800",
       "a\x1b[2Jb", "$\\frac$", "_", [], {}, [[[]]], [1, "a", None], {"a": {"b": 1}}, "../../x"]  # fmt: skip
TEXTS = [
    "",
    "x" * 3000,
    "中文标签",
    "a\x1b[2J\nb",
    "$\\frac{",
    "_hidden",
    "../../x",
    "mier (reference)",
    "oracle",
    "ünï",
]
NUMBERS = [0, -1, 1, 2**62, -(2**63), 10**9]
FLOATS = [0.0, float("nan"), float("inf"), -1e308, 1e308, 1e-320, None]


def nested(levels):
    value = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def changed_document(rng, document):
    """A document with a value somewhere replaced, removed or added."""
    document = json.loads(json.dumps(document))
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys) if keys else None
        inner = None if key is None else place[key]
        if not (isinstance(inner, dict | list) and inner and rng.random() < 0.7):
            break
        place = inner
    value = rng.choice([rng.choice(ODD), nested(rng.choice([30, 400, 900]))])
    kind = rng.randrange(3)
    if key is None or kind == 0:
        place.update({"new": value}) if isinstance(place, dict) else place.append(value)
    elif kind == 1:
        del place[key]
    else:
        place[key] = value
    return document


def changed_table(rng, table):
    """A table with other rows or columns."""
    column = rng.choice(sorted(set(table.column_names)))
    change = rng.randrange(7)
    if len(table) == 0 or table.column_names.count(column) > 1:  # changed before
        return table
    at, kind = table.column_names.index(column), table.schema.field(column).type
    if change == 0:
        return table.append_column(column, table[column])
    if change == 1:
        return table.drop_columns([column])
    if change == 2:
        return table.set_column(at, column, pa.array([rng.choice([[1], {"a": 1}, b"\xff", "x", 0.5])] * len(table)))
    if change == 3:
        return table.take(pa.array([rng.randrange(len(table))] * rng.choice([0, 1, 3000, 1_200_000]), pa.int64()))
    if change == 4:
        return table.take(pa.array(rng.sample(range(len(table)), len(table)), pa.int64()))
    pool = TEXTS if pa.types.is_string(kind) else NUMBERS if pa.types.is_integer(kind) else FLOATS
    pool = [True, False, None] if pa.types.is_boolean(kind) else [*pool, *([None] if change == 5 else [])]
    values = table[column].to_pylist()
    for row in range(len(values)) if change == 5 else [rng.randrange(len(values))]:
        values[row] = rng.choice(pool)
    try:
        return table.set_column(at, column, pa.array(values, type=kind))
    except (pa.ArrowException, TypeError, OverflowError):  # of another kind since an earlier change
        return table


def changed_documents(rng, table):
    """A table of documents with one of them changed."""
    texts = table["document"].to_pylist()
    row = rng.randrange(len(texts))
    texts[row] = json.dumps(changed_document(rng, json.loads(texts[row])))
    return table.set_column(table.column_names.index("document"), "document", pa.array(texts))


def changed_bytes(rng, path):
    data = bytearray(path.read_bytes()) or bytearray(b"{")
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data))


def mutate(rng, folder, outside):
    """One change of one file of a results folder."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()))
    kind = rng.randrange(8)
    if kind == 0:
        changed_bytes(rng, path)
    elif kind == 1:
        path.unlink()
        instead = [
            path.mkdir,
            lambda: os.mkfifo(path),
            lambda: path.symlink_to(outside),
            lambda: path.symlink_to(path),
            lambda: path.write_bytes(b""),
            lambda: path.write_text("[" * 50_000),
        ]
        rng.choice(instead)()
    elif path.suffix == ".json":
        try:
            path.write_text(json.dumps(changed_document(rng, json.loads(path.read_text()))))
        except (ValueError, RecursionError):  # changed before
            changed_bytes(rng, path)
    elif path.suffix == ".parquet":
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException):  # changed before
            return changed_bytes(rng, path)
        metadata = table.schema.metadata
        try:
            if "document" in table.column_names and rng.random() < 0.5:
                table = changed_documents(rng, table)
            elif kind < 5:
                document = changed_document(rng, json.loads((metadata or {}).get(b"offmap", b"{}")))
                metadata = {"offmap": json.dumps(document | {"schema_version": 1})}
            else:
                table = changed_table(rng, table)
        except (ValueError, TypeError, RecursionError):  # changed before
            return changed_bytes(rng, path)
        pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
    else:
        changed_bytes(rng, path)


def fill(folder, synthetic):
    """A small results folder with a file of every kind that a report reads."""
    synthetic.rich_folder(folder, variants=("mier", "mier-wr", "pearl"), seeds=(0, 1), num_tasks=2)
    for needless in (*folder.glob("*/*-125000"), *folder.glob("*/*-375000")):  # two checkpoints are as good as four
        shutil.rmtree(needless)
    experiment = {"name": "tiny", "splits": [synthetic.SPLIT], "algorithms": ["mier"], "seeds": [0], "budget": "smoke"}
    (folder / "experiment.json").write_text(json.dumps({"name": "tiny", "experiment": experiment}))


def run(command, folder, log, kinds):
    """Carry out a command in a process of its own; its exit status, its output, and what it used.

    Memory is what it takes beyond this process's, which holds a large table that a case before was damaged with.
    """
    inherited = resident_megabytes()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            reports.report.FIGURES = kinds
            signal.alarm(HANGING_SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["offmap", command, str(folder)]
            try:
                suite.cli.main()
                status = 0
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                import traceback

                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    _, status, usage = os.wait4(child, 0)
    text = log.read_text(errors="replace") if log.exists() else ""
    return os.waitstatus_to_exitcode(status), text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024 - inherited


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, synthetic):
    """Two folders to damage copies of, the second packed; one report, so that no child has to import anything anew."""
    folder = tmp_path_factory.mktemp("pristine") / "results"
    fill(folder, synthetic)
    packed = pack(folder, folder.with_name("packed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.report.FIGURES", FIGURES[:1])
        reports.report.write(load(folder), tmp_path_factory.mktemp("warm"))
    gc.freeze()
    yield folder, packed
    gc.unfreeze()


def check_mutated(pristine, parent):
    """A function (generator) that mutates a copy of a folder, reports and collects it, with one kind of figure.

    All kinds of figures would take most of a case's time.
    """

    def check(rng):
        shutil.rmtree(parent / "case", ignore_errors=True)
        folder, outside = parent / "case" / "results", parent / "case" / "outside"
        kinds = [rng.choice(FIGURES)]
        outside.mkdir(parents=True)
        (outside / "mine.txt").write_text("mine")
        shutil.copytree(rng.choice(pristine), folder)
        for _ in range(rng.randint(1, 3)):
            mutate(rng, folder, outside)
        around, inside = snapshot(parent / "case", besides=folder), snapshot(folder)
        for command in ("collect", "report"):
            status, text, seconds, megabytes = run(command, folder, parent / "log", kinds)
            told = f"{command}: exit {status}, {seconds:.1f} s, {megabytes:.0f} MB\n{text[-3000:]}"
            assert status in (0, 2), told
            assert "Traceback" not in text, told
            assert seconds < SECONDS, told
            assert megabytes < MEGABYTES, told
            assert snapshot(parent / "case", besides=folder) == around, told
            left = snapshot(folder, besides=folder / "report")
            assert {path: left.get(path) for path in inside} == inside, told

    return check


def test_mutated_folders_are_reported_or_refused(pristine, tmp_path):
    fuzz(check_mutated(pristine, tmp_path), FEW, 0)


@pytest.mark.slow
@pytest.mark.stress
def test_many_mutated_folders_are_reported_or_refused(pristine, tmp_path):
    fuzz(check_mutated(pristine, tmp_path), number_of_cases("records"), SEED)


def test_the_mutations_reach_every_kind_of_file(tmp_path, synthetic):
    fill(tmp_path, synthetic)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"records.parquet", "diagnostics.parquet", "metrics.parquet", "cells.json", "experiment.json"}
    assert {len(pq.read_schema(next(tmp_path.rglob(f"{name}.parquet")))) for name in ("diagnostics", "metrics")} == {
        len(DIAGNOSTICS_SCHEMA), len(METRICS_SCHEMA)
    }  # fmt: skip
    assert SCHEMA.names == pq.read_schema(next(tmp_path.rglob("records.parquet"))).names
