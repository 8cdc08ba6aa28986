"""The files that are shipped with the code: presets of algorithms, named budgets, ready experiments (`configs/`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from suite.errors import UserError, shortened
from suite.experiment.yaml_text import parse_yaml

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
"""Beside the packages, in a checkout, in an installation and in a copy that was made for a cluster."""


def shipped(name: str) -> dict[str, Any]:
    """What a shipped file holds, by its path below `configs`, such as `algorithms/mier.yaml`.

    Raises:
        UserError: it is not there, so that nothing can be run as it was meant to be, or is no mapping in YAML.
    """
    return read_mapping(CONFIGS / name, "; other values than offmap declares would be run without it: install it again")


def read_mapping(path: Path, remedy: str = "") -> dict[str, Any]:
    """The mapping in a YAML file of presets or budgets.

    Raises:
        UserError: it cannot be read, or is no mapping in YAML.
    """
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}{remedy}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: it has to be a mapping of keys, and is {shortened(document)}")
    return document


def ready_experiments() -> dict[str, Path]:
    """The shipped experiments by name: their path below `configs/experiments` without its ending."""
    below = CONFIGS / "experiments"
    return {path.relative_to(below).with_suffix("").as_posix(): path for path in sorted(below.rglob("*.yaml"))}
