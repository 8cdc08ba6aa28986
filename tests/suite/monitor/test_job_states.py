"""The state of a run that was given to a cluster, for all that it and Slurm can say of it."""

import time

import pytest

from suite.monitor.job_states import Cluster, classify
from suite.monitor.slurm_queue import QueueEntry, read_queue
from suite.results.jobs import JobOf, Submission, given_up, jobs_of_runs, read_submissions, write_submission
from suite.results.json_files import write_json

RUN, GONE, UNKNOWN, FIRST, OTHER, BEGUN, X, Y, A, B, C, D = (f"{number:012x}" for number in range(12))
"""Names of runs."""

JOB = JobOf("7_2", ("run",), 1000.0, False)
MINE = {"job": "7_2", "heartbeat": 1100.0}
OLDER = {"job": "5", "heartbeat": 900.0}
LATER = {"heartbeat": 1100.0}  # worked on by the local executor since
NOTHING = {"state": "pending"}
SILENT = {"state": "lost", "message": "no sign of life for 90 s", "is_silent": True}
STOPPED = {"state": "stopped", "message": "its job was preempted"}


@pytest.mark.parametrize(("fields", "entry", "state", "words"), [
    # nothing was ever written
    (NOTHING, ("PENDING", "Resources"), "pending", "job 7_2 waits (Resources)"),
    (NOTHING, ("PENDING", "launch failed requeued held"), "held", "held (launch failed requeued held) and does not go"),
    (NOTHING, ("REQUEUE_HOLD", ""), "held", "its job 7_2 is held (REQUEUE_HOLD)"),
    (NOTHING, ("RUNNING", ""), "running", "its run starts"),
    (NOTHING, ("CANCELLED", ""), "cancelled", "was cancelled"),
    (NOTHING, ("CANCELLED", "DependencyNeverSatisfied"), "cancelled", "the canary did not succeed"),
    (NOTHING, ("FAILED", ""), "killed", "ended (FAILED) without a word"),
    (NOTHING, ("NODE_FAIL", ""), "killed", "the node of its job 7_2 died"),
    (NOTHING, None, "lost", "does not know its job 7_2 any more"),
    # it ran in this very job
    (MINE | SILENT, ("PENDING", "BeginTime"), "requeued", "no sign of life for 90 s; job 7_2 waits (BeginTime)"),
    (MINE | STOPPED, ("PENDING", "BeginTime"), "requeued", "its job was preempted; job 7_2 waits (BeginTime)"),
    (MINE | SILENT, ("RUNNING", ""), "running", "no sign of life for 90 s"),
    (MINE | STOPPED, ("RUNNING", ""), "running", "its run starts; its job was preempted"),
    (MINE | STOPPED, ("COMPLETING", ""), "running", "job 7_2 is ending; its job was preempted"),
    (MINE | STOPPED, ("PENDING", "JobHeldAdmin"), "held", "its job was preempted; its job 7_2 is held (JobHeldAdmin)"),
    (MINE | STOPPED, ("FAILED", ""), "stopped", "its job was preempted"),
    (MINE | STOPPED, ("TIMEOUT", ""), "timed out", "reached its time limit"),
    (MINE | STOPPED, None, "stopped", "its job was preempted"),
    (MINE | SILENT, ("TIMEOUT", ""), "timed out", "reached its time limit"),
    (MINE | SILENT, ("OUT_OF_MEMORY", ""), "killed", "for want of memory"),
    (MINE | SILENT, ("NODE_FAIL", ""), "killed", "died"),
    (MINE | SILENT, ("PREEMPTED", ""), "killed", "preempted and not requeued"),
    (MINE | SILENT, ("COMPLETED", ""), "killed", "ended (COMPLETED) without a word"),
    (MINE | SILENT, None, "lost", "does not know its job 7_2 any more"),
    (MINE | {"state": "failed", "message": "diverged"}, ("FAILED", ""), "failed", "diverged"),
    (MINE | {"state": "failed", "message": "diverged"}, ("RUNNING", ""), "failed", "diverged"),  # others go on
    (MINE | {"state": "failed", "message": "diverged"}, ("PENDING", "BeginTime"), "failed", "diverged"),
    (MINE | {"state": "killed", "message": "killed by SIGKILL"}, ("FAILED", ""), "killed", "killed by SIGKILL"),
    (MINE | {"state": "killed", "message": "killed by SIGKILL"}, ("OUT_OF_MEMORY", ""), "killed", "want of memory"),
    (MINE | {"state": "killed", "message": "killed by SIGKILL"}, ("RUNNING", ""), "killed", "killed by SIGKILL"),
    # it ran before, and was submitted again
    (OLDER | {"state": "failed", "message": "x"}, ("PENDING", "Priority"), "pending", "job 7_2 waits (Priority)"),
    (OLDER | {"state": "failed", "message": "x"}, ("RUNNING", ""), "running", "its run starts"),
    (OLDER | SILENT, ("CANCELLED", ""), "cancelled", "its job 7_2 was cancelled"),
    (OLDER | SILENT, None, "lost", "does not know its job 7_2 any more"),
    # it was worked on elsewhere since
    (LATER | {"state": "failed", "message": "x"}, ("TIMEOUT", ""), "failed", "x"),
    (LATER | SILENT, None, "lost", "no sign of life for 90 s"),
])  # fmt: skip
def test_every_end_has_its_name(fields, entry, state, words):
    found, message = classify(fields, JOB, None if entry is None else QueueEntry(*entry), is_known=True)
    assert found == state
    assert words in message


