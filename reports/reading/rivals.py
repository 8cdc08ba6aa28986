"""The variant that others are judged by, as it is named on a command line: in a folder, or in a shipped table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from reports import style
from reports.results import Results
from suite.errors import UserError, nearest
from suite.results.reference import reference_table


class Rival(NamedTuple):
    """A variant that others are judged by: the results that it is in, its label there, and what it is called."""

    results: Results
    variant: str
    name: str


def rival(named: str, judged: Sequence[Results], read: Callable[[Path], Results]) -> Rival:
    """The variant that is named: one of those that are judged, or PLACE:VARIANT of a folder or a shipped table.

    Args:
        named: By its label, with the place before it where it is in several or in none of the results.
        judged: The results whose variants are judged.
        read: Reads a folder.

    Raises:
        UserError: there is no such variant, or several folders have it.
    """
    known = {style.bare(str(label)) for results in judged for label in results.cells["variant"]}
    place, _, variant = ("", "", named) if named in known else named.rpartition(":")
    if place:
        here = [results for results in judged if place in (" + ".join(results.folders), *results.folders)]
        folder = Path(place) if Path(place).is_dir() else None
        results = here[0] if here else read(folder or reference_table(place))
        return Rival(results, _label(variant, [results]), named)
    label = _label(variant, judged)
    having = [results for results in judged if label in set(results.cells["variant"])]
    if len(having) > 1:
        places = " or ".join(f"--against {' + '.join(results.folders)}:{named}" for results in having)
        raise UserError(f"{len(having)} of the folders have a variant {named!r}; say which one is meant: {places}")
    return Rival(having[0], label, named)


def _label(variant: str, places: Sequence[Results]) -> str:
    """The label of a variant in some results.

    Raises:
        UserError: none has it.
    """
    label_of = {style.bare(str(label)): str(label) for results in places for label in results.cells["variant"]}
    if variant not in label_of:
        raise UserError(
            f"no variant is called {variant!r}; {nearest(variant, sorted(label_of))} (one of a shipped table: "
            "TABLE:VARIANT, see `offmap reference list`)"
        )
    return label_of[variant]
