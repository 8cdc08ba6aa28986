"""The meta-training stage: outer iterations until the budget, checkpoints on the way, continuation after a kill."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from algorithms.base import Algorithm
from algorithms.registry import training_entry
from suite.errors import UserError
from suite.experiment.specs import Execution, TrainingSpec
from suite.results.json_files import set_aside
from suite.results.status import Status
from suite.run.compute import Compute, total
from suite.run.event_files import event_files
from suite.run.promises import iterated, no_global_randomness
from suite.run.rollout import Meter, RevealingTrainingSource, TrainingSource
from suite.run.saving.checkpoints import (
    checkpoint_names,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from suite.run.saving.recovery import recover
from suite.run.stop_signals import Stopped
from suite.run.stored_specs import read_training_spec, train_config
from tasks.registry import get_family


class Training(NamedTuple):
    """A training as far as it has come."""

    spec: TrainingSpec
    algorithm: Algorithm
    source: TrainingSource
    meter: Meter
    counters: dict[str, Any]


def training_source(spec: TrainingSpec, meter: Meter) -> TrainingSource:
    """What the algorithm of a training sees: its training tasks, and their parameters only if it is privileged."""
    entry = training_entry(spec.algorithm)
    source = RevealingTrainingSource if entry.privileged else TrainingSource
    return source(get_family(spec.family), spec.train_tasks, spec.seed, meter)


def open_training(folder: Path, device: str, capacity: int, checkpoint: str | None = None) -> Training:
    """The training in `folder` at a checkpoint, or at its beginning where there is none.

    `capacity`: transitions worth reserving memory for.
    """
    spec = read_training_spec(folder)
    entry = training_entry(spec.algorithm)
    meter = Meter()
    source = training_source(spec, meter)
    config = train_config(folder, spec)
    where = torch.device(device)
    with no_global_randomness(entry.name, spec.family):
        algorithm = entry.load("algorithm")(config, source, seed=spec.seed, device=where, capacity=capacity)
    meter.steps = algorithm.steps_elsewhere
    counters: dict[str, Any] = {
        "env_steps": meter.steps, "iterations": 0, "episodes": 0, "seconds": 0.0, "core_minutes": 0.0,
        "metrics_bytes": 0,
    }  # fmt: skip
    if checkpoint is not None:
        state, log, counters = load_checkpoint(folder / "checkpoints", checkpoint, where, algorithm.state())
        algorithm.load_state(state, log)
        meter.steps, source.episodes = counters["env_steps"], counters["episodes"]
    return Training(spec, algorithm, source, meter, dict(counters))


def open_at_budget(folder: Path, env_steps: int, device: str) -> Training:
    """The training in `folder` at the end of a budget: what a meta-test of that budget tests.

    Raises:
        UserError: the checkpoint is not there, because the training has not come so far or because it went further.
    """
    name = checkpoint_for(folder, env_steps)
    if name is not None:
        training = open_training(folder, device, int(name), name)
        if training.meter.steps + training.algorithm.steps_of_next_iteration() > env_steps:
            return training  # an earlier checkpoint stands for a smaller budget
    kept = [int(other) for other in checkpoint_names(folder / "checkpoints")]
    if max(kept, default=0) <= env_steps:
        reached = f"its newest checkpoint is at {kept[-1]}" if kept else "it has no checkpoint"
        raise UserError(f"{folder} has not been trained for {env_steps} env steps yet: {reached}; run it first")
    raise UserError(
        f"{folder}: the checkpoint of a budget of {env_steps} env steps is not there; kept are those at env steps "
        f"{', '.join(map(str, kept))}: ask for one of these budgets or milestones, or give another --out to train anew"
    )


def train(
    folder: Path, execution: Execution, status: Status, asked_to_stop: Callable[[], bool] = lambda: False
) -> None:
    """Meta-train until the budget, continuing from the newest whole checkpoint; the last state is checkpointed.

    Where there is nothing to train, the only checkpoint is that of the algorithm as it is built, at 0 steps or those
    that it was trained for elsewhere.
    `asked_to_stop` is asked after each outer iteration, before anything of it is written.

    Raises:
        Diverged: a loss or an action stopped being finite.
        UserError: the algorithm is not what it promises (`promises`).
        Stopped: it was asked to; the last state is checkpointed.
    """
    checkpoints = folder / "checkpoints"
    name, sentences = recover(folder)
    for sentence in sentences:
        status.note(sentence)
    training = open_training(folder, execution.device, execution.env_steps, name)
    _, algorithm, source, meter, counters = training
    status.follow(lambda: meter.steps, execution.env_steps)
    if name is None and math.isinf(algorithm.steps_of_next_iteration()):
        save_checkpoint(checkpoints, checkpoint_name(meter.steps), algorithm.state(), algorithm.log(), counters)
    with _metrics(folder / "metrics.jsonl", counters["metrics_bytes"], status) as metrics, ExitStack() as open_events:
        events = open_events.enter_context(event_files(folder, execution.tensorboard))
        saved_at = clock = time.monotonic()
        compute = Compute(execution.device)
        milestones = [steps for steps in execution.milestones if steps > meter.steps]
        while meter.steps + algorithm.steps_of_next_iteration() <= execution.env_steps:
            with no_global_randomness(training_entry(training.spec.algorithm).name, training.spec.family):
                row = iterated(algorithm, meter, execution.env_steps)
            stops = asked_to_stop()
            counters["iterations"] += 1
            now = time.monotonic()
            counters["seconds"], clock = counters["seconds"] + now - clock, now
            counters["core_minutes"] = total([counters.get("core_minutes"), compute.minutes()])
            counters |= {"env_steps": meter.steps, "episodes": source.episodes}
            events(_write_metrics(metrics, row, counters))
            status.training_return(row["return"])
            upcoming = meter.steps + algorithm.steps_of_next_iteration()
            reached = [steps for steps in milestones if upcoming > steps]
            milestones = milestones[len(reached) :]
            is_due = reached or now - saved_at >= execution.checkpoint_seconds or upcoming > execution.env_steps
            if is_due or stops:
                save_checkpoint(checkpoints, checkpoint_name(meter.steps), algorithm.state(), algorithm.log(), counters)
                prune_checkpoints(checkpoints, kept_checkpoints(checkpoints, execution))
                saved_at = time.monotonic()
            if stops:
                raise Stopped


def checkpoint_name(env_steps: int) -> str:
    """Checkpoints are named by the environment steps taken."""
    return f"{env_steps:012d}"


def checkpoint_for(folder: Path, env_steps: int) -> str | None:
    """The last checkpoint within a budget of `env_steps`: what a meta-test of that budget tests; None if none."""
    within = [name for name in checkpoint_names(folder / "checkpoints") if int(name) <= env_steps]
    return within[-1] if within else None


def kept_checkpoints(checkpoints: Path, execution: Execution) -> set[str]:
    """Names of the checkpoints that stand for a milestone or for the budget."""
    wanted = [*execution.milestones, execution.env_steps]
    return {name for steps in wanted if (name := checkpoint_for(checkpoints.parent, steps)) is not None}


def _metrics(path: Path, expected: int, status: Status) -> TextIO:
    """The file of metrics, open at its end, with the lines that were written by the checkpoint, `expected` bytes.

    Of a file that was cut the whole lines stay; what is no file, or a link to one, is set aside.
    """
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        status.note(f"{path.name} is no file of its own: it was set aside as {set_aside(path).name}")
    content = path.read_bytes() if path.exists() else b""
    if len(content) < expected:
        status.note(f"{path.name} was cut: the training curve has a gap, the training itself has none")
        expected = content.rfind(b"\n") + 1
    metrics = path.open("a")
    metrics.truncate(expected)
    if expected and content[expected - 1 : expected] != b"\n":  # the end of a line that was written over
        metrics.write("\n")
    return metrics


def _write_metrics(handle: Any, row: dict[str, float], counters: dict[str, Any]) -> dict[str, Any]:
    """The line of metrics of an iteration, which is on the disk when this returns."""
    place = {"env_steps": counters["env_steps"], "iteration": counters["iterations"], "seconds": counters["seconds"]}
    finite = {name: value if value == value else None for name, value in row.items()}  # JSON has no NaN
    handle.write(json.dumps(place | finite) + "\n")
    handle.flush()
    os.fsync(handle.fileno())
    counters["metrics_bytes"] = handle.tell()
    return place | finite
