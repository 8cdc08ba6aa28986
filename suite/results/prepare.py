"""From an experiment to its folders: one per training, its meta-tests below it, all made before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from algorithms.registry import SCORED
from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import Cell, expand
from suite.experiment.plugins import kept, plugins_of
from suite.results import reference
from suite.results.jobs import changing
from suite.results.json_files import keep_json, write_json
from suite.results.layout import SET_ASIDE, metatest_folders, read_grid, refuse_foreign
from suite.results.lock import owned
from suite.results.records import DIAGNOSTICS_SCHEMA, SCHEMA, RecordsError, read_table, write_table
from suite.results.shapes import EXECUTION, LABEL, METATEST, read_shaped


def prepare(experiment: Experiment, out: Path) -> list[Path]:
    """Write every training folder of an experiment; returns them, in the order of the grid.

    A folder holds `config.json` (training), `execution.json`, and `metatests/<hash>/config.json` and `label.json`.
    Preparing again adds what is new, extends budgets, and repeats nothing that is done. Meta-tests that the grid no
    longer asks for, such as those of a protocol since changed, move to `.set-aside`, and come back when it does.

    Raises:
        UserError: `out` belongs to another experiment or cannot be written, a run that has to change is being worked
            on, somebody else takes a minute or more to change the folder, or the experiment is not valid.
    """
    cells = expand(experiment)
    refuse_incomparable(experiment, cells)
    identity = {"name": experiment.name, "experiment": experiment.model_dump(mode="json")}
    is_prepared = refuse_foreign(experiment.name, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made: {error.strerror}; choose another folder with --out") from None
    trainings: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.training is not None:
            trainings.setdefault(cell.training.hash, []).append(cell)
    with changing(out):  # two who prepare the same at once would write into each other's scratch files
        if not is_prepared:  # it was new: somebody may have prepared another experiment in it since
            refuse_foreign(experiment.name, out)
        write_json(out / "experiment.json", identity)
        folders = [_prepare_training(out / name, sharing, out) for name, sharing in trainings.items()]
        rows = declared_cells(cells)
        write_json(out / "cells.json", rows + _without(_scored_rows(out), rows))
    return folders


def add_scored(cells: Sequence[Cell], out: Path, declared: Mapping[str, Any]) -> list[Path]:
    """Write the training folders of policies from elsewhere beside what a results folder holds; returns them.

    `declared` is what `experiment.json` holds where no experiment has prepared the folder.

    Raises:
        UserError: a row of another algorithm has the name of one of these already, or `out` holds other files.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made: {error.strerror}; choose another folder with --out") from None
    with changing(out):
        if not (out / "experiment.json").exists():
            refuse_foreign(str(declared["name"]), out)
            write_json(out / "experiment.json", {"name": declared["name"], "experiment": dict(declared)})
        grid = read_grid(out) if (out / "cells.json").exists() else []
        for row in grid:
            if row["variant"] == cells[0].variant and row["algorithm"] not in SCORED:
                raise UserError(
                    f"{out} has a row {row['variant']!r} of the algorithm {row['algorithm']}; give the policy another "
                    "--name"
                )
        rows = declared_cells(cells)
        folders = [_prepare_training(out / cell.training.hash, [cell], out) for cell in cells if cell.training]
        write_json(out / "cells.json", _without(grid, rows) + rows)
    return folders


