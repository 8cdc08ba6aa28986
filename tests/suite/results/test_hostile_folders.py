"""Results folders that were damaged, forged or mixed up: one message, nothing outside touched, nothing lost."""

import contextlib
import json
import os
import random
import shutil
import time

import pytest

from suite.errors import UserError
from suite.executors.cancel import cancel_runs
from suite.results.process_identity import this_process
from suite.results.selection import training_folders

NUMBER = int(os.environ.get("OFFMAP_FUZZ", "0"))
SEED = int(os.environ.get("OFFMAP_FUZZ_SEED", "0"))
FEW, MANY = 50, 600
SECONDS = 10.0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder of two finished runs with everything in it: checkpoints, a log, a ledger, its neighbours."""
    from tests_support import TINY

    from suite.experiment.declaration import Experiment
    from suite.results.collect import collect
    from suite.results.prepare import prepare
    from suite.run.worker import main

    out = tmp_path_factory.mktemp("finished") / "out"
    experiment = Experiment.model_validate({
        "name": "tiny", "splits": ["point-goal.ood"],
        "algorithms": ["null", {"name": "mier-wr", "train": TINY["mier"], "adapt": {"context_steps": 2}}],
        "budget": {"env_steps": 1600}, "protocol": {"max_tasks": 2, "evaluation_episodes": 1},
        "checkpoint_seconds": 1e-6,
    })  # fmt: skip
    for folder in prepare(experiment, out):
        assert main([str(folder)]) == 0
        (folder / "worker.log").write_text("said\n")
    collect(out)
    (out / "jobs").mkdir()
    ledger = {"job": "7", "runs": [[folder.name for folder in training_folders(out)]], "submitted": 1.0, "code": "",
              "revision": None, "cancelled": [], "canary": ""}  # fmt: skip
    (out / "jobs" / "7.json").write_text(json.dumps(ledger))
    (out / "jobs" / "7_0_log.out").write_text("said\n")
    return out


@pytest.fixture
def place(finished, tmp_path):
    """A copy of that folder with a victim beside it, which nobody may touch."""
    shutil.copytree(finished, tmp_path / "out")
    victim = tmp_path / "victim"
    for name in ("checkpoints", "log", "metatests/0123456789ab"):
        (victim / name).mkdir(parents=True)
    (victim / "checkpoints" / "precious").write_text("x")
    (victim / "precious").write_text("x")
    (victim / "metatests" / "0123456789ab" / "config.json").write_text("{}")
    (victim / "metatests" / "0123456789ab" / "records.parquet").write_text("")
    return tmp_path / "out"


def contents(folder):
    """Every file below a folder with its bytes, links with what they lead to."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def changed(path, change):
    document = json.loads(path.read_text())
    path.write_text(json.dumps(change(document)))


def trained(out):
    """The training folder that has checkpoints."""
    return next(path.parent for path in out.glob("*/checkpoints") if any(path.iterdir()))


# What clean deletes --------------------------------------------------------------------------------------------------


def test_clean_lists_what_it_deletes_and_deletes_nothing_else(place, offmap):
    folder, before = trained(place), contents(place)
    expected = {str(path) for path in place.glob("*/worker.log")} | {str(path) for path in (place / "jobs").iterdir()}
    expected |= {str(folder / name) for name in ("checkpoints", "log") if (folder / name).exists()}
    expected |= {str(path) for path in place.glob("*/checkpoints")}
    listed = {line.strip() for line in offmap("clean", place, "--yes").out.splitlines() if line.startswith("  ")}
    assert listed == expected
    deleted = {name for name in before if any(f"{place / name}/".startswith(f"{path}/") for path in listed)}
    after = contents(place)
    assert {name for name in before if name not in after and "lock-" not in name} == deleted
    assert all(after[name] == before[name] for name in after.keys() & before.keys() if "lock-" not in name)


