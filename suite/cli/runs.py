"""`offmap resume`, `cancel`, `logs` and `clean`: runs that are under way, or were interrupted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.output import print_lines
from suite.cli.results import ResultsFolder
from suite.results.json_files import DamagedFile, read_end

LOG_BYTES = 1_000_000  # of a log that are read


def resume(
    folder: ResultsFolder,
    failed: Annotated[bool, typer.Option("--failed", help="Also try again what failed.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the executor from now on, such as memory=16GB."),
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local, slurm or inline; by default as before.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local runs at once; by default one per core.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Slurm: submit, and do not wait for the end.")] = False,
) -> None:
    """Carry out what is left of the runs of a results folder, and leave alone what is done or under way."""
    from suite.cli.launching import launch, require_acceptable
    from suite.executors.launch import changed_spec, left_to_do, remember
    from suite.results.selection import training_folders

    spec = changed_spec(folder, set_ or (), kind=executor, workers=workers)
    folders = training_folders(folder)
    todo, taken = left_to_do(folder, folders, with_failed=failed)
    if todo:
        require_acceptable(spec, detach, folder)
    under_way = f", {len(taken)} under way" if taken else ""
    print_lines([f"{len(folders)} trainings: {len(todo)} to resume{under_way}"])
    if todo:
        if set_:
            remember(folder, changed_spec(folder, set_))
        launch(folder, todo, spec, detach, f"offmap resume {folder}")


def cancel(
    folder: ResultsFolder,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Hashes or variants; all if none.")
    ] = None,
) -> None:
    """Cancel runs that are under way or wait; they keep what they have done, and `offmap resume` continues them."""
    from suite.executors.cancel import cancel_runs
    from suite.monitor.overview import labels
    from suite.results.selection import training_folders

    cancelled = cancel_runs(folder, training_folders(folder, runs or ()))
    names = labels(folder)
    print_lines([f"cancelled: {names[run]}" for run in cancelled] or ["nothing to cancel: no run is under way"])


def logs(
    folder: ResultsFolder,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Hash of a run, as `offmap status` shows it, or a variant.")
    ],
    lines: Annotated[int, typer.Option(min=1, help="Of each log, from its end.")] = 40,
) -> None:
    """Show the end of what a run has printed, and of what its job has."""
    from suite.results.jobs import jobs_of_runs, log_files, read_submissions
    from suite.results.selection import training_folder

    training = training_folder(folder, run)
    job = jobs_of_runs(read_submissions(folder)).get(training.name)
    paths = [training / "worker.log", *(log_files(folder, job.name) if job is not None else [])]
    shown = [path for path in paths if os.path.lexists(path)]
    for path in shown:
        print_lines([f"==> {path} <==", *_last_lines(path, lines), ""])
    if not shown:
        print_lines([f"{training}: nothing has been printed yet"])


def _last_lines(path: Path, lines: int) -> list[str]:
    """The end of a log, of which a run that goes wrong may have printed any amount."""
    if path.is_symlink():
        return [f"(a link to {os.readlink(path)}, which is not followed)"]
    try:
        end, is_whole = read_end(path, LOG_BYTES)
    except DamagedFile as error:
        return [f"({error})"]
    told = end.decode(errors="replace").splitlines()
    return (told if is_whole else told[1:])[-lines:] or ["(empty)"]


def clean(
    folder: ResultsFolder,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the checkpoints and logs of finished runs; their records and metrics stay."""
    from suite.results.clean import clear, leftovers
    from suite.results.selection import training_folders

    unneeded = leftovers(folder, training_folders(folder))
    if not (unneeded.of_runs or unneeded.of_jobs):
        print_lines(["nothing to clean: no finished run has checkpoints or logs"])
        return
    print_lines(f"  {path}" for path in unneeded.paths)
    print_lines([
        f"checkpoints and logs of {len(unneeded.of_runs)} finished runs and {len(unneeded.of_jobs)} files of their "
        f"jobs, {unneeded.size / 1e6:,.1f} MB.",
        "Without checkpoints these runs can neither be filmed, nor loaded, nor tested anew, nor given a larger budget.",
    ])  # fmt: skip
    if not yes and not typer.confirm("Delete them?"):
        print_lines(["nothing was deleted"])
        raise typer.Exit(1)
    clear(folder, unneeded)
    print_lines(["deleted"])