def _without(grid: Iterable[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a grid that are no cells of others."""
    places = {(row["variant"], row["split"], row["seed"]) for row in rows}
    return [row for row in grid if (row["variant"], row["split"], row["seed"]) not in places]


def _scored_rows(out: Path) -> list[dict[str, Any]]:
    """The rows of `cells.json` that are of policies from elsewhere, which no experiment declares."""
    try:
        return [row for row in read_grid(out) if row["algorithm"] in SCORED]
    except UserError:  # there is none yet, or none that can be read
        return []


def refuse_incomparable(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """Refuse an experiment that is to stand beside a shipped table and could not.

    Raises:
        UserError: there is no such table, none of the splits is in it, or something is measured otherwise there.
    """
    if experiment.against is None:
        return
    here = {cell.split.full_name: cell.metatests[-1] for cell in cells if cell.metatests}
    reference.refuse_incomparable(experiment.against, here)


def _prepare_training(folder: Path, cells: list[Cell], out: Path) -> Path:
    """Write the folder of a training in `out` that all of `cells` share."""
    training, execution = cells[0].training, cells[0].execution
    assert training is not None
    assert execution is not None
    folder.mkdir(exist_ok=True)
    _set_aside(folder, cells)
    keep_json(folder / "config.json", training.model_dump(mode="json"))
    path = folder / "execution.json"
    if path.exists():  # checkpoints that were kept for a meta-test stay kept, those of a smaller budget too
        before = read_shaped(path, EXECUTION)
        milestones = sorted({*execution.milestones, *before["milestones"], before["env_steps"]} - {execution.env_steps})
        execution = execution.model_copy(update={"milestones": tuple(milestones)})
    plugins = plugins_of([cell.algorithm for cell in cells], cells[0].split.family)
    execution = execution.model_copy(update={"plugins": (*execution.plugins, *kept(plugins, out))})
    keep_json(path, execution.model_dump(mode="json"))
    for cell in cells:
        for metatest in cell.metatests:
            below = folder / "metatests" / metatest.hash
            if (folder / SET_ASIDE / metatest.hash).exists():
                below.parent.mkdir(exist_ok=True)
                (folder / SET_ASIDE / metatest.hash).rename(below)
            below.mkdir(parents=True, exist_ok=True)
            keep_json(below / "config.json", metatest.model_dump(mode="json"))
            keep_json(below / "label.json", {"variant": cell.variant, "values": cell.values})
            relabel(below, cell.variant, metatest.is_final, cell.metatests[-1].env_steps, cell.values)
    return folder


def _set_aside(folder: Path, cells: list[Cell]) -> None:
    """Move away the meta-tests that `cells` do not ask for, if unfinished or if they ask for another in its place."""
    runs = {metatest.hash for cell in cells for metatest in cell.metatests}
    places = {(cell.variant, cell.split.full_name) for cell in cells}
    for below in metatest_folders(folder):
        if below.name in runs:
            continue
        split = read_shaped(below / "config.json", METATEST)["split"]
        place = (read_shaped(below / "label.json", LABEL)["variant"], f"{split['family']}.{split['name']}")
        if place in places or not (below / "records.parquet").exists():
            with owned(folder):
                (folder / SET_ASIDE).mkdir(exist_ok=True)
                below.rename(folder / SET_ASIDE / below.name)


def set_trainings_aside(out: Path, names: Iterable[str]) -> list[Path]:
    """Move trainings away, with all their meta-tests, so that they are made again; where they are now, in `.set-aside`.

    Raises:
        UserError: somebody works on one of them.
    """
    moved = []
    with changing(out):
        for name in names:
            number = 1 + len(list((out / SET_ASIDE).glob(f"{name}-*")))
            target = out / SET_ASIDE / f"{name}-{number}"
            target.parent.mkdir(exist_ok=True)
            with owned(out / name):
                (out / name).rename(target)
            moved.append(target)
    return moved


def relabel(below: Path, variant: str, is_final: bool, budget: int, values: str) -> None:
    """Bring the records of a finished meta-test up to what the grid calls it now; the rows' numbers stay."""
    for kind, schema in (("diagnostics", DIAGNOSTICS_SCHEMA), ("records", SCHEMA)):
        path = below / f"{kind}.parquet"
        if not path.exists():
            continue
        try:
            table, metadata = read_table(path)
        except RecordsError:  # whoever collects it says so
            continue
        renamed = table
        for name, value in (("variant", variant), ("is_final", is_final)):
            if name in schema.names:
                column = pa.array([value] * len(table), schema.field(name).type)
                renamed = renamed.set_column(schema.get_field_index(name), schema.field(name), column)
        described = metadata | {"variant": variant, "budget_env_steps": budget, "values": values}
        if described != metadata or not renamed.equals(table):
            write_table(path, renamed.to_pylist(), schema, described)


def declared_cells(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Cells as `cells.json` holds them: what was declared, and the folder that tells how far each is."""
    return [
        {
            "variant": cell.variant, "algorithm": cell.algorithm, "split": cell.split.full_name, "seed": cell.seed,
            "run": cell.metatests[-1].hash if cell.metatests else None,
            "training": cell.training.hash if cell.training else None,
            "status": "unsupported" if cell.reason else "pending", "reason": cell.reason,
        }
        for cell in cells
    ]  # fmt: skip
