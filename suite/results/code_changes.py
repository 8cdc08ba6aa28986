"""Which results were made by code that is another now: what runs were made by against what the code does today."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from algorithms.registry import training_entry
from suite.experiment.code_identity import changed_modules, code_of
from suite.results.json_files import read_json
from suite.results.layout import read_grid


class Made(NamedTuple):
    """What was made: a variant by its algorithm, on a family, in a training folder."""

    variant: str
    algorithm: str
    family: str
    folder: Path


def code_changes(made: Iterable[Made]) -> list[tuple[str, ...]]:
    """For each, the modules that its results depend on and that are no longer what it was made by.

    None where nothing was made yet, or where what made it is not recorded.
    """
    identity = functools.cache(lambda *names: code_of(names[:-1], names[-1]))
    return [_changed(one, identity) for one in made]


def _changed(made: Made, identity: Callable[..., dict[str, Any]]) -> tuple[str, ...]:
    try:
        made_by = read_json(made.folder / "provenance.json")
        training = read_json(made.folder / "config.json")["algorithm"]
        current = identity(training_entry(training).name, made.algorithm, made.family)
        return tuple(changed_modules(current, made_by))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # there is none, or none that can be read
        return ()


def sentences(variants: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """A sentence on every variant with changed modules, of pairs of the two."""
    modules: dict[str, set[str]] = {}
    for variant, names in variants:
        modules.setdefault(variant, set()).update(names)
    return [
        f"code changed since {variant} was run: {', '.join(sorted(names))}; `offmap run ... --rerun "
        f"{variant!r}` sets its results aside and makes them again"
        for variant, names in modules.items()
        if names
    ]


def changes_in(out: Path) -> list[str]:
    """The sentences on the variants of a results folder.

    Raises:
        UserError: it is no results folder.
    """
    made = [
        Made(cell["variant"], cell["algorithm"], cell["split"].partition(".")[0], out / cell["training"])
        for cell in read_grid(out)
        if cell["training"] is not None
    ]
    return sentences((one.variant, names) for one, names in zip(made, code_changes(made)))
