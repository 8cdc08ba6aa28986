"""What goes to Slurm: arrays, options, dependencies, the code that runs; and what is left when it refuses."""

import json
import pickle
import time

import pytest

from suite.errors import UserError
from suite.executors.base import Outcome
from suite.executors.launch import changed_spec, follow, left_to_do, remember, submit_runs
from suite.executors.slurm import require_acceptance, require_slurm
from suite.executors.slurm_job import Job
from suite.experiment.executor import ExecutorSpec
from suite.monitor.job_states import Cluster
from suite.results.jobs import read_submissions
from suite.results.json_files import read_json, write_json
from suite.results.prepare import prepare

SLURM = {"kind": "slurm", "partition": "low", "time": 60, "memory": "500MB"}


@pytest.fixture
def prepared(tiny_experiment, tmp_path):
    """A function (**executor) -> results folder, training folders and executor of an experiment of nine trainings."""

    def build(seeds=(0, 1, 2, 3, 4, 5, 6, 7, 8), **executor):
        experiment = tiny_experiment(seeds=list(seeds), executor=SLURM | executor)
        out = tmp_path / "out"
        return out, prepare(experiment, out), experiment.executor

    return build


def options(script):
    """The `#SBATCH` options of a submission."""
    lines = [line.removeprefix("#SBATCH --") for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    return dict(line.partition("=")[::2] for line in lines)


def test_what_is_submitted(prepared, slurm):
    out, folders, spec = prepared(setup=["module load x"], array_parallelism=4, variants={"mier": {"cpus": 2}})
    said = []
    submissions = submit_runs(out, folders, spec, said.append)
    assert [submission.job for submission in submissions] == ["41", "42", "43"]  # arrays of 4, 4 and 1
    assert (
        said[0] == "submitted job 41: 4 runs in 4 jobs, 2 at once (partition low, time 60, mem 500M, cpus_per_task 2)"
    )
    asked = options(slurm / "41.sh")
    assert asked["array"] == "0-3%2"
    assert (asked["partition"], asked["time"], asked["mem"], asked["cpus-per-task"]) == ("low", "60", "500M", "2")
    assert (asked["signal"], asked["open-mode"]) == ("B:USR2@120", "append")
    assert "requeue" in asked
    assert "array" not in options(slurm / "43.sh")
    script = (slurm / "41.sh").read_text()
    assert script.index("module load x") < script.index("export PYTHONPATH=") < script.index("\nexec ")
    assert "srun" not in script
    assert sorted(path.suffix for path in (out / "jobs").iterdir()) == [".json"] * 3 + [".pkl"] * 9 + [".sh"] * 3


def test_what_a_job_is_told(prepared, slurm):
    out, folders, spec = prepared(runs_per_job=2, signal_seconds=30)
    submit_runs(out, folders, spec)
    with (out / "jobs" / "41_1_submitted.pkl").open("rb") as handle:
        job = pickle.load(handle).function
    assert isinstance(job, Job)
    named = {"folders": [str(folder) for folder in folders[2:4]]}
    assert job.__dict__ == named | {"minutes": 60, "signal_seconds": 30, "idle_legs": 0}
    assert options(slurm / "41.sh")["mem"] == "1000M"
    assert options(slurm / "41.sh")["cpus-per-task"] == "2"
    assert read_submissions(out)[0].runs[1] == (folders[2].name, folders[3].name)


def test_the_others_wait_for_the_canary(prepared, slurm):
    out, folders, spec = prepared(canary=True)
    submit_runs(out, folders, spec)
    assert "dependency" not in options(slurm / "41.sh")
    assert read_submissions(out)[0].runs == ((folders[0].name,),)
    assert [submission.canary for submission in read_submissions(out)] == ["", folders[0].name, folders[0].name]
    for number in (42, 43):
        assert options(slurm / f"{number}.sh")["dependency"] == "afterok:41"
        assert options(slurm / f"{number}.sh")["kill-on-invalid-dep"] == "yes"


def test_no_canary_where_one_has_been(prepared, slurm):
    out, folders, spec = prepared(canary=True)
    for below in folders[0].glob("metatests/*"):
        (below / "records.parquet").touch()
    submit_runs(out, folders, spec)
    assert len(read_submissions(out)[0].runs) == 4


def test_arrays_wait_for_one_another_where_only_one_may_run(prepared, slurm):
    out, folders, spec = prepared(array_parallelism=1)
    submit_runs(out, folders, spec)
    assert [options(slurm / f"{n}.sh").get("dependency") for n in (41, 42, 43)] == [None, "afterany:41", "afterany:42"]


def test_what_has_a_job_is_not_submitted_again(prepared, slurm):
    out, folders, spec = prepared(seeds=[0, 1, 2])
    submit_runs(out, folders[:2], spec)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|PENDING|Resources\n")
    assert left_to_do(out, folders) == (folders[2:], folders[:2])
    (submission,) = submit_runs(out, folders, spec)
    assert submission.runs == ((folders[2].name,),)
    (slurm / "queue").write_text("41_0|RUNNING|None\n41_1|FAILED|NonZeroExitCode\n42|PENDING|Resources\n")
    assert left_to_do(out, folders) == ([folders[1]], [folders[0], folders[2]])
    (slurm / "queue").write_text("")
    assert left_to_do(out, folders) == (folders, [])
    assert submit_runs(out, [], spec) == []


def test_nothing_is_submitted_where_it_cannot_be_told_what_has_a_job(prepared, slurm):
    out, folders, spec = prepared(seeds=[0, 1])
    submit_runs(out, folders, spec)
    (slurm / "squeue").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match="squeue does not answer"):
        submit_runs(out, folders, spec)
    assert not (slurm / "42.sh").exists()


