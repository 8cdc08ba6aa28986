"""What the records of a meta-test say of themselves: split, protocol, configuration, cost and provenance of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from suite.experiment.specs import Execution, MetatestSpec
from suite.experiment.twins import gain_facts
from suite.results.json_files import read_json
from suite.run.metatest import adaptation_transitions
from suite.run.training import Training
from tasks.list_checks import remarks
from tasks.registry import get_family
from tasks.spec import TaskFamily, TaskSplit

WHOLE_TASKS = 8
"""Values a task may have for its lists to be written into the records whole."""


def describe(
    folder: Path, spec: MetatestSpec, training: Training, variant: str, execution: Execution
) -> dict[str, Any]:
    """What a records file says of itself: all that a figure or a table needs without a simulator."""
    split, family = spec.split, get_family(spec.split.family)
    scalar = family.parameter_dim == 1
    axis = family.parameters[0]
    lists = {name: split.tasks(name) for name in spec.protocol.task_lists}
    return {
        "run": spec.hash, "training": spec.training, "algorithm": spec.algorithm, "variant": variant,
        "seed": training.spec.seed, "env_steps": training.meter.steps, "budget_env_steps": execution.env_steps,
        "split": {
            "full_name": split.full_name, "hash": split.hash, "shift": split.shift, "description": split.description,
            "drawn": split.drawn, "axis": split.axis, "axis_unit": axis.unit if scalar else "",
            "train_axis_values": [row[0] for row in split.train] if scalar else None,
            "test_lists": {name: [task.values[0] for task in tasks] if scalar else len(tasks)
                           for name, tasks in lists.items()},
            "parameters": [parameter.model_dump(exclude={"description"}) for parameter in family.parameters],
            "tasks": {name: drawable([task.values for task in tasks], family)
                      for name, tasks in {"train": split.tasks("train"), **lists}.items() if tasks},
            "test_id_is_train": split.test_id_is_train, "adaptation_transitions": split.adaptation_transitions,
            "references": split.references.model_dump(), **_uncommon(split, family),
        },
        "protocol": spec.protocol.model_dump(mode="json")
        | {"adaptation_transitions": adaptation_transitions(spec)},
        "protocol_hash": spec.protocol.hash,
        "config": {"train": _of_variant(training), "adapt": spec.config}, "gain": gain_facts(spec),
        "cost": _cost(training),
        "provenance": read_json(folder / "provenance.json"),
    }  # fmt: skip


def _cost(training: Training) -> dict[str, Any]:
    """What the training took here: nothing is known of the time of one that was made elsewhere."""
    took = {} if training.algorithm.steps_elsewhere else training.counters
    return {
        "train_wall_seconds": took.get("seconds"), "train_env_steps": training.meter.steps,
        "train_core_minutes": took.get("core_minutes"),
    }  # fmt: skip


def _of_variant(training: Training) -> dict[str, Any]:
    """The training's configuration, without what belongs to its seed."""
    config = training.algorithm.config
    return {name: value for name, value in training.spec.config.items() if name not in config.of_seed}


def _uncommon(split: TaskSplit, family: TaskFamily) -> dict[str, Any]:
    """What only some splits have to say, so that the metadata of the others are what they always were."""
    said = {"remarks": remarks(split, family), "tunes": list(split.tunes)}
    role = {} if split.role == "benchmark" else {"role": split.role}
    return role | {key: value for key, value in said.items() if value}


def drawable(values: list[tuple[float, ...]], family: TaskFamily) -> Any:
    """What the picture of a task list needs: its values (task, parameter), of large tasks quartiles by parameter."""
    if family.parameter_dim <= WHOLE_TASKS:
        return values
    ends = np.cumsum([parameter.size for parameter in family.parameters])
    columns = np.split(np.array(values), ends[:-1], axis=1)
    shares = np.linspace(0, 1, 5)
    return {p.name: np.quantile(part, shares).tolist() for p, part in zip(family.parameters, columns)}
