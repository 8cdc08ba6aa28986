"""Algorithms and families from plugins, in a program or a notebook."""

from __future__ import annotations

from pathlib import Path

from suite.experiment import plugins


def use_plugins(*given: str | Path) -> None:
    """Have what these plugins declare be known by name, as `--plugin` does on the command line.

    Args:
        given: Files, by their paths from the working folder, or names of modules. One whose text has changed since it
            was given replaces what it was.

    Raises:
        UserError: one is not there, cannot be imported, declares nothing, or has the name of another.
    """
    plugins.use_plugins(map(str, given), Path())
