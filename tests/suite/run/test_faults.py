"""Faults that come from outside at any moment: kills, a full disk, a cut checkpoint, a clock that jumps.

Everything that happens here is drawn from a seeded generator, but for the instant at which a kill lands, which is the
machine's. `OFFMAP_KILLS` says how many runs are disturbed (6 by default, 50 for the whole thing).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from patience import PATIENCE
from tests_support import outcome
from workers import Moment, kill_worker, run_worker, steps_in

from algorithms.registry import ALGORITHMS, get_algorithm
from suite.errors import UserError
from suite.results.lock import owned
from suite.results.prepare import prepare
from suite.results.records import read_table
from suite.results.status import read_status
from suite.run.processes import worker_command, worker_environment
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.worker import work
from tasks.registry import get_family

RUNS = int(os.environ.get("OFFMAP_KILLS", "6"))
MOST_KILLS = 3  # of one run

PLACES = {
    "training": ("algorithms.mier", "Mier.iterate", 4, 0.03),
    "checkpointing": ("suite.run.training", "save_checkpoint", 4, 0.02),
    "record writing": ("suite.run.metatest", "write_table", 18, 0.004),
    "meta-test": ("suite.run.metatest", "run_trial", 7, 0.1),
}
"""Module, function, a call that is not yet the last of an undisturbed run, and how long one takes at most, s."""


@pytest.fixture
def experiment(tiny_experiment):
    """MIER and MIER-wR from one training, meta-tests in two batches of tasks per list."""
    return tiny_experiment(("mier", "mier-wr"), split="point-dynamics.ood", protocol={"tasks_at_once": 5})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Place of the undisturbed run, which is made once."""
    return {"folder": tmp_path_factory.mktemp("undisturbed")}


@pytest.fixture
def undisturbed(experiment, kept):
    """Outcome and simulator steps of a run that nothing happened to."""
    if "outcome" not in kept:
        (folder,) = prepare(experiment, kept["folder"] / "runs")
        assert run_worker(folder, kept["folder"] / "counts") == 0
        kept |= {"outcome": outcome(folder), "steps": steps_in(kept["folder"] / "counts")}
    return kept


def moment_in(stage, draw):
    """A moment in a stage of a run."""
    module, function, calls, seconds = PLACES[stage]
    return Moment(module, function, draw.randint(1, calls), draw.uniform(0, seconds))


def killed(experiment, place, moment):
    """The folder of a run that was killed at a moment; earlier, and in a new folder, where it was done by then."""
    for attempt in range(6):
        (folder,) = prepare(experiment, place / f"runs-{attempt}")
        (place / "counts").unlink(missing_ok=True)
        code = kill_worker(folder, place / "counts", moment._replace(seconds=moment.seconds / 3**attempt))
        if code == -signal.SIGKILL:
            return folder
        assert code == 0
    raise AssertionError(f"done before it could be killed at {moment}")


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("number", range(RUNS))
def test_killed_at_any_instant_nothing_is_lost_and_nothing_is_there_twice(experiment, undisturbed, tmp_path, number):
    """Run `number` dies first in stage `number` modulo four, then up to twice more wherever the dice say."""
    draw, stages = random.Random(number), list(PLACES)
    first = stages[number % len(stages)]
    others = [draw.choice(stages) for _ in range(draw.randrange(MOST_KILLS))]
    folder = killed(experiment, tmp_path, moment_in(first, draw))
    codes = [kill_worker(folder, tmp_path / "counts", moment_in(stage, draw)) for stage in others]
    assert set(codes) <= {0, -signal.SIGKILL}
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == undisturbed["outcome"]
    assert steps_in(tmp_path / "counts") >= undisturbed["steps"]
    for path in folder.glob("metatests/*/records.parquet"):
        rows = read_table(path)[0].select(["task_list", "task", "phase", "update", "episode"]).to_pylist()
        assert len({tuple(row.values()) for row in rows}) == len(rows)
    assert not list(folder.glob("**/.*.partial"))


