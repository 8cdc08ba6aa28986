"""How far the runs of a results folder are, read from its files alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from suite.monitor.job_states import Cluster
from suite.monitor.progress import RunProgress, read_progress
from suite.results.json_files import write_json
from suite.results.layout import read_grid

STATES = (
    "done", "running", "requeued", "pending", "held", "stopped", "timed out", "killed", "cancelled", "lost", "failed",
    "unknown", "unsupported",
)  # fmt: skip


class CellState(NamedTuple):
    """One cell of an experiment's grid and how far its run is; `folder` is its training's, None if unsupported."""

    variant: str
    split: str
    seed: int
    run: str | None
    folder: Path | None
    state: str  # one of STATES
    reason: str | None
    progress: RunProgress | None


def read_cells(out: Path) -> list[CellState]:
    """The cells of a results folder as they are now, in the order of the grid. Writes nothing.

    Raises:
        UserError: it is no results folder.
    """
    return _states(out, read_grid(out))


def refresh_cells(out: Path) -> list[CellState]:
    """The cells as they are now, after their states were written into `cells.json`, where a report reads them.

    Raises:
        UserError: it is no results folder.
    """
    grid = read_grid(out)
    cells = _states(out, grid)
    for declared, cell in zip(grid, cells):
        declared["status"], declared["reason"] = cell.state, cell.reason
    write_json(out / "cells.json", grid)
    return cells


def _states(out: Path, grid: Iterable[Mapping[str, Any]]) -> list[CellState]:
    """How far each cell of a grid is that was declared in `out`."""
    by_folder: dict[Path, RunProgress] = {}  # cells that share a training share its progress
    cluster = Cluster(out)
    cells = []
    for cell in grid:
        named = (cell["variant"], cell["split"], cell["seed"], cell["run"])
        if cell["training"] is None:
            cells.append(CellState(*named, None, "unsupported", cell["reason"], None))
            continue
        folder = out / cell["training"]
        progress = by_folder.get(folder) or by_folder.setdefault(folder, read_progress(folder, cluster))
        if (folder / "metatests" / cell["run"] / "records.parquet").exists():
            cells.append(CellState(*named, folder, "done", None, progress))
        else:  # a training that is done for some cells has a new one to test
            state = "pending" if progress.state == "done" else progress.state
            cells.append(CellState(*named, folder, state, progress.message or None, progress))
    return cells


def labels(out: Path) -> dict[Path, str]:
    """A name for each training folder of a results folder: the variants and splits that share it, and its seed.

    Raises:
        UserError: it is no results folder.
    """
    sharing: dict[str, list[dict[str, Any]]] = {}
    for cell in read_grid(out):
        if cell["training"] is not None:
            sharing.setdefault(cell["training"], []).append(cell)
    named: dict[Path, str] = {}
    for training, cells in sharing.items():
        variants, splits = (", ".join(dict.fromkeys(cell[key] for cell in cells)) for key in ("variant", "split"))
        named[out / training] = f"{variants} · {splits} · seed {cells[0]['seed']}"
    return named


def describe(cell: CellState) -> dict[str, Any]:
    """A cell as JSON."""
    fields = cell._asdict() | {"folder": None if cell.folder is None else str(cell.folder)}
    progress = fields.pop("progress")
    details = ("stage", "fraction", "env_steps", "budget", "steps_per_second", "value", "remaining_seconds")
    values = {name: None if progress is None else getattr(progress, name) for name in details}
    if cell.state != "running":
        values |= dict.fromkeys(("fraction", "steps_per_second", "remaining_seconds"))
    values["return"] = values.pop("value")
    return fields | values
