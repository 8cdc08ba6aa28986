"""`offmap plan`, `run` and `schema`: what an experiment would do, doing it, and how its file is written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.output import AsJson, console, print_json, print_lines, print_table, say
from suite.cli.plugin_option import given_plugins

if TYPE_CHECKING:
    from suite.experiment.declaration import Experiment
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
    from suite.plan import make_plan
    from suite.run.processes import available_cores

    declared, folder = _declared(experiment, set_, out)
    made = make_plan(declared, folder, workers or available_cores(), calibrate, say)
    if as_json:
        print_json(made.as_json())
    else:
        _print_plan(made)


def run(
    experiment: ExperimentFile,
    set_: Overrides = None,
    out: Out = None,
    executor: Annotated[str | None, typer.Option(help="local, slurm or inline; by default the experiment's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local runs at once; by default one per core.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Slurm: submit, and do not wait for the end.")] = False,
    canary: Annotated[bool, typer.Option("--canary", help="Slurm: the others begin if one run succeeds.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Slurm: only show what would be submitted.")] = False,
    rerun: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT", help="Set its results aside, and make them again.")
    ] = None,
) -> None:
    """Run what an experiment declares and has not been run yet, then collect the records and write the report."""
    from suite.cli.launching import launch, require_acceptable, show_submissions
    from suite.executors.launch import left_to_do
    from suite.executors.rerun import set_variants_aside
    from suite.experiment.expansion import trainings_of
    from suite.results.code_changes import changes_in
    from suite.results.prepare import prepare

    declared, folder = _declared(experiment, set_, out)
    spec = declared.executor.changed(kind=executor, workers=workers, canary=canary or None)
    declared = declared.model_copy(update={"executor": spec})
    if dry_run:
        show_submissions(declared, folder)
        return
    require_acceptable(spec, detach, folder)
    if rerun:
        print_lines(set_variants_aside(declared.name, folder, trainings_of(declared), rerun))
    folders = prepare(declared, folder)
    todo, taken = left_to_do(folder, folders)
    done = len(folders) - len(todo) - len(taken)
    console().print(_intention(declared, folder, len(folders), done, len(taken)), markup=False, soft_wrap=True)
    print_lines(changes_in(folder))
    launch(folder, todo, spec, detach, _same_command(experiment, set_, out, executor, workers), taken)


def schema() -> None:
    """The JSON schema of an experiment file, for editors."""
    from suite.experiment.declaration import Experiment

    print_json(Experiment.model_json_schema())


def _declared(path: Path, overrides: list[str] | None, out: Path | None) -> tuple[Experiment, Path]:
    """The experiment, and the folder of its results."""
    from suite.experiment.declaration import load_experiment

    experiment = load_experiment(path, overrides or ())
    if experiment.tensorboard:
        from suite.run.event_files import require_tensorboard

        require_tensorboard()  # now, and not in each of its runs
    return experiment, out or Path("runs") / experiment.name


def _intention(experiment: Experiment, folder: Path, trainings: int, done: int, taken: int) -> str:
    finished = f", {done} of them done already" if done else ""
    elsewhere = f", {taken} being worked on already" if taken else ""
    return f"{experiment.name}: {trainings} trainings{finished}{elsewhere}; results in {folder}"


def _same_command(
    experiment: Path, overrides: list[str] | None, out: Path | None, executor: str | None, workers: int | None
) -> str:
    words = ["offmap", "run", str(experiment)]
    words += [word for override in overrides or () for word in ("--set", override)]
    words += ["--out", str(out)] if out else []
    words += ["--executor", executor] if executor else []
    words += ["--workers", str(workers)] if workers else []
    words += [word for plugin in given_plugins() for word in ("--plugin", plugin)]
    return shlex.join(words)


def _print_plan(made: Plan) -> None:
    from suite.monitor.progress import duration

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
