"""A mistake of the user's, and what its message says of the names that would have been right.

Light enough for the commands that must answer at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tasks.errors import UserError

__all__ = ["UserError", "nearest"]


def nearest(given: str, allowed: Iterable[str]) -> str:
    """`did you mean X?`, or all names that are allowed where none is near."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
