"""Results folders that were damaged, forged or mixed up: one message, nothing outside touched, nothing lost."""

import contextlib
import json
import os
import shutil

import pytest
from fuzzing import SEED, bounded, fuzz, number_of_cases, snapshot

from suite.errors import UserError
from suite.executors.cancel import cancel_runs
from suite.results.process_identity import this_process
from suite.results.selection import training_folders

FEW = 60


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


def changed(path, change):
    document = json.loads(path.read_text())
    path.write_text(json.dumps(change(document)))


def trained(out):
    """The training folder that has checkpoints."""
    return next(path.parent for path in out.glob("*/checkpoints") if any(path.iterdir()))


# What clean deletes --------------------------------------------------------------------------------------------------


def test_clean_lists_what_it_deletes_and_deletes_nothing_else(place, offmap):
    folder, before = trained(place), snapshot(place)
    expected = {str(path) for path in place.glob("*/worker.log")} | {str(path) for path in (place / "jobs").iterdir()}
    expected |= {str(folder / name) for name in ("checkpoints", "log") if (folder / name).exists()}
    expected |= {str(path) for path in place.glob("*/checkpoints")}
    listed = {line.strip() for line in offmap("clean", place, "--yes").out.splitlines() if line.startswith("  ")}
    assert listed == expected
    deleted = {name for name in before if any(f"{place / name}/".startswith(f"{path}/") for path in listed)}
    after = snapshot(place)
    assert {name for name in before if name not in after and "lock-" not in name} == deleted
    assert all(after[name] == before[name] for name in after.keys() & before.keys() if "lock-" not in name)


@pytest.mark.parametrize("name", ["../victim", "{victim}", "..", "", ".", "a/b", "ABCDEF012345"])
def test_a_training_that_is_no_hash_is_refused(place, refused, name):
    before = snapshot(place.parent)
    name = name.format(victim=place.parent / "victim")
    changed(place / "cells.json", lambda cells: [cell | {"training": name} for cell in cells])
    before = snapshot(place.parent)
    for command in (["clean", "--yes"], ["status"], ["cancel"], ["logs"], ["resume"]):
        words = [command[0], place, *command[1:], *(["null"] if command[0] == "logs" else [])]
        assert "cell 0: training is" in refused(*words)
    assert snapshot(place.parent) == before


@pytest.mark.parametrize("job", ["../../victim/*", "*", "7/../..", ""])
def test_a_job_that_is_no_number_is_refused(place, refused, job):
    changed(place / "jobs" / "7.json", lambda ledger: ledger | {"job": job})
    before = snapshot(place.parent)
    assert "job is" in refused("clean", place, "--yes")
    assert snapshot(place.parent) == before


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
    before = snapshot(place.parent)
    assert "so nothing was deleted" in refused("clean", place, "--yes")
    assert snapshot(place.parent) == before


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
    before = snapshot(victim)
    assert offmap("collect", place, "--copy-to", place.parent / "copy").code == 0
    assert snapshot(victim) == before


def test_a_copy_holds_nothing_that_a_link_leads_to(place, offmap):
    label = next(place.glob("*/metatests/*/label.json"))
    label.unlink()
    label.symlink_to(place.parent / "victim" / "precious")
    offmap("collect", place, "--copy-to", place.parent / "copy")
    copied = snapshot(place.parent / "copy")
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

VALUES = [None, True, -1, 2**70, 10**400, 1.5, float("nan"), "", "x", "../victim", "\x1b[31m", "\ud800", [], {}, [[]],
          {"a": {}}, "x" * 5000, [None] * 3]  # fmt: skip
COMMANDS = (["status"], ["status", "--json"], ["cancel"], ["clean", "--yes"], ["logs", "null"], ["collect"],
            ["video"], ["collect", "--copy-to", "{out}/.copy"])  # fmt: skip


def damaged(rng, out):
    """Change one file of a results folder as accidents, programs and people do; what was done, in words."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and "code" not in path.parts)
    path = rng.choice([file for file in files if file.suffix == ".json" or rng.random() < 0.3] or files)
    kind = rng.randrange(9)
    try:
        document = json.loads(path.read_text()) if kind <= 3 and path.suffix == ".json" else None
    except (ValueError, RecursionError):  # damaged before
        document = None
    if document is not None:
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


def check_damaged(finished, root, offmap):
    """A function (generator) that damages a copy of a folder and gives a command on it."""

    def check(rng):
        shutil.rmtree(root / "case", ignore_errors=True)
        out = root / "case" / "out"
        shutil.copytree(finished, out)
        (root / "case" / "victim").mkdir()
        (root / "case" / "victim" / "precious").write_text("x")
        done = [damaged(rng, out) for _ in range(rng.randint(1, 3))]
        command = rng.choice(COMMANDS)
        words = [command[0], out / trained(finished).name if command[0] == "video" else out]
        words += [word.format(out=out) for word in command[1:]]
        before, outside = snapshot(out), snapshot(root, besides=out)
        told = f"{command} after {done}"
        try:
            with bounded(told):
                answer = offmap(*words)
            assert answer.code in (0, 2), f"{told}: {answer}"
            assert "Traceback" not in answer.err, f"{told}: {answer}"
            assert "\x1b" not in answer.out + answer.err, f"{told}: {answer}"
            assert snapshot(root, besides=out) == outside, told
            if command[0] != "clean":
                gone = before.keys() - snapshot(out).keys()
                assert not {name for name in gone if ".partial" not in name and "lock-" not in name}, f"{told}: {gone}"
        except Exception as error:
            raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error

    return check


@pytest.fixture
def quick_locks(monkeypatch):
    """Owners that nobody can ask are given up after a moment instead of two minutes."""
    monkeypatch.setattr("suite.results.lock.BEAT_SECONDS", 0.01)
    monkeypatch.setattr("suite.results.lock.EXPIRY_SECONDS", 0.05)


@pytest.mark.usefixtures("quick_locks")
def test_damaged_folders_are_one_message(finished, tmp_path, offmap):
    fuzz(check_damaged(finished, tmp_path, offmap), FEW, 0)


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.usefixtures("quick_locks")
def test_many_damaged_folders_are_one_message(finished, tmp_path, offmap):
    fuzz(check_damaged(finished, tmp_path, offmap), number_of_cases("results"), SEED)
