"""`offmap resume`, `cancel`, `logs` and `clean`: runs that are under way, or were interrupted."""

from __future__ import annotations

from typing import Annotated

import typer

from suite.cli.output import print_lines
from suite.cli.results import ResultsFolder


def resume(
    folder: ResultsFolder,
    failed: Annotated[bool, typer.Option("--failed", help="Also try again what failed.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the executor, such as memory=16GB.")
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local, slurm or inline; by default as before.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local runs at once; by default one per core.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Slurm: submit, and do not wait for the end.")] = False,
) -> None:
    """Carry out what is left of the runs of a results folder, and leave alone what is done or under way."""
    from suite.cli.launching import launch
    from suite.executors.launch import changed_spec, left_to_do, training_folders

    spec = changed_spec(folder, set_ or (), kind=executor, workers=workers)
    folders = training_folders(folder)
    todo, taken = left_to_do(folder, folders, with_failed=failed)
    under_way = f", {len(taken)} under way" if taken else ""
    print_lines([f"{len(folders)} trainings: {len(todo)} to resume{under_way}"])
    if todo:
        launch(folder, todo, spec, detach, f"offmap resume {folder}")