def test_while_slurm_does_not_answer_no_run_has_ended(prepared, slurm, monkeypatch):
    """Such as one whose job waits to go on after a preemption, while the controller is being restarted."""
    out, (folder,), spec = prepared(seeds=[0])
    submit_runs(out, [folder], spec)
    fields = {"message": "its job was preempted", "host": "e1", "heartbeat": time.time(), "job": "41"}
    write_json(folder / "status.json", fields | {"state": "stopped"})
    monkeypatch.setattr("suite.executors.launch.FOLLOW_SECONDS", 0.0)
    answer = (slurm / "squeue").read_text()
    (slurm / "squeue").write_text("#!/bin/sh\nexit 1\n")
    pools = []

    def tick(pool):
        pools.append(pool)
        if len(pools) == 5:
            (slurm / "squeue").write_text(answer)
            (slurm / "queue").write_text("41|PENDING|BeginTime\n")
        if len(pools) == 10:
            write_json(folder / "status.json", fields | {"state": "done"})

    assert follow(out, [folder], tick) == [Outcome(folder, 0)]
    assert len(pools) > 10


def test_what_failed_is_left_out_unless_asked_for(prepared, slurm):
    out, folders, _ = prepared(seeds=[0, 1])
    failed = {"state": "failed", "message": "x", "heartbeat": time.time(), "host": "node", "pid": 1}
    write_json(folders[0] / "status.json", failed)
    assert left_to_do(out, folders, with_failed=False) == ([folders[1]], [])
    assert left_to_do(out, folders) == (folders, [])


def test_a_refusal_in_the_middle_leaves_no_orphans(prepared, slurm):
    out, folders, spec = prepared(seeds=[0, 1], variants={"mier": {"time": 90}})
    (slurm / "full").touch()
    with pytest.raises(UserError, match=r"^Slurm refused 2 runs .*: sbatch: error: QOSMaxSubmitJobPerUserLimit$"):
        submit_runs(out, folders, spec)
    assert list((out / "jobs").iterdir()) == []
    (slurm / "full").unlink()
    assert len(submit_runs(out, folders, spec)) == 1


def test_jobs_that_slurm_would_refuse_are_refused_before_anything_is_written(slurm):
    spec = ExecutorSpec(kind="slurm", partition="nope", gpus=1, variants={"pearl": {"time": 90}})
    require_acceptance(spec, slurm / "out")
    tested = (slurm / "tested").read_text().splitlines()
    assert (
        tested[0]
        == "--test-only --partition=nope --time=1440 --mem=4096M --cpus-per-task=1 --gpus-per-node=1 --wrap=true"
    )
    assert "--time=90" in tested[1]
    (slurm / "refuse").write_text("sbatch: error: invalid partition specified: nope\nallocation failure: Invalid\n")
    with pytest.raises(
        UserError, match=r"Slurm refuses such jobs \(--partition=nope .*: sbatch: error: invalid partition"
    ):
        require_acceptance(spec, slurm / "out")


