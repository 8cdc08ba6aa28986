"""Clearing away: nothing that is still needed."""

import pytest

from suite.errors import UserError
from suite.executors.launch import submit_runs
from suite.results.clean import clear, leftovers
from suite.results.layout import pending
from suite.results.lock import owned
from suite.results.prepare import prepare


def test_only_what_finished_runs_can_do_without(tiny_experiment, tmp_path, run_here, slurm):
    experiment = tiny_experiment(seeds=[0, 1], env_steps=1000, executor={"kind": "slurm"})
    out = tmp_path / "out"
    (done,) = run_here(experiment.model_copy(update={"seeds": (0,)}), out)
    done, begun = prepare(experiment, out)
    (begun / "checkpoints").mkdir()
    submit_runs(out, [begun], experiment.executor)
    kept = {path: path.read_bytes() for path in done.rglob("*.parquet")}
    unneeded = leftovers(out, [done, begun])
    assert unneeded.of_runs == {done: [done / "checkpoints", done / "log"]}
    assert unneeded.of_jobs == []  # that of the unfinished run is still needed
    files = (path for name in ("checkpoints", "log") for path in (done / name).rglob("*") if path.is_file())
    assert unneeded.size == sum(path.stat().st_size for path in files)
    with owned(done), pytest.raises(UserError, match="another process is working on this run"):
        clear(out, unneeded)
    assert (done / "checkpoints").exists()
    record = next(done.glob("metatests/*/records.parquet"))
    record.rename(tmp_path / "aside")  # it was given more to do while somebody thought about the question
    clear(out, unneeded)
    assert (done / "checkpoints").exists()
    (tmp_path / "aside").rename(record)
    clear(out, unneeded)
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
    unneeded = leftovers(out, folders)
    assert {path.name for path in unneeded.of_jobs} == {
        "41.json", "41_submission.sh", *(f"41_{n}_submitted.pkl" for n in range(4)),
    }  # fmt: skip
    clear(out, unneeded)
    assert [path.name for path in (out / "jobs").iterdir()] == ["410_submission.sh"]
