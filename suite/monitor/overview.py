"""How far the runs of a results folder are, read from its files alone: writes nothing and imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from suite.errors import UserError
from suite.monitor.job_states import Cluster
from suite.monitor.progress import RunProgress, read_progress
from suite.results.json_files import read_json

STATES = (
    "done", "running", "requeued", "pending", "stopped", "timed out", "killed", "cancelled", "lost", "failed",
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
    """The cells of a results folder, in the order of the grid.

    Raises:
        UserError: it is no results folder.
    """
    if not (out / "cells.json").exists():
        raise UserError(no_results_folder(out))
    seen: dict[Path, RunProgress] = {}
    cluster = Cluster(out)
    cells = []
    for cell in read_json(out / "cells.json"):
        named = (cell["variant"], cell["split"], cell["seed"], cell["run"])
        if cell["training"] is None:
            cells.append(CellState(*named, None, "unsupported", cell["reason"], None))
            continue
        folder = out / cell["training"]
        progress = seen.get(folder) or seen.setdefault(folder, read_progress(folder, cluster))
        if (folder / "metatests" / cell["run"] / "records.parquet").exists():
            cells.append(CellState(*named, folder, "done", None, progress))
        else:  # a training that is done for some cells has a new one to test
            state = "pending" if progress.state == "done" else progress.state
            cells.append(CellState(*named, folder, state, progress.message or None, progress))
    return cells


def labels(cells: list[CellState]) -> dict[Path, str]:
    """A name for each training folder: the variants and splits that share it, and its seed."""
    named: dict[Path, str] = {}
    for folder in dict.fromkeys(cell.folder for cell in cells if cell.folder is not None):
        mine = [cell for cell in cells if cell.folder == folder]
        variants, splits = (", ".join(dict.fromkeys(names)) for names in zip(*((c.variant, c.split) for c in mine)))
        named[folder] = f"{variants} · {splits} · seed {mine[0].seed}"
    return named


def describe(cell: CellState) -> dict[str, Any]:
    """A cell as JSON."""
    fields = cell._asdict() | {"folder": None if cell.folder is None else str(cell.folder)}
    progress = fields.pop("progress")
    details = ("stage", "fraction", "env_steps", "budget", "steps_per_second", "value", "remaining_seconds")
    known = {name: None if progress is None else getattr(progress, name) for name in details}
    if cell.state != "running":
        known |= dict.fromkeys(("fraction", "steps_per_second", "remaining_seconds"))
    known["return"] = known.pop("value")
    return fields | known


def no_results_folder(out: Path) -> str:
    """What to say of a folder that holds no results."""
    if not out.exists():
        siblings = [path.parent for path in out.parent.glob("*/cells.json")] if out.parent.is_dir() else []
        hint = f"results folders beside it: {', '.join(map(str, siblings))}" if siblings else "check the path"
        return f"there is no folder {out}; {hint}"
    inside = [str(path.parent) for path in sorted(out.glob("*/cells.json"))]
    hint = f"did you mean {' or '.join(inside[:3])}?" if inside else "`offmap run EXPERIMENT` makes them."
    return f"{out} is no results folder: it has no cells.json; {hint}"
