"""`offmap plan` and `offmap run`: what an experiment would do, and doing it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.output import AsJson, console, print_json, print_lines, print_table

if TYPE_CHECKING:
    from suite.executor import Outcome
    from suite.experiment import Experiment
    from suite.overview import CellState
    from suite.plan import Plan

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="A YAML file of an experiment.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of it, such as seeds=[0,1].")
]
Out = Annotated[Path | None, typer.Option(help="Results folder; by default runs/NAME, after the experiment.")]


def plan(
    experiment: ExperimentFile,
    set_: Overrides = None,
    out: Out = None,
    as_json: AsJson = False,
    calibrate: Annotated[bool, typer.Option(help="Time pieces of the work, which takes up to a minute.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once; by default one per core.")] = None,
) -> None:
    """Show what `offmap run` would do, what of it is done, and how long the rest takes; writes nothing there."""
    from suite.executor import available_cores
    from suite.plan import make_plan

    declared, folder = _declared(experiment, set_, out)
    made = make_plan(declared, folder, workers or available_cores(), calibrate, _say)
    if as_json:
        print_json(made.as_json())
    else:
        _print_plan(made)


def run(
    experiment: ExperimentFile,
    set_: Overrides = None,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at once; by default one per core.")] = None,
) -> None:
    """Run what an experiment declares and has not been run yet, then collect the records and write the report."""
    from suite.executor import Interrupted, available_cores, run_local
    from suite.grid import pending, prepare
    from suite.overview import labels, read_cells
    from suite.progress import display_for

    declared, folder = _declared(experiment, set_, out)
    folders = prepare(declared, folder)
    todo = [training for training in folders if pending(training)]
    out_console = console()
    out_console.print(_intention(declared, folder, len(folders), len(todo)), markup=False, soft_wrap=True)
    outcomes: list[Outcome] = []
    try:
        with display_for(labels(read_cells(folder)), out_console) as display:
            outcomes = run_local(todo, workers or available_cores(), display.update)
    except (Interrupted, KeyboardInterrupt):
        print_lines([
            "interrupted: the runs have stopped, and everything up to their last checkpoints is kept.",
            f"To continue: {_same_command(experiment, set_, out, workers)}",
        ])  # fmt: skip
        raise typer.Exit(130) from None
    _finish(folder, outcomes)


def _declared(path: Path, overrides: list[str] | None, out: Path | None) -> tuple[Experiment, Path]:
    """The experiment, and the folder of its results."""
    from suite.experiment import load_experiment

    experiment = load_experiment(path, overrides or ())
    if experiment.tensorboard:
        from suite.events import require_tensorboard

        require_tensorboard()  # now, and not in each of its runs
    return experiment, out or Path("runs") / experiment.name


def _intention(experiment: Experiment, folder: Path, trainings: int, todo: int) -> str:
    done = f", {trainings - todo} of them done already" if todo < trainings else ""
    return f"{experiment.name}: {trainings} trainings{done}; results in {folder}"


def _same_command(experiment: Path, overrides: list[str] | None, out: Path | None, workers: int | None) -> str:
    words = ["offmap", "run", str(experiment)]
    words += [word for override in overrides or () for word in ("--set", override)]
    words += ["--out", str(out)] if out else []
    words += ["--workers", str(workers)] if workers else []
    return shlex.join(words)


def _finish(folder: Path, outcomes: list[Outcome]) -> None:
    """Collect, report, and name what failed; exit code 1 if anything did."""
    from suite.collect_results import collect
    from suite.grid import refresh_cells
    from suite.overview import labels, read_cells

    refresh_cells(folder)
    cells = read_cells(folder)
    names = labels(cells)
    failed = [outcome for outcome in outcomes if outcome.code != 0]
    if any(cell.state == "done" for cell in cells):
        collect(folder, say=_say)
        _report(folder)
    for cell in cells:
        if cell.state == "unsupported":
            print_lines([f"not run: {cell.variant} on {cell.split}: {cell.reason}"])
    for outcome in failed:
        print_lines([f"failed: {names[outcome.folder]}: {_why(outcome, cells)}"])
    if failed:
        raise typer.Exit(1)


def _why(outcome: Outcome, cells: list[CellState]) -> str:
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


def _say(words: str) -> None:
    """Tell a waiting person what is going on, apart from the result."""
    typer.echo(words, err=True)


def _print_plan(made: Plan) -> None:
    from suite.progress import duration

    cells = [(cell.variant, cell.split, cell.seed, cell.state, cell.reason) for cell in made.cells]
    print_table("", ("variant", "split", "seed", "state", "reason"), cells)
    print_lines([""])
    trainings = [
        (
            training.label,
            training.budget,
            training.env_steps_left,
            f"{training.metatests_left} of {training.metatests}",
            "" if training.hours is None else duration(3600 * training.hours),
        )
        for training in made.trainings
    ]
    print_table("", ("training", "env steps", "to do", "meta-tests to do", "time"), trainings)
    print_lines(["", *made.summary()])
