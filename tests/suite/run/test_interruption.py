"""Killed, truncated, out of space: whatever happens on the way, the records come out the same, bit for bit."""

import errno
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from disks import small_disk
from patience import wait_until
from tests_support import outcome
from workers import run_worker, steps_in

import suite.run.metatest
import suite.run.saving.steady_files
from suite.results.prepare import prepare
from suite.results.records import read_table
from suite.results.status import read_status
from suite.run.processes import worker_command, worker_environment
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.worker import main

TASKS_AT_ONCE = 5
FIRST, EACH = 800, 200  # env steps of MIER's initial exploration and of an iteration, tiny configuration


@pytest.fixture
def experiment(tiny_experiment):
    """MIER and MIER-wR from one training, episodes that start anywhere; meta-tests in two batches of tasks per list."""

    def build(**fields):
        names, protocol = ("mier", "mier-wr"), {"tasks_at_once": TASKS_AT_ONCE}
        return tiny_experiment(names, split="point-dynamics.ood", protocol=protocol, **fields)

    return build


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Undisturbed runs, made once: a dictionary of what each came out with."""
    return {"folder": tmp_path_factory.mktemp("undisturbed")}


@pytest.fixture
def undisturbed(experiment, kept):
    """Outcome and counted simulator steps of a run that nothing happened to."""
    if "outcome" not in kept:
        (folder,) = prepare(experiment(), kept["folder"] / "runs")
        assert run_worker(folder, kept["folder"] / "counts") == 0
        kept |= {"outcome": outcome(folder), "steps": steps_in(kept["folder"] / "counts"), "run": folder}
    return kept


def durable_steps(folder):
    """Simulator steps whose results are safe on the disk: the newest checkpoint, and meta-tested batches of tasks."""
    names = checkpoint_names(folder / "checkpoints")
    files = [*folder.glob("metatests/*/parts/*.records.parquet"), *folder.glob("metatests/*/records.parquet")]
    tested = 0
    for path in files:
        if path.name == "records.parquet" or not (path.parent.parent / "records.parquet").exists():
            cost = read_table(path)[1]["cost"]
            tested += cost.get("adaptation", cost.get("adaptation_env_steps"))
            tested += cost.get("evaluation", cost.get("evaluation_env_steps"))
    return tested + (int(names[-1]) if names else 0)


def interval_at(folder, largest_batch):
    """The most that a kill may cost now: what is made between two things that are written."""
    names = checkpoint_names(folder / "checkpoints")
    if not names:
        return FIRST
    return EACH if int(names[-1]) < 1600 else largest_batch


def largest_batch(folder):
    """Simulator steps of the dearest batch of tasks."""
    found = []
    for path in folder.glob("metatests/*/records.parquet"):
        rows = read_table(path)[0].to_pandas()
        found.append(rows.groupby(["task_list", rows.task // TASKS_AT_ONCE]).length.sum().max())
    return int(max(found))


def test_the_meter_agrees_with_an_independent_count(undisturbed):
    folder = undisturbed["run"]
    assert undisturbed["steps"] == durable_steps(folder)
    for path in folder.glob("metatests/*/records.parquet"):
        table, metadata = read_table(path)
        assert metadata["cost"]["train_env_steps"] == 1600
        assert metadata["cost"]["adaptation_env_steps"] == 20 * 40
        rows = table.to_pandas()
        assert metadata["cost"]["evaluation_env_steps"] == rows[rows.phase != "collect"].length.sum()


def killed_at_steps(folder, counts, moments, batch):
    """Kill a worker before the so-manieth simulator step of each of `moments`; what each kill wasted, and its bound."""
    wasted, bounds = [], []
    for moment in moments:
        before, made = durable_steps(folder), steps_in(counts)
        bounds.append(interval_at(folder, batch))
        code = run_worker(folder, counts, die_at_step=moment)
        if code == 0:
            bounds.pop()
            break
        assert code == -signal.SIGKILL
        bounds[-1] = max(bounds[-1], interval_at(folder, batch))
        wasted.append(steps_in(counts) - made - (durable_steps(folder) - before))
    return wasted, bounds


@pytest.mark.parametrize(
    "seed", [0, 1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_after_kills_at_random_steps_everything_is_the_same(experiment, undisturbed, tmp_path, seed):
    draw, batch = random.Random(seed), largest_batch(undisturbed["run"])
    moments = [draw.randint(FIRST + 1, 1600), *(draw.randint(1, undisturbed["steps"] // 4) for _ in range(5))]
    (folder,) = prepare(experiment(), tmp_path / "runs")
    wasted, bounds = killed_at_steps(folder, tmp_path / "counts", moments, batch)
    assert len(wasted) >= 3
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == undisturbed["outcome"]
    assert all(0 <= lost <= bound for lost, bound in zip(wasted, bounds))
    assert steps_in(tmp_path / "counts") == undisturbed["steps"] + sum(wasted)


def test_a_kill_in_the_middle_of_a_meta_test_repeats_one_batch_of_tasks_at_most(experiment, undisturbed, tmp_path):
    batch = largest_batch(undisturbed["run"])
    (folder,) = prepare(experiment(), tmp_path / "runs")
    moments = [1600 + batch + batch // 2, batch + batch // 3, batch // 5]
    wasted, _ = killed_at_steps(folder, tmp_path / "counts", moments, batch)
    assert len(wasted) == 3
    assert all(0 < lost <= batch for lost in wasted)
    tested = [*folder.glob("metatests/*/parts/*.records.parquet"), *folder.glob("metatests/*/records.parquet")]
    assert len(tested) > 0  # it died in the middle of the meta-tests, not before them
    assert not all(path.name == "records.parquet" for path in tested) or len(tested) < 2
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == undisturbed["outcome"]
    assert steps_in(tmp_path / "counts") == undisturbed["steps"] + sum(wasted)


@pytest.mark.parametrize("first", [1, *(pytest.param(number, marks=pytest.mark.slow) for number in range(2, 8))])
def test_a_kill_between_any_two_writes_leaves_nothing_half_done(experiment, undisturbed, tmp_path, first):
    """Every attempt dies a few file operations later than the one before: within checkpoints, logs and records."""
    (folder,) = prepare(experiment(), tmp_path / "runs")
    codes = [run_worker(folder, tmp_path / "counts", die_at_write=number) for number in range(first, 90, 5)]
    assert codes.count(-signal.SIGKILL) >= 5  # heartbeats write too, so how many attempts it takes is not fixed
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == undisturbed["outcome"]
    assert not list(folder.glob("**/.*.partial"))


def test_the_worker_command_survives_kill_9(tiny_experiment, tmp_path):
    """The very command that the executor starts, killed in training and in a meta-test."""
    declared = tiny_experiment(
        train={"steps_per_iteration": 40}, adapt={"relabel_updates": 200}, protocol={"tasks_at_once": TASKS_AT_ONCE}
    )
    (folder,) = prepare(declared, tmp_path / "killed")
    (straight,) = prepare(declared, tmp_path / "straight")
    assert main([str(straight)]) == 0
    draw = random.Random(0)
    for reached in (lambda: len(checkpoint_names(folder / "checkpoints")) >= 2,
                    lambda: any(folder.glob("metatests/*/parts/*.records.parquet"))):  # fmt: skip
        process = subprocess.Popen(worker_command(folder), env=worker_environment(), stderr=subprocess.PIPE)
        wait_until(reached, lambda process=process: process.poll() is None)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
        assert read_status(folder)["state"] == "killed"
    assert main([str(folder)]) == 0
    assert outcome(folder) == outcome(straight)
    assert read_status(folder)["state"] == "done"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newest(folder):
    return folder / "checkpoints" / checkpoint_names(folder / "checkpoints")[-1]


DAMAGES = {
    "tensors cut": lambda folder: cut(newest(folder) / "state.safetensors"),
    "document cut": lambda folder: cut(newest(folder) / "state.json"),
    "log segment gone": lambda folder: sorted((folder / "log").iterdir())[-1].unlink(),
    "log segment cut": lambda folder: cut(sorted((folder / "log").iterdir())[-1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_and_ends_the_same(experiment, undisturbed, tmp_path, damage):
    """Killed in a meta-test, and the disk has lost a part of the newest checkpoint."""
    (folder,) = prepare(experiment(), tmp_path / "runs")
    assert run_worker(folder, tmp_path / "counts", die_at_step=1600 + 300) == -signal.SIGKILL
    before = steps_in(tmp_path / "counts")
    assert checkpoint_names(folder / "checkpoints") == ["000000001400", "000000001600"]
    DAMAGES[damage](folder)
    assert run_worker(folder, tmp_path / "again") == 0
    (note,) = read_status(folder)["notes"]
    assert note.startswith("checkpoint 000000001600 is damaged (")
    assert note.endswith("checkpoint 000000001400 is used")
    assert outcome(folder) == undisturbed["outcome"]
    assert steps_in(tmp_path / "again") == undisturbed["steps"] - 1400 < undisturbed["steps"] - before + EACH + 300 + 1


def test_where_every_checkpoint_is_damaged_training_starts_again(experiment, undisturbed, tmp_path):
    (folder,) = prepare(experiment(), tmp_path / "runs")
    assert run_worker(folder, tmp_path / "counts", die_at_step=1250) == -signal.SIGKILL
    for name in checkpoint_names(folder / "checkpoints"):
        cut(folder / "checkpoints" / name / "state.safetensors")
    assert run_worker(folder, tmp_path / "again") == 0
    notes = read_status(folder)["notes"]
    assert len(notes) == 2
    assert all(note.endswith("training starts again") for note in notes)
    assert outcome(folder) == undisturbed["outcome"]
    assert steps_in(tmp_path / "again") == undisturbed["steps"]


def test_a_damaged_batch_of_a_meta_test_is_done_again(experiment, undisturbed, tmp_path):
    (folder,) = prepare(experiment(), tmp_path / "runs")
    batch = largest_batch(undisturbed["run"])
    assert run_worker(folder, tmp_path / "counts", die_at_step=1600 + batch + batch // 2) == -signal.SIGKILL
    part, *_ = sorted(folder.glob("metatests/*/parts/*.records.parquet"))
    copy = part.with_name(part.name.replace(".", " (1).", 1))  # as a sync client's
    shutil.copy(part, copy)
    cut(part)
    assert run_worker(folder, tmp_path / "counts") == 0
    assert outcome(folder) == undisturbed["outcome"]
    assert copy.exists()


@pytest.fixture
def disk_of_1_mb(tmp_path):
    """A file system of 1 MB, where this user may mount one."""
    with small_disk(tmp_path / "small", "1m") as place:
        yield place


@pytest.mark.parametrize("free", [0, 20_000, 60_000, 130_000, 200_000, 290_000])
def test_a_full_disk_loses_nothing(experiment, undisturbed, disk_of_1_mb, tmp_path, capfd, free):
    """A run that needs about 300 kB, with less left: it stops at another place for each of these."""
    (folder,) = prepare(experiment(), disk_of_1_mb / "runs")
    filler = disk_of_1_mb / "filler"
    available = os.statvfs(disk_of_1_mb).f_bavail * os.statvfs(disk_of_1_mb).f_frsize
    filler.write_bytes(b"x" * (available - free))
    capfd.readouterr()
    assert main([str(folder)]) == 2
    message = capfd.readouterr().err
    assert message.startswith("the disk is full: ")
    newest = checkpoint_names(folder / "checkpoints")[-1:]
    kept = f"the checkpoint at env step {int(newest[0])}" if newest else "the beginning: there is no checkpoint yet"
    assert message.endswith(f"free space, then run again to continue from {kept}.\n")
    assert message.count("\n") == 1
    if (folder / "status.json").exists():
        assert read_status(folder)["state"] == "failed"
        assert read_status(folder)["message"] == message.strip()
    assert not list(folder.rglob(".*.partial"))
    assert not list(folder.rglob("records.parquet"))
    filler.unlink()
    assert main([str(folder)]) == 0
    assert outcome(folder) == undisturbed["outcome"]


@pytest.mark.parametrize("at", ["save_file", "write_table", "fsync"])
def test_no_space_at_any_kind_of_write_is_one_message(experiment, undisturbed, tmp_path, capfd, monkeypatch, at):
    """As above where no file system can be mounted: the third write of a kind finds the disk full."""
    (folder,) = prepare(experiment(), tmp_path / "runs")
    module = {"save_file": suite.run.saving.steady_files, "write_table": suite.run.metatest, "fsync": os}[at]
    original, calls = getattr(module, at), []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) >= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(module, at, full)
        assert main([str(folder)]) == 2
    message = capfd.readouterr().err
    assert message.startswith("the disk is full: ")
    assert message.count("\n") == 1
    assert read_status(folder)["message"] == message.strip()
    assert main([str(folder)]) == 0
    assert outcome(folder) == undisturbed["outcome"]
