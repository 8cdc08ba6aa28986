"""The shapes of the small documents of a results folder: what each field must be for anybody to rely on it.

Light on purpose: `status`, `cancel` and `clean` look at thousands of these files and load no Pydantic for it. Documents
that are made anew from a configuration (`config.json`) have Pydantic models of their own (`suite.experiment.specs`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from suite.errors import shortened
from suite.results.json_files import DamagedFile, read_json

Check = Callable[[Any], bool]
Shape = Mapping[str, tuple[Check, str]]
"""Field -> whether a value is one, and what it has to be in words. Fields that are not named here may be there too."""

LARGEST = 2**63
_HASH = re.compile(r"[0-9a-f]{12}")


def is_hash(value: Any) -> bool:
    """Whether a value is the name that a training or a run has: nothing that could lead out of a folder."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def is_text(value: Any) -> bool:
    """Whether a value is a text of bearable length."""
    return isinstance(value, str) and len(value) <= 100_000


def is_count(value: Any) -> bool:
    """Whether a value is a whole number that records can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, such as a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def is_mapping(value: Any) -> bool:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def or_none(check: Check) -> Check:
    """As `check`, or None."""
    return lambda value: value is None or check(value)


def list_of(check: Check) -> Check:
    """Whether a value is a list each of whose elements passes."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def optional(check: Check) -> Check:
    """As `check`, for a field that need not be there."""
    return lambda value: value is _ABSENT or check(value)


_ABSENT = object()

HASH = (is_hash, "a hash of 12 digits")
TEXT = (is_text, "a text")
COUNT = (is_count, "a whole number from 0 on")

CELL: Shape = {
    "variant": TEXT, "algorithm": TEXT, "split": TEXT, "seed": COUNT,
    "training": (or_none(is_hash), "a hash of 12 digits or null"),
    "run": (or_none(is_hash), "a hash of 12 digits or null"),
    "status": TEXT, "reason": (or_none(is_text), "a text or null"),
}  # fmt: skip
EXPERIMENT: Shape = {"name": TEXT, "experiment": (is_mapping, "a mapping")}
EXECUTION: Shape = {
    "env_steps": COUNT, "milestones": (list_of(is_count), "a list of whole numbers"),
    "plugins": (optional(list_of(is_text)), "a list of texts"),
}  # fmt: skip
LABEL: Shape = {"variant": TEXT, "values": (optional(is_text), "a text")}
PROVENANCE: Shape = {"earlier": (optional(list_of(is_mapping)), "a list of mappings")}
METATEST: Shape = {
    "env_steps": COUNT,
    "split": (lambda split: is_mapping(split) and is_text(split.get("family")) and is_text(split.get("name")),
              "a mapping with family and name"),
}  # fmt: skip
SUBMISSION: Shape = {
    "job": (lambda job: isinstance(job, str) and re.fullmatch(r"[0-9]{1,20}", job) is not None, "a number as a text"),
    "runs": (list_of(list_of(is_hash)), "a list of lists of hashes"),
    "submitted": (is_number, "a number"), "code": (optional(is_text), "a text"),
    "revision": (optional(or_none(is_text)), "a text or null"), "cancelled": (list_of(is_hash), "a list of hashes"),
    "canary": (optional(lambda run: run == "" or is_hash(run)), "a hash or nothing"),
}  # fmt: skip
STATUS: Shape = {
    "state": TEXT, "stage": (optional(is_text), "a text"), "message": (optional(or_none(is_text)), "a text"),
    "host": TEXT, "job": (optional(is_text), "a text"), "pid": (optional(is_count), "a whole number"),
    "process": (optional(is_mapping), "a mapping"), "metatest": (optional(or_none(is_text)), "a text"),
    "notes": (optional(list_of(is_text)), "a list of texts"),
    **{name: (optional(or_none(is_count)), "a whole number") for name in ("env_steps", "budget")},
    **{name: (optional(or_none(is_number)), "a finite number") for name in (
        "fraction", "tested", "steps_per_second", "remaining_seconds", "return", "started", "heartbeat", "seconds")},
}  # fmt: skip


def read_shaped(path: Path, shape: Shape) -> dict[str, Any]:
    """The document in a file, a mapping of that shape.

    Raises:
        OSError: it cannot be read.
        DamagedFile: it holds something else; the message names the field.
    """
    document = read_json(path)
    require_shape(document, shape, path)
    return dict(document)


def require_shape(document: Any, shape: Shape, path: Path, place: str = "") -> None:
    """Nothing, if a document of a file has the shape; `place` says in messages where in the file it stands.

    Raises:
        DamagedFile: it has not.
    """
    if not isinstance(document, dict):
        raise DamagedFile(f"{path} is damaged ({place}it holds {shortened(document)}, and no mapping); {REMEDY}")
    for field, (check, words) in shape.items():
        value = document.get(field, _ABSENT)
        if not check(value):
            told = "is missing" if value is _ABSENT else f"is {shortened(value)}"
            raise DamagedFile(f"{path} is damaged ({place}{field} {told}, it has to be {words}); {REMEDY}")


REMEDY = "put a whole copy back, or give the `offmap run` command again, which writes it anew"
