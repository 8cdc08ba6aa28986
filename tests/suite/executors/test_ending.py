"""Cancelling and clearing away: no more than was asked for, and nothing that is still needed."""

import signal
import subprocess
import time

import pytest

from suite.errors import UserError
from suite.executors.ending import cancel_runs, clear, leftovers
from suite.executors.launch import submit_runs
from suite.executors.ledger import read_submissions
from suite.executors.processes import STOPPED, worker_command, worker_environment
from suite.executors.states import read_states
from suite.files import write_json
from suite.grid import pending, prepare
from suite.lock import owned
from suite.status import read_status


@pytest.fixture
def submitted(tiny_experiment, tmp_path, slurm):
    """A function (**executor) -> results folder and training folders of four seeds, submitted as job 41."""

    def build(**executor):
        experiment = tiny_experiment(seeds=[0, 1, 2, 3], executor={"kind": "slurm", **executor})
        out = tmp_path / "out"
        folders = prepare(experiment, out)
        submit_runs(out, folders, experiment.executor)
        return out, folders

    return build


def test_single_runs_of_an_array(submitted, slurm):
    out, folders = submitted()
    (slurm / "queue").write_text("".join(f"41_{n}|PENDING|Resources\n" for n in range(4)))
    assert cancel_runs(out, folders[1:3]) == folders[1:3]
    assert (slurm / "cancelled").read_text() == "41_1 41_2\n"
    (slurm / "queue").write_text("41_0|PENDING|Resources\n")  # it has forgotten the others
    states = [fields["state"] for fields in read_states(out, folders).values()]
    assert states == ["pending", "cancelled", "cancelled", "lost"]
    assert cancel_runs(out, folders[1:]) == []  # nothing that is under way
    assert read_submissions(out)[0].cancelled == (1, 2)


def test_runs_of_one_job_are_cancelled_together(submitted, slurm):
    out, folders = submitted(runs_per_job=2)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|PENDING|Resources\n")
    with pytest.raises(UserError, match=f"job 41_0 also works on {folders[1].name}: its runs can only"):
        cancel_runs(out, [folders[0], folders[2], folders[3]])
    assert not (slurm / "cancelled").exists()
    assert cancel_runs(out, folders[:2]) == folders[:2]
    assert (slurm / "cancelled").read_text() == "41_0\n"


def test_a_run_that_has_failed_in_its_job_keeps_nobody_from_cancelling_the_others(submitted, slurm):
    out, folders = submitted(runs_per_job=2)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|PENDING|Resources\n")
    write_json(folders[0] / "status.json", {"state": "failed", "job": "41_0", "host": "e1", "heartbeat": time.time()})
    assert cancel_runs(out, folders[:2]) == [folders[1]]
    assert (slurm / "cancelled").read_text() == "41_0\n"


def test_a_run_on_this_machine_is_asked_to_end(tiny_experiment, tmp_path):
    out = tmp_path / "out"
    (folder,) = prepare(tiny_experiment(train={"steps_per_iteration": 100}), out)
    assert cancel_runs(out, [folder]) == []
    process = subprocess.Popen(worker_command(folder), env=worker_environment(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert cancel_runs(out, [folder]) == [folder]
    assert process.wait(60) in (STOPPED, -signal.SIGTERM)
    assert read_status(folder)["state"] == "stopped"


def test_only_what_finished_runs_can_do_without(tiny_experiment, tmp_path, run_here, slurm):
    experiment = tiny_experiment(seeds=[0, 1], env_steps=1000, executor={"kind": "slurm"})
    out = tmp_path / "out"
    (done,) = run_here(experiment.model_copy(update={"seeds": (0,)}), out)
    done, begun = prepare(experiment, out)
    (begun / "checkpoints").mkdir()
    submit_runs(out, [begun], experiment.executor)
    kept = {path: path.read_bytes() for path in done.rglob("*.parquet")}
    found = leftovers(out, [done, begun])
    assert found.of_runs == {done: [done / "checkpoints", done / "log"]}
    assert found.of_jobs == []  # that of the unfinished run is still needed
    assert found.size == sum(path.stat().st_size for name in ("checkpoints", "log") for path in (done / name).rglob("*")
                             if path.is_file())  # fmt: skip
    with owned(done), pytest.raises(UserError, match="another process is working on this run"):
        clear(out, found)
    assert (done / "checkpoints").exists()
    clear(out, found)
    assert not (done / "checkpoints").exists()
    assert (begun / "checkpoints").exists()
    assert {path: path.read_bytes() for path in done.rglob("*.parquet")} == kept
    assert not pending(done)
    assert leftovers(out, [done, begun]).of_runs == {}


def test_files_of_jobs_whose_runs_are_all_done(submitted):
    out, folders = submitted()
    for folder in folders:
        for below in folder.glob("metatests/*"):
            (below / "records.parquet").touch()
    (out / "jobs" / "410_submission.sh").touch()  # of another job
    found = leftovers(out, folders)
    assert {path.name for path in found.of_jobs} == {
        "41.json", "41_submission.sh", *(f"41_{n}_submitted.pkl" for n in range(4)),
    }  # fmt: skip
    clear(out, found)
    assert [path.name for path in (out / "jobs").iterdir()] == ["410_submission.sh"]
