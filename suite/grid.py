"""The folders of an experiment: one per training, its meta-tests below it, all prepared before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.experiment import Cell, Experiment, expand
from suite.files import read_json, write_json
from suite.overview import read_cells
from tasks.spec import fingerprint


def prepare(experiment: Experiment, out: Path) -> list[Path]:
    """Write every training folder of an experiment; returns them, in the order of the grid.

    A folder holds `config.json` (training), `execution.json`, and `metatests/<hash>/config.json` and `label.json`.
    Preparing again adds what is new, extends budgets, and touches nothing that is done.

    Raises:
        UserError: `out` belongs to another experiment or cannot be written, or the experiment is not valid.
    """
    cells = expand(experiment)
    identity = {"name": experiment.name, "experiment": experiment.model_dump(mode="json")}
    refuse_foreign(experiment, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made: {error.strerror}; choose another folder with --out") from None
    write_json(out / "experiment.json", identity)
    folders: dict[Path, None] = {}
    for cell in cells:
        if cell.training is not None:
            folders[_prepare_cell(out, cell)] = None
    write_json(out / "cells.json", [_declared(cell) for cell in cells])
    return list(folders)


def refuse_foreign(experiment: Experiment, out: Path) -> None:
    """Nothing, if `out` can hold the results of an experiment: it is new, empty, or its own.

    Raises:
        UserError: `out` belongs to another experiment, or holds other files.
    """
    marker = out / "experiment.json"
    if marker.exists() and read_json(marker).get("name") != experiment.name:
        raise UserError(
            f"{out} belongs to the experiment {read_json(marker).get('name')!r}, not to {experiment.name!r}; "
            f"choose another folder with --out, or use the experiment's own name"
        )
    if out.is_dir() and not marker.exists() and any(out.iterdir()):
        raise UserError(f"{out} holds files but no experiment; choose an empty or new folder with --out")


def _prepare_cell(out: Path, cell: Cell) -> Path:
    folder = out / cell.training.hash
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", cell.training.model_dump(mode="json"))
    execution = cell.execution
    known = folder / "execution.json"
    if known.exists():  # cells that share a training need all of their milestones
        before = read_json(known)
        milestones = sorted({*execution.milestones, *before["milestones"]})
        execution = execution.model_copy(update={"milestones": tuple(milestones)})
    write_json(known, execution.model_dump(mode="json"))
    for metatest in cell.metatests:
        below = folder / "metatests" / metatest.hash
        below.mkdir(parents=True, exist_ok=True)
        write_json(below / "config.json", metatest.model_dump(mode="json"))
        write_json(below / "label.json", {"variant": cell.variant})
    return folder


def _declared(cell: Cell) -> dict[str, Any]:
    """A cell as reports read it: what was declared, and the folder that tells how far it is."""
    return {
        "variant": cell.variant, "algorithm": cell.algorithm, "split": cell.split.full_name, "seed": cell.seed,
        "run": cell.metatests[-1].hash if cell.metatests else None,
        "training": cell.training.hash if cell.training else None,
        "status": "unsupported" if cell.reason else "pending", "reason": cell.reason,
    }  # fmt: skip


def metatest_folders(folder: Path) -> list[Path]:
    """The meta-tests of a training folder: those of early checkpoints first, so that curves grow from the left."""
    found = [path.parent for path in folder.glob("metatests/*/config.json")]
    return sorted(found, key=lambda path: (read_json(path / "config.json")["env_steps"], path.name))


def pending(folder: Path) -> bool:
    """Whether a training folder has work left: a meta-test without records."""
    return any(not (below / "records.parquet").exists() for below in metatest_folders(folder))


def refresh_cells(out: Path) -> list[dict[str, Any]]:
    """`cells.json` with every cell's status as it is now: done, running, pending, killed, failed or unsupported."""
    cells = read_json(out / "cells.json")
    for cell, found in zip(cells, read_cells(out)):
        cell["status"], cell["reason"] = found.state, found.reason
    write_json(out / "cells.json", cells)
    return cells


def experiment_hash(experiment: Experiment) -> str:
    """Identity of a whole experiment file, for the report."""
    return fingerprint(experiment.model_dump(mode="json"))