@pytest.mark.parametrize(("fields", "state"), [
    (NOTHING, "pending"), (MINE | SILENT, "lost"), (MINE | {"state": "failed", "message": "x"}, "failed"),
    (MINE | STOPPED, "stopped"),
])  # fmt: skip
def test_where_slurm_cannot_be_asked(fields, state):
    assert classify(fields, JOB, None, is_known=False)[0] == state


def test_what_was_cancelled_stays_so_when_slurm_has_forgotten_it():
    cancelled = JOB._replace(is_cancelled=True)
    for fields in (NOTHING, MINE | SILENT, MINE | STOPPED):
        for entry in (None, QueueEntry("COMPLETING")):
            assert classify(fields, cancelled, entry, is_known=True)[0] == "cancelled"
        assert classify(fields, cancelled, None, is_known=False)[0] == "cancelled"
    since = LATER | {"state": "failed", "message": "x"}  # by `offmap resume --executor local`
    assert classify(since, cancelled, None, is_known=True) == ("failed", "x")


def test_who_waited_for_a_canary_in_vain_is_not_lost_when_slurm_has_forgotten_it(tmp_path, commands):
    for name in ("jobs", FIRST, OTHER, BEGUN):
        (tmp_path / name).mkdir()
    write_submission(tmp_path, Submission("9", ((FIRST,),), 50.0))
    write_submission(tmp_path, Submission("10", ((OTHER,), (BEGUN,)), 50.0, canary=FIRST))
    commands("squeue", "true")
    said = {"host": "e1", "heartbeat": 60.0}
    for state, found in (("failed", "cancelled"), ("done", "lost")):
        write_json(tmp_path / FIRST / "status.json", said | {"state": state})
        cluster = Cluster(tmp_path)
        fields = cluster.judge(OTHER, {"state": "pending"})
        assert fields["state"] == found
        assert ("the canary did not succeed" in fields["message"]) is (found == "cancelled")
        assert cluster.judge(BEGUN, said | SILENT | {"job": "10_1"})["state"] == "lost"


@pytest.mark.parametrize(("fields", "is_unsure"), [
    (NOTHING, True), (MINE | STOPPED, True), (MINE | {"state": "failed"}, False), (OLDER | {"state": "failed"}, True),
    (LATER | {"state": "stopped"}, False),
])  # fmt: skip
def test_what_may_be_under_way_where_slurm_cannot_be_asked(tmp_path, commands, fields, is_unsure):
    (tmp_path / "jobs").mkdir()
    write_submission(tmp_path, Submission("7", ((X,), (Y,), (RUN,), (GONE,)), 1000.0, cancelled=(GONE,)))
    cluster = Cluster(tmp_path)  # there is no squeue
    assert cluster.is_unsure(RUN, fields) is is_unsure
    assert not cluster.is_unsure(GONE, fields)
    assert not cluster.is_unsure(UNKNOWN, fields)
    commands("squeue", "true")
    assert not Cluster(tmp_path).is_unsure(RUN, fields)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function (name, script) that puts a shell script in front of the commands of this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def test_what_squeue_says(commands):
    commands(
        "squeue", 'echo "7_0|RUNNING|None"; echo "7_1|PENDING|Resources"; echo "8|TIMEOUT|TimeLimit"; echo "$@" >&2'
    )
    assert read_queue(["7_0", "7_1", "8"]) == {
        "7_0": QueueEntry("RUNNING", "None"), "7_1": QueueEntry("PENDING", "Resources"),
        "8": QueueEntry("TIMEOUT", "TimeLimit"),
    }  # fmt: skip
    assert read_queue([]) == {}


