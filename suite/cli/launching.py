"""What `offmap run` and `offmap resume` share: carrying runs out, and what is said before, meanwhile and after."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from suite.cli.output import console, print_lines, say
from suite.errors import UserError

if TYPE_CHECKING:
    from suite.executors.base import Outcome
    from suite.experiment.declaration import Experiment
    from suite.experiment.executor import ExecutorSpec
    from suite.monitor.overview import CellState


def require_acceptable(spec: ExecutorSpec, detach: bool, out: Path) -> None:
    """Refuse an executor that cannot take runs whose results go to `out`, before anything is written.

    Raises:
        UserError: there is no Slurm, or it refuses such jobs, or the runs of another executor are to be left alone.
    """
    from suite.executors.slurm import require_acceptance, require_slurm

    if spec.kind != "slurm":
        if detach:
            raise UserError(f"--detach leaves runs to a cluster; the {spec.kind} executor has to stay: leave it out")
        return
    require_slurm()
    require_acceptance(spec, out)


def show_submissions(experiment: Experiment, folder: Path) -> None:
    """Print the arrays that would be submitted; nothing is written anywhere.

    Raises:
        UserError: the executor is not Slurm, or is not here.
    """
    from suite.executors.launch import left_to_do, requests_of
    from suite.executors.slurm import described, largest_array, make_arrays, require_slurm
    from suite.experiment.expansion import expand
    from suite.results.layout import refuse_foreign
    from suite.results.prepare import declared_cells

    spec = experiment.executor
    if spec.kind != "slurm":
        raise UserError("--dry-run shows what would be submitted to Slurm: add --executor slurm, or use `offmap plan`")
    require_slurm()
    refuse_foreign(experiment.name, folder)
    requests = requests_of(declared_cells(expand(experiment)), spec)
    prepared = [folder / name for name in requests if (folder / name / "config.json").exists()]
    not_left = {*prepared} - {*left_to_do(folder, prepared)[0]}
    left = {name: request for name, request in requests.items() if folder / name not in not_left}
    made = make_arrays(left, spec, largest_array())
    print_lines([f"would be submitted: {len(left)} of {len(requests)} trainings, in {len(made)} arrays"])
    print_lines([f"{number}: {described(array)}" for number, array in enumerate(made, start=1)])


def launch(
    folder: Path, todo: Sequence[Path], spec: ExecutorSpec, detach: bool, command: str, taken: Sequence[Path] = ()
) -> None:
    """Carry out training folders, then collect and report; or leave them to the cluster.

    `taken` are worked on elsewhere, and waited for. `command` is what an interrupted user gives to go on. Exit code 1
    if a run is not done in the end, whoever worked on it, 130 if interrupted.
    """
    from suite.monitor.overview import labels

    outcomes = work_through(folder, todo, spec, command, taken, detach)
    if detach:
        print_lines([f"How far they are: offmap status {folder}"])
        return
    _finish(folder, outcomes, labels(folder))


def work_through(
    folder: Path, todo: Sequence[Path], spec: ExecutorSpec, command: str, taken: Sequence[Path], detach: bool = False
) -> Sequence[Outcome]:
    """How each of some training folders ended, shown while they are worked on; none if the cluster is left to itself.

    Exit code 130 if interrupted.
    """
    from suite.cli.display import display_for
    from suite.executors.base import Interrupted
    from suite.executors.launch import carry_out, submit_runs
    from suite.monitor.overview import labels

    if spec.kind == "slurm":
        submit_runs(folder, todo, spec, lambda words: print_lines([words]))
        if detach:
            return []
    try:
        with display_for(labels(folder), console()) as display:
            return carry_out(folder, todo, spec, display.update, taken)
    except (Interrupted, KeyboardInterrupt):
        said = "interrupted: the runs have stopped, and everything up to their last checkpoints is kept."
        if spec.kind == "slurm":
            said, command = "interrupted: the jobs go on.", f"offmap status {folder}"
        print_lines([said, f"To continue: {command}"])
        raise typer.Exit(130) from None


def _finish(folder: Path, outcomes: Sequence[Outcome], names: Mapping[Path, str]) -> None:
    """Collect, report, and name what failed; exit code 1 if anything did."""
    from suite.monitor.overview import refresh_cells
    from suite.results.collect import collect
    from suite.results.jobs import changing

    with changing(folder, patience=3600.0):  # two runs of one folder may end at once
        cells = refresh_cells(folder)
        if any(cell.state == "done" for cell in cells):
            collect(folder, say=say)
            _report(folder)
    unfinished = {cell.folder for cell in cells if cell.state != "done"}
    failed = [outcome for outcome in outcomes if outcome.folder in unfinished]
    for cell in cells:
        if cell.state == "unsupported":
            print_lines([f"not run: {cell.variant} on {cell.split}: {cell.reason}"])
    for outcome in failed:
        state = next(cell.state for cell in cells if cell.folder == outcome.folder and cell.state != "done")
        print_lines([f"{state}: {names[outcome.folder]}: {_why(outcome, cells)}"])
    if failed:
        raise typer.Exit(1)


def _why(outcome: Outcome, cells: Sequence[CellState]) -> str:
    said = next((cell.reason for cell in cells if cell.folder == outcome.folder and cell.reason), None)
    return f"{said or f'exit code {outcome.code}'}; see {outcome.folder / 'worker.log'}"


def _report(folder: Path) -> None:
    """The command `report` of the floor above, if it is installed."""
    from suite.cli.plugins import commands

    report = dict(commands()).get("report")
    if report is None:
        print_lines([f"no `offmap report` is installed; the records are in {folder / 'results.parquet'}"])
        return
    reporting = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    reporting.command()(report)
    reporting(args=[os.fspath(folder)], prog_name="offmap report", standalone_mode=False)
