"""Figures of `offmap bench`: what 10,000 runs cost to prepare, plan, show and collect."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from suite.bench.measurement import Figure, offmap, slowness, spent
from suite.experiment.declaration import Experiment
from suite.results.json_files import read_json, write_json
from suite.results.layout import metatest_folders
from suite.results.prepare import prepare
from suite.results.records import SCHEMA, SCHEMA_VERSION
from suite.results.status import Status

RUNS, RECORDS = 10_000, 1_000
TEST_TASKS = 20
LIMITS = {"plan": 5.0, "status": 3.0, "collect": 60.0}  # s
MEMORY_LIMIT = 2.0  # GB, of collecting
EXPERIMENT: dict[str, Any] = {
    "name": "scale",
    "splits": ["point-goal.ood", "point-dynamics.ood"],
    "algorithms": ["pearl"],
    "axes": {"pearl.train.kl_weight": [round(0.1 * number, 1) for number in range(1, 11)]},
    "budget": {"env_steps": 100_000},
}
CELLS = 20  # of each seed


def scale_figures(runs: int = RUNS, records: int = RECORDS) -> list[Figure]:
    """Processor seconds of `plan`, `status` and `collect` for so many runs, each of its own training.

    Plan and status are those of prepared runs and, for status, of finished ones, whichever takes longer.
    """
    scale = slowness()
    with tempfile.TemporaryDirectory(prefix="offmap-scale-") as scratch:
        file, out = Path(scratch) / "scale.yaml", Path(scratch) / "runs"
        declared = EXPERIMENT | {"seeds": list(range(runs // CELLS))}
        write_json(file, declared)  # JSON is YAML
        prepare(Experiment.model_validate(declared), out)
        taken = {"plan": spent(offmap("plan", file, "--out", out, "--no-calibrate"))}
        prepared = spent(offmap("status", out))
        finish_runs(out, records)
        taken["status"] = max(prepared, spent(offmap("status", out)))
        taken["collect"] = spent(offmap("collect", out))
        if pq.read_metadata(out / "results.parquet").num_rows != runs * records:
            raise RuntimeError("the table that was collected does not hold all rows")
    note = f"{runs:,} runs, processor time of the whole command"
    figures = [Figure(f"offmap {name}", taken[name].seconds, "s", LIMITS[name] * scale, note=note) for name in LIMITS]
    memory = f"peak, {runs:,} runs of {records:,} records"
    return [*figures, Figure("memory, offmap collect", taken["collect"].memory, "GB", MEMORY_LIMIT, note=memory)]


def finish_runs(out: Path, records: int) -> None:
    """Write, for every prepared run of a results folder, what a finished one holds: invented records, a status."""
    table = invented_records(records)
    for folder in sorted(path.parent for path in out.glob("*/config.json")):
        seed = read_json(folder / "config.json")["seed"]
        for below in metatest_folders(folder):
            spec = read_json(below / "config.json")
            split = f"{spec['split']['family']}.{spec['split']['name']}"
            own = {"run": below.name, "training": folder.name, "split": split, "seed": seed}
            _write(below / "records.parquet", table, own)
        Status(folder).write(state="done", stage="done", budget=100_000)


def _write(path: Path, table: pa.Table, own: dict[str, Any]) -> None:
    for name, value in own.items():
        field = SCHEMA.field(name)
        table = table.set_column(SCHEMA.get_field_index(name), field, pa.array([value] * len(table), field.type))
    document = own | {"schema_version": SCHEMA_VERSION, "variant": "pearl", "protocol": {}}
    described = table.replace_schema_metadata({"offmap": json.dumps(document)})
    pq.write_table(described, path, compression="zstd", write_page_checksum=True)


def invented_records(number: int) -> pa.Table:
    """So many rows in the pattern of a meta-test: three episodes per task and evaluation, random returns."""
    draw = np.random.default_rng(0)
    row = np.arange(number)
    task, update = row // 3 % TEST_TASKS, row // (3 * TEST_TASKS)
    filled: dict[str, Any] = {
        "run": [""] * number, "training": [""] * number, "algorithm": ["pearl"] * number, "variant": ["pearl"] * number,
        "family": ["point-goal"] * number, "split": [""] * number, "split_hash": ["s" * 12] * number,
        "protocol_hash": ["p" * 12] * number, "seed": np.zeros(number, np.int64),
        "env_steps": np.full(number, 100_000), "is_final": np.ones(number, bool),
        "task_list": np.where(task < TEST_TASKS // 2, "test", "test_id").tolist(), "task": task % (TEST_TASKS // 2),
        "parameter": task / TEST_TASKS, "phase": np.where(update == 0, "before", "during").tolist(), "update": update,
        "transitions": np.full(number, 40), "episode": row % 3, "return": draw.normal(size=number),
        "length": np.full(number, 20), "terminated": np.zeros(number, bool), "cut": np.zeros(number, bool),
    }  # fmt: skip
    return pa.table(filled, schema=SCHEMA)
