"""Runs on a real Slurm without accounting survive what happens to them there, and come out bit for bit the same."""

from __future__ import annotations

import os
import signal

import pytest
from cluster_sweeps import MANY, throttled
from local_slurm import CPUS, MAX_ARRAY_SIZE, NODES

from suite.experiment.declaration import load_experiment
from suite.results.jobs import read_submissions
from suite.results.json_files import read_json, write_json
from suite.results.prepare import prepare
from suite.results.status import read_status

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def test_more_runs_than_an_array_may_have_finish(quick):
    sweep = quick(MANY)
    sweep.begin()
    sizes = [len(submission.runs) for submission in read_submissions(sweep.out)]
    assert sorted(sizes) == [MANY - MAX_ARRAY_SIZE, MAX_ARRAY_SIZE]
    assert sorted(run for submission in read_submissions(sweep.out) for packed in submission.runs for run in packed) \
        == sorted(folder.name for folder in sweep.folders)  # fmt: skip
    sweep.wait_until(*["done"] * MANY)
    sweep.check()
    assert "0 to resume" in sweep.offmap("resume", sweep.out, "--detach")  # nothing finished is run again
    assert len(read_submissions(sweep.out)) == 2


def test_runs_packed_into_one_job_finish(quick):
    sweep = quick(3, runs_per_job=2)
    sweep.begin()
    assert sorted(len(packed) for submission in read_submissions(sweep.out) for packed in submission.runs) == [1, 2]
    sweep.wait_until(*["done"] * 3)
    sweep.check()


def test_a_partition_that_there_is_not_is_refused_in_slurms_own_words(quick):
    sweep = quick(1, partition="nowhere")
    printed = sweep.offmap("run", sweep.file, "--out", sweep.out, "--detach", code=2)
    assert "invalid partition" in printed
    assert "Traceback" not in printed
    assert not sweep.out.exists()


def test_the_others_begin_when_the_canary_has_succeeded(quick):
    """It fails at first, and nothing else is begun; then it succeeds."""
    sweep = quick(3, canary=True)
    folders = prepare(load_experiment(sweep.file), sweep.out)
    execution = read_json(folders[0] / "execution.json")
    write_json(folders[0] / "execution.json", execution | {"device": "cuda:99"})
    sweep.offmap("resume", sweep.out, "--detach")
    sweep.wait_until("failed", "cancelled", "cancelled")
    assert not any((folder / "checkpoints").exists() for folder in folders)
    write_json(folders[0] / "execution.json", execution)
    sweep.offmap("resume", sweep.out, "--detach", "--failed")
    sweep.wait_until("done", "done", "done")
    began = [read_json(folder / "status.json")["started"] for folder in folders]
    assert min(began[1:]) > read_json(folders[0] / "status.json")["heartbeat"]
    sweep.check()


def test_a_failing_run_fails_alone_and_is_tried_again_only_when_asked(quick):
    sweep = quick(3)
    sweep.begin("--dry-run")
    assert not sweep.out.exists()
    folders = prepare(load_experiment(sweep.file), sweep.out)
    execution = read_json(folders[1] / "execution.json")
    write_json(folders[1] / "execution.json", execution | {"device": "cuda:99"})
    sweep.offmap("resume", sweep.out, "--detach")
    sweep.wait_until("done", "failed", "done")
    assert "cuda:99 was asked for" in sweep.status()[1]["reason"]
    assert "0 to resume" in sweep.offmap("resume", sweep.out, "--detach")
    write_json(folders[1] / "execution.json", execution)
    assert "1 to resume" in sweep.offmap("resume", sweep.out, "--detach", "--failed")
    sweep.wait_until("done", "done", "done")
    sweep.check()


def test_a_killed_process_costs_its_run_alone_and_resume_continues_it(long):
    sweep = long(2)
    sweep.begin()
    victim, _ = sweep.folders
    sweep.wait_for_checkpoint(victim)
    os.kill(sweep.worker(victim), signal.SIGKILL)
    sweep.wait_until("killed", "done")
    assert "SIGKILL" in sweep.status()[0]["reason"]
    kept = sweep.kept(victim)
    assert "1 to resume" in sweep.offmap("resume", sweep.out, "--detach")
    sweep.wait_until("done", "done")
    assert (victim / "metrics.jsonl").read_bytes().startswith(kept)
    sweep.check()


