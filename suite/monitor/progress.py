"""How far runs are, read from the small files they keep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from suite.executors.local import Pool
from suite.monitor.job_states import Cluster
from suite.results.json_files import read_json
from suite.results.status import read_status

REFRESH_SECONDS = 1.0
PLAIN_SECONDS = 30.0  # between two plain lines of a run whose stage has not changed
RECENT_ITERATIONS = 5  # that the speed of meta-training is taken from
TAIL_BYTES = 8192

COLOURS = {
    "running": "cyan", "done": "green", "waiting": "dim", "pending": "dim", "requeued": "yellow", "stopped": "yellow",
    "failed": "red", "killed": "red", "timed out": "red", "lost": "red",
}  # fmt: skip


class RunProgress(NamedTuple):
    """How far a training folder is; what is not known is None. `fraction` and `remaining_seconds` are the stage's."""

    state: str  # one of suite.monitor.overview.STATES, or waiting
    stage: str = ""
    fraction: float | None = None
    env_steps: int | None = None
    budget: int | None = None
    steps_per_second: float | None = None
    value: float | None = None  # return of the last training episodes
    remaining_seconds: float | None = None
    message: str = ""


def read_progress(folder: Path, cluster: Cluster | None = None) -> RunProgress:
    """The progress of a training folder, from `status.json` and the end of `metrics.jsonl`, and of its job, if any."""
    fields = read_status(folder)
    if cluster is not None:
        fields = cluster.judge(folder.name, fields)
    stage, steps, budget = fields.get("stage", ""), fields.get("env_steps"), fields.get("budget")
    budget = budget or _declared_budget(folder)
    fraction, remaining, speed = fields.get("fraction"), fields.get("remaining_seconds"), None
    if stage == "training" and fields["state"] == "running" and budget:
        steps = steps or 0
        recent = recent_speed(folder)
        speed, fraction = recent or fields.get("steps_per_second"), min(steps / budget, 1.0)
        remaining = max(budget - steps, 0) / recent if recent else None
    if stage == "meta-test" and fields.get("metatest"):
        stage = f"meta-test {fields['metatest']}"
    return RunProgress(
        fields["state"], stage, fraction, steps, budget, speed, fields.get("return"), remaining,
        fields.get("message") or "",
    )  # fmt: skip


def recent_speed(folder: Path) -> float | None:
    """Environment steps per second over the last outer iterations; None before there are two of them.

    The first iteration is the initial exploration, which is much faster than any other, so it does not count.
    """
    rows = _last_metrics(folder)
    rows = [row for row in rows if row.get("iteration", 0) > 0][-RECENT_ITERATIONS:]
    if rows and rows[0]["iteration"] == 1 and len(rows) < 2:
        return None
    if len(rows) < 2 or rows[-1]["seconds"] <= rows[0]["seconds"]:
        return None
    return (rows[-1]["env_steps"] - rows[0]["env_steps"]) / (rows[-1]["seconds"] - rows[0]["seconds"])