@pytest.mark.parametrize("name", ["../victim", "{victim}", "..", "", ".", "a/b", "ABCDEF012345"])
def test_a_training_that_is_no_hash_is_refused(place, refused, name):
    before = contents(place.parent)
    name = name.format(victim=place.parent / "victim")
    changed(place / "cells.json", lambda cells: [cell | {"training": name} for cell in cells])
    before = contents(place.parent)
    for command in (["clean", "--yes"], ["status"], ["cancel"], ["logs"], ["resume"]):
        words = [command[0], place, *command[1:], *(["null"] if command[0] == "logs" else [])]
        assert "cell 0: training is" in refused(*words)
    assert contents(place.parent) == before


@pytest.mark.parametrize("job", ["../../victim/*", "*", "7/../..", ""])
def test_a_job_that_is_no_number_is_refused(place, refused, job):
    changed(place / "jobs" / "7.json", lambda ledger: ledger | {"job": job})
    before = contents(place.parent)
    assert "job is" in refused("clean", place, "--yes")
    assert contents(place.parent) == before


def test_a_ledger_that_is_about_another_job_is_refused(place, refused):
    changed(place / "jobs" / "7.json", lambda ledger: ledger | {"job": "8"})
    assert "it is about job 8" in refused("clean", place, "--yes")


@pytest.mark.parametrize("what", ["run", "checkpoints", "log", "worker.log", "a pipe", "a job's log"])
def test_links_are_refused_before_anything_is_deleted(place, refused, what):
    folder, victim = trained(place), place.parent / "victim"
    if what == "run":
        shutil.move(folder, place.parent / "moved")
        folder.symlink_to(place.parent / "moved")
    elif what == "a pipe":
        (folder / "worker.log").unlink()
        os.mkfifo(folder / "worker.log")
    elif what == "a job's log":
        (place / "jobs" / "7_0_log.out").unlink()
        (place / "jobs" / "7_0_log.out").symlink_to(victim / "precious")
    else:
        path = folder / what
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(victim / what)
    before = contents(place.parent)
    assert "so nothing was deleted" in refused("clean", place, "--yes")
    assert contents(place.parent) == before


def test_a_folder_without_meta_tests_is_not_finished(place, offmap):
    folder = trained(place)
    shutil.rmtree(folder / "metatests")
    offmap("clean", place, "--yes")
    assert (folder / "checkpoints").exists()


# Whom cancel asks to end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    {"pid": -1}, {"pid": 0}, {"pid": 1}, {"pid": "1"}, {"pid": 2**40}, {"pid": None}, {"started": 7}, {},
])  # fmt: skip
def test_only_a_process_that_is_proven_to_be_ours_is_signalled(place, monkeypatch, change):
    folder = trained(place)
    next(iter(folder.glob("metatests/*/records.parquet"))).unlink()
    for lock in folder.glob("lock-*"):
        lock.unlink()
    (folder / "lock-000009").write_text(json.dumps(this_process() | change))  # this very process runs tests
    asked = []
    monkeypatch.setattr("os.kill", lambda pid, number: asked.append((pid, number)))
    with contextlib.suppress(UserError):
        cancel_runs(place, [folder])
    assert [pid for pid, number in asked if number != 0] == []


# What collect and logs follow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".results.parquet.partial", ".cells.json.partial"])
def test_collect_writes_through_no_link(place, offmap, name):
    victim = place.parent / "victim"
    (place / name).symlink_to(victim / "precious")
    before = contents(victim)
    assert offmap("collect", place, "--copy-to", place.parent / "copy").code == 0
    assert contents(victim) == before


def test_a_copy_holds_nothing_that_a_link_leads_to(place, offmap):
    label = next(place.glob("*/metatests/*/label.json"))
    label.unlink()
    label.symlink_to(place.parent / "victim" / "precious")
    offmap("collect", place, "--copy-to", place.parent / "copy")
    copied = contents(place.parent / "copy")
    assert copied
    assert b"x" not in copied.values()


