"""`offmap run --executor`, `resume`, `cancel`, `logs`, `clean` and `status --watch`, as a user gives them."""

import json
import subprocess
import sys

import pytest
import yaml
from conftest import TINY

from suite.results.json_files import read_json, write_json
from suite.results.records import read_table

DECLARED = {
    "name": "tiny",
    "splits": ["point-goal.ood"],
    "algorithms": [{"name": "null"}, {"name": "mier-wr", "train": TINY["mier"], "adapt": {"context_steps": 2}}],
    "budget": {"env_steps": 1000},
    "protocol": {"evaluation_episodes": 2, "max_tasks": 3},
    "executor": {"partition": "low", "time": 60, "variants": {"mier-wr": {"memory": "1GB"}}},
}


@pytest.fixture
def place(tmp_path):
    """An experiment file and the results folder it is to have."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(DECLARED))
    return path, tmp_path / "out"


def states(offmap, out):
    return [cell["state"] for cell in json.loads(offmap("status", out, "--json").out)["cells"]]


def test_inline_does_all_in_this_process(place, offmap, monkeypatch):
    path, out = place
    monkeypatch.setattr("suite.executors.local.start_worker", None)
    answer = offmap("run", path, "--out", out, "--executor", "inline")
    assert answer.code == 0
    assert str(out / "report" / "report.html") in answer.out
    assert set(read_table(out / "results.parquet")[0]["variant"].to_pylist()) == {"null", "mier-wr"}


def test_from_submission_to_the_report(place, offmap, slurm):
    """Job scripts are run here in Slurm's place."""
    path, out = place
    answer = offmap("run", path, "--out", out, "--executor", "slurm", "--detach")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        f"tiny: 2 trainings; results in {out}",
        "submitted job 41: 1 run (partition low, time 60, mem 4096M, cpus_per_task 1)",
        "submitted job 42: 1 run (partition low, time 60, mem 1024M, cpus_per_task 1)",
        f"How far they are: offmap status {out}",
    ]
    (slurm / "queue").write_text("41|PENDING|Priority\n42|RUNNING|None\n")
    assert states(offmap, out) == ["pending", "running"]
    assert "job 41 waits (Priority)" in offmap("status", out).out
    again = offmap("run", path, "--out", out, "--executor", "slurm", "--detach")
    assert again.out.splitlines()[0] == f"tiny: 2 trainings, 2 being worked on already; results in {out}"
    assert not (slurm / "43.sh").exists()
    assert "0 to resume, 2 under way" in offmap("resume", out).out
    for number in (41, 42):
        subprocess.run(["env", f"SLURM_JOB_ID={number}", "bash", slurm / f"{number}.sh"], check=True,
                       capture_output=True)  # fmt: skip
    (slurm / "queue").write_text("")
    assert states(offmap, out) == ["done", "done"]
    assert "2 done" in offmap("status", out, "--watch").out  # and it does not wait
    assert offmap("resume", out).out == "2 trainings: 0 to resume\n"
    assert offmap("collect", out).code == 0
    assert set(read_table(out / "results.parquet")[0]["variant"].to_pylist()) == {"null", "mier-wr"}


def test_a_dry_run_writes_nothing(place, offmap, slurm):
    path, out = place
    answer = offmap("run", path, "--out", out, "--executor", "slurm", "--canary", "--dry-run")
    assert answer.out.splitlines() == [
        "would be submitted: 2 of 2 trainings, in 2 arrays",
        "1: 1 run (partition low, time 60, mem 4096M, cpus_per_task 1)",
        "2: 1 run (partition low, time 60, mem 1024M, cpus_per_task 1)",
    ]
    assert not out.exists()
    assert not (slurm / "41.sh").exists()


