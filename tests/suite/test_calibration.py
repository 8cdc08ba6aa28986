"""Estimates: timed once, kept, and with a word on what has to be timed whole."""

import subprocess

import pytest

from suite import calibration
from suite.calibration import cache_folder, estimate
from suite.experiment.expansion import expand
from suite.run.timing import Cost, TrainingCost, TrialCost

COST = Cost(
    training=TrainingCost(first_env_steps=2, first_seconds=5.0, iteration_env_steps=1, iteration_seconds=10.0),
    trial=TrialCost(tasks=10, fixed=3.0, per_update=0.1, per_round=2.0, round_updates=500, updates=1200,
                    per_evaluation=1.0, evaluations=2),
)  # fmt: skip


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Commands that would have been run to time something; their answer is `COST`, after what else they print."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    commands = []

    def run(command, **keywords):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, f"a warning\n{COST.model_dump_json()}\n", "")

    monkeypatch.setattr(calibration.subprocess, "run", run)
    return commands


@pytest.mark.parametrize(("name", "undeclared"), [
    ("mier", ""), ("mier-wr", ""), ("null", ""), ("pearl", ""), ("maml", "iterations and adaptations"),
    ("rl2", "iterations"), ("mql", ""),
])  # fmt: skip
def test_what_is_timed_whole_is_said_and_everything_is_timed_once(tiny_experiment, asked, name, undeclared):
    said = []
    for seed in (0, 1):
        (cell,) = expand(tiny_experiment([name], seeds=[seed], env_steps=50_000))
        assert estimate(cell.training, cell.metatests[-1], "cpu", said.append) == COST
    assert said == [undeclared]
    assert len(asked) == len(list(cache_folder().iterdir())) == 1


def test_a_cache_of_another_version_is_timed_anew(tiny_experiment, asked):
    (cell,) = expand(tiny_experiment())
    estimate(cell.training, cell.metatests[-1], "cpu")
    (kept,) = cache_folder().iterdir()
    kept.write_text(kept.read_text().replace("per_round", "repeated"))
    assert estimate(cell.training, cell.metatests[-1], "cpu") == COST
    assert len(asked) == 2


def test_what_cannot_be_timed_is_said_in_the_words_of_the_process(tiny_experiment, asked, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ValueError: no")
    monkeypatch.setattr(calibration.subprocess, "run", lambda *arguments, **keywords: failed)
    (cell,) = expand(tiny_experiment())
    with pytest.raises(RuntimeError, match=r"timing mier on point-goal.ood failed:\nValueError: no"):
        estimate(cell.training, cell.metatests[-1], "cpu")
