"""`--plugin`: code of one's own, for any command, wherever on the line it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

NAME = "--plugin"

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        NAME,
        metavar="MODULE|FILE.py",
        help="Algorithms or families of your own; may be given several times, before the command or behind it.",
    ),
]


def moved_to_the_front(arguments: Sequence[str]) -> list[str]:
    """The arguments with every `--plugin X` before the command, whose option it is for all commands."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == NAME:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(f"{NAME}="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def use(given: Sequence[str]) -> None:
    """Have these plugins be in use, files by their paths from here, and those of installed packages.

    Raises:
        UserError: one that was given does not work.
    """
    from tasks.plugins import any_installed

    if not given and not any_installed():
        return  # what follows takes as long to import as all of `offmap --help`
    from suite.experiment.plugins import use_installed_plugins, use_plugins

    use_installed_plugins()
    use_plugins(given, Path())


def given_plugins() -> list[str]:
    """What was given to the command that is being carried out."""
    import click

    context = click.get_current_context(silent=True)
    return list((context.find_root().params.get("plugin") if context else None) or ())