def test_cancel_logs_resume_and_clean(place, offmap, slurm, refused, monkeypatch):
    path, out = place
    offmap("run", path, "--out", out, "--executor", "slurm", "--detach")
    (slurm / "queue").write_text("41|PENDING|Priority\n42|PENDING|Priority\n")
    training = read_json(out / "cells.json")[1]["training"]
    assert offmap("cancel", out, training[:6]).out == "cancelled: mier-wr · point-goal.ood · seed 0\n"
    assert states(offmap, out) == ["pending", "cancelled"]
    assert offmap("logs", out, training).out.strip() == f"{out / training}: nothing has been printed yet"
    assert "did you mean mier-wr?" in refused("cancel", out, "mire-wr")
    (slurm / "queue").write_text("41|PENDING|Priority\n42|CANCELLED|None\n")
    answer = offmap("resume", out, "--set", "memory=2GB", "--set", "variants={}", "--detach")
    assert "submitted job 43: 1 run (partition low, time 60, mem 2048M, cpus_per_task 1)" in answer.out
    (slurm / "queue").write_text("41|PENDING|Priority\n43|CANCELLED|None\n")
    answer = offmap("resume", out, "--detach")  # what was set is still so, until `run` goes by the file again
    assert "submitted job 44: 1 run (partition low, time 60, mem 2048M, cpus_per_task 1)" in answer.out
    assert "--detach leaves runs to a cluster" in refused("resume", out, "--executor", "local", "--detach")
    assert offmap("resume", out, "--executor", "local", "--workers", 2).out.startswith("2 trainings: 1 to resume")
    (slurm / "queue").write_text("")
    assert offmap("resume", out, "--executor", "local").code == 0
    assert states(offmap, out) == ["done", "done"]
    assert f"==> {out / training / 'worker.log'} <==" in offmap("logs", out, training).out
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert offmap("clean", out).code == 1  # nobody said yes
    assert (out / training / "checkpoints").exists()
    answer = offmap("clean", out, "--yes")
    assert "\ncheckpoints and logs of 2 finished runs and 12 files of their jobs, " in answer.out
    assert f"  {out / training / 'checkpoints'}\n" in answer.out  # what will go is listed
    assert not (out / training / "checkpoints").exists()
    assert "nothing to clean" in offmap("clean", out, "--yes").out
    assert states(offmap, out) == ["done", "done"]


def test_failed_runs_are_tried_again_when_asked_to(place, offmap, slurm):
    path, out = place
    offmap("run", path, "--out", out, "--executor", "slurm", "--detach")
    for cell in read_json(out / "cells.json"):
        failed = {"state": "failed", "message": "diverged", "heartbeat": 4e9, "host": "node", "pid": 1, "job": "41"}
        write_json(out / cell["training"] / "status.json", failed)
    (slurm / "queue").write_text("41|FAILED|NonZeroExitCode\n42|FAILED|NonZeroExitCode\n")
    assert offmap("resume", out).out == "2 trainings: 0 to resume\n"
    assert "2 trainings: 2 to resume" in offmap("resume", out, "--failed", "--detach").out
    assert (slurm / "43.sh").exists()


def test_mistakes_write_nothing(place, refused, slurm, monkeypatch):
    path, out = place
    assert "did you mean slurm?" in refused("run", path, "--out", out, "--executor", "slrum")
    assert "--detach leaves runs to a cluster" in refused("run", path, "--out", out, "--detach")
    assert "add --executor slurm" in refused("run", path, "--out", out, "--dry-run")
    (slurm / "refuse").write_text("sbatch: error: invalid partition specified: low\n")
    said = refused("run", path, "--out", out, "--executor", "slurm")
    assert "sbatch: error: invalid partition specified: low" in said
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no sbatch" in refused("run", path, "--out", out, "--executor", "slurm")
    assert not out.exists()


@pytest.mark.parametrize("verb", [("status",), ("resume",), ("cancel",), ("clean",), ("logs", "mier")])
def test_folders_that_hold_no_results(verb, refused, tmp_path):
    command, *others = verb
    (tmp_path / "empty").mkdir()
    assert "is no results folder" in refused(command, tmp_path / "empty", *others)
    assert "there is no folder" in refused(command, tmp_path / "none", *others)
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("file", ["cells.json", "jobs/41.json"])
@pytest.mark.parametrize("verb", [("status",), ("resume",), ("cancel",), ("clean",), ("logs", "mier-wr")])
def test_folders_with_damaged_files(place, offmap, refused, slurm, verb, file):
    path, out = place
    offmap("run", path, "--out", out, "--executor", "slurm", "--detach")
    (out / file).write_text("{")
    command, *others = verb
    assert f"{out / file} is damaged" in refused(command, out, *others)


def test_watching_is_for_people(refused, tmp_path):
    assert "leave one of them out" in refused("status", tmp_path, "--watch", "--json")


def test_an_altered_run_is_refused_by_its_worker(place, offmap):
    path, out = place
    command = ("run", path, "--out", out, "--set", "algorithms=[null]", "--set", "executor={kind: inline}")
    assert offmap(*command).code == 0
    training = out / read_json(out / "cells.json")[0]["training"]
    write_json(training / "config.json", read_json(training / "config.json") | {"seed": 5})
    done = subprocess.run([sys.executable, "-P", "-m", "suite.run.worker", training], capture_output=True, text=True)
    assert done.returncode == 2
    assert "config.json was changed since it was made" in done.stderr
    assert offmap(*command).code == 0  # prepared again, it is what it was
    (below,) = training.glob("metatests/*")
    (below / "records.parquet").unlink()
    write_json(below / "config.json", read_json(below / "config.json") | {"env_steps": 7})
    done = subprocess.run([sys.executable, "-P", "-m", "suite.run.worker", training], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "config.json was changed since it was made" in done.stderr