OTHERS = [name for name, entry in ALGORITHMS.items() if entry.training != "mier"]


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.parametrize("name", OTHERS)
def test_every_algorithm_comes_back_from_kills_bit_for_bit(tiny_experiment, tmp_path, name):
    """Dies in training, at a checkpoint and in the meta-test, one after the other, wherever the dice say."""
    entry, draw = get_algorithm(name), random.Random(name)
    split = next(split for split in ("point-goal.ood", "point-dynamics.ood")
                 if entry.unsupported(get_family(split.partition(".")[0])) is None)  # fmt: skip
    declared = tiny_experiment((name,), split, protocol={"tasks_at_once": 3, "max_tasks": 6})
    (straight,), (folder,) = prepare(declared, tmp_path / "straight"), prepare(declared, tmp_path / "killed")
    assert run_worker(straight, tmp_path / "counts") == 0
    iterations = len((straight / "metrics.jsonl").read_text().splitlines())
    moments = [Moment("suite.run.metatest", "run_trial", draw.randint(2, 4), draw.uniform(0, 0.02))]
    if iterations:
        reached = draw.randint(1, iterations)
        moments = [
            Moment(entry.module, f"{entry.algorithm}.iterate", reached, draw.uniform(0, 0.01)),
            Moment("suite.run.training", "save_checkpoint", 1, draw.uniform(0, 0.01)),
            *moments,
        ]
    codes = [kill_worker(folder, tmp_path / "counts", moment) for moment in moments]
    assert codes[0] == -signal.SIGKILL or not iterations
    assert set(codes) <= {0, -signal.SIGKILL}
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == outcome(straight)
    assert not list(folder.glob("**/.*.partial"))
    assert not list(folder.glob("**/.damaged-*"))


def faketime():
    """Debian's library that fakes the clock of a process, or None."""
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.fixture
def clock(tmp_path):
    """A file that sets the clock of processes with `environment`, such as `+1d`; their stopwatches and files are real.

    As where an administrator, or a time server after a long while, sets the clock of a machine.
    """
    library = faketime()
    if library is None:
        pytest.skip("libfaketime is not installed (Debian: apt-get install libfaketime)")

    class Clock:
        file = tmp_path / "clock"
        environment = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip

    Clock.file.write_text("+0")
    return Clock


@pytest.mark.slow
def test_a_clock_that_jumps_deceives_nobody(tiny_experiment, clock, tmp_path):
    """The clock of a worker jumps a day ahead, then two days back: it goes on, is seen to, and nobody else gets in."""
    declared = tiny_experiment(("pearl",), train={"steps_per_iteration": 60}, env_steps=3200)
    (folder,), (straight,) = prepare(declared, tmp_path / "jumps"), prepare(declared, tmp_path / "straight")
    assert work(straight) == 0
    process = subprocess.Popen(worker_command(folder), env=worker_environment() | clock.environment)
    jumps, until, skew, skews = [1, -1], time.monotonic() + PATIENCE, 0, set()
    try:
        while process.poll() is None and time.monotonic() < until:
            if jumps and skew in skews and len(checkpoint_names(folder / "checkpoints")) > 0:
                skew = jumps.pop(0)  # once it was seen to have the clock of before
                clock.file.write_text(f"{skew:+d}d")
            status = read_status(folder)
            if process.poll() is None and status["state"] != "pending":
                assert status["state"] in ("running", "done")
                skews.add(round((status["heartbeat"] - time.time()) / 86400))
            if status.get("stage") == "training" and process.poll() is None:
                with pytest.raises(UserError, match="another process is working"), owned(folder):
                    pass
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert skews >= {1, -1}  # it did see both of these clocks
    assert outcome(folder) == outcome(straight)
    assert all(0 <= seconds < 80_000 for seconds in measured_seconds(folder))  # no day was counted


def measured_seconds(folder):
    """The training times in the curve of a training, s, which grow from row to row."""
    found = [json.loads(line)["seconds"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert found == sorted(found)
    return found
