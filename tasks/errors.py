"""The one exception that stands for a mistake of the user's, on the lowest floor so that every floor can raise it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """A mistake of the user's; the command line prints it without a traceback and exits with 2."""


@contextmanager
def staying() -> Iterator[None]:
    """Somebody else's code that would end the process (`sys.exit`) fails instead, as other mistakes do.

    Raises:
        RuntimeError: it would.
    """
    try:
        yield
    except SystemExit as error:
        reason = RuntimeError(f"it calls sys.exit({error.code!r}), which would end all that runs it")
        raise reason.with_traceback(error.__traceback__) from None


@contextmanager
def in_words(
    what: str, path: Path | None = None, mend: Callable[[Exception], str] = lambda error: ""
) -> Iterator[None]:
    """Errors of somebody else's code as one line: what failed, where, why, and how to mend it.

    Args:
        what: What failed.
        path: The file whose last line that was reached is named; None: the file in which the error was raised.
        mend: What to do about an error, from `; ` on.

    Raises:
        UserError: in place of any other error.
    """
    try:
        with staying():
            yield
    except UserError:
        raise
    except Exception as error:
        words = " ".join(str(error).split()) or "without a message"
        raise UserError(f"{what}{line_in(error, path)}: {type(error).__name__}: {words}{mend(error)}") from error


def line_in(error: Exception, path: Path | None = None) -> str:
    """The last line of a file that was reached before an error, as ` (mine.py, line 7)`; empty if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames if path is None or Path(frame.filename) == path]
    if isinstance(error, SyntaxError):
        places.append((error.filename or str(path), error.lineno))
    return f" ({Path(places[-1][0]).name}, line {places[-1][1]})" if places else ""
