"""What a results folder holds besides tables: declared experiments and pictures of bodies, checked as tables are."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from reports.reading.files import checked_bytes, file_name, files
from reports.reading.metadata import checked_experiment, printable
from reports.results import Picture, Problem
from suite.results.records import RecordsError

MOST_BYTES = 1_000_000
"""Of an experiment or a picture; those of ours are a few thousand and a hundred thousand bytes long."""

MOST_PIXELS = 2_400
"""Along each side of a picture."""

BODY = ".body.png"
"""What follows the name of a split in the name of a picture, in a folder `pictures`: see `offmap tasks render`."""


def read_experiments(roots: Sequence[Path], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The experiments below the roots, resolved, each by the label of its file; of equal ones the first."""
    experiments: dict[str, dict[str, Any]] = {}
    for path, label in files(roots, "experiment.json", problems):
        try:
            experiment = _experiment(path)
        except (OSError, ValueError, RecursionError, RecordsError) as error:
            problems.append(Problem(label, printable(_reason(error))))
            continue
        if experiment not in experiments.values():
            experiments[label] = experiment
    return experiments


def read_pictures(roots: Sequence[Path], splits: Iterable[str], problems: list[Problem]) -> dict[str, Picture]:
    """The pictures of bodies (`pictures/<split>.body.png`) below the roots, by split; of several the first."""
    split_of = {f"{file_name(split)}{BODY}": split for split in sorted(set(splits))}
    pictures: dict[str, Picture] = {}
    for path, label in files(roots, f"pictures/*{BODY}", problems):
        split = split_of.get(path.name)
        try:
            if split is None:
                raise RecordsError("is of a split without results here")
            picture = _picture(path)
            if pictures.setdefault(split, picture) != picture:
                raise RecordsError("differs from another picture of the same split, which is shown")
        except (*BROKEN, RecordsError) as error:
            problems.append(Problem(label, printable(_reason(error))))
    return pictures


BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises over bytes that are no PNG."""


def _picture(path: Path) -> Picture:
    """The pixels of a PNG file, without whatever else it holds.

    Raises:
        RecordsError: it is too large.
        OSError: it cannot be read, or is no PNG (as all of `BROKEN`).
    """
    with Image.open(io.BytesIO(checked_bytes(path, MOST_BYTES)), formats=["PNG"]) as image:
        if max(image.size) > MOST_PIXELS:
            raise RecordsError(f"is larger than {MOST_PIXELS} x {MOST_PIXELS} pixels")
        pixels = image.convert("RGB")
    bare = Image.new("RGB", pixels.size)
    bare.paste(pixels)
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG")
    return Picture(buffer.getvalue(), *bare.size)


def _experiment(path: Path) -> dict[str, Any]:
    """The experiment in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
        RecordsError: it is too long, or no experiment.
        RecursionError: it is nested too deeply.
    """
    return checked_experiment(json.loads(checked_bytes(path, MOST_BYTES).decode("utf-8")))


def _reason(error: Exception) -> str:
    """The words of an error, without the path, which stands next to them anyway."""
    if isinstance(error, RecordsError):
        return str(error)
    return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
