"""All work of one training folder, in one process: `python -P -m suite.worker FOLDER`.

Reads everything it needs from the folder, continues from the newest whole checkpoint, runs the meta-tests that have
no records yet, and leaves with 0 when done, 1 when failed; `status.json` tells what happened.
"""

from __future__ import annotations

import shlex
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from algorithms.base import Diverged
from suite.collect_results import metrics_table
from suite.errors import UserError
from suite.executor import end_with_parent
from suite.files import read_json, write_json
from suite.grid import metatest_folders
from suite.metatest import adaptation_transitions, run_metatest
from suite.provenance import provenance
from suite.specs import Execution, MetatestSpec
from suite.status import Status
from suite.storage import owned
from suite.training import Training, checkpoint_for, open_training, train
from tasks.registry import get_family


def main(arguments: list[str]) -> int:
    """Exit status of the work on one folder."""
    end_with_parent()
    (folder,) = map(Path, arguments)
    torch.set_num_threads(1)
    try:
        with owned(folder), Status(folder) as status:
            return _work(folder, status)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _work(folder: Path, status: Status) -> int:
    try:
        execution = Execution.model_validate(read_json(folder / "execution.json"))
        write_json(folder / "provenance.json", provenance(shlex.join(sys.argv), execution.device))
        train(folder, execution, status)
        run_metatests(folder, execution, status)
    except Diverged as error:
        status.write(state="failed", message=f"diverged: {error}, near env step {status.env_steps}")
        return 1
    except Exception as error:
        traceback.print_exc()
        status.write(state="failed", message=f"{type(error).__name__}: {error}")
        return 1
    status.write(state="done", stage="done")
    return 0


def run_metatests(folder: Path, execution: Execution, status: Status) -> None:
    """Every meta-test of the folder that has no records yet, then the training's metrics as a table.

    Raises:
        UserError: no checkpoint lies within a meta-test's budget.
    """
    held: tuple[str, Training] | None = None
    for below in metatest_folders(folder):
        if (below / "records.parquet").exists():
            continue
        spec = MetatestSpec.model_validate(read_json(below / "config.json"))
        variant = read_json(below / "label.json")["variant"]
        name = checkpoint_for(folder, spec.env_steps)
        if name is None:
            raise UserError(f"{folder} has no checkpoint within {spec.env_steps} env steps; run the training first")
        if held is None or held[0] != name:
            held = (name, open_training(folder, execution.device, int(name), name))
        started = time.monotonic()

        def report(fraction: float, label: str = f"{variant} on {spec.split.name}", since: float = started) -> None:
            seconds = time.monotonic() - since
            status.write(
                stage="meta-test", metatest=label, fraction=fraction,
                remaining_seconds=seconds / fraction - seconds if fraction else None,
            )  # fmt: skip

        report(0.0)
        metadata = describe(folder, spec, held[1], variant, execution)
        run_metatest(below, spec, held[1], metadata, report)
    metrics_table(folder)


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
            "test_id_is_train": split.test_id_is_train, "adaptation_transitions": split.adaptation_transitions,
            "references": split.references.model_dump(),
        },
        "protocol": spec.protocol.model_dump(mode="json")
        | {"adaptation_transitions": adaptation_transitions(spec)},
        "protocol_hash": spec.protocol.hash,
        "config": {"train": training.spec.config, "adapt": spec.config},
        "cost": {"train_wall_seconds": training.counters["seconds"], "train_env_steps": training.meter.steps},
        "provenance": read_json(folder / "provenance.json"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
