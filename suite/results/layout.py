"""Where things are in a results folder, what of it is done, and whose it is; imports neither torch nor pydantic.

OUT/experiment.json, cells.json, jobs/
OUT/<training>/config.json, execution.json, status.json, ...
OUT/<training>/metatests/<run>/config.json, label.json, records.parquet, diagnostics.parquet
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from suite.errors import UserError, shortened
from suite.results.json_files import DamagedFile, read_finite, read_json
from suite.results.shapes import CELL, EXPERIMENT, METATEST, REMEDY, is_hash, read_shaped, require_shape

SET_ASIDE = ".set-aside"  # of a training folder; hidden, so that nothing below it is collected or reported


def read_grid(out: Path) -> list[dict[str, Any]]:
    """The cells of a results folder, in the order of the grid, as `cells.json` declares them.

    Raises:
        UserError: it is no results folder, or the file is damaged: every name in it is a hash, so that none leads out.
    """
    if not (out / "cells.json").exists():
        raise UserError(_no_results_folder(out))
    grid = read_json(out / "cells.json")
    if not isinstance(grid, list):
        raise DamagedFile(f"{out / 'cells.json'} is damaged (it holds no list of cells); {REMEDY}")
    for number, cell in enumerate(grid):
        require_shape(cell, CELL, out / "cells.json", f"cell {number}: ")
    return grid


def _no_results_folder(out: Path) -> str:
    """The message about a folder that holds no results."""
    if not out.exists():
        siblings = [path.parent for path in out.parent.glob("*/cells.json")] if out.parent.is_dir() else []
        hint = f"results folders beside it: {', '.join(map(str, siblings))}" if siblings else "check the path"
        return f"there is no folder {out}; {hint}"
    inside = [str(path.parent) for path in sorted(out.glob("*/cells.json"))]
    hint = f"did you mean {' or '.join(inside[:3])}?" if inside else "`offmap run EXPERIMENT` makes them."
    return f"{out} is no results folder: it has no cells.json; {hint}"


def metatest_folders(folder: Path) -> list[Path]:
    """The meta-tests of a training folder: those of early checkpoints first, so that curves grow from the left."""
    return sorted(
        _metatests(folder), key=lambda below: (read_shaped(below / "config.json", METATEST)["env_steps"], below.name)
    )


def pending(folder: Path) -> bool:
    """Whether a training folder has work left: a meta-test without records."""
    return any(not (below / "records.parquet").exists() for below in _metatests(folder))


def is_finished(folder: Path) -> bool:
    """Whether a training folder has meta-tests, and records of each."""
    metatests = list(_metatests(folder))
    return bool(metatests) and all((below / "records.parquet").exists() for below in metatests)


def _metatests(folder: Path) -> Iterator[Path]:
    return (path.parent for path in folder.glob("metatests/*/config.json") if is_hash(path.parent.name))


def refuse_foreign(name: str, out: Path) -> bool:
    """Whether `out` is the results folder of the experiment called `name` already; if not, it is new or empty.

    Raises:
        UserError: `out` belongs to another experiment, or holds other files.
    """
    marker = out / "experiment.json"
    # Looked at before the marker, which is what somebody who prepares at this moment writes first.
    entries = [path.name for path in out.iterdir()] if out.is_dir() else []
    try:
        owner = read_shaped(marker, EXPERIMENT)["name"]
    except FileNotFoundError:
        owner = None
    except (OSError, ValueError):
        if not _is_left_of_an_experiment(entries):
            raise UserError(f"{marker} cannot be read; choose another folder with --out, or delete it") from None
        owner = name  # it is written anew, and what was trained is found by its hash
    if owner == name:
        return True
    if owner is not None:
        raise UserError(
            f"{out} belongs to the experiment {shortened(owner)}, not to {name!r}; choose another folder with --out, "
            "or use the experiment's own name"
        )
    if not _is_left_of_an_experiment(entries):
        raise UserError(f"{out} holds files but no experiment; choose an empty or new folder with --out")
    return False


OURS = (
    "experiment.json",
    "cells.json",
    "results.parquet",
    "report.html",
    "jobs",
    "code",
    "plugins",
    "policies",
    "figures",
    "tables",
    "pictures",
    "tuning",
)
"""What else there is in a results folder, besides folders of trainings, locks and hidden files."""


def _is_left_of_an_experiment(entries: Iterable[str]) -> bool:
    """Whether a folder holds nothing but what offmap writes, so that it may be prepared though its marker is gone."""
    return all(name in OURS or is_hash(name) or name.startswith((".", "lock-")) for name in entries)


def refuse_altered(folder: Path) -> None:
    """Refuse a training folder that does not hold the training that its name is the hash of.

    Raises:
        UserError: its `config.json` is gone, was made by another version, or was changed since.
    """
    from suite.experiment.specs import SCHEMA_VERSION  # pydantic, which commands that only look at folders do without
    from tasks.spec import fingerprint

    path = folder / "config.json"
    try:
        config = read_finite(path)
    except FileNotFoundError:
        raise UserError(f"{folder} holds no training: it has no config.json; prepare it with `offmap run`") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; {_PREPARE_AGAIN}") from None
    version = config.get("schema_version") if isinstance(config, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} was made by another version of offmap (format {version}, this one has {SCHEMA_VERSION}); use that "
            "version, or give another --out"
        )
    refuse_other_hash(folder, fingerprint(config))


def refuse_other_hash(folder: Path, identity: str) -> None:
    """Refuse a training or meta-test folder whose name is not the hash of what its `config.json` describes.

    Raises:
        UserError: the file was changed by hand.
    """
    if identity != folder.name:
        raise UserError(
            f"{folder / 'config.json'} was changed since it was made: it describes {identity}, its folder is "
            f"{folder.name}; {_PREPARE_AGAIN}, or put the change into the experiment"
        )


_PREPARE_AGAIN = "give the `offmap run` command again, which writes it anew"
