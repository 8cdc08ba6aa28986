"""The training curve as it is written: `metrics.jsonl`, a line of JSON per outer iteration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.results.json_files import read_bytes
from suite.results.shapes import is_count

MOST_BYTES = 1_000_000_000  # a million iterations


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of a file of metrics, and how many of its lines cannot be read and were left out.

    A row has `env_steps`, `iteration`, `seconds`, and numbers or None by the names of metrics.

    Raises:
        OSError: the file cannot be read.
        DamagedFile: it is no ordinary file, or larger than any training's.
    """
    rows, unreadable = [], 0
    for line in read_bytes(path, MOST_BYTES).decode(errors="replace").split("\n"):
        row = _row(line) if line else None
        if row is not None:
            rows.append(row)
        elif line:
            unreadable += 1
    return rows, unreadable


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(is_count(row.get(name)) for name in ("env_steps", "iteration")):
        return None
    if row.get("seconds") is None or not all(value is None or _is_number(value) for value in row.values()):
        return None
    return row


def _is_number(value: Any) -> bool:
    """Whether a value is a number of a table: JSON's infinities are, integers beyond 64 bits are not."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)
