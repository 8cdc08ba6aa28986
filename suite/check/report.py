"""A check, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from suite.errors import shortened
from tasks.errors import staying
from tasks.plugins import in_one_line, line_in


class Failed(Exception):
    """What a check requires is not so; the message says what was seen."""


class Skipped(Exception):
    """There is nothing to check; the message says why."""


class Check(NamedTuple):
    """One requirement: its name, the function that fails where it is not met, why it matters, and how to mend it."""

    name: str
    test: Callable[[Any], str]  # returns what was seen
    why: str
    mend: str
    is_first: bool = False  # whether without it no other can be told


class Finding(NamedTuple):
    """What came of a check: `passed`, `FAILED` or `skipped`, and what was seen."""

    name: str
    outcome: str
    detail: str
    why: str
    mend: str


def carry_out(checks: Iterable[Check], subject: Any, source: Path) -> Iterator[Finding]:
    """What comes of each check of a subject that is declared in the file `source`; an error of its is a failure."""
    lacking = ""
    for check in checks:
        finding = _finding(check, subject, source, lacking)
        if check.is_first and finding.outcome == "FAILED":
            lacking = check.name
        yield finding


def _finding(check: Check, subject: Any, source: Path, lacking: str) -> Finding:
    """What comes of a check, if none failed without which it cannot be told (`lacking`)."""
    mend = check.mend
    try:
        if lacking:
            raise Skipped(f"cannot be told before it {lacking}")
        with staying():
            outcome, detail = "passed", check.test(subject)
    except Skipped as reason:
        outcome, detail = "skipped", str(reason)
    except Failed as seen:
        outcome, detail = "FAILED", str(seen)
    except Exception as error:
        outcome, detail, mend = "FAILED", _words(error, source), f"mend this error first; then: {mend}"
    return Finding(check.name, outcome, detail, check.why, mend)


def _words(error: Exception, source: Path) -> str:
    """An error in one line, with the last line of the subject's own file that was reached."""
    line = line_in(source, error)
    where = f" ({source.name}, line {line})" if line is not None else ""
    return f"{shortened(in_one_line(error), 300)[1:-1]}{where}"


def require(holds: bool, words: str) -> None:
    """Nothing, if something holds.

    Raises:
        Failed: it does not.
    """
    if not holds:
        raise Failed(words)
