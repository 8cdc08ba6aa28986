"""The files of results folders, which may be those of others: nothing outside of the folders is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from reports.reading.metadata import printable
from reports.results import Problem
from suite.results.records import RecordsError


def checked_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read.
        RecordsError: there are more than `most` of them.
    """
    if path.stat().st_size > most:
        raise RecordsError(f"is longer than {most} bytes")
    return path.read_bytes()


def files(roots: Sequence[Path], name: str, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """Paths of all files of a name (or pattern) below the roots, with their labels; hidden folders are skipped.

    Links that lead out of a root, and what is no plain file, become problems.
    """
    for root, root_name in zip(roots, root_names(roots)):
        inside_of = root.resolve()
        for path in sorted(root.rglob(name)):
            inside = path.relative_to(root)
            if any(part.startswith(".") for part in inside.parts):
                continue
            label = printable(str(inside) if len(roots) == 1 else f"{root_name}/{inside}", None)
            if not path.resolve().is_relative_to(inside_of):
                problems.append(Problem(label, "is a link that leads out of the folder"))
            elif not path.is_file():
                problems.append(Problem(label, "is no plain file"))
            else:
                yield path, label


def root_names(roots: Sequence[Path]) -> list[str]:
    """What each root is called: its name, or as much of its path as sets it apart from another of the same name."""
    parts = [root.resolve().parts for root in roots]
    depth = 1
    while depth < max(map(len, parts), default=0) and len({own[-depth:] for own in parts}) < len(set(parts)):
        depth += 1
    return [printable("/".join(own[-depth:]), None) for own in parts]


def experiment_folder(label: str, grids: Collection[str], roots: Sequence[Path]) -> str:
    """The folder of the experiment that a file is of: that of the nearest grid above it; empty where there is none.

    Args:
        label: Of the file, as `files` gives it.
        grids: The folders that hold a grid, by their labels.
        roots: The folders that are read.
    """
    nearest = next((str(parent) for parent in PurePosixPath(label).parents if str(parent) in grids), "")
    return root_names(roots)[0] if nearest == "." else nearest


def file_name(text: str) -> str:
    """A label as part of a file name; one that had to be changed gets a few digits of its hash to stay distinct."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
