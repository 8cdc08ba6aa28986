"""Figures of `offmap bench`: the time and memory of a report over a whole benchmark's records.

The records are invented, in the folders and files of real runs: 8 algorithms on 6 splits with 5 seeds, adaptation
curves, earlier checkpoints and training curves, about 270,000 rows. The command line itself is measured, on two cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from suite.bench.measurement import Figure, slowness
from suite.results.records import DIAGNOSTICS_SCHEMA, METRICS_SCHEMA, SCHEMA, write_table
from suite.run.processes import worker_environment
from tasks.registry import get_family, get_split
from tasks.spec import TaskSplit

ALGORITHMS = ("mier", "mier-wr", "pearl", "mql", "maml", "promp", "rl2", "grbal")
SPLITS = ("cheetah-velocity.medium", "cheetah-velocity.hard", "cheetah-negated-joints.ood", "ant-direction.ood",
          "ant-negated-joints.ood", "walker-parameters.ood")  # fmt: skip
SEEDS = 5
CHECKPOINTS = (300_000, 600_000, 1_000_000, 1_500_000)
TASKS, TASKS_ON_THE_WAY, EPISODES = 30, 10, 3
TRAINING_POINTS = 200
CORES = 2
WATCH_SECONDS = 1.0
TIME_LIMIT = 30.0  # s, on two cores of the reference machine
MEMORY_LIMIT = 1.5  # GB
PROTOCOL, SPLIT_HASH = "b" * 12, "c" * 12


def report_figures(seeds: int = SEEDS, splits: tuple[str, ...] = SPLITS) -> list[Figure]:
    """Seconds on two cores of the time that the command's processes spent, and the most memory they held at once.

    Processor time is counted, as others may be busy on the machine: all of the command's own, and that of the
    processes that draw shared by two. `seeds` and `splits` make it smaller.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = write_benchmark(Path(folder) / "runs", seeds, splits)
        seconds, gigabytes = measured([f"{folder}/runs", f"{folder}/report"])
    limit = TIME_LIMIT * slowness(rounds=3)
    note = f"{rows:,} rows: {len(ALGORITHMS)} algorithms, {len(splits)} splits, {seeds} seeds"
    return [
        Figure("report", seconds, "s", limit, note=note),
        Figure("memory, report", gigabytes, "GB", MEMORY_LIMIT, note="of all its processes at once"),
    ]


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds and GB of a report in processes of its own, which are watched while they run.

    Raises:
        RuntimeError: the report failed; the message holds what it printed.
    """
    command, most = [sys.executable, "-P", "-m", "suite.bench.report", *arguments], 0
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=worker_environment()) as process:
            while process.poll() is None:
                most = max(most, held_bytes(process.pid))
                time.sleep(WATCH_SECONDS)
        said.seek(0)
        text = said.read()
    if process.returncode != 0:
        raise RuntimeError(f"the report failed:\n{text}")
    return float(text.splitlines()[-1]), most / 1e9


def held_bytes(pid: int) -> int:
    """The memory of a process and its children, shared pages counted once; 0 where Linux's /proc does not say."""
    total = 0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total = next(1024 * int(row.split()[1]) for row in rows if row.startswith("Pss:"))
        total += sum(held_bytes(int(child)) for child in children.split())
    except (OSError, StopIteration):  # ended in the meantime
        pass
    return total


def timed_report(folder: str, out: str) -> float:
    """Write a report in this process, held to two cores; the seconds that took if nothing else ran."""
    from suite.cli import main

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    try:
        main(["report", folder, "--out", out])
    except SystemExit as ended:
        if ended.code:
            raise
    own, drawing = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + (drawing.ru_utime + drawing.ru_stime) / CORES


def write_benchmark(folder: Path, seeds: int, splits: tuple[str, ...]) -> int:
    """Write the results folder of an invented benchmark, the same one every time; the number of its records."""
    cells, rows = [], 0
    for split, algorithm, seed in product(splits, ALGORITHMS, range(seeds)):
        draw = np.random.default_rng([splits.index(split), ALGORITHMS.index(algorithm), seed])
        training = f"t-{'mier' if algorithm == 'mier-wr' else algorithm}-{split}-{seed}"
        for env_steps in CHECKPOINTS:
            run = f"{algorithm}-{split}-{seed}-{env_steps}"
            label = {"run": run, "training": training, "seed": seed, "variant": algorithm, "env_steps": env_steps}
            rows += _write_run(folder / training / run, get_split(split), label, draw)
        if algorithm != "mier-wr":
            _write_metrics(folder / training, split, algorithm, seed, draw)
        cells.append({"variant": algorithm, "algorithm": algorithm, "split": split, "seed": seed,
                      "run": run, "status": "done", "reason": None})  # fmt: skip
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    return rows


