"""Pydantic's complaints in words: the place, what was given, the nearest valid name, what is allowed there."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from suite.errors import nearest, shortened

MOST_LINES = 20
LONGEST_LINE = 500


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """A validation error of `model` in words, one line per place."""
    complaints: dict[str, list[str]] = {}
    given: dict[str, Any] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and item["input"]:
            continue  # pydantic counts only the valid elements; the invalid ones speak for themselves
        place = _place(item["loc"])
        complaints.setdefault(place, []).append(_complaint(item, _fields_at(model, item["loc"][:-1])))
        given[place] = item
    lines = []
    for place, words in list(complaints.items())[:MOST_LINES]:
        colon = "" if given[place]["type"] in _SELF_EVIDENT else ":"
        value = "" if given[place]["type"] in _SELF_EVIDENT else f", given {shortened(given[place]['input'])}"
        line = f"{where}: {place}{colon} {' or '.join(dict.fromkeys(words))}{value}"
        lines.append(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}...")
    if len(complaints) > MOST_LINES:
        lines.append(f"{where}: and {len(complaints) - MOST_LINES} more mistakes")
    return "\n".join(lines)


_SELF_EVIDENT = ("extra_forbidden", "missing")  # the place says what was given

_BRANCH = re.compile(
    r"(tuple|list|dict|literal|float|int|str|bool|finite|constrained|function|nullable)(-\w+)?(\[.*\])?"
)


def _place(location: tuple[int | str, ...]) -> str:
    """`a.0.b`; what stands for a branch of a union, such as `tuple[float, ...]`, names no place in a file."""
    parts = [str(part) for part in location if isinstance(part, int) or not _BRANCH.fullmatch(part)]
    return ".".join(parts) or "the document"


def _complaint(item: Any, fields: dict[Any, Any]) -> str:
    """What is wrong at one place, with the nearest name among the `fields` there, or the nearest value."""
    last = item["loc"][-1] if item["loc"] else None
    if item["type"] == "extra_forbidden":
        names = sorted(map(str, fields))
        hint = nearest(str(last), names)
        listed = f"{hint} (known: {', '.join(names)})" if hint.startswith("did") else hint
        return f"is not a known key{f'; {listed}' if fields else ''}"
    if item["type"] == "missing":
        about = fields[last].description if last in fields else None
        return f"is missing{f': {about}' if about else ''}"
    message: str = item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        near = difflib.get_close_matches(item["input"], allowed, n=1)
        message += f" (did you mean {near[0]}?)" if near else ""
    return message


def _fields_at(model: Any, location: tuple[int | str, ...]) -> dict[Any, Any]:
    """The fields of the model that is reached by walking `location` from `model`; {} where it is not a model."""
    named = False  # whether what follows is a key of a mapping from names to models
    for part in location:
        if named or isinstance(part, int) or _BRANCH.fullmatch(part):
            named = False
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return {}
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        candidates += [inner for candidate in candidates for inner in getattr(candidate, "__args__", ())]
        named = any(get_origin(candidate) is dict for candidate in candidates)
        model = next((candidate for candidate in candidates if hasattr(candidate, "model_fields")), None)
    return dict(getattr(model, "model_fields", {}))
