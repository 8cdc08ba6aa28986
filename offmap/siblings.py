"""Whether the packages that offmap stands on are its own: a user's `tasks.py` would be imported in their place."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

SIBLINGS = ("tasks", "algorithms", "suite", "reports")


def require_siblings() -> None:
    """Nothing, if the packages of ours that an import finds lie beside this one.

    Raises:
        ImportError: a file or folder hides one of them; the message says which, and what to do.
    """
    root = Path(__file__).resolve().parents[1]
    for name in SIBLINGS:
        place = _place(name)
        if place is None:
            raise ImportError(f"offmap's package {name!r} is not beside offmap in {root}: install offmap again")
        if place.resolve().parent != root:
            raise ImportError(
                f"{place} hides offmap's own package {name!r} ({root / name}), since Python looks for it there first. "
                f"Give it another name (or run `python -P`, which does not look beside your script), then start Python "
                "again."
            )


def _place(name: str) -> Path | None:
    """The file or folder that a top-level name is imported from; None if there is none."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None) if module is not None else find_spec(name)
    folders = list(getattr(spec, "submodule_search_locations", None) or ())
    origin = folders[0] if folders else getattr(spec, "origin", None) or getattr(module, "__file__", None)
    return Path(origin) if origin else None
