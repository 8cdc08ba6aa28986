"""A mistake of the user's, and what its message says of the names that would have been right.

Light enough for the commands that must answer at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from tasks.errors import UserError

LONGEST = 80
"""Characters of what was given in a message."""

__all__ = ["UserError", "nearest", "printable", "shortened"]


def nearest(given: str, allowed: Iterable[str]) -> str:
    """`did you mean X?`, or all names that are allowed where none is near."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(given, names, n=1) if len(given) <= LONGEST else []
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"


def shortened(value: Any, longest: int = LONGEST) -> str:
    """What was given as a message shows it: on one line, and without the rest of a long one."""
    try:
        text = repr(value if not isinstance(value, str | list | tuple) else value[: 2 * longest])
    except (RecursionError, ValueError):  # nested too deep, or a number of thousands of digits
        text = f"a {type(value).__name__}"
    text = text if "\n" not in text else " ".join(text.split())  # an array's
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def printable(text: str) -> str:
    """A text without what would command a terminal: control characters are spelt out, but for tabs and line ends."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in "\t\n" else repr(letter)[1:-1] for letter in text)
