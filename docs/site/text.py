"""Markdown of what is declared: tables, and docstrings as pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

WIDE = "---\nhide: [toc]\n---\n\n"
"""What a page begins with whose table needs the room of the list of headings."""


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; cells are text that may hold Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(cell: Any) -> str:
    return "" if cell is None else " ".join(str(cell).split()).replace("|", "\\|")


def code(value: Any) -> str:
    """A value as inline code; nothing for nothing."""
    return "" if value in (None, "") else f"`{value}`"


def folded(title: str, content: str) -> str:
    """A block that the reader opens."""
    return f'??? note "{title}"\n\n' + "".join(f"    {line}".rstrip() + "\n" for line in content.splitlines()) + "\n"


def fenced(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def formula(text: str) -> str:
    """A block of formulas, whose long lines are broken where there is no room."""
    return fenced(text, " { .text .formula }")


def source_of(thing: Any) -> str:
    """The text of a function or class, from the first column on."""
    return inspect.cleandoc("\n" + inspect.getsource(thing))


def as_page(docstring: str, deviations: str = "Deviations") -> str:
    """A docstring as Markdown: its indented blocks are formulas or code, all else is prose.

    What says where code leaves the one it reproduces comes under a heading of its own, `deviations`.
    """
    pieces = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        lines = block.splitlines()
        prose = [line for line in lines if not line.startswith("    ")]
        if prose and len(prose) < len(lines) and not prose[0].startswith("- "):  # a formula right behind a sentence
            at = next(place for place, line in enumerate(lines) if line.startswith("    "))
            after = next((p for p in range(at, len(lines)) if not lines[p].startswith("    ")), len(lines))
            pieces += ["\n".join(lines[:at]), _formula(lines[at:after]), "\n".join(lines[after:])]
        else:
            pieces.append(block if prose else _formula(lines))
    return "\n\n".join(_titled(_spaced(piece), deviations) for piece in pieces if piece) + "\n"


def _titled(block: str, deviations: str) -> str:
    return f"## {deviations}\n\n{block}" if re.search(r"\bWhere this leaves\b", block) else block


def _formula(lines: list[str]) -> str:
    return formula(inspect.cleandoc("\n" + "\n".join(lines)))


def _spaced(block: str) -> str:
    """A block whose list, if it has one behind a sentence, is set off by an empty line."""
    return re.sub(r"(?<=[^\n])\n(?=- )", "\n\n", block, count=1) if not block.startswith("- ") else block
