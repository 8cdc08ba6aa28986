"""The meta-test stage: adapt an agent to every test task under the protocol, and write what happened as records.

The suite collects the adaptation data itself, exactly as much as declared, caps the updates, and evaluates on forks
that are thrown away, so no algorithm can see more of a task than another, and evaluation never feeds adaptation. The
one exception is declared where algorithms are registered: a privileged reference is told the true parameters.
Episodes are seeded by training, list, task and number, never by the algorithm's name: MIER and MIER-wR are paired.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algorithms.base import Adaptation, Agent
from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment.specs import EvaluationProtocol, MetatestSpec
from suite.results.json_files import set_aside
from suite.results.records import DIAGNOSTICS_SCHEMA, SCHEMA, RecordsError, in_schema, read_table, write_table
from suite.results.shapes import is_number
from suite.run.agents import agent_of
from suite.run.compute import Compute, total
from suite.run.promises import no_global_randomness, require_point
from suite.run.rollout import ADAPTATION, EVALUATION, Meter, Watch, collect
from suite.run.training import Training
from tasks.registry import get_family, make_batch
from tasks.spec import EpisodeBatch, Task, TaskFamily

Row = dict[str, Any]

KINDS = {"diagnostics": DIAGNOSTICS_SCHEMA, "records": SCHEMA}
"""Of the files that a meta-test writes: records last, with which it is done."""

COST = ("seconds", "adaptation", "evaluation")
"""What is kept of every batch of tasks: wall seconds, and simulator steps of both streams."""


class Trial(NamedTuple):
    """A batch of test tasks of one list that are adapted to side by side."""

    family: TaskFamily
    list_name: str
    tasks: tuple[Task, ...]
    training_hash: str
    revealed: bool = False  # whether the agent is told the true parameters

    def generator(self, stream: int, task: int, episode: int) -> np.random.Generator:
        """The noise of an episode in the task at position `task` of this trial."""
        words = [int(self.training_hash, 16), zlib.crc32(self.list_name.encode()), self.tasks[task].index, episode]
        return np.random.default_rng([stream, *words])

    @property
    def agent_seed(self) -> int:
        """Seeds the agent's own draws, the same for every algorithm."""
        return int(self.training_hash, 16) % 2**31 + 1000 * zlib.crc32(self.list_name.encode()) + self.tasks[0].index

    @property
    def values(self) -> np.ndarray:
        """(task, parameter)."""
        return np.array([task.values for task in self.tasks])


class Meters(NamedTuple):
    """Simulator steps of a meta-test, adaptation apart from evaluation."""

    adaptation: Meter
    evaluation: Meter


def run_metatest(
    folder: Path, spec: MetatestSpec, training: Training, metadata: dict[str, Any], report: Callable[[float], None]
) -> None:
    """Write `records.parquet` and `diagnostics.parquet` in `folder`; batches of tasks done earlier are kept.

    `report` is called with the finished fraction.
    """
    family = get_family(spec.split.family)
    trials = list(trials_of(spec, family))
    parts = folder / "parts"
    if os.path.lexists(parts) and (parts.is_symlink() or not parts.is_dir()):
        set_aside(parts)
    parts.mkdir(parents=True, exist_ok=True)
    names = [f"{trial.list_name}-{trial.tasks[0].index:06d}" for trial in trials]
    for number, (name, trial) in enumerate(zip(names, trials)):
        if not _is_whole(parts, name):
            with no_global_randomness(spec.algorithm, family.name):
                agent = agent_of(training, spec, trial.agent_seed)
                started, meters = time.monotonic(), Meters(Meter(), Meter())
                compute = Compute(str(training.algorithm.device))
                rows, diagnostics = run_trial(trial, agent, spec.protocol, adaptation_transitions(spec), meters)
            cost = {
                "seconds": time.monotonic() - started, "core_minutes": compute.minutes(),
                "adaptation": meters.adaptation.steps, "evaluation": meters.evaluation.steps,
            }  # fmt: skip
            fixed = _fixed_columns(spec, training, metadata)
            for (kind, schema), made in zip(KINDS.items(), (diagnostics, rows)):
                write_table(parts / f"{name}.{kind}.parquet", _with(fixed, made, schema), schema, {"cost": cost})
        report((number + 1) / len(trials))
    _merge(folder, parts, sorted(names), metadata)


