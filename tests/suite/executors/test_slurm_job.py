"""What a job does on its node: the very script that is submitted, run here, with the signals that Slurm would send."""

import os
import shutil
import signal
import subprocess
import threading

import patience
import pytest
from patience import PATIENCE
from submitit.core.utils import DelayedSubmission
from tests_support import outcome

from suite.executors import job as former
from suite.executors.cancel import cancel_runs
from suite.executors.launch import submit_runs
from suite.executors.slurm_job import Job
from suite.results.json_files import read_json
from suite.results.prepare import prepare
from suite.results.status import read_status
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.worker import work

SLURM = {"kind": "slurm", "time": 60, "memory": "500MB", "signal_seconds": 60}


@pytest.fixture
def submitted(tiny_experiment, tmp_path, slurm):
    """A function (seeds, **fields) -> (folders, start): prepared and submitted; `start()` is what Slurm does then."""

    def build(seeds=(0,), executor=None, **fields):
        experiment = tiny_experiment(seeds=list(seeds), executor=SLURM | (executor or {}), **fields)
        folders = prepare(experiment, tmp_path / "out")
        submit_runs(tmp_path / "out", folders, experiment.executor)
        environment = os.environ | {"SLURM_JOB_ID": "41", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}

        def start():
            return subprocess.Popen(["bash", str(slurm / "41.sh")], env=environment, stderr=subprocess.PIPE, text=True)

        return folders, start

    return build


def wait_until(condition, process):
    patience.wait_until(lambda: process.poll() is not None or condition())
    assert process.poll() is None, process.stderr.read()


def has_trained(folder, checkpoints=1):
    return len(checkpoint_names(folder / "checkpoints")) >= checkpoints


# Iterations enough to be disturbed in, on a fast machine too; no checkpoint but those that are asked for.
LONG = {"train": {"steps_per_iteration": 40}, "env_steps": 2000, "checkpoint_seconds": 1e6}


def let_all_begin(folders, process):
    """Return when all runs have begun; whichever does so first stands still until then. Their processes.

    Where one ran after the other, the second would never begin.
    """
    said = [folder / "status.json" for folder in folders]
    wait_until(lambda: any(path.exists() for path in said), process)
    first = next(read_json(path)["pid"] for path in said if path.exists())
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: all(path.exists() for path in said), process)
    os.kill(first, signal.SIGCONT)
    return [read_json(path)["pid"] for path in said]


def test_runs_of_one_job_side_by_side(submitted):
    folders, start = submitted(seeds=[0, 1], executor={"runs_per_job": 2})
    process = start()
    let_all_begin(folders, process)
    assert process.wait(PATIENCE) == 0, process.stderr.read()
    for folder in folders:
        fields = read_status(folder)
        assert (fields["state"], fields["job"]) == ("done", "41")
    revision = read_json(folders[0].parent / "code" / os.listdir(folders[0].parent / "code")[0] / "revision.json")
    assert read_json(folders[0] / "provenance.json")["git_revision"] == revision["git_revision"]


def test_a_job_that_was_submitted_under_the_former_name_of_its_module_runs(submitted, tmp_path, monkeypatch):
    """Its pickle names the module; a copy of the code still has it, and `code: clean` has what is installed now."""
    (folder,), start = submitted(algorithms=("null",))
    path = tmp_path / "out" / "jobs" / "41_submitted.pkl"
    delayed = DelayedSubmission.load(path)
    monkeypatch.setattr(Job, "__module__", former.__name__)
    delayed.dump(path)
    assert b"suite.executors.job" in path.read_bytes()
    assert b"slurm_job" not in path.read_bytes()
    process = start()
    assert process.wait(PATIENCE) == 0, process.stderr.read()
    assert read_status(folder)["state"] == "done"


def test_a_warning_before_the_end_is_a_checkpoint_and_a_requeue(submitted, slurm, tmp_path):
    """And the second start, with the pickle of the first, ends with the same records as a run that was left alone."""
    (folder,), start = submitted(**LONG)
    shutil.copytree(folder, tmp_path / "straight" / folder.name)
    process = start()
    wait_until(lambda: len((folder / "metrics.jsonl").read_bytes().splitlines()) >= 1
               if (folder / "metrics.jsonl").exists() else False, process)  # fmt: skip
    assert not has_trained(folder)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(PATIENCE) != 0
    assert (slurm / "requeued").read_text() == "41\n"
    fields = read_status(folder)
    assert (fields["state"], fields["message"], fields["job"]) == ("stopped", "its job was preempted", "41")
    assert has_trained(folder)
    again = start()
    assert again.wait(PATIENCE) == 0, again.stderr.read()
    assert work(tmp_path / "straight" / folder.name) == 0
    assert outcome(folder) == outcome(tmp_path / "straight" / folder.name)