def test_accounting_is_asked_for_what_squeue_has_forgotten(commands):
    commands("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    assert read_queue(["7_0"]) == {}  # no sacct here
    commands("sacct", 'echo "7_0|OUT_OF_MEMORY"; echo "7_1|CANCELLED by 1000"')
    assert read_queue(["7_0", "7_1"]) == {"7_0": QueueEntry("OUT_OF_MEMORY"), "7_1": QueueEntry("CANCELLED")}
    commands("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
    assert read_queue(["7_0"]) == {}


def test_a_slurm_that_does_not_answer(commands):
    assert read_queue(["7"]) is None  # no squeue on this machine
    commands("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    assert read_queue(["7"]) is None


def test_the_ledger_tells_the_last_job_of_a_run(tmp_path):
    (tmp_path / "jobs").mkdir()
    write_submission(tmp_path, Submission("10", ((A,), (B, C)), 50.0, cancelled=(B,)))
    write_submission(tmp_path, Submission("9", ((A, D),), 20.0))
    (tmp_path / "jobs" / "10_submission.sh").touch()
    submissions = read_submissions(tmp_path)
    assert [submission.job for submission in submissions] == ["9", "10"]
    assert jobs_of_runs(submissions) == {
        A: JobOf("10_0", (A,), 50.0, False), D: JobOf("9", (A, D), 20.0, False),
        B: JobOf("10_1", (B, C), 50.0, True), C: JobOf("10_1", (B, C), 50.0, False),
    }  # fmt: skip
    assert given_up(submissions, "9") == {A}  # job 10 has it now
    assert given_up(submissions, "10_1") == {B}  # it was cancelled
    assert given_up(submissions, "10_0") == given_up(submissions, "11") == set()
    assert read_submissions(tmp_path / "nowhere") == []


def test_a_cancelled_job_that_is_still_ending_keeps_nobody_from_its_run(tmp_path, commands):
    (tmp_path / "jobs").mkdir()
    write_submission(tmp_path, Submission("9", ((A,), (B,)), time.time(), cancelled=(A,)))
    commands("squeue", 'echo "9_0|COMPLETING|None"; echo "9_1|COMPLETING|None"')
    cluster = Cluster(tmp_path)
    assert cluster.judge(A, {"state": "stopped", "job": "9_0", "heartbeat": time.time()})["state"] == "cancelled"
    assert [cluster.has(run, NOTHING) for run in (A, B, OTHER)] == [False, True, False]


@pytest.mark.parametrize(("slurm", "state", "is_taken"), [
    ("RUNNING", "failed", False), ("RUNNING", "killed", False), ("RUNNING", "stopped", True),
    ("COMPLETING", "failed", False), ("PENDING", "failed", False), ("PENDING", "killed", True),
])  # fmt: skip
def test_who_sees_that_a_run_has_ended_can_resume_it_though_its_job_goes_on(tmp_path, commands, slurm, state, is_taken):
    (tmp_path / "jobs").mkdir()
    write_submission(tmp_path, Submission("9", ((A, B),), time.time()))
    commands("squeue", f'echo "9|{slurm}|None"')
    cluster = Cluster(tmp_path)
    of_job = {"job": "9", "state": state, "heartbeat": time.time()}
    assert cluster.has(A, of_job) is is_taken
    assert cluster.has(A, of_job | {"job": "8"})  # that was an earlier job of this run
    assert cluster.has(A, of_job | {"is_silent": True})  # the job has not noticed yet


def test_slurm_is_asked_once_and_only_if_something_may_be_under_way(tmp_path, commands):
    (tmp_path / "jobs").mkdir()
    write_submission(tmp_path, Submission("9", ((A,), (B,)), time.time()))
    commands("squeue", f'echo asked >> {tmp_path}/asked; echo "9_0|PENDING|Priority"')
    done, going = {"state": "done"}, {"state": "running", "heartbeat": time.time()}
    cluster = Cluster(tmp_path)
    assert cluster.judge(A, done) is done
    assert cluster.judge(A, going) is going
    assert cluster.judge(OTHER, {"state": "pending"}) == {"state": "pending"}
    assert not (tmp_path / "asked").exists()
    assert cluster.judge(A, {"state": "pending"})["state"] == "pending"
    assert cluster.judge(B, {"state": "pending"})["state"] == "lost"
    assert cluster.has(A, NOTHING)
    assert not cluster.has(B, NOTHING)
    assert (tmp_path / "asked").read_text() == "asked\n"
