"""Where the values of a variant come from: a publication, a tuning record, or nowhere that could be defended.

Each preset of `configs/algorithms` says so itself (`origin:`), and so may what it has for some splits alone.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from algorithms.registry import AlgorithmEntry
from suite.experiment.presets import presets
from tasks.frozen import Frozen
from tasks.spec import TaskSplit


class TunedBy(Frozen):
    """Values that a search has chosen on tuning splits."""

    tuning: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="its record, a folder in reports/tuning")


Origin = Literal["published", "untuned"] | TunedBy
"""`published`: of a publication or its code. `untuned`: of ours, and no tuning record says how they were chosen."""

_ORIGIN: TypeAdapter[Origin] = TypeAdapter(Origin)


def origin_of(layer: dict[str, Any], split: str, otherwise: Origin) -> Origin:
    """The origin of a preset's values on a split: that of the last pattern that matches and has one, or its own."""
    matching = [part for pattern, part in layer.get("splits", {}).items() if fnmatch(split, pattern)]
    declared = [part["origin"] for part in (layer, *matching) if "origin" in part]
    return _ORIGIN.validate_python(declared[-1]) if declared else otherwise


def origin_words(
    entry: AlgorithmEntry, split: TaskSplit, preset: str | None, train: dict[str, Any], adapt: dict[str, Any]
) -> str:
    """Where the values of a variant on a split come from, in words: preset by preset, and what the experiment sets."""
    layers = presets(entry.training)
    own = [f"{block}.{name}" for block, values in (("train", train), ("adapt", adapt)) for name in values]
    set_here = f"; set by the experiment: {', '.join(own)}" if own else ""
    origins: dict[str, Origin] = {"default": origin_of(layers.get("default", {}), split.full_name, "published")}
    if preset is not None:
        origins[preset] = origin_of(layers.get(preset, {}), split.full_name, "untuned")
    top = origins[preset or "default"]
    if isinstance(top, TunedBy):
        return f"tuning record {top.tuning}{set_here}"
    untuned = [name for name, origin in origins.items() if origin == "untuned"]
    if untuned:
        return f"not tuned (preset {' and '.join(untuned)}){set_here}"
    return f"published values{f' (preset {preset})' if preset else ''}{set_here}"
