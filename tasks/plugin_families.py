"""Families of users' own, which a plugin declares as `FAMILIES = (TaskFamily(...), ...)`, and their `SPLITS`.

Splits are written in the words of `own_splits` of an experiment (`tasks.split_declaration`), as mappings or as
`SplitDeclaration`s, and are checked as those are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from tasks import registry
from tasks.plugins import BrokenPlugin, NameTaken, Plugin, explained, imported
from tasks.spec import TaskFamily, TaskSplit
from tasks.split_declaration import SplitDeclaration
from tasks.splits import BUILDERS

Explain = Callable[[ValidationError, str, type[SplitDeclaration]], str]


def add_families(plugin: Plugin, explain: Explain) -> list[TaskFamily]:
    """The families that a plugin declares, in use from now on with their splits; `explain` words a split's mistakes.

    Raises:
        BrokenPlugin: it cannot be imported, or declares something else.
        NameTaken: a family has the name of another.
        InvalidDeclaration: a split has the name of another, or is not what it says.
    """
    try:
        module = imported(plugin.module)
    except Exception as error:
        raise explained(error, plugin) from error
    families = _several(getattr(module, "FAMILIES", ()))
    wrong = [family for family in families if not isinstance(family, TaskFamily)]
    if wrong:
        raise BrokenPlugin(
            f"plugin {plugin.given} ({plugin.path}): FAMILIES is a tuple of TaskFamily(...); given {wrong[0]!r}"
        )
    try:
        for family in families:
            _add_family(family, plugin)
        for declared in _several(getattr(module, "SPLITS", ())):
            _add_split(_split(declared, plugin, explain), plugin)
    except Exception:
        remove_families(plugin.module)
        raise
    return list(families)


def _several(declared: Any) -> Sequence[Any]:
    """What is declared, one alone too."""
    return declared if isinstance(declared, tuple | list) else (declared,)


def _add_family(family: TaskFamily, plugin: Plugin) -> None:
    for other in registry.families():
        if {family.name, family.nickname} & {other.name, other.nickname}:
            first = registry.MODULES.get(other.name, "tasks.families")
            raise NameTaken(first, plugin.module, f"a family {family.name!r} (also {family.nickname!r})")
    registry.ADDED[family.name], registry.MODULES[family.name] = family, plugin.module
    environments = sys.modules.get("tasks.environments")
    if environments is not None:
        environments.register(family)


def _split(declared: Any, plugin: Plugin, explain: Explain) -> TaskSplit:
    where = f"plugin {plugin.given} ({plugin.path}): SPLITS"
    if isinstance(declared, SplitDeclaration):
        return declared.split()
    try:
        return SplitDeclaration.model_validate(declared).split()
    except ValidationError as error:
        raise BrokenPlugin(explain(error, where, SplitDeclaration)) from None
    except (registry.UnknownName, registry.InvalidDeclaration) as error:
        raise registry.InvalidDeclaration(f"{where}: {error}") from None


def _add_split(split: TaskSplit, plugin: Plugin) -> None:
    BUILDERS[split.full_name] = lambda: split
    registry.MODULES[split.full_name] = plugin.module


def remove_families(module: str) -> None:
    """Forget what a plugin's module declared."""
    environments = sys.modules.get("tasks.environments")
    for name in [name for name, declaring in registry.MODULES.items() if declaring == module]:
        family = registry.ADDED.pop(name, None)
        if family is not None and environments is not None:
            environments.unregister(family)
        BUILDERS.pop(name, None)
        del registry.MODULES[name]
