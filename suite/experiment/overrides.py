"""`--set a.b=c`: changes put into an experiment's document before it is validated."""

from __future__ import annotations

from typing import Any

import yaml

from suite.errors import UserError, nearest, shortened
from suite.experiment.yaml_text import parse_yaml


def as_choice(value: Any) -> Any:
    """An algorithm that was given by its name alone, as a mapping; YAML reads an unquoted `null` as nothing."""
    if isinstance(value, dict):
        return value | {"name": "null"} if "name" in value and value["name"] is None else value
    return {"name": "null" if value is None else value} if isinstance(value, str | None) else value


def put(document: dict[str, Any], override: str) -> None:
    """Set `a.b=c` in a nested document; elements of a list by their number, algorithms also by their label.

    Raises:
        UserError: the override is not `key=value`, or leads to no place in the document.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {shortened(override)}: write it as key=value, such as budget.env_steps=50000")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"--set {shortened(override)}: {shortened(text)} is not a YAML value: {' '.join(str(error).split())}"
        ) from None
    target: Any = document
    for key in keys[:-1]:
        target = _entered(target, key, override)
    if isinstance(target, list):
        target[_position(target, keys[-1], override)] = value
    else:
        target[keys[-1]] = value


def _entered(target: Any, key: str, override: str) -> Any:
    """What stands below `key`, a mapping or a list; made where nothing stands there yet."""
    place: int | str = key
    if isinstance(target, list):
        place = _position(target, key, override)
        target[place] = as_choice(target[place])
    elif target.get(key) is None:
        target[key] = {}
    if not isinstance(target[place], dict | list):
        raise UserError(
            f"--set {shortened(override)}: {key} is the single value {shortened(target[place])}; nothing can be set "
            f"inside it, but {key}=... replaces it"
        )
    return target[place]


def _position(target: list[Any], key: str, override: str) -> int:
    """The index of a list's element, by number or by the label or name of an algorithm."""
    if key.isascii() and key.isdecimal() and int(key[:9]) < len(target):
        return int(key)
    items = [as_choice(item) for item in target]
    named = [(item.get("label"), item.get("name")) if isinstance(item, dict) else (None, None) for item in items]
    for column in (0, 1):  # labels first: two variants may share the name of their algorithm
        for index, names in enumerate(named):
            if names[column] == key:
                return index
    labels = [str(label or name) for label, name in named if label or name]
    hint = nearest(key, labels) if labels else f"it has {len(target)} elements, numbered from 0"
    raise UserError(f"--set {shortened(override)}: there is no element {key} in that list; {hint}")
