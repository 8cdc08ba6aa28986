"""`offmap status`, `collect` and `video`: what has come out so far."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.output import AsJson, console, print_json, print_lines, print_table, say

if TYPE_CHECKING:
    from suite.monitor.overview import CellState

WATCH_SECONDS = 10.0

ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]


def status(
    folder: ResultsFolder,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until every run has ended.")] = False,
) -> None:
    """Show how far the runs of a results folder are; reads only."""
    from suite.errors import UserError

    if watch and as_json:
        raise UserError("--watch is for people and --json for programs: leave one of them out")
    while _show(folder, as_json, watch):
        time.sleep(WATCH_SECONDS)


def _show(folder: Path, as_json: bool, watch: bool) -> bool:
    """Print the status of a results folder; whether to do so again."""
    from suite.monitor.job_states import ACTIVE
    from suite.monitor.overview import STATES, describe, read_cells
    from suite.results.shapes import EXPERIMENT, read_shaped

    cells = read_cells(folder)
    counts = {state: sum(cell.state == state for cell in cells) for state in STATES}
    if as_json:
        name = read_shaped(folder / "experiment.json", EXPERIMENT)["name"]
        print_json({"experiment": name, "folder": str(folder), "counts": counts, "cells": list(map(describe, cells))})
        return False
    if watch:
        console().clear()
    columns = ("variant", "split", "seed", "run", "state", "stage", "env steps", "steps/s", "return", "left", "reason")
    least = ("steps/s", "return", "env steps", "run", "left")
    print_table("", columns, [_row(cell) for cell in cells], least)
    print_lines(["", ", ".join(f"{number} {state}" for state, number in counts.items() if number)])
    return watch and any(counts[state] for state in ACTIVE)


def _row(cell: CellState) -> tuple[object, ...]:
    from suite.monitor.progress import duration, stage_text, steps_text

    place = (cell.variant, cell.split, cell.seed, cell.folder.name if cell.folder else "", cell.state)
    progress = cell.progress
    if progress is None:
        return (*place, "", "", "", "", "", cell.reason)
    is_running = cell.state == "running"
    remaining = progress.remaining_seconds
    return (
        *place,
        stage_text(progress) if is_running else "",
        steps_text(progress),
        progress.steps_per_second if is_running else "",
        progress.value,
        duration(remaining) if is_running and remaining is not None else "",
        cell.reason,
    )


def collect(
    folder: ResultsFolder,
    mix: Annotated[bool, typer.Option("--mix", help="Put runs together that were not measured alike.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option(help="Also pack all that a report needs into this folder, in a handful of files.")
    ] = None,
) -> None:
    """Make one tidy table, `results.parquet`, of the records of all runs in a results folder."""
    from suite.monitor.overview import refresh_cells
    from suite.results.collect import collect as collect_records
    from suite.results.packing import pack

    print_lines([str(collect_records(folder, mix, say=say))])
    if copy_to is not None:
        if (folder / "cells.json").exists():
            refresh_cells(folder)
        print_lines([f"packed into {pack(folder, copy_to)}"])


def video(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training, or of one meta-test.")],
    task: Annotated[int, typer.Option(min=0, help="Number of the task in its list.")] = 0,
    task_list: Annotated[str, typer.Option("--list", help="List of the split the task is in.")] = "test",
    updates: Annotated[int | None, typer.Option(min=0, help="Cap on adaptation updates; by default the run's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .mp4 or .gif to write; by default in RUN/videos.")] = None,
) -> None:
    """Film a finished run in one task before and after adaptation, side by side; .mp4 where ffmpeg is, else .gif."""
    from suite.run.video import film

    with console().status("adapting"):
        path = film(run, task_list, task, updates, out)
    print_lines([str(path)])
