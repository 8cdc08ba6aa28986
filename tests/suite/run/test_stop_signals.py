"""A worker that is asked to end keeps what it has done, and goes on from there."""

import os
import shutil
import signal
import subprocess

import pytest
from patience import PATIENCE, wait_until
from tests_support import outcome

from suite.results.prepare import prepare
from suite.results.status import read_status
from suite.run.processes import STOPPED, worker_command, worker_environment
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.stop_signals import Stopped, listening
from suite.run.worker import work


def ask_to_end(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def test_a_request_ends_the_work_at_once():
    with listening() as stop, pytest.raises(Stopped):
        ask_to_end()
    assert stop.requested()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_request_that_is_postponed_waits(number):
    done = []

    def work_on(stop):
        with stop.postponed():
            ask_to_end(number)
            ask_to_end(number)
            assert stop.requested()
            done.append("within")
        done.append("after")

    with listening() as stop, pytest.raises(Stopped):
        work_on(stop)
    assert done == ["within"]


def test_without_a_request_nothing_happens():
    before = signal.getsignal(signal.SIGTERM)
    with listening() as stop, stop.postponed():
        assert not stop.requested()
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_on_the_way_takes_it_for_a_failure_of_its_own():
    assert not issubclass(Stopped, Exception)


@pytest.mark.parametrize("reached", ["metrics.jsonl", "metatests/*/parts/*.records.parquet"])
def test_a_worker_asked_to_end_keeps_everything(tiny_experiment, tmp_path, reached):
    """In training, where a checkpoint is due only in a million seconds, and in a meta-test."""
    declared = tiny_experiment(train={"steps_per_iteration": 40}, adapt={"relabel_updates": 300},
                               protocol={"tasks_at_once": 5}, checkpoint_seconds=1e6)  # fmt: skip
    (folder,) = prepare(declared, tmp_path / "runs")
    shutil.copytree(folder, tmp_path / "straight" / folder.name)
    process = subprocess.Popen(worker_command(folder), env=worker_environment(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any(path.stat().st_size for path in folder.glob(reached)), lambda: process.poll() is None)
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == STOPPED
    fields = read_status(folder)
    assert fields["state"] == "stopped"
    assert said.strip() == fields["message"] == (
        f"asked to end at env step {fields['env_steps']}; what was done by then is kept"
    )  # fmt: skip
    (newest,) = checkpoint_names(folder / "checkpoints")
    assert int(newest) == fields["env_steps"] >= 800
    assert work(folder) == 0
    assert work(tmp_path / "straight" / folder.name) == 0
    assert outcome(folder) == outcome(tmp_path / "straight" / folder.name)
