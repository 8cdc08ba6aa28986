"""The code blocks of the documentation, and a session that runs those of a page in order.

What runs, by the language of a block:
- `python`: runs, in one namespace per page; `sh`: runs in bash, where `offmap` and `python` are those of the tests; the
  folder that it changes to stays;
- with `title="FILE"`: is written to that file instead; `diff`: is applied to the files that it names;
- `text` right behind one that ran: what that printed, where `...` stands for anything.

Blocks without a language are commands that need what a test has not, and everything else is only shown. A `python` or
`sh` block that must not run says why in a comment before it: `<!-- not run: reason -->`.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RUNS = ("python", "sh")
FENCE = re.compile(r"(?:<!-- not run: (?P<why>[^\n]+) -->\s*)?^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
                   r"(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)  # fmt: skip
SLOW = "<!-- snippets: slow -->"
SECONDS = 600
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

PYTHON = """
import contextlib, io, json, os, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    block, printed = json.loads(line), io.StringIO()
    os.chdir(block["folder"])
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(block["text"], block["place"], "exec"), names)
        error = ""
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"printed": printed.getvalue(), "error": error}), flush=True)
"""


class Block(NamedTuple):
    """A fenced block: its line in the page, its language, the file it stands for, why it is not run, and its text."""

    line: int
    language: str
    title: str
    why: str
    text: str


def pages() -> list[Path]:
    """All pages that stand in the repository."""
    return sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for match in FENCE.finditer(page):
        line = page.count("\n", 0, match.start("text"))
        yield Block(line, match["language"], match["title"] or "", match["why"] or "", match["text"])


class Session:
    """Runs the blocks of a page, in a folder that is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "here", folder / "bin"
        for place in (self.folder, self.programs):
            place.mkdir()
        for name, start in (("offmap", "-P -m suite.cli"), ("python", "")):
            program = self.programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {start} "$@"\n')
            program.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OFFMAP", "COLUMNS"))}
        self.environment = kept | {"PYTHONPATH": str(ROOT), "PATH": f"{self.programs}{os.pathsep}{kept['PATH']}"}
        self.python: subprocess.Popen[str] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.python is not None:
            self.python.communicate()

    def run(self, page: str, name: str) -> int:
        """Run the blocks of a page; how many have run.

        Raises:
            AssertionError: one has failed, or printed something else than the page says.
        """
        count, printed = 0, None
        for block in blocks(page):
            place = f"{name}, line {block.line}"
            if block.language == "text" and printed is not None:
                assert doctest.OutputChecker().check_output(block.text, printed, SAME), (
                    f"{place}: the page says\n{block.text}\nand this was printed:\n{printed}"
                )
            printed = None
            if block.title:
                (self.folder / block.title).write_text(block.text)
            elif block.language == "diff":
                self._command(["git", "apply", "--recount", "-"], place, block.text)
            elif block.language in RUNS and not block.why:
                printed, count = self._printed(block, place), count + 1
        return count

    def _printed(self, block: Block, place: str) -> str:
        if block.language == "sh":
            script = f"set -euo pipefail\n{block.text}\npwd > {self.programs}/.folder\n"
            printed = self._command(["bash", "-c", script], place)
            self.folder = Path((self.programs / ".folder").read_text().strip())
            return printed
        if self.python is None:
            self.python = subprocess.Popen(
                [sys.executable, "-P", "-c", PYTHON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=self.environment,
            )  # fmt: skip
        assert self.python.stdin is not None
        assert self.python.stdout is not None
        self.python.stdin.write(json.dumps({"folder": str(self.folder), "text": block.text, "place": place}) + "\n")
        self.python.stdin.flush()
        answer = json.loads(self.python.stdout.readline() or '{"printed": "", "error": "it ended Python"}')
        assert not answer["error"], f"{place}:\n{answer['error']}"
        return str(answer["printed"])

    def _command(self, words: list[str], place: str, given: str = "") -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, input=given, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{place}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout
