"""Cancelling: no more than was asked for."""

import json
import signal
import subprocess
import time

import pytest
from patience import PATIENCE, wait_until

from suite.errors import UserError
from suite.executors.cancel import cancel_runs
from suite.executors.launch import left_to_do
from suite.monitor.job_states import Cluster
from suite.results.jobs import read_submissions
from suite.results.json_files import write_json
from suite.results.prepare import prepare
from suite.results.process_identity import this_process
from suite.results.status import read_status
from suite.run.processes import STOPPED, worker_command, worker_environment


def states_of(out, folders):
    cluster = Cluster(out)
    return [cluster.judge(folder.name, read_status(folder))["state"] for folder in folders]


def test_single_runs_of_an_array(submitted, slurm):
    out, folders = submitted()
    (slurm / "queue").write_text("".join(f"41_{n}|PENDING|Resources\n" for n in range(4)))
    assert cancel_runs(out, folders[1:3]) == folders[1:3]
    assert (slurm / "cancelled").read_text() == "41_1 41_2\n"
    (slurm / "queue").write_text("41_0|PENDING|Resources\n")  # it has forgotten the others
    assert states_of(out, folders) == ["pending", "cancelled", "cancelled", "lost"]
    assert cancel_runs(out, folders[1:]) == []  # nothing that is under way
    assert read_submissions(out)[0].cancelled == tuple(sorted(folder.name for folder in folders[1:3]))


def test_jobs_that_are_held_are_cancelled_like_others(submitted, slurm):
    out, folders = submitted()
    (slurm / "queue").write_text(
        "41_0|PENDING|JobHeldAdmin\n41_1|REQUEUE_HOLD|\n41_2|PENDING|launch failed requeued held\n"
    )
    assert states_of(out, folders[:3]) == ["held"] * 3
    assert cancel_runs(out, folders) == folders[:3]
    assert (slurm / "cancelled").read_text().split() == ["41_0", "41_1", "41_2"]
    assert states_of(out, folders[:3]) == ["cancelled"] * 3


def test_what_is_done_is_not_cancelled_though_its_job_goes_on(submitted, slurm):
    out, folders = submitted(runs_per_job=4)
    (slurm / "queue").write_text("41|COMPLETING|None\n")
    for folder in folders:
        for below in folder.glob("metatests/*"):
            (below / "records.parquet").touch()
    assert cancel_runs(out, folders) == []
    assert not (slurm / "cancelled").exists()


def test_nothing_is_said_to_be_cancelled_where_slurm_cannot_be_asked(submitted, slurm):
    out, folders = submitted()
    (slurm / "squeue").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match=r"jobs of 4 runs \(41_0, 41_1, 41_2\), so nothing was cancelled"):
        cancel_runs(out, folders)
    assert not (slurm / "cancelled").exists()


def test_who_works_elsewhere_is_named_and_nobody_else_is_killed(submitted, slurm):
    """A process number means nothing where it was not given."""
    out, folders = submitted()
    about = this_process() | {"machine": "another"}
    (folders[0] / "lock-000001").write_text(json.dumps(about))
    with pytest.raises(UserError, match=f"is worked on by process {about['pid']} on {about['host']}: end it there"):
        cancel_runs(out, folders)
    (folders[0] / "lock-000001").write_text("")
    with pytest.raises(UserError, match="a process that could not say which it is"):
        cancel_runs(out, folders)
    fields = {"state": "stopped", "job": "41_0", "host": about["host"], "heartbeat": time.time()}
    write_json(folders[0] / "status.json", fields)
    assert cancel_runs(out, folders) == []  # the worker of a job that is ending, as after a first `cancel`


def test_one_run_of_a_job_that_goes_on_with_the_other(submitted, slurm):
    """Such a run is only put down: what its job makes of it, `test_slurm_job` shows."""
    out, folders = submitted(runs_per_job=2)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|PENDING|Resources\n")
    assert cancel_runs(out, [folders[0], *folders[2:]]) == [folders[0], *folders[2:]]
    assert (slurm / "cancelled").read_text() == "41_1\n"
    (slurm / "queue").write_text("41_0|RUNNING|None\n")
    assert states_of(out, folders) == ["cancelled", "running", "cancelled", "cancelled"]
    assert left_to_do(out, folders) == ([folders[0], *folders[2:]], [folders[1]])
    assert cancel_runs(out, folders) == [folders[1]]  # the last of its job, which goes with it
    assert (slurm / "cancelled").read_text() == "41_1\n41_0\n"
    assert cancel_runs(out, folders) == []


def test_a_run_that_has_failed_in_its_job_keeps_nobody_from_cancelling_the_others(submitted, slurm):
    out, folders = submitted(runs_per_job=2)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|PENDING|Resources\n")
    write_json(folders[0] / "status.json", {"state": "failed", "job": "41_0", "host": "e1", "heartbeat": time.time()})
    assert cancel_runs(out, folders[:2]) == [folders[1]]
    assert (slurm / "cancelled").read_text() == "41_0\n"
    assert states_of(out, folders[:2]) == ["failed", "cancelled"]


def test_a_run_on_this_machine_is_asked_to_end(tiny_experiment, tmp_path):
    out = tmp_path / "out"
    (folder,) = prepare(tiny_experiment(train={"steps_per_iteration": 100}), out)
    assert cancel_runs(out, [folder]) == []
    process = subprocess.Popen(worker_command(folder), env=worker_environment(), stderr=subprocess.DEVNULL)
    wait_until((folder / "metrics.jsonl").exists)
    assert cancel_runs(out, [folder]) == [folder]
    assert process.wait(PATIENCE) in (STOPPED, -signal.SIGTERM)
    assert read_status(folder)["state"] == "stopped"