def _is_whole(parts: Path, name: str) -> bool:
    """Whether a batch of tasks is done and its files hold what they should."""
    try:
        for kind, schema in KINDS.items():
            path = parts / f"{name}.{kind}.parquet"
            table, metadata = read_table(path)
            in_schema(table, schema, path)
            cost = metadata.get("cost")
            if not isinstance(cost, dict) or not all(is_number(cost.get(part)) for part in COST):
                return False
    except RecordsError:
        return False
    return True


def trials_of(spec: MetatestSpec, family: TaskFamily) -> Iterator[Trial]:
    """The lists of the protocol in batches of tasks."""
    at_once = spec.protocol.tasks_at_once
    for list_name in spec.protocol.task_lists:
        tasks = spec.split.tasks(list_name)[: spec.protocol.max_tasks]
        for start in range(0, len(tasks), at_once):
            yield trial_of(spec, family, list_name, tasks[start : start + at_once])


def trial_of(spec: MetatestSpec, family: TaskFamily, list_name: str, tasks: tuple[Task, ...]) -> Trial:
    """A trial in some tasks of a list; only an algorithm registered as privileged is told their parameters."""
    return Trial(family, list_name, tasks, spec.training, get_algorithm(spec.algorithm).privileged)


def adaptation_transitions(spec: MetatestSpec) -> int:
    """The adaptation budget per task: the protocol's, or what the split declares."""
    return spec.protocol.adaptation_transitions or spec.split.adaptation_transitions


def run_trial(
    trial: Trial, agent: Agent, protocol: EvaluationProtocol, transitions: int, meters: Meters
) -> tuple[list[Row], list[Row]]:
    """Rows of records and of diagnostics of one trial: before, collect, during, after."""
    evaluate = _Evaluator(trial, protocol.evaluation_episodes, meters.evaluation)
    agent.begin(len(trial.tasks))
    if trial.revealed:
        agent.reveal(trial.values)
    rows = evaluate(agent, "before", 0, 0)
    rows += _collect_adaptation(trial, agent, transitions, meters.adaptation)
    diagnostics: list[Row] = []
    last: list[Row] = []
    for given in agent.adapt(protocol.evaluate_every, protocol.max_updates):
        point = require_point(given, agent, len(trial.tasks))
        _check_cap(point, protocol)
        rows += last
        last = evaluate(agent, "during", point.updates, transitions)
        diagnostics += _diagnostic_rows(trial, point)
    if not last:
        raise UserError(
            f"{type(agent).__name__}.adapt gave no point of the adaptation; it has to yield an Adaptation at least "
            "once, after the last update, or with 0 updates where there is nothing to adapt"
        )
    return rows + [row | {"phase": "after"} for row in last], diagnostics