def _last_metrics(folder: Path) -> list[dict[str, Any]]:
    """The last whole rows of `metrics.jsonl`."""
    try:
        with (folder / "metrics.jsonl").open("rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(size - TAIL_BYTES, 0))
            lines = handle.read().split(b"\n")
    except OSError:
        return []
    whole = lines[:-1] if size <= TAIL_BYTES else lines[1:-1]
    rows = []
    for line in whole:
        try:
            rows.append(json.loads(line))
        except ValueError:  # the end of a file that is being written
            continue
    return rows


def _declared_budget(folder: Path) -> int | None:
    try:
        return read_json(folder / "execution.json")["env_steps"]
    except (OSError, ValueError, KeyError):
        return None


class Display(ABC):
    """Follows the runs of an executor: `update` is its `on_tick`. Base of the live and the plain one."""

    def __init__(self, labels: Mapping[Path, str], console: Console) -> None:
        self.labels = labels
        self.console = console
        self.seen: dict[Path, RunProgress] = {}
        self._updated = 0.0
        self._ended = 0

    def __enter__(self) -> Display:
        """Ready to be updated."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind."""
        return None

    def update(self, pool: Pool) -> None:
        """Read how far the running folders are, and how the ended ones ended, about once per second."""
        now = time.monotonic()
        if now - self._updated < REFRESH_SECONDS and len(pool.outcomes) == self._ended:
            return
        for outcome in pool.outcomes[self._ended :]:
            self.seen[outcome.folder] = _after(read_progress(outcome.folder), outcome.code)
        for folder in pool.running:
            # Before a worker has written anything, its folder still tells of the attempt before it.
            read = read_progress(folder)
            known = self.seen.get(folder, RunProgress("running", "starting"))
            self.seen[folder] = read if read.state == "running" else known
        self._updated, self._ended = now, len(pool.outcomes)
        self.show(pool, now)

    @abstractmethod
    def show(self, pool: Pool, now: float) -> None:
        """Bring what was seen to the user; `now` is in seconds of a monotonic clock."""


def _after(progress: RunProgress, code: int) -> RunProgress:
    """The progress of a folder whose worker has ended, trusting its exit code more than what it wrote."""
    if code == 0:
        return progress._replace(state="done", remaining_seconds=None)
    message = progress.message or f"exit code {code}; see worker.log"
    return progress._replace(state="failed", message=message, remaining_seconds=None)


def display_for(labels: Mapping[Path, str], console: Console) -> Display:
    """A live table where `console` is a terminal, plain lines where it is none."""
    return (LiveDisplay if console.is_terminal else PlainDisplay)(labels, console)


class PlainDisplay(Display):
    """One line per run at every change of state or stage, and every half minute in between."""

    def __init__(self, labels: Mapping[Path, str], console: Console) -> None:
        super().__init__(labels, console)
        self._told: dict[Path, tuple[tuple[str, str], float]] = {}

    def show(self, pool: Pool, now: float) -> None:
        """Print the lines that are due."""
        for folder, progress in self.seen.items():
            about = (progress.state, progress.stage)
            before, told = self._told.get(folder, (None, -PLAIN_SECONDS))
            if about != before or (progress.state == "running" and now - told >= PLAIN_SECONDS):
                self._told[folder] = (about, now)
                line = f"{time.strftime('%H:%M:%S')}  {self.labels[folder]}: {sentence(progress)}"
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveDisplay(Display):
    """A table that is redrawn in place: what runs, what failed, and the last to be done, as far as the screen goes."""

    def __enter__(self) -> LiveDisplay:
        """Start drawing."""
        self._live = Live(console=self.console, auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state of the table on the screen."""
        self._live.stop()

    def show(self, pool: Pool, now: float) -> None:
        """Redraw."""
        self._live.update(self.table(pool), refresh=True)

    def table(self, pool: Pool) -> Table:
        """The runs worth seeing, in the order they were started, and how many there are of each kind."""
        table = Table(caption=_counts(pool), caption_justify="left", box=None, pad_edge=False)
        for name in ("run", "stage", "", "env steps", "steps/s", "return", "time left"):
            numbers = name in ("env steps", "steps/s", "return", "time left")
            table.add_column(name, justify="right" if numbers else "left", no_wrap=name != "stage")
        for folder in self._worth_showing():
            table.add_row(*_cells(self.labels[folder], self.seen[folder]))
        return table

    def _worth_showing(self) -> list[Path]:
        room = max(self.console.height - 4, 3)
        order = list(self.seen)
        rank = {"running": 0, "failed": 1, "killed": 1}
        ranked = sorted(order, key=lambda folder: (rank.get(self.seen[folder].state, 2), -order.index(folder)))
        return sorted(ranked[:room], key=order.index)


def _counts(pool: Pool) -> str:
    failed = sum(outcome.code != 0 for outcome in pool.outcomes)
    numbers = {"running": len(pool.running), "waiting": len(pool.waiting), "done": len(pool.outcomes) - failed}
    numbers |= {"failed": failed} if failed else {}
    return ", ".join(f"{number} {word}" for word, number in numbers.items())


def _cells(label: str, progress: RunProgress) -> list[Any]:
    """One row of the table."""
    state = progress.stage if progress.state == "running" else progress.state
    if progress.state == "failed":
        state = f"failed: {progress.message}"
    bar = "" if progress.fraction is None else ProgressBar(total=1.0, completed=progress.fraction, width=16)
    return [
        Text(label),
        Text(state, style=COLOURS.get(progress.state, "")),
        bar,
        steps_text(progress),
        "" if progress.steps_per_second is None else f"{progress.steps_per_second:,.0f}",
        "" if progress.value is None else f"{progress.value:.1f}",
        "" if progress.remaining_seconds is None else duration(progress.remaining_seconds),
    ]


def steps_text(progress: RunProgress) -> str:
    """Environment steps out of the budget, such as `20,000 / 500,000`; empty before any."""
    if progress.env_steps is None or not progress.budget:  # a budget of 0: there is nothing to train
        return ""
    return f"{progress.env_steps:,} / {progress.budget:,}"


def stage_text(progress: RunProgress) -> str:
    """The stage and how much of it is done, such as `training 40%`."""
    return progress.stage if progress.fraction is None else f"{progress.stage} {progress.fraction:.0%}"


def sentence(progress: RunProgress) -> str:
    """All that is known of a run, in one line."""
    if progress.state != "running":
        return progress.state + (f": {progress.message}" if progress.message else "")
    parts = [stage_text(progress)]
    if progress.stage == "training" and progress.budget:
        parts.append(f"{steps_text(progress)} env steps")
    if progress.steps_per_second is not None:
        parts.append(f"{progress.steps_per_second:,.0f} steps/s")
    if progress.value is not None:
        parts.append(f"return {progress.value:.1f}")
    if progress.remaining_seconds is not None:
        parts.append(f"{duration(progress.remaining_seconds)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time span as one reads it: 40 s, 12 min, 3 h 20 min, 2 d 4 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