def test_logs_follow_no_link_wait_for_no_pipe_and_print_no_commands(place, offmap):
    folder = trained(place)
    (folder / "worker.log").write_bytes(b"red \x1b[31m and a bell \x07\xff\n")
    shown = offmap("logs", place, folder.name).out
    assert "\x1b" not in shown
    assert "red \\x1b[31m and a bell \\x07" in shown
    (folder / "worker.log").unlink()
    (folder / "worker.log").symlink_to(place.parent / "victim" / "precious")
    assert "which is not followed" in offmap("logs", place, folder.name).out
    (folder / "worker.log").unlink()
    os.mkfifo(folder / "worker.log")
    assert "no ordinary file" in offmap("logs", place, folder.name).out


# Fuzzing -------------------------------------------------------------------------------------------------------------

VALUES = [None, True, -1, 2**70, 1.5, float("nan"), "", "x", "../victim", "\x1b[31m", "\ud800", [], {}, [[]], {"a": {}},
          "x" * 5000, [None] * 3]  # fmt: skip
COMMANDS = (["status"], ["status", "--json"], ["cancel"], ["clean", "--yes"], ["logs", "null"], ["collect"],
            ["video"])  # fmt: skip


def damaged(rng, out):
    """Change one file of a results folder as accidents, programs and people do; what was done, in words."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and "code" not in path.parts)
    path = rng.choice([file for file in files if file.suffix == ".json" or rng.random() < 0.3] or files)
    kind = rng.randrange(9)
    if kind <= 3 and path.suffix == ".json":
        try:
            document = json.loads(path.read_text())
        except ValueError:  # it was damaged before
            return f"nothing to {path.relative_to(out)}"
        places = list(_places(document))
        if places:
            holder, key = rng.choice(places)
            if rng.random() < 0.3:
                del holder[key]
            else:
                holder[key] = rng.choice(VALUES)
        path.write_text(json.dumps(document))
    elif kind == 4:
        path.write_bytes(path.read_bytes()[: rng.randrange(max(path.stat().st_size, 1))])
    elif kind == 5:
        data = bytearray(path.read_bytes() or b"x")
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))
    elif kind == 6:
        path.unlink()
        os.mkfifo(path)
    elif kind == 7:
        path.write_text("[" * 900 + "]" * 900 if rng.random() < 0.5 else "[" * 100_000)
    else:
        path.unlink()
        path.mkdir() if rng.random() < 0.5 else path.symlink_to(out.parent / "victim" / "precious")
    return f"{kind} of {path.relative_to(out)}"


def _places(document):
    """Every place of a document that holds a value: its container, and the key or number there."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(pairs):
        yield document, key
        yield from _places(value)


def fuzz(finished, root, offmap, number, seed):
    rng = random.Random(seed)
    for trial in range(number):
        root_of_trial = root / str(trial)
        shutil.copytree(finished, root_of_trial / "out")
        (root_of_trial / "victim").mkdir()
        (root_of_trial / "victim" / "precious").write_text("x")
        out = root_of_trial / "out"
        done = [damaged(rng, out) for _ in range(rng.randint(1, 3))]
        command = rng.choice(COMMANDS)
        words = [command[0], out / trained(finished).name if command[0] == "video" else out]
        kept = {name: data for name, data in contents(out).items()}
        began = time.process_time()
        try:
            answer = offmap(*words, *command[1:])
        except Exception as error:
            raise AssertionError(f"{command} after {done}: {type(error).__name__}: {error}") from error
        assert answer.code in (0, 2), (command, done, answer)
        assert "Traceback" not in answer.err, (command, done)
        assert time.process_time() - began < SECONDS, (command, done)
        assert contents(root_of_trial / "victim") == {"precious": b"x"}, (command, done)
        if command[0] != "clean":
            gone = {name for name in kept if name not in contents(out)}
            assert not {name for name in gone if ".partial" not in name and "lock-" not in name}, (command, done, gone)
        shutil.rmtree(root_of_trial)


def test_damaged_folders_are_one_message(finished, tmp_path, offmap):
    fuzz(finished, tmp_path, offmap, FEW, SEED)


@pytest.mark.slow
@pytest.mark.stress
def test_many_damaged_folders_are_one_message(finished, tmp_path, offmap):
    fuzz(finished, tmp_path, offmap, NUMBER or MANY // 10, SEED + 1)
