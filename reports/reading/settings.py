"""Configurations and protocols as dotted settings, and in which of them some differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MOST_NAMED = 3
"""Settings in a sentence, and folders in a label."""


def differing_keys(configs: list[str]) -> list[str]:
    """Dotted names of the settings in which configurations (the texts of `run_facts`) differ."""
    flat = [settings_of(config) for config in configs]
    names = sorted({name for settings in flat for name in settings})
    absent = object()
    return [name for name in names if any(s.get(name, absent) != flat[0].get(name, absent) for s in flat)]


def settings_of(config: str) -> dict[str, Any]:
    """The settings of a configuration (a text of `run_facts`) by their dotted names."""
    return _flatten(json.loads(config)) if config else {}


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differing_words(kinds: Mapping[str, str]) -> str:
    """In which settings configurations differ, with the values of each: "evaluate_every 500 (a), 2,000 (b)".

    Args:
        kinds: Texts of `run_facts` by what each is called; empty where they are the same.
    """
    keys = differing_keys(list(kinds.values()))
    settings = {label: settings_of(text) for label, text in kinds.items()}
    phrases = [
        f"{key} " + ", ".join(f"{_value(own.get(key))} ({label})" for label, own in settings.items())
        for key in keys[:MOST_NAMED]
    ]
    more = len(keys) - MOST_NAMED
    return "; ".join([*phrases, *([f"and {more} more settings"] if more > 0 else [])])


def _value(value: Any) -> str:
    """A setting for readers."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else str(value)
