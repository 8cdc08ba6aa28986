"""Runs by the names that people give them: the hash of a training or of a meta-test, its beginning, or a variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suite.errors import UserError, nearest
from suite.results.layout import read_grid


def training_folders(out: Path, names: Sequence[str] = ()) -> list[Path]:
    """The training folders of a results folder that `names` stand for, all of them for none, in the grid's order.

    Raises:
        UserError: it is no results folder, or a name stands for nothing in it.
    """
    cells = [cell for cell in read_grid(out) if cell["training"] is not None]
    chosen = {cell["training"] for cell in cells} if not names else set()
    for name in names:
        meant = {cell["training"] for cell in cells if _is_meant(name, cell)}
        if not meant:
            known = dict.fromkeys(text for cell in cells for text in (cell["variant"], cell["training"], cell["run"]))
            raise UserError(f"{out} has no run {name!r}; give a variant or the hash of a run: {nearest(name, known)}")
        chosen |= meant
    return [out / name for name in dict.fromkeys(cell["training"] for cell in cells) if name in chosen]


def training_folder(out: Path, name: str) -> Path:
    """The one training folder that `name` stands for.

    Raises:
        UserError: it stands for none, or for several.
    """
    folders = training_folders(out, [name])
    if len(folders) > 1:
        raise UserError(
            f"{name!r} stands for {len(folders)} runs; give the hash of one: {', '.join(f.name for f in folders)}"
        )
    return folders[0]


def _is_meant(name: str, cell: dict[str, str]) -> bool:
    hashes = (cell["training"], cell["run"])
    return name == cell["variant"] or (len(name) >= 4 and any(text.startswith(name) for text in hashes))
