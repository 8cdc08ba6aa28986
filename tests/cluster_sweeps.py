"""Sweeps of tiny runs that tests hand to a cluster through the command line, as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from conftest import TINY
from local_slurm import MAX_ARRAY_SIZE, Cluster
from patience import PATIENCE
from tests_support import outcome

from suite.experiment.declaration import Experiment
from suite.results.jobs import jobs_of_runs, log_files, read_submissions
from suite.results.json_files import read_json, write_json
from suite.results.prepare import prepare
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.worker import work

QUICK = {"steps_per_iteration": 3, "env_steps": 1400}  # a second or two
LONG = {"steps_per_iteration": 100, "env_steps": 4400}  # twelve iterations of half a second, each with a checkpoint
MANY = MAX_ARRAY_SIZE + 2  # runs of the longest sweep of quick ones


def declared(length: dict[str, int], seeds: int, **executor: Any) -> dict[str, Any]:
    """An experiment of `seeds` runs, as in a user's file."""
    train = TINY["pearl"] | {"steps_per_iteration": length["steps_per_iteration"]}
    return {
        "name": "sweep",
        "splits": ["point-goal.ood"],
        "algorithms": [{"name": "pearl", "train": train}],
        "seeds": list(range(seeds)),
        "budget": {"env_steps": length["env_steps"]},
        "protocol": {"evaluation_episodes": 1, "tasks_at_once": 5},
        "checkpoint_seconds": 0.2,
        "executor": {"kind": "slurm", "memory": "500MB", "time": "01:00:00"} | executor,
    }  # fmt: skip


def undisturbed(folder: Path, length: dict[str, int], seeds: int) -> dict[str, Any]:
    """What runs come out with that nothing happens to, by the names of their folders; all in this process."""
    folders = prepare(Experiment.model_validate(declared(length, seeds)), folder)
    assert [work(training) for training in folders] == [0] * seeds
    return {training.name: outcome(training) for training in folders}


class Sweep:
    """An experiment on a cluster: `out` is its results folder."""

    def __init__(self, cluster: Cluster, place: Path, expected: dict[str, Any], document: dict[str, Any]) -> None:
        self.cluster = cluster
        self.out = place / "runs"
        self.file = place / "sweep.yaml"
        self.expected = expected
        write_json(self.file, document)  # JSON is YAML

    def begin(self, *words: str) -> None:
        """`offmap run --detach`."""
        self.offmap("run", self.file, "--out", self.out, "--detach", *words)

    def offmap(self, *words: object, code: int = 0) -> str:
        """What a command printed, errors last; it has to end with `code`."""
        process = self.start(*words)
        printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, printed
        return printed

    def start(self, *words: object) -> subprocess.Popen[str]:
        """A command that has just been started."""
        command = [sys.executable, "-P", "-m", "suite.cli", *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | self.cluster.environment,
        )  # fmt: skip

    @property
    def folders(self) -> list[Path]:
        """Training folders, in the order of the grid."""
        return [self.out / cell["training"] for cell in read_json(self.out / "cells.json")]

    def status(self) -> list[dict[str, Any]]:
        """What `offmap status` says of each run."""
        cells: list[dict[str, Any]] = json.loads(self.offmap("status", self.out, "--json"))["cells"]
        return cells

    def states(self) -> list[str]:
        """The state of each run."""
        return [cell["state"] for cell in self.status()]

    def wait_until(self, *states: str) -> None:
        """Return when the runs, in the order of the grid, are in these states."""
        self.cluster.wait_for(lambda: self.states() == list(states), f"the runs are {states}, but {self.status()}")

    def is_everywhere(self, *words: str) -> bool:
        """Whether the reason that `offmap status` gives for each run has these words in it."""
        return all(word in (cell["reason"] or "") for cell in self.status() for word in words)

    def wait_for_checkpoint(self, folder: Path, number: int = 2) -> None:
        """Return when a run has written its so-manieth checkpoint, and goes on."""
        reached = 800 + 300 * (number - 1)
        self.cluster.wait_for(
            lambda: any(int(name) >= reached for name in checkpoint_names(folder / "checkpoints")),
            f"{folder} has {number} checkpoints",
        )  # fmt: skip

    def wait_for_warning(self, folder: Path) -> None:
        """Return when the job of a run has heard that it has to end."""
        (job,) = {job.name for run, job in jobs_of_runs(read_submissions(self.out)).items() if run == folder.name}
        told = log_files(self.out, job)
        self.cluster.wait_for(
            lambda: any(path.exists() and "Caught signal SIGUSR2" in path.read_text() for path in told),
            f"job {job} is warned",
        )  # fmt: skip

    def worker(self, folder: Path) -> int:
        """The process that works on a run."""
        return int(read_json(folder / "status.json")["pid"])

    def kept(self, folder: Path) -> bytes:
        """The training curve up to the newest checkpoint, measured times included, which no two trainings share."""
        newest = checkpoint_names(folder / "checkpoints")[-1]
        counters = read_json(folder / "checkpoints" / newest / "state.json")["counters"]
        return (folder / "metrics.jsonl").read_bytes()[: counters["metrics_bytes"]]

    def check(self) -> None:
        """Every run is done, once, and came out bit for bit as if nothing had happened."""
        assert set(self.states()) == {"done"}
        for folder in self.folders:
            assert outcome(folder) == self.expected[folder.name]
            assert not list(folder.glob("metatests/*/parts"))
            assert not [path for path in folder.rglob(".*.partial") if path.name != ".status.json.partial"]
        self.offmap("collect", self.out)
        self.cluster.wait_for(lambda: not self.cluster.jobs(), "the jobs of runs that are done end too")


@contextmanager
def throttled(process: int, share: float = 0.01) -> Iterator[None]:
    """Within, a process runs for a share of each second only, as on a machine that is very busy."""
    ended = Event()

    def throttle() -> None:
        while not ended.is_set():
            os.kill(process, signal.SIGSTOP)
            time.sleep(1 - share)
            os.kill(process, signal.SIGCONT)
            time.sleep(share)

    thread = Thread(target=lambda: _until_it_is_gone(throttle), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _until_it_is_gone(throttle: Any) -> None:
    try:
        throttle()
    except ProcessLookupError:
        return
