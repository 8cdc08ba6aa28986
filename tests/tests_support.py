"""Builders and comparisons that tests of several floors share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
from pathlib import Path

import torch
import yaml
from conftest import TINY, TINY_ADAPT
from safetensors.torch import load_file

from algorithms.registry import training_entry
from suite.experiment.expansion import training_tasks
from suite.experiment.specs import TrainingSpec
from suite.results.json_files import read_json, write_json
from suite.results.records import read_table
from suite.run.rollout import Meter
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.saving.state_tree import flattened
from suite.run.training import training_source
from tasks.registry import get_family, get_split

__all__ = ["GOOD", "OWN", "TINY", "TINY_ADAPT", "build_algorithm", "changed", "checkpoint_of", "outcome", "rows_of",
           "tensors_of", "write_metrics", "write_status", "written"]  # fmt: skip


GOOD = """
name: mine
splits: [point-goal.ood]
algorithms:
  - mier
  - {name: mier-wr, label: plain}
  - {name: pearl, preset: small}
seeds: [0, 1]
budget: {env_steps: 50_000, milestones: [45_000]}
protocol: {evaluate_every: 100}
"""
"""An experiment without a mistake."""

OWN = """
  - family: point-goal
    name: mine
    shift: out_of_distribution
    train: {uniform: [0, 4], number: 30, seed: 1}
    test: {values: [4.5, 5.0]}
    adaptation_transitions: 40
"""
"""A split of a user's own."""


def written(tmp_path, text):
    """The text in an experiment's file."""
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return path


def changed(**fields):
    """The experiment without a mistake, with other fields."""
    return yaml.safe_load(GOOD) | fields


def build_algorithm(training, split_name, seed=0, meter=None, config=None, **changes):
    """A fresh algorithm, with the tiny configuration if with no other, on the tasks of a split that it trains on."""
    split, entry = get_split(split_name), training_entry(training)
    config = config or entry.load("train").model_validate(TINY[training] | changes)
    spec = TrainingSpec(
        algorithm=training, family=split.family, family_version=get_family(split.family).version,
        train_tasks=training_tasks(entry, split), config=config.model_dump(mode="json"), seed=seed,
    )  # fmt: skip
    source = training_source(spec, meter or Meter())
    return entry.load("algorithm")(config, source, seed=seed, device=torch.device("cpu"), capacity=5000)


def write_status(folder, **fields):
    """A training folder's status, by default of a training that goes on in this process."""
    alive = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time(), "notes": []}
    write_json(folder / "status.json", alive | {"state": "running", "stage": "training"} | fields)


def write_metrics(folder, rows):
    """The metrics of a training as rows of (iteration, env steps, seconds), the last line cut short."""
    lines = [json.dumps({"iteration": n, "env_steps": steps, "seconds": s}) for n, steps, s in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"iteration": 9, "env_st')


def tensors_of(state):
    """All tensors of a state by path."""
    return flattened(state)[0]


def outcome(folder: Path) -> dict:
    """All of a finished training folder that has to come out bit for bit the same, whatever happened on the way."""
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "checkpoint": checkpoint_of(folder, checkpoint_names(folder / "checkpoints")[-1]),
        "metrics": [{name: value for name, value in row.items() if name != "seconds"} for row in metrics],
        "metatests": {path.name: rows_of(path) for path in sorted((folder / "metatests").iterdir())},
    }


def checkpoint_of(folder: Path, name: str) -> dict:
    """The contents of a checkpoint, tensors and log by their digests."""
    document = read_json(folder / "checkpoints" / name / "state.json")
    tensors = load_file(folder / "checkpoints" / name / "state.safetensors")
    segments = [load_file(path)["rows"] for path in sorted((folder / "log").glob("*"))
                if re.fullmatch(r"[0-9]{12}-[0-9]{12}\.safetensors", path.name)]  # fmt: skip
    log = torch.cat(segments)[: document["log_rows"]] if segments else torch.zeros(0)
    counted = {key: document["counters"][key] for key in ("env_steps", "iterations", "episodes")}
    return {
        "name": name, "plain": document["plain"], "counters": counted, "log": _digest(log), "rows": len(log),
        "tensors": {path: _digest(tensor) for path, tensor in tensors.items()},
    }  # fmt: skip


def rows_of(metatest: Path, drop: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The rows of a meta-test's records and diagnostics, each as a text in which every digit counts."""
    return {
        kind: [repr({name: value for name, value in row.items() if name not in drop})
               for row in read_table(metatest / f"{kind}.parquet")[0].to_pylist()]
        for kind in ("records", "diagnostics")
    }  # fmt: skip


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