def test_no_slurm_where_it_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no sbatch or squeue .* use --executor local"):
        require_slurm()


def test_a_job_that_submits_hands_on_nothing_of_its_own(prepared, slurm, monkeypatch):
    out, folders, spec = prepared(seeds=[0])
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_CPU_BIND": "quiet", "SLURM_CONF": "/etc/mine.conf"}.items():
        monkeypatch.setenv(name, value)
    submit_runs(out, folders, spec)
    environment = (slurm / "41.env").read_text().splitlines()
    assert "SLURM_CONF=/etc/mine.conf" in environment
    assert not any(line.startswith(("SLURM_JOB_ID", "SLURM_CPU_BIND")) for line in environment)


def test_what_the_experiment_asks_goes_before_what_the_shell_asks(prepared, slurm, monkeypatch):
    out, folders, spec = prepared(seeds=[0])
    site = {"TIMELIMIT": "1", "NO_REQUEUE": "1", "ARRAY_INX": "0-9", "WAIT": "1", "PARTITION": "other", "ACCOUNT": "us"}
    for name, value in site.items():
        monkeypatch.setenv(f"SBATCH_{name}", value)
    submit_runs(out, folders, spec)
    handed_on = [line for line in (slurm / "41.env").read_text().splitlines() if line.startswith("SBATCH_")]
    assert handed_on == ["SBATCH_ACCOUNT=us"]  # the experiment names a partition and no account


@pytest.mark.parametrize("name", ["a:b", "50%", "back\\slash"])
def test_a_folder_whose_name_slurm_or_the_shell_would_change_is_refused(slurm, tmp_path, name):
    with pytest.raises(UserError, match=r"which Slurm would take for .* choose a folder without"):
        require_acceptance(ExecutorSpec(kind="slurm"), tmp_path / name / "out")


def test_a_job_that_is_held_is_cancelled_and_its_runs_are_submitted_again(prepared, slurm):
    out, folders, spec = prepared(seeds=[0, 1, 2])
    submit_runs(out, folders, spec)
    (slurm / "queue").write_text("41_0|PENDING|JobHeldUser\n41_1|PENDING|Priority\n41_2|REQUEUE_HOLD|\n")
    assert left_to_do(out, folders) == ([folders[0], folders[2]], [folders[1]])
    (again,) = submit_runs(out, folders, spec)
    assert again.runs == ((folders[0].name,), (folders[2].name,))
    assert (slurm / "cancelled").read_text().split() == ["41_0", "41_2"]


def test_how_runs_were_carried_out_is_remembered(prepared):
    out, _, spec = prepared()
    assert changed_spec(out) == spec
    changed = changed_spec(out, ["memory=16GB", "time=4:00:00"], kind="local", workers=None)
    assert changed == spec.changed(memory="16GB", time=240, kind="local")
    assert changed_spec(out) == spec
    remember(out, changed)
    assert changed_spec(out) == changed
    with pytest.raises(UserError, match=r"no variant 'mire' in the experiment; did you mean mier\?"):
        changed_spec(out, ["variants={mire: {memory: 8GB}}"])
    with pytest.raises(UserError, match=r"memroy is not a known key; did you mean memory\?"):
        changed_spec(out, ["memroy=16GB"])
    with pytest.raises(UserError, match="there is no folder"):
        changed_spec(out / "nowhere")


def test_a_folder_that_was_altered_is_refused(prepared, slurm):
    out, (folder,), _ = prepared(seeds=[0])
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"seed": 7})
    with pytest.raises(UserError, match=r"config.json was changed since it was made: .* its folder is"):
        left_to_do(out, [folder])
    write_json(folder / "config.json", config | {"schema_version": 99})
    with pytest.raises(UserError, match=r"made by another version of offmap \(format 99, this one has 1\)"):
        left_to_do(out, [folder])
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        left_to_do(out, [folder])
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="holds no training"):
        left_to_do(out, [folder])


def test_the_ledger_names_the_code_that_runs(prepared, slurm):
    out, folders, spec = prepared(seeds=[0])
    (submission,) = submit_runs(out, folders, spec)
    document = json.loads((out / "jobs" / "41.json").read_text())
    assert document["code"] == submission.code
    assert submission.code.startswith(str(out / "code"))
    assert f"export PYTHONPATH={submission.code}" in (slurm / "41.sh").read_text()
    assert Cluster(out).jobs[folders[0].name].name == "41"
