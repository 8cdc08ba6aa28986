"""Where the values of a variant come from: a publication, a tuning record, or nowhere that could be defended.

Each preset of `configs/algorithms` says so itself (`origin:`), for single rows of its file where they differ
(`origins:`), and so may what it has for some splits alone.
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


Origin = Literal["published", "adapted", "untuned"] | TunedBy
"""Of the values of a preset.

`published`: of a publication or its code. `adapted`: that, but for what the preset calls ours, or carried over from
another split or row. `untuned`: of ours, and no tuning record says how they were chosen.
"""

_ORIGIN: TypeAdapter[Origin] = TypeAdapter(Origin)


def origin_of(preset: dict[str, Any], algorithm: str, split: str) -> Origin:
    """The origin of a preset's values for an algorithm on a split; `untuned` where the preset says nothing.

    That of the last pattern of splits that matches and has one, or else the algorithm's own, or else the preset's.

    Raises:
        ValidationError: it is none.
    """
    own = preset.get("origins", {}).get(algorithm, preset.get("origin", "untuned"))
    matching = [part for pattern, part in preset.get("splits", {}).items() if fnmatch(split, pattern)]
    return _ORIGIN.validate_python([own, *(part["origin"] for part in matching if "origin" in part)][-1])


def origin_words(
    entry: AlgorithmEntry, split: TaskSplit, preset: str | None, train: dict[str, Any], adapt: dict[str, Any]
) -> str:
    """Where the values of a variant on a split come from, in words: preset by preset, and what the experiment sets."""
    layers = presets(entry.training)
    own = [f"{block}.{name}" for block, values in (("train", train), ("adapt", adapt)) for name in values]
    set_here = f"; set by the experiment: {', '.join(own)}" if own else ""
    names = ["default"] if preset is None else ["default", preset]
    origins = {name: origin_of(layers.get(name, {}), entry.name, split.full_name) for name in names}
    top = origins[names[-1]]
    if isinstance(top, TunedBy):
        return f"tuning record {top.tuning}{set_here}"
    untuned = [name for name, origin in origins.items() if origin == "untuned"]
    if untuned:
        return f"not tuned (preset {' and '.join(untuned)}){set_here}"
    adapted = ", adapted" if top == "adapted" else ""
    return f"published values{adapted}{f' (preset {preset})' if preset else ''}{set_here}"
