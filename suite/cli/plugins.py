"""Commands of floors above this one, and of other packages: they join through the entry points `offmap.commands`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points

import typer

GROUP = "offmap.commands"


def commands() -> Iterator[tuple[str, Callable[..., None]]]:
    """Name and function of each command; one that cannot be imported says so when it is called."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            yield point.name, point.load()
        except Exception as error:
            yield point.name, _broken(point, error)


def _broken(point: EntryPoint, error: Exception) -> Callable[..., None]:
    words = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    package = point.dist.name if point.dist is not None else "an unknown package"

    def broken(context: typer.Context) -> None:
        typer.echo(trace, err=True)
        typer.echo(f"offmap: the command {point.name!r} of {package} ({point.value}) is broken: {words}", err=True)
        raise typer.Exit(1)

    broken.__doc__ = f"(broken: {words})"
    return broken
