"""Nothing loads torch or a simulator before it needs one: in processes of their own, on a results folder."""

import os
import subprocess
import sys

import pytest
from submitit.core.utils import DelayedSubmission

from suite.executors.slurm_job import Job
from suite.results.jobs import FOLDER
from suite.results.json_files import read_json
from suite.results.layout import pending
from suite.results.prepare import prepare

HEAVY = ("torch", "mujoco", "gymnasium", "matplotlib", "pandas")
TELL = f"import atexit, sys; atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))"
WITHOUT_WORK = (
    "suite.errors", "suite.experiment", "suite.results", "suite.monitor", "suite.cli", "suite.executors",
    "suite.run.processes", "suite.plan", "algorithms.registry", "tasks.registry", "tasks.split_declaration",
)  # fmt: skip


def heavy_modules(code, environment=None, expect=0):
    """Those of `HEAVY` that a process has imported by its end which runs the code."""
    added = os.environ | (environment or {})
    done = subprocess.run([sys.executable, "-P", "-c", f"{TELL}\n{code}"], capture_output=True, text=True, env=added)
    assert done.returncode == expect, done.stderr
    return done.stdout.splitlines()[-1]


def test_rooms_where_nothing_learns_are_imported_without():
    """All their modules at once, those too that nobody imports at the start."""
    code = f"""
import importlib, pkgutil
for name in {WITHOUT_WORK}:
    module = importlib.import_module(name)
    for below in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{{name}}."):
        if below.name != "suite.cli.__main__":
            importlib.import_module(below.name)
"""
    assert heavy_modules(code) == "[]"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A results folder with one finished run, which has checkpoints, and one that has failed."""
    from suite.bench.commands import EXPERIMENT, finish_but_one
    from suite.experiment.declaration import Experiment

    out = tmp_path_factory.mktemp("results") / "out"
    finish_but_one(out, prepare(Experiment.model_validate(EXPERIMENT), out))
    return out


@pytest.mark.parametrize(
    "line",
    ["status OUT", "status OUT --json", "cancel OUT", "resume OUT", "logs OUT RUN", "collect OUT", "clean OUT --yes"],
)
def test_commands_that_only_look_at_folders(out, line):
    places = {"OUT": str(out), "RUN": read_json(out / "cells.json")[0]["run"]}
    arguments = [places.get(word, word) for word in line.split()]
    assert heavy_modules(f"from suite.cli import main; main({arguments!r})") == "[]"


def test_a_run_that_is_resumed_is_supervised_without(tiny_experiment, tmp_path):
    """The command waits for workers of its own all that time; the report at the end is no part of this."""
    (folder,) = prepare(tiny_experiment(("null",)), tmp_path / "out")
    code = f"""
from pathlib import Path
from suite.executors.launch import carry_out, changed_spec, left_to_do
out = Path({str(tmp_path / "out")!r})
todo, _ = left_to_do(out, [out / {folder.name!r}])
outcomes = carry_out(out, todo, changed_spec(out), lambda pool: None)
sys.exit([outcome.code for outcome in outcomes] != [0])
"""
    assert heavy_modules(code) == "[]"
    assert not pending(folder)


def test_the_parent_of_a_slurm_jobs_workers(tiny_experiment, tmp_path):
    """What submitit starts on a node: it unpickles the job, whose worker does the work in a process of its own."""
    (folder,) = prepare(tiny_experiment(("null",)), tmp_path / "out")
    jobs = tmp_path / "out" / FOLDER
    jobs.mkdir()
    DelayedSubmission(Job([str(folder)], minutes=60, signal_seconds=60)).dump(jobs / "41_submitted.pkl")
    slurm = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "41", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
    code = f"sys.argv[1:] = [{str(jobs)!r}]; from submitit.core.submission import submitit_main; submitit_main()"
    assert heavy_modules(code, slurm) == "[]"
    assert not pending(folder)
