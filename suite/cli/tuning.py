"""`offmap tune`: carry out a search on tuning splits, rung by rung, and show or record what came out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suite.cli.experiments import Overrides
from suite.cli.output import print_lines, print_table

if TYPE_CHECKING:
    from suite.experiment.declaration import Experiment
    from suite.tuning.record import Record
    from suite.tuning.search import Blocks, Search
    from suite.tuning.selection import Standing


def tune(
    search: Annotated[
        Path, typer.Argument(metavar="SEARCH", help="A YAML file of a search; with --show the folder of a record.")
    ],
    set_: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Results folder; by default runs/NAME, after the search.")] = None,
    copy_to: Annotated[
        Path | None, typer.Option(help="Also copy the record there, such as reports/tuning/NAME.")
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local, slurm or inline; by default the search's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local runs at once; by default one per core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show configurations and effort.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Only show the record in a folder.")] = False,
) -> None:
    """Choose values on tuning splits: run a search, or what is left of it, and write its record to OUT/tuning."""
    from suite.tuning.ladder import check, climb
    from suite.tuning.record import read_record, write_record
    from suite.tuning.search import load_search

    if show:
        _show(read_record(search))
        return
    declared = load_search(search, set_ or ())
    spec = declared.executor.changed(kind=executor, workers=workers)
    declared = declared.model_copy(update={"executor": spec})
    check(declared)
    if dry_run:
        _show_configurations(declared)
        return
    folder = out or Path("runs") / declared.name
    words = ["offmap", "tune", str(search), *(word for override in set_ or () for word in ("--set", override))]
    command = shlex.join([*words, *(["--out", str(out)] if out else [])])
    values = climb(declared, folder, lambda experiment: _carry_out(experiment, folder, command))
    for place in (folder / "tuning", *([copy_to] if copy_to else [])):
        write_record(declared, values, folder, place)
    _show(read_record(folder / "tuning"))
    print_lines([f"record: {copy_to or folder / 'tuning'}"])


def _carry_out(experiment: Experiment, folder: Path, command: str) -> None:
    """Run what is left of a rung; exit code 1 if anything has not come to an end of its own."""
    from suite.cli.launching import require_acceptable, work_through
    from suite.executors.launch import left_to_do
    from suite.monitor.overview import refresh_cells
    from suite.results.jobs import changing
    from suite.results.prepare import prepare
    from suite.tuning.ladder import has_diverged

    require_acceptable(experiment.executor, False, folder)
    folders = prepare(experiment, folder)
    todo, taken = left_to_do(folder, folders)
    todo = [training for training in todo if not has_diverged(training)]
    steps = experiment.budget.env_steps if not isinstance(experiment.budget, str) else 0
    print_lines([f"{experiment.name}: up to {steps:,} env steps, {len(todo)} of {len(folders)} trainings to work on"])
    if todo or taken:
        work_through(folder, todo, experiment.executor, command, taken)
    with changing(folder, patience=3600.0):
        cells = refresh_cells(folder)
    unfinished = [
        cell for cell in cells if cell.state != "done" and not (cell.folder is not None and has_diverged(cell.folder))
    ]
    if unfinished:
        print_lines([f"{cell.state}: {cell.variant} on {cell.split}: {cell.reason}" for cell in unfinished])
        print_lines([f"To continue: {command}"])
        raise typer.Exit(1)


def _show_configurations(search: Search) -> None:
    from suite.tuning.search import candidates

    for algorithm, listed in candidates(search).items():
        print_table(algorithm, ("", "values"), [(f"#{one.number}", _words(one.blocks)) for one in listed])
        print_lines([""])
    kept = [search.configurations, *(rung.keep for rung in search.rungs)]
    before = [0, *(rung.env_steps for rung in search.rungs)]
    runs = len(search.splits) * len(search.seeds)
    steps = sum(
        number * (rung.env_steps - start) * runs for number, rung, start in zip(kept, search.rungs, before)
    )  # fmt: skip
    print_lines([
        *(f"rung of {rung.env_steps:,} env steps: {number} configurations, {number * runs} trainings, {rung.keep} kept"
          for number, rung in zip(kept, search.rungs)),
        f"each of {len(search.algorithms)} algorithms: {steps:,} env steps of training; "
        f"{search.task_blind.variant}: {_steps_of_task_blind(search):,}",
    ])  # fmt: skip


def _steps_of_task_blind(search: Search) -> int:
    """Env steps of its trainings: as many as the last rung has, or of its own budget."""
    from suite.experiment.expansion import expand
    from suite.tuning.search import experiment_of, furthest

    cells = expand(experiment_of(search, furthest(search)))
    own = [cell.execution for cell in cells if cell.variant == search.task_blind.variant]
    return sum(execution.env_steps for execution in own if execution is not None)


def _show(record: Record) -> None:
    """Print the record of a search: every configuration of every algorithm, the best first, and the spread."""
    from suite.tuning.selection import winner

    search = record.search
    print_lines([
        f"{search.name}: {search.rule} over {len(search.splits)} splits, seeds {', '.join(map(str, search.seeds))}",
        "returns: on shifted tasks / in distribution, where a configuration has to beat the task-blind row", "",
    ])  # fmt: skip
    for algorithm, rungs in record.standings.items():
        cost = record.document["results"][algorithm]["cost"]
        chosen = winner(search, rungs)
        print_table(algorithm, ("", "env steps", "rank", *search.splits, "", "values"), _rows(record, algorithm))
        most = search.core_minutes
        more = ", which is more" if most and cost["core_minutes"] > most else ""
        limit = f" of {most:g} declared{more}" if most else ""
        print_lines([
            f"winner: {'none, as all are vetoed' if chosen is None else f'#{chosen}'}; {cost['trainings']} trainings, "
            f"{cost['env_steps']:,} env steps, {cost['core_minutes']:g} core-minutes{limit}",
            *_spread(search, rungs[0]), "",
        ])  # fmt: skip


def _rows(record: Record, algorithm: str) -> list[tuple[Any, ...]]:
    """One row per configuration, those that went furthest first, each as it stood on its last rung."""
    from suite.tuning.search import candidates
    from suite.tuning.selection import task_blind, winner

    search, rungs = record.search, record.standings[algorithm]
    blocks = {one.number: one.blocks for one in candidates(search)[algorithm]}
    chosen = winner(search, rungs)
    rows: list[tuple[Any, ...]] = []
    seen: set[int] = set()
    for rung, placed in reversed(list(zip(search.rungs, rungs))):
        for standing in placed:
            number = standing.configuration
            if number not in seen:
                said = "winner" if number == chosen else "vetoed" if standing.is_vetoed else ""
                words = _words(blocks[number]) or "published"
                pairs = _pairs(standing.shifted, standing.inside)
                rows.append((f"#{number}", rung.env_steps, f"{standing.mean_rank:.3g}", *pairs, said, words))
            seen.add(number)
        shifted, inside = task_blind(search, record.values, rung.env_steps)
        rows.append(("", rung.env_steps, "", *_pairs(shifted, inside), "task-blind", ""))
    return rows


def _pairs(shifted: Sequence[float], inside: Sequence[float]) -> list[str]:
    """Both returns on each split, in four digits."""
    return [f"{a:.4g} / {b:.4g}" for a, b in zip(shifted, inside)]


def _spread(search: Search, placed: list[Standing]) -> list[str]:
    """How much the searched values matter: worst, median and best shifted return on the first rung, per split."""
    import numpy as np

    lines = []
    for place, split in enumerate(search.splits):
        returns = np.array([standing.shifted[place] for standing in placed])
        ends = np.quantile(returns[np.isfinite(returns)], [0, 0.5, 1]) if np.isfinite(returns).any() else [np.nan] * 3
        own = next(standing.shifted[place] for standing in placed if standing.configuration == 0)
        lines.append(
            f"spread on {split} at {search.rungs[0].env_steps:,} env steps: worst {ends[0]:.4g}, median {ends[1]:.4g}, "
            f"best {ends[2]:.4g}, published {own:.4g}"
        )
    return lines


def _words(blocks: Blocks) -> str:
    return ", ".join(f"{name}.{field}={value}" for name, block in blocks for field, value in block.items())