def test_a_sigterm_alone_is_a_checkpoint_and_patience(submitted):
    """Clusters that preempt without a signal of the user's send it some seconds before they kill."""
    (folder,), start = submitted(**LONG)
    process = start()
    wait_until((folder / "metrics.jsonl").exists, process)
    process.terminate()
    wait_until(lambda: read_status(folder)["state"] == "stopped", process)
    assert has_trained(folder)
    assert process.poll() is None  # it does not end before it is killed: Slurm would not requeue it
    process.kill()
    process.wait()


def test_a_killed_worker_is_told_from_a_failed_run(submitted):
    """And at once, though the other run of the job goes on: that it does, a pause makes sure of."""
    folders, start = submitted(seeds=[0, 1], executor={"runs_per_job": 2}, **LONG)
    process = start()
    victim, other = let_all_begin(folders, process)
    os.kill(other, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: "SIGKILL" in read_status(folders[0]).get("message", ""), process)
    fields = read_status(folders[0])
    assert fields["state"] == "killed"
    assert fields["message"].startswith("killed by SIGKILL, perhaps for want of memory")
    os.kill(other, signal.SIGCONT)
    assert process.wait(PATIENCE) == 1
    assert f"1 of 2 runs are not done: {folders[0]}" in process.stderr.read()
    assert read_status(folders[1])["state"] == "done"


def test_a_run_that_is_cancelled_leaves_its_job_to_the_other(submitted, slurm, monkeypatch):
    """It ends, and its job neither waits for an end of its own nor is it a failed one; requeued, it leaves it alone.

    The job is carried out in this process, so that it looks into the ledger more often.
    """
    folders, _ = submitted(seeds=[0, 1], executor={"runs_per_job": 2}, **LONG)
    monkeypatch.setattr("suite.executors.slurm_job.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("suite.executors.slurm_job.POLL_SECONDS", 0.05)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    (slurm / "queue").write_text("41|RUNNING|None\n")
    cancelled = []

    def cancel():
        patience.wait_until((folders[0] / "metrics.jsonl").exists)
        cancelled.extend(cancel_runs(folders[0].parent, folders[:1]))

    job, thread = Job(list(map(str, folders)), 60, 60), threading.Thread(target=cancel)
    before = signal.getsignal(signal.SIGTERM)
    try:
        thread.start()
        job()
        thread.join()
        assert cancelled == folders[:1]
        assert not (slurm / "cancelled").exists()  # the job itself has to go on
        assert [read_status(folder)["state"] for folder in folders] == ["stopped", "done"]
        told = read_json(folders[0] / "status.json")
        job()
        assert read_json(folders[0] / "status.json") == told
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_job_that_dies_takes_its_workers_along(submitted):
    (folder,), start = submitted(**LONG)
    process = start()
    wait_until((folder / "metrics.jsonl").exists, process)
    pid = read_json(folder / "status.json")["pid"]
    process.kill()
    process.wait()
    patience.wait_until(lambda: read_status(folder)["state"] != "running")
    assert read_status(folder)["state"] == "killed"
    assert pid == read_json(folder / "status.json")["pid"]
    assert work(folder) == 0  # and nobody holds the folder


def test_time_limits_within_which_nothing_can_be_kept_are_the_end(submitted, slurm, tmp_path):
    """Requeued again and again, such a job would use the cluster for ever and get nowhere.

    The first iteration is kept, as it passes a milestone; the second takes far too long.
    """
    (folder,), start = submitted(executor={"time": 1, "signal_seconds": 16}, train={"steps_per_iteration": 100_000})
    path = tmp_path / "out" / "jobs" / "41_submitted.pkl"

    def leg(has_begun):
        (folder / "status.json").unlink(missing_ok=True)
        process = start()
        wait_until(has_begun, process)
        process.send_signal(signal.SIGUSR2)  # at once: 60 s less 16 s and Slurm's minute of earliness have passed
        assert process.wait(PATIENCE) != 0
        return DelayedSubmission.load(path)

    assert leg(lambda: has_trained(folder)).function.idle_legs == 0
    again = leg((folder / "status.json").exists)
    assert (slurm / "requeued").read_text() == "41\n41\n"
    assert again.function.idle_legs == 1
    again.function.idle_legs = 2
    again.dump(path)
    leg((folder / "status.json").exists)
    assert (slurm / "requeued").read_text() == "41\n41\n"
    fields = read_status(folder)
    assert fields["state"] == "failed"
    assert (
        "within 3 time limits of 1 minutes; ask for more: offmap resume DIR --failed --set time=" in fields["message"]
    )