class _Evaluator:
    """Deterministic episodes on throw-away forks; episode n of a task has the same noise at every evaluation."""

    def __init__(self, trial: Trial, episodes: int, meter: Meter) -> None:
        self.trial = trial
        self.episodes = episodes
        self.meter = meter
        self.environment = make_batch(trial.family, len(trial.tasks) * episodes)
        self.environment.set_tasks(np.repeat(trial.values, episodes, axis=0))

    def __call__(self, agent: Agent, phase: str, update: int, transitions: int) -> list[Row]:
        """One row per task and episode."""
        fork = agent.fork(self.episodes)
        watch = Watch(after_step=fork.observe) if agent.adapts_online else Watch()
        batch = collect(
            self.environment, lambda observations: fork.act(observations, explore=False),
            lambda row, _: self.trial.generator(EVALUATION, row // self.episodes, row % self.episodes),
            self.meter, transitions=None, watch=watch,
        )  # fmt: skip
        place = {"phase": phase, "update": update, "transitions": transitions}
        tasks = batch.rows // self.episodes
        return _episode_rows(
            self.trial, batch, tasks, batch.rows % self.episodes, place, cut=np.zeros(len(tasks), bool)
        )


def _collect_adaptation(trial: Trial, agent: Agent, transitions: int, meter: Meter) -> list[Row]:
    """Exactly `transitions` steps of the exploring policy in every task, fed to the agent."""
    environment = make_batch(trial.family, len(trial.tasks))
    environment.set_tasks(trial.values)
    batch = collect(
        environment, lambda observations: agent.act(observations, explore=True),
        lambda row, number: trial.generator(ADAPTATION, row, number), meter, transitions=transitions,
        watch=Watch(after_step=agent.observe),
    )  # fmt: skip
    numbers = np.zeros(len(batch.rows), np.int64)
    for task in range(len(trial.tasks)):
        numbers[batch.rows == task] = np.arange((batch.rows == task).sum())
    cut = ~batch.terminated & (batch.lengths < trial.family.horizon)
    return _episode_rows(trial, batch, batch.rows, numbers, {"phase": "collect", "update": 0}, cut)


def _episode_rows(
    trial: Trial, batch: EpisodeBatch, tasks: np.ndarray, episodes: np.ndarray, place: Row, cut: np.ndarray
) -> list[Row]:
    """One row per episode of a batch, (episode,): its task's and its own number, and `place` in the protocol."""
    rows = []
    seen = np.zeros(len(trial.tasks), np.int64)
    for index, (task, episode) in enumerate(zip(tasks, episodes)):
        length = int(batch.lengths[index])
        seen[task] += length
        rows.append({
            "task_list": trial.list_name, "task": trial.tasks[task].index,
            "parameter": trial.tasks[task].values[0] if len(trial.tasks[task].values) == 1 else float("nan"),
            "transitions": int(seen[task]), "episode": int(episode),
            "return": float(batch.rewards[index, :length].sum(dtype=np.float64)), "length": length,
            "terminated": bool(batch.terminated[index]), "cut": bool(cut[index]), **place,
        })  # fmt: skip
    return rows


def _diagnostic_rows(trial: Trial, point: Adaptation) -> list[Row]:
    return [
        {"task_list": trial.list_name, "task": task.index, "update": point.updates, "name": name, "value": float(value)}
        for name, values in point.diagnostics.items()
        for task, value in zip(trial.tasks, values)
    ]


def _check_cap(point: Adaptation, protocol: EvaluationProtocol) -> None:
    if protocol.max_updates is not None and point.updates > protocol.max_updates:
        raise RuntimeError(
            f"the agent made {point.updates} adaptation updates, the protocol allows {protocol.max_updates}"
        )


def _fixed_columns(spec: MetatestSpec, training: Training, metadata: dict[str, Any]) -> Row:
    """The columns that are the same in every row of a run."""
    return {
        "run": spec.hash, "training": spec.training, "algorithm": spec.algorithm, "variant": metadata["variant"],
        "family": spec.split.family, "split": spec.split.full_name, "split_hash": spec.split.hash,
        "protocol_hash": spec.protocol.hash, "seed": training.spec.seed, "env_steps": training.meter.steps,
        "is_final": spec.is_final,
    }  # fmt: skip


def _with(fixed: Row, rows: list[Row], schema: Any) -> list[Row]:
    kept = {name: value for name, value in fixed.items() if name in schema.names}
    return [kept | row for row in rows]


def _merge(folder: Path, parts: Path, names: Sequence[str], metadata: dict[str, Any]) -> None:
    """One file per table from the parts of these names, in their order; then those are removed, and no other file."""
    for kind, schema in KINDS.items():
        tables = [read_table(parts / f"{name}.{kind}.parquet") for name in names]
        rows = [row for table, _ in tables for row in table.to_pylist()]
        costs = [described["cost"] for _, described in tables]
        cost = metadata.get("cost", {}) | {
            "metatest_wall_seconds": sum(part["seconds"] for part in costs),
            "metatest_core_minutes": total([part.get("core_minutes") for part in costs]),
            "adaptation_env_steps": sum(part["adaptation"] for part in costs),
            "evaluation_env_steps": sum(part["evaluation"] for part in costs),
        }
        write_table(folder / f"{kind}.parquet", rows, schema, metadata | {"cost": cost})
    for name in names:
        for kind in KINDS:
            (parts / f"{name}.{kind}.parquet").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files stay
        parts.rmdir()
