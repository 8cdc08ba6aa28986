"""Runs that are under way, shown while somebody waits: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from suite.cli.output import fitting, widest_word
from suite.errors import printable
from suite.executors.base import Pool
from suite.monitor.progress import RunProgress, duration, read_progress, sentence, stage_text, steps_text

REFRESH_SECONDS = 1.0
PLAIN_SECONDS = 30.0  # between two plain lines of a run whose stage has not changed, at least
SILENT_SECONDS = 600.0  # after which a run is told of though it has made less than a tenth of its stage since

COLUMNS = ("run", "stage", "", "env steps", "steps/s", "return", "time left")
LEAST = ("steps/s", "return", "env steps", "", "time left")
"""Columns that a narrow terminal goes without, the least useful first."""

BAR = 16
MOST_STAGE = 40
"""Letters: of the bar, and of the longest word of a stage that is never broken (a message may hold a path)."""

TRAINING = 0.8
"""The share of the bar that is meta-training; the rest are the meta-tests, all of which come after it."""

COLOURS = {
    "running": "cyan", "done": "green", "waiting": "dim", "pending": "dim", "requeued": "yellow", "stopped": "yellow",
    "held": "yellow",
    "failed": "red", "killed": "red", "timed out": "red", "lost": "red",
}  # fmt: skip


class Display(ABC):
    """Follows the runs of an executor: `update` is its `on_tick`. Base of the live and the plain one."""

    def __init__(self, labels: Mapping[Path, str], console: Console) -> None:
        self.labels = labels
        self.console = console
        self.progress: dict[Path, RunProgress] = {}
        self._updated = 0.0
        self._ended = 0

    def __enter__(self) -> Display:
        """Ready to be updated."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing anything."""
        return None

    def update(self, pool: Pool) -> None:
        """Read how far the running folders are, and how the ended ones ended, about once per second."""
        now = time.monotonic()
        if now - self._updated < REFRESH_SECONDS and len(pool.outcomes) == self._ended:
            return
        for outcome in pool.outcomes[self._ended :]:
            self.progress[outcome.folder] = _after(read_progress(outcome.folder), outcome.code)
        for folder in pool.running:
            # Before a worker has written anything, its folder still tells of the attempt before it.
            read = read_progress(folder)
            before = self.progress.get(folder, RunProgress("running", "starting"))
            self.progress[folder] = read if read.state == "running" else before
        for folder in pool.elsewhere:
            read = read_progress(folder)
            stage = f"elsewhere: {read.stage or read.state}"
            self.progress[folder] = read._replace(state="running", stage=stage)
        self._updated, self._ended = now, len(pool.outcomes)
        self.show(pool, now)

    @abstractmethod
    def show(self, pool: Pool, now: float) -> None:
        """Show the progress of every folder; `now` is in seconds of a monotonic clock."""


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
    """One line per run at every change of state or stage, and at every tenth of a stage in between."""

    def __init__(self, labels: Mapping[Path, str], console: Console) -> None:
        super().__init__(labels, console)
        self._last_lines: dict[Path, tuple[tuple[str, str], int, float]] = {}

    def show(self, pool: Pool, now: float) -> None:
        """Print the lines that say something new."""
        for folder, progress in self.progress.items():
            about, tenth = (progress.state, progress.stage), int(10 * (progress.fraction or 0.0))
            before, last_tenth, when = self._last_lines.get(folder, (None, 0, -SILENT_SECONDS))
            further = now - when >= (PLAIN_SECONDS if tenth != last_tenth else SILENT_SECONDS)
            if about != before or (progress.state == "running" and further):
                self._last_lines[folder] = (about, tenth, now)
                line = f"{time.strftime('%H:%M:%S')}  {self.labels[folder]}: {sentence(progress)}"
                self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


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
        rows = [_cells(self.labels[folder], self.progress[folder]) for folder in self._worth_showing()]
        widths = {name: max([len(name), *(_width(row[place]) for row in rows)]) for place, name in enumerate(COLUMNS)}
        widths["stage"] = min(widest_word(["stage", *(row[1] for row in rows)]), MOST_STAGE)
        shown = fitting(widths, self.console.width, LEAST)
        for name in shown:
            is_number = name in COLUMNS[3:]
            table.add_column(name, justify="right" if is_number else "left", no_wrap=name != "stage",
                             min_width=widths[name], overflow="fold")  # fmt: skip
        for row in rows:
            table.add_row(*(cell for name, cell in zip(COLUMNS, row) if name in shown))
        return table

    def _worth_showing(self) -> list[Path]:
        room = max(self.console.height - 4, 3)
        order = list(self.progress)
        rank = {"running": 0, "failed": 1, "killed": 1}
        ranked = sorted(order, key=lambda folder: (rank.get(self.progress[folder].state, 2), -order.index(folder)))
        return sorted(ranked[:room], key=order.index)


def _counts(pool: Pool) -> str:
    failed = sum(outcome.code != 0 for outcome in pool.outcomes)
    numbers = {"running": len(pool.running), "waiting": len(pool.waiting), "done": len(pool.outcomes) - failed}
    numbers |= {"elsewhere": len(pool.elsewhere)} if pool.elsewhere else {}
    numbers |= {"failed": failed} if failed else {}
    return ", ".join(f"{number} {word}" for word, number in numbers.items())


def done_share(progress: RunProgress) -> float | None:
    """How much of its meta-training and its meta-tests a run has behind it; None before it is known."""
    if progress.state == "done":
        return 1.0
    training = TRAINING if progress.budget else 0.0  # a policy from elsewhere is tested and nothing else
    if progress.tested is not None:
        return training + (1 - training) * progress.tested
    if progress.budget and progress.env_steps is not None:
        return training * min(progress.env_steps / progress.budget, 1.0)
    return None


def _stage(progress: RunProgress) -> str:
    """The stage in words; a meta-test with how much of it is done, as training has its steps in a column."""
    return progress.stage if progress.stage == "training" else stage_text(progress)


def _width(cell: Any) -> int:
    return BAR if isinstance(cell, ProgressBar) else len(cell.plain if isinstance(cell, Text) else str(cell))


def _cells(label: str, progress: RunProgress) -> list[Any]:
    """One row of the table."""
    state = _stage(progress) if progress.state == "running" else progress.state
    if progress.state == "failed":
        state = f"failed: {progress.message}"
    done = done_share(progress)
    bar = "" if done is None else ProgressBar(total=1.0, completed=done, width=BAR)
    return [
        Text(printable(label)),
        Text(printable(state), style=COLOURS.get(progress.state, "")),
        bar,
        steps_text(progress),
        "" if progress.steps_per_second is None else f"{progress.steps_per_second:,.0f}",
        "" if progress.value is None else f"{progress.value:.1f}",
        "" if progress.remaining_seconds is None else duration(progress.remaining_seconds),
    ]
