"""Pydantic's complaints in words: the place, what was given, the nearest valid name, what is allowed there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError


def nearest(given: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or all that is known where nothing is near."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """A validation error of `model` in words, one line per place."""
    lines = []
    for item in error.errors():
        place = _place(item["loc"])
        known = _fields_at(model, item["loc"][:-1])
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: {place} is not a known key; {nearest(str(item['loc'][-1]), sorted(known))}")
        elif item["type"] == "missing":
            about = known[item["loc"][-1]].description if item["loc"][-1] in known else None
            lines.append(f"{where}: {place} is missing{f': {about}' if about else ''}")
        else:
            lines.append(f"{where}: {place}: {_complaint(item)}, given {_short(item['input'])}")
    return "\n".join(dict.fromkeys(lines))


def _place(location: tuple[int | str, ...]) -> str:
    """`a.0.b`; what stands for a branch of a union, such as `tuple[float, ...]`, names no place in a file."""
    branches = re.compile(r"[^\w-].*|constrained-\w+|function-\w+|literal|float|int|str|tuple|list|dict")
    parts = [str(part) for part in location if isinstance(part, int) or not branches.search(part)]
    return ".".join(parts) or "the document"


def _complaint(item: Any) -> str:
    """What is wrong, with the nearest of the allowed values where they are listed."""
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        near = difflib.get_close_matches(item["input"], allowed, n=1)
        message += f" (did you mean {near[0]}?)" if near else ""
    return message


def _short(value: Any, longest: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _fields_at(model: Any, location: tuple[int | str, ...]) -> dict[Any, Any]:
    """The fields of the model found by walking `location` from `model`; {} where it is not a model."""
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return {}
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        candidates += [inner for found in candidates for inner in getattr(found, "__args__", ())]
        model = next((found for found in candidates if hasattr(found, "model_fields")), None)
    return dict(getattr(model, "model_fields", {}))
