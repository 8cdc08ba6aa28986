"""`references.bib`: the papers of the algorithms that were run, which their own files name."""

from __future__ import annotations

import re
from pathlib import Path

from algorithms.registry import ALGORITHMS, known_entries
from reports import style
from reports.results import Results

HEAD = "% The papers of the algorithms in this report; cite those that you use.\n"

MOST_BYTES = 1_000_000
"""Of a file of BibTeX entries; ours has a few thousand."""


def references_bib(results: Results) -> str:
    """The BibTeX entries that the algorithms of the results cite, each once, below the names of those that do.

    What no file beside the algorithm's has an entry for is named in a comment.
    """
    entries = known_entries()
    citing: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for name in style.ordered(results.cells["algorithm"]):
        for key in entries[name].cites if name in entries else ():
            citing.setdefault(key, []).append(entries[name].title)
            if name in ALGORITHMS:  # and no entry that a results folder brought along, whose files are not here
                texts |= papers(entries[name].path.parent)
    return HEAD + "".join(
        f"\n% {', '.join(citing[key])}\n{texts.get(key, f'% (no entry for {key})')}\n" for key in sorted(citing)
    )


def papers(folder: Path) -> dict[str, str]:
    """The entries in all `.bib` files of a folder, by their keys."""
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*.bib")):
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            for entry in re.split(r"^(?=@)", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE):
                if match := re.match(r"@\w+\s*\{\s*([^\s,]+)\s*,", entry):
                    texts.setdefault(match[1], entry.strip())
    return texts
