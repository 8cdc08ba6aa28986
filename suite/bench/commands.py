"""Figures of `offmap bench`: what commands take that learn nothing, and what a Slurm job takes beside its workers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from submitit.core.utils import DelayedSubmission

from suite.bench.measurement import Figure, Spent, offmap, slowness, spent
from suite.bench.scale import finish_runs
from suite.executors.slurm_job import Job
from suite.experiment.declaration import Experiment
from suite.results.jobs import FOLDER
from suite.results.prepare import prepare
from suite.results.status import Status

ROUNDS = 5
HELP_LIMIT, SECONDS_LIMIT = 0.3, 0.6  # s
MEMORY_LIMIT = 70.0  # MB
ARROW_MEMORY_LIMIT = 110.0
"""MB, of `collect`, which holds 92 to 95: 72 as soon as `pyarrow.parquet` is imported, 42 of them pages of its own
libraries, and 10 more of these once they read and write. Taking Arrow's memory from the system's pool would spare 6."""
JOB = "1"  # Slurm's number of the job that is measured
EXPERIMENT: dict[str, Any] = {
    "name": "few", "splits": ["point-goal.ood"], "algorithms": ["pearl"], "seeds": [0, 1, 2],
    "budget": {"env_steps": 100_000},
}  # fmt: skip
RECORDS = 100


class Command(NamedTuple):
    """A command line, the environment variables it needs, and the most memory it may hold, MB."""

    line: Sequence[str]
    environment: Mapping[str, str] = {}
    memory: float = MEMORY_LIMIT


def commands_figures(rounds: int = ROUNDS) -> list[Figure]:
    """Processor seconds and MB of each command, the least of some rounds, each on the same small results folder."""
    scale, note = slowness(), "processor time of the whole command"
    taken = _least(Command(offmap("--help")), rounds)
    figures = [Figure("offmap --help", taken.seconds, "s", HELP_LIMIT * scale, note=note)]
    with tempfile.TemporaryDirectory(prefix="offmap-commands-") as scratch:
        out = Path(scratch) / "runs"
        folders = prepare(Experiment.model_validate(EXPERIMENT), out)
        submit_finished(out, folders)
        for name, command in commands_on(out).items():
            taken = _least(command, rounds, lambda: finish_but_one(out, folders))
            figures += [
                Figure(name, taken.seconds, "s", SECONDS_LIMIT * scale, note=note),
                Figure(f"memory, {name}", 1000 * taken.memory, "MB", command.memory, note="peak"),
            ]
    return figures


def commands_on(out: Path) -> dict[str, Command]:
    """What is measured, by name: commands on a results folder, and the process of a job that starts the workers."""
    job = [sys.executable, "-P", "-m", "submitit.core._submit", str(out / FOLDER)]
    of_slurm = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": JOB, "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
    return {
        "offmap status": Command(offmap("status", out)),
        "offmap cancel": Command(offmap("cancel", out)),
        "offmap resume": Command(offmap("resume", out)),
        "offmap collect": Command(offmap("collect", out), memory=ARROW_MEMORY_LIMIT),
        "offmap clean": Command(offmap("clean", out, "--yes")),
        "Slurm job": Command(job, of_slurm),
    }


def finish_but_one(out: Path, folders: Sequence[Path]) -> None:
    """Finish every run but the last, which has failed; the others hold checkpoints again, for `clean`.

    So `cancel` and `resume` find a run that has work left, and nothing that they would have to end or to begin.
    """
    finish_runs(out, RECORDS)
    for folder in folders:
        (folder / "checkpoints").mkdir(exist_ok=True)
    for records in folders[-1].glob("metatests/*/records.parquet"):
        records.unlink()
    Status(folders[-1]).write(state="failed", message="diverged")


def submit_finished(out: Path, folders: Sequence[Path]) -> None:
    """Write what submitit gives to a job whose runs are finished when it starts, so that it starts no worker."""
    (out / FOLDER).mkdir()
    job = Job([str(folder) for folder in folders[:-1]], minutes=60, signal_seconds=60)
    DelayedSubmission(job).dump(out / FOLDER / f"{JOB}_submitted.pkl")


def _least(command: Command, rounds: int, before: Callable[[], None] = lambda: None) -> Spent:
    """The least of each that a command takes in some rounds; `before` is called before each."""
    taken = []
    for _ in range(rounds):
        before()
        taken.append(spent(command.line, command.environment))
    return Spent(min(one.seconds for one in taken), min(one.memory for one in taken))
