"""What a results folder holds besides tables: the experiments that were declared, read as distrustfully as these."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.documents import checked_experiment, printable
from reports.folders import files
from reports.mixing import Problem
from suite.records import RecordsError

MOST_BYTES = 1_000_000
"""Of an experiment; those of ours are a few thousand bytes long."""


def read_experiments(roots: Sequence[Path], problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The experiments below the roots, resolved, each by the label of its file; of equal ones the first."""
    found: dict[str, dict[str, Any]] = {}
    for path, label in files(roots, "experiment.json", problems):
        try:
            experiment = _experiment(path)
        except (OSError, ValueError, RecursionError, RecordsError) as error:
            problems.append(Problem(label, printable(_said(error))))
            continue
        if experiment not in found.values():
            found[label] = experiment
    return found


def _experiment(path: Path) -> dict[str, Any]:
    """The experiment in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
        RecordsError: it is too long, or no experiment.
        RecursionError: it is nested too deeply.
    """
    if path.stat().st_size > MOST_BYTES:
        raise RecordsError(f"is longer than {MOST_BYTES} bytes")
    return checked_experiment(json.loads(path.read_text(encoding="utf-8")))


def _said(error: Exception) -> str:
    """The words of an error, without the path, which stands next to them anyway."""
    if isinstance(error, RecordsError):
        return str(error)
    return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
