"""Presets: what differs from the defaults in code, per algorithm and split, from `configs/algorithms/*.yaml`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from algorithms.registry import ALGORITHMS, AlgorithmEntry, training_entry
from suite.errors import UserError, nearest, shortened
from suite.experiment.messages import explain
from suite.experiment.plugins import presets_beside
from suite.experiment.shipped import read_mapping, shipped
from tasks.spec import TaskSplit

if TYPE_CHECKING:
    from algorithms.base import AdaptConfig, TrainConfig

LARGEST = 1e15
"""Of a number in a configuration: beyond it they are mistakes, and lose digits."""

Blocks = dict[str, dict[str, Any]]


NATIVE, LITE_COMPUTE = "native", "lite-compute"
"""The keys of an algorithm's file that are no presets but budgets of its own (`budgets.OwnNumbers`)."""


def algorithm_file(training: str) -> str:
    """Where the presets and the published numbers of a meta-training stand, in words."""
    path = _file_of_plugin(training)
    return f"configs/algorithms/{training}.yaml" if path is None else str(path)


def algorithm_document(training: str) -> dict[str, Any]:
    """What that file holds; empty for what trains on nothing, and for a plugin that has none.

    Raises:
        UserError: the file is not there, or is no mapping in YAML.
    """
    path = _file_of_plugin(training)
    if path is not None:
        return _read_once(path, path.stat().st_mtime_ns) if path.exists() else {}
    return _shipped_document(training) if training_entry(training).trains_on else {}


def _file_of_plugin(training: str) -> Path | None:
    """Beside a plugin's file, by the same name; None for an algorithm of ours."""
    entries = [entry for entry in ALGORITHMS.values() if entry.training == training]
    return presets_beside(entries[0].path) if entries and entries[0].is_plugin else None


@functools.cache
def _shipped_document(training: str) -> dict[str, Any]:
    return shipped(f"algorithms/{training}.yaml")


@functools.cache
def _read_once(path: Path, changed: int) -> dict[str, Any]:
    """What a plugin's file holds that was last changed at that time."""
    del changed
    return read_mapping(path)


def presets(training: str) -> dict[str, Any]:
    """The presets of a meta-training by name; `default` applies to every run."""
    return {name: preset for name, preset in algorithm_document(training).items() if name not in (NATIVE, LITE_COMPUTE)}


def resolve_blocks(
    entry: AlgorithmEntry, split: TaskSplit, preset: str | None, train: dict[str, Any], adapt: dict[str, Any],
    device: str,
) -> tuple[TrainConfig, AdaptConfig]:  # fmt: skip
    """Both configuration blocks with every value: code, default preset, named preset, experiment, in that order.

    `auto` precisions become what they stand for on this machine, so that they are part of the run's identity.

    Raises:
        UserError: an unknown preset or key, or an impossible value.
    """
    known = presets(entry.training)
    if preset is not None and preset not in known:
        raise UserError(f"{entry.name} has no preset {preset!r}; {nearest(preset, known)}")
    layers = [known.get("default", {})] + ([known[preset]] if preset else [])
    blocks: dict[str, dict[str, Any]] = {"train": {}, "adapt": {}}
    for layer in layers:
        matching = (part for pattern, part in layer.get("splits", {}).items() if fnmatch(split.full_name, pattern))
        for part in (layer, *matching):
            for name, block in blocks.items():
                block |= part.get(name) or {}
    for field in _fields_of_siblings(entry):
        blocks["adapt"].pop(field, None)
    for name, own in (("train", train), ("adapt", adapt)):
        blocks[name] |= own
        _require_defaults(entry.load(name), blocks[name], f"{entry.name}.{name}")
    resolved = [validated(entry.load(name), block, f"{entry.name}.{name}") for name, block in blocks.items()]
    return _with_precision(resolved[0], device), resolved[1]


def _require_defaults(model: type[BaseModel], values: dict[str, Any], where: str) -> None:
    """Refuse a block that an experiment cannot leave out, if nothing else is wrong with it.

    Raises:
        UserError: a field has neither a default nor a value.
    """
    missing = [name for name, field in model.model_fields.items() if field.is_required() and name not in values]
    if missing and values.keys() <= model.model_fields.keys():
        raise UserError(
            f"{where}: {', '.join(missing)} has no value: give it a default in {model.__name__}, as every field has to "
            "have one, or a value in the experiment"
        )


def _fields_of_siblings(entry: AlgorithmEntry) -> set[str]:
    """What only others with this meta-training adapt with: they share a file of presets (MIER and MIER-wR)."""
    siblings = [other for other in ALGORITHMS.values() if other.training == entry.training]
    return {field for other in siblings for field in other.load("adapt").model_fields} - set(
        entry.load("adapt").model_fields
    )


def validated(model: type[BaseModel], values: dict[str, Any], where: str) -> Any:
    """The configuration block of that model with these values; `where` says in messages what they belong to.

    Raises:
        UserError: an unknown key, an impossible value, or a number beyond all bounds.
    """
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, where, model)) from None
    for name, value in config.model_dump().items():
        for number in _numbers(value):
            if not math.isfinite(number):
                raise UserError(f"{where}: {name} must be a finite number, given {number}")
            if abs(number) > LARGEST:
                raise UserError(f"{where}: {name} must be at most {LARGEST:.0e}, given {shortened(number)}")
    return config


def _numbers(value: Any) -> Iterator[int | float]:
    """The numbers in a value of a configuration, nested ones included."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, dict):
        yield from _numbers(tuple(value.values()))
    elif isinstance(value, int | float):
        yield value


def _with_precision(config: TrainConfig, device: str) -> TrainConfig:
    from algorithms.kit.networks import resolve_precision

    automatic = [name for name in type(config).model_fields if name.endswith("precision")]
    device_type = device.partition(":")[0]
    resolved = {name: resolve_precision(getattr(config, name), device_type) for name in automatic}
    return config.model_copy(update=resolved)
