"""How far runs are, read from the small files they keep, and how that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from suite.monitor.job_states import Cluster
from suite.results.json_files import read_end
from suite.results.shapes import EXECUTION, is_count, is_number, read_shaped
from suite.results.status import read_status

RECENT_ITERATIONS = 5  # that the speed of meta-training is taken from
TAIL_BYTES = 8192


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
    tested: float | None = None  # share of all meta-tests of the folder; None while it trains


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
        fields.get("message") or "", fields.get("tested"),
    )  # fmt: skip


def recent_speed(folder: Path) -> float | None:
    """Environment steps per second over the last outer iterations; None before there are two of them.

    The first iteration is the initial exploration, which is much faster than any other, so it does not count.
    """
    rows = _last_metrics(folder)
    rows = [row for row in rows if is_count(row.get("iteration")) and row["iteration"] > 0][-RECENT_ITERATIONS:]
    if rows and rows[0]["iteration"] == 1 and len(rows) < 2:
        return None
    if len(rows) < 2 or rows[-1]["seconds"] <= rows[0]["seconds"]:
        return None
    return (rows[-1]["env_steps"] - rows[0]["env_steps"]) / (rows[-1]["seconds"] - rows[0]["seconds"])


def _last_metrics(folder: Path) -> list[dict[str, Any]]:
    """The last whole rows of `metrics.jsonl`, those that say when they were written."""
    try:
        end, is_whole = read_end(folder / "metrics.jsonl", TAIL_BYTES)
    except (OSError, ValueError):
        return []
    lines = end.split(b"\n")
    rows = []
    for line in lines[:-1] if is_whole else lines[1:-1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # the end of a file that is being written
            continue
        if isinstance(row, dict) and is_count(row.get("env_steps")) and is_number(row.get("seconds")):
            rows.append(row)
    return rows


def _declared_budget(folder: Path) -> int | None:
    try:
        return int(read_shaped(folder / "execution.json", EXECUTION)["env_steps"])
    except (OSError, ValueError):
        return None


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
