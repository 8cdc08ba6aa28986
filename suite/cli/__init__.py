"""The command line, `offmap`. Commands import what they need when they are called, so that all answer quickly."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from suite.cli.errors import explained


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (None: those of the process) and leave the process with its exit code."""
    with explained():
        from suite.cli.app import app
        from suite.cli.plugin_option import moved_to_the_front

        app(args=moved_to_the_front(sys.argv[1:] if arguments is None else arguments), prog_name="offmap")