def test_of_runs_packed_into_one_job_one_can_be_cancelled(long):
    sweep = long(2, runs_per_job=2)
    sweep.begin()
    first, _ = sweep.folders
    sweep.wait_for_checkpoint(first)
    with throttled(sweep.worker(first), share=0.05):  # its job looks into the ledger every ten seconds
        sweep.offmap("cancel", sweep.out, first.name)
        sweep.cluster.wait_for(lambda: read_status(first)["state"] == "stopped", f"{first} stops")
    sweep.wait_until("cancelled", "done")
    kept = sweep.kept(first)
    assert "1 to resume" in sweep.offmap("resume", sweep.out, "--detach")
    sweep.wait_until("done", "done")
    assert (first / "metrics.jsonl").read_bytes().startswith(kept)
    sweep.check()


@pytest.mark.parametrize("by", ["scancel", "offmap"])
def test_a_cancelled_run_stops_and_resume_continues_it(long, by):
    sweep = long(1)
    sweep.begin()
    (folder,) = sweep.folders
    sweep.wait_for_checkpoint(folder)
    with throttled(sweep.worker(folder)):  # or it might be done before the command has begun
        if by == "scancel":
            (job,) = sweep.cluster.jobs()
            sweep.cluster.ask("scancel", job)
        else:
            sweep.offmap("cancel", sweep.out)
    sweep.wait_until("cancelled")
    kept = sweep.kept(folder)
    sweep.offmap("resume", sweep.out, "--detach")
    sweep.wait_until("done")
    assert (folder / "metrics.jsonl").read_bytes().startswith(kept)
    sweep.check()


def test_at_its_time_limit_a_run_checkpoints_is_requeued_and_continues(long):
    """Slurm looks at limits twice a minute: it warns between 30 and 60 s after the start. Then the limit is raised."""
    sweep = long(1, time=2, signal_seconds=60)
    sweep.begin()
    (folder,) = sweep.folders
    sweep.wait_for_checkpoint(folder)
    with throttled(sweep.worker(folder)):
        sweep.wait_for_warning(folder)
    sweep.wait_until("requeued")
    (job,) = sweep.cluster.jobs()
    sweep.cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    assert "time limit" in sweep.status()[0]["reason"]
    kept = sweep.kept(folder)
    sweep.wait_until("done")
    assert (folder / "metrics.jsonl").read_bytes().startswith(kept)
    assert len(read_submissions(sweep.out)) == 1
    sweep.check()


def test_a_preempted_run_checkpoints_is_requeued_and_continues(long):
    sweep = long(1, partition="low")
    sweep.begin()
    (folder,) = sweep.folders
    sweep.wait_for_checkpoint(folder)
    urgent = ("--partition=high", f"--array=0-{len(NODES) - 1}", f"--cpus-per-task={CPUS}", "--output=/dev/null")
    with throttled(sweep.worker(folder)):
        sweep.cluster.ask("sbatch", *urgent, "--wrap=sleep 600")
        sweep.wait_for_warning(folder)
    sweep.wait_until("requeued")
    assert "preempted" in sweep.status()[0]["reason"]
    kept = sweep.kept(folder)
    sweep.cluster.ask("scancel", "--partition=high")
    sweep.wait_until("done")
    assert (folder / "metrics.jsonl").read_bytes().startswith(kept)
    assert len(read_submissions(sweep.out)) == 1
    sweep.check()


def test_a_node_that_dies_loses_no_run(long):
    sweep = long(1)
    sweep.begin()
    (folder,) = sweep.folders
    sweep.wait_for_checkpoint(folder)
    node = sweep.cluster.ask("squeue", "--noheader", "--format=%N").strip()
    sweep.cluster.stop_node(node)
    kept = sweep.kept(folder)
    sweep.cluster.wait_for(lambda: sweep.cluster.node_states().get(node, "").startswith("down"), f"{node} is down")
    sweep.cluster.start_node(node)
    sweep.wait_until("done")
    assert (folder / "metrics.jsonl").read_bytes().startswith(kept)
    assert len(read_submissions(sweep.out)) == 1
    sweep.check()


def test_two_who_resume_at_once_submit_every_run_once(long):
    sweep = long(2)
    sweep.begin()
    first, _ = sweep.folders
    sweep.wait_for_checkpoint(first)
    sweep.cluster.cancel_all()
    sweep.wait_until("cancelled", "cancelled")
    kept = sweep.kept(first)
    both = [sweep.start("resume", sweep.out, "--detach") for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 2]), printed
    assert len(read_submissions(sweep.out)) == 2, printed
    sweep.wait_until("done", "done")
    assert (first / "metrics.jsonl").read_bytes().startswith(kept)
    sweep.check()
