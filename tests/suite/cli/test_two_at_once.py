"""Two `offmap run`s of one results folder at once: each waits for what the other does, and both end alike."""

import signal
import subprocess
import sys

import pytest
import yaml
from patience import PATIENCE, wait_until
from tests_support import TINY

from suite.results.json_files import read_json
from suite.results.lock import owner
from suite.results.records import read_table


@pytest.fixture
def begin(tmp_path):
    """A function (**fields) -> process of an `offmap run` of two trainings, or of what the fields declare."""
    processes = []

    def build(**fields):
        declared = {
            "name": "tiny", "splits": ["point-goal.ood"], "seeds": [0, 1], "budget": {"env_steps": 1600},
            "algorithms": [{"name": "mier-wr", "train": TINY["mier"] | {"steps_per_iteration": 20}}],
            "protocol": {"evaluation_episodes": 2, "max_tasks": 3}, "checkpoint_seconds": 1e-6,
        }  # fmt: skip
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(declared | fields))
        command = [sys.executable, "-P", "-m", "suite.cli", "run", str(path), "--out", str(tmp_path / "out")]
        said = tmp_path / f"said-{len(processes)}"
        with said.open("w") as handle:
            process = subprocess.Popen(
                [*command, "--workers", "1"], stdout=handle, stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        process.said = said.read_text
        processes.append(process)
        return process

    yield build
    for process in processes:
        process.kill()
        process.wait()


def worked_on(out):
    """Training folders that somebody owns."""
    return [path.parent for path in out.glob("*/config.json") if owner(path.parent) is not None]


def assert_done(out, *processes):
    for process in processes:
        assert process.wait(PATIENCE) == 0, process.said()
        assert "Traceback" not in process.said()
        assert "failed" not in process.said()
    assert {cell["status"] for cell in read_json(out / "cells.json")} == {"done"}
    assert len(set(read_table(out / "results.parquet")[0]["run"].to_pylist())) == 2


def test_two_at_once_share_the_work_and_both_succeed(begin, tmp_path):
    first, second = begin(), begin()
    wait_until(lambda: worked_on(tmp_path / "out"))
    assert_done(tmp_path / "out", first, second)


@pytest.mark.slow
def test_one_that_finds_all_taken_waits_and_takes_over_what_a_killed_one_leaves(begin, tmp_path):
    seeds = {"seeds": [0], "budget": {"env_steps": 400_000}}
    first = begin(**seeds)
    wait_until(lambda: list((tmp_path / "out").glob("*/metrics.jsonl")))
    second = begin(**seeds)
    wait_until(lambda: "elsewhere: training" in second.said())
    first.kill()
    (folder,) = [path.parent for path in (tmp_path / "out").glob("*/config.json")]
    before = owner(folder)
    wait_until(lambda: owner(folder) not in (None, before))  # taken over
    second.send_signal(signal.SIGINT)
    assert second.wait(PATIENCE) == 130, second.said()
    assert "1 being worked on already" in second.said()
    assert owner(folder) is None


@pytest.mark.slow
def test_one_that_only_waits_leaves_at_ctrl_c_and_the_other_goes_on(begin, tmp_path):
    seeds = {"seeds": [0], "budget": {"env_steps": 12_000}}
    first = begin(**seeds)
    wait_until(lambda: list((tmp_path / "out").glob("*/metrics.jsonl")))
    second = begin(**seeds)
    wait_until(lambda: "elsewhere: training" in second.said())
    second.send_signal(signal.SIGINT)
    assert second.wait(PATIENCE) == 130, second.said()
    assert first.poll() is None
    assert first.wait(PATIENCE) == 0, first.said()