def _write_run(folder: Path, split: TaskSplit, label: dict[str, Any], draw: np.random.Generator) -> int:
    """One meta-test: its records, and for MIER what its gate judged; the number of records."""
    is_final = label["env_steps"] == CHECKPOINTS[-1]
    places = list(product(("test", "test_id"), range(TASKS if is_final else TASKS_ON_THE_WAY)))
    updates = (0, 500, 1000) if label["variant"] in ("mier", "mql") else (0,)
    points = [("before", 0), *(("during", update) for update in updates[:-1]), ("after", updates[-1])]
    rows = [
        {"run": label["run"], "training": label["training"], "algorithm": label["variant"], "family": split.family,
         "variant": label["variant"], "split": split.full_name, "split_hash": SPLIT_HASH, "protocol_hash": PROTOCOL,
         "seed": label["seed"], "env_steps": label["env_steps"], "is_final": is_final, "task_list": task_list,
         "task": task, "parameter": task / TASKS, "phase": phase, "update": update, "episode": episode,
         "transitions": 0 if phase == "before" else 200, "return": float(draw.normal(-300 + update / 10, 30)),
         "length": 200, "terminated": False, "cut": False}
        for (task_list, task), (phase, update), episode in product(places, points, range(EPISODES))
    ]  # fmt: skip
    folder.mkdir(parents=True)
    write_table(folder / "records.parquet", rows, SCHEMA, _document(split, label))
    if label["variant"] == "mier":
        judged = [
            {"run": label["run"], "variant": "mier", "split": split.full_name, "seed": label["seed"], "name": name,
             "env_steps": label["env_steps"], "task_list": task_list, "task": task, "update": 0, "value": value}
            for (task_list, task), loss in zip(places, draw.normal(-3, 1, len(places)))
            for name, value in (("held_out_loss", float(loss)), ("gate_open", float(loss < -3)))
        ]  # fmt: skip
        write_table(folder / "diagnostics.parquet", judged, DIAGNOSTICS_SCHEMA, {})
    return len(rows)


def _document(split: TaskSplit, label: dict[str, Any]) -> dict[str, Any]:
    """What a records file says of itself."""
    first = get_family(split.family).parameters[0]
    scalar = get_family(split.family).parameter_dim == 1
    return {
        **label, "algorithm": label["variant"], "protocol_hash": PROTOCOL, "budget_env_steps": CHECKPOINTS[-1],
        "split": {
            "full_name": split.full_name, "hash": SPLIT_HASH, "shift": split.shift, "description": split.description,
            "axis": split.axis, "axis_unit": first.unit if scalar else "",
            "references": {"null": -560.0, "ceiling": 0.0},
            "parameters": [first.model_dump(exclude={"description"})],
            "tasks": {name: [task.values[: first.size] for task in split.tasks(name)] for name in ("train", "test")},
        },
        "protocol": {"name": "default", "evaluation_episodes": EPISODES},
        "config": {"train": {"learning_rate": 0.0003, "precision": "fp32"}, "adapt": {}},
        "cost": {"train_wall_seconds": label["env_steps"] / 50},
        "provenance": {"git_revision": "0" * 40, "git_dirty": False, "device": "cpu", "threads": 1},
    }  # fmt: skip


def _write_metrics(folder: Path, split: str, algorithm: str, seed: int, draw: np.random.Generator) -> None:
    steps = np.linspace(0, CHECKPOINTS[-1], TRAINING_POINTS).astype(int)
    rows = [
        {"training": folder.name, "algorithm": algorithm, "split": split, "seed": seed, "env_steps": int(step),
         "wall_seconds": float(step) / 50, "name": "return", "value": float(draw.normal(-300, 30))}
        for step in steps
    ]  # fmt: skip
    write_table(folder / "metrics.parquet", rows, METRICS_SCHEMA, {})


if __name__ == "__main__":
    print(timed_report(*sys.argv[1:]))
