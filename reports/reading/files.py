"""Finding files in results folders of others: nothing outside of them is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from reports.reading.comparability import Problem
from reports.reading.metadata import printable
from suite.results.records import RecordsError


def checked_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read.
        RecordsError: there are more of them than that.
    """
    if path.stat().st_size > most:
        raise RecordsError(f"is longer than {most} bytes")
    return path.read_bytes()


def files(roots: Sequence[Path], name: str, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """Paths of all files of that name below the roots with their labels; hidden folders are skipped.

    Links that lead out of a root, and what is no plain file, are problems.
    """
    for root in roots:
        for path in sorted(root.rglob(name)):
            inside = path.relative_to(root)
            if any(part.startswith(".") for part in inside.parts):
                continue
            label = printable(str(inside) if len(roots) == 1 else f"{root.name}/{inside}", None)
            if not path.resolve().is_relative_to(root.resolve()):
                problems.append(Problem(label, "is a link that leads out of the folder"))
            elif not path.is_file():
                problems.append(Problem(label, "is no plain file"))
            else:
                yield path, label
