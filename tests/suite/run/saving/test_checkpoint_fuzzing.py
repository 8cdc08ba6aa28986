"""Damaged checkpoint folders: a run ends as if nothing had happened, or stops with one message and deletes nothing."""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from fuzzing import SEED, bounded, fuzz, number_of_cases, snapshot
from tests_support import outcome

from suite.experiment.specs import Execution
from suite.results.prepare import prepare
from suite.results.provenance import code_revision
from suite.results.status import Status, read_status
from suite.run.training import train
from suite.run.worker import main

FEW = 16
OLDER, NEWEST = "checkpoints/000000001000", "checkpoints/000000001200"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return {"place": tmp_path_factory.mktemp("fuzzing")}


@pytest.fixture
def interrupted(tiny_experiment, kept):
    """A training folder at 1,200 of its 1,400 env steps, and what comes out of it where nothing is damaged."""
    if "outcome" not in kept:
        protocol = {"max_tasks": 1, "task_lists": ["test"], "evaluation_episodes": 1}
        declared = tiny_experiment(("mier-wr",), env_steps=1400, protocol=protocol)
        (folder,) = prepare(declared, kept["place"] / "runs")
        train(folder, Execution(env_steps=1200, checkpoint_seconds=1e-6), Status(folder))
        shutil.copytree(folder, kept["place"] / "straight" / folder.name)
        assert main([str(kept["place"] / "straight" / folder.name)]) == 0
        kept |= {"outcome": outcome(kept["place"] / "straight" / folder.name), "folder": folder}
    return kept["folder"], kept["outcome"]


def flip(path, rng):
    content = bytearray(path.read_bytes() or b"x")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path, rng):
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def lengthen(path, rng):
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 50)))


def remove(path, rng):
    path.unlink()


def copy(path, rng):
    """As a sync client does."""
    shutil.copy(path, path.with_name(f"{path.stem} ({rng.randint(1, 9)}){path.suffix}"))


def leave(path, rng):
    """Something else, with a name that might be taken for one of ours."""
    name = rng.choice(["notes.txt", "state", "000000001200.bak", "1-2.safetensors", "log-copy.safetensors", "x" * 200])
    path.with_name(name).write_bytes(rng.randbytes(9))


def folder_instead(path, rng):
    path.unlink()
    path.mkdir()


def pipe_instead(path, rng):
    path.unlink()
    os.mkfifo(path)


def link_instead(path, rng):
    """To the same file elsewhere, to nowhere, or to itself."""
    moved = path.with_name(f".moved {path.name}")  # another for a file that was moved by an earlier harm
    target = rng.choice([moved, path.with_name("nowhere"), path])
    path.rename(moved)
    path.symlink_to(target)


def other_instead(path, rng):
    """Another file of the run under this name."""
    others = [other for other in path.parent.parent.rglob("*") if other.is_file() and not other.is_symlink()]
    content = rng.choice(others).read_bytes() if others else b""
    path.write_bytes(content)


def whole_folder(path, rng):
    """The folder that a file is in becomes a file, a pipe, or nothing, or gets another name."""
    folder = path.parent
    moved = folder.with_name(f"{folder.name} (old)")
    if moved.exists():
        return
    folder.rename(moved)
    rng.choice([lambda: folder.write_text("x"), lambda: os.mkfifo(folder), lambda: None, folder.mkdir])()


HARMS = [flip, flip, flip, cut, lengthen, remove, copy, leave, folder_instead, pipe_instead, link_instead,
         other_instead, whole_folder]  # fmt: skip


def harm(folder, rng):
    """One to three harms to the checkpoints and the log; what was done, in words."""
    done = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        paths = [path for place in ("checkpoints", "log") for path in sorted((folder / place).rglob("*"))
                 if path.is_file() and not path.is_symlink() and len(path.name) < 200]  # fmt: skip
        if paths:
            path, how = rng.choice(paths), rng.choice(HARMS)
            how(path, rng)
            done.append(f"{how.__name__} {path.relative_to(folder)}")
    return done


DOCUMENTS = ("config.json", "execution.json", "status.json", "metrics.jsonl", "metatests/*/*.json")


def harm_document(folder, rng):
    """One harm to what says what is to be done, in one case of five; what was done, in words."""
    paths = [path for pattern in DOCUMENTS for path in sorted(folder.glob(pattern)) if path.is_file()]
    if not paths or rng.random() < 0.8:
        return []
    path, how = rng.choice(paths), rng.choice([harm for harm in HARMS if harm is not whole_folder])
    how(path, rng)
    return [f"{how.__name__} {path.relative_to(folder)}"]


def contents(folder):
    """How often there is each file: by its digest, or as what else it is. Names are left out: they may change."""
    seen = Counter()
    for path in folder.rglob("*"):
        if path.is_symlink():
            seen["link to", os.readlink(path)] += 1
        elif path.is_file():
            seen["file", hashlib.sha256(path.read_bytes()).hexdigest()] += 1
        elif not path.is_dir():
            seen["other", ""] += 1
    return seen


def of_training(folder):
    """Contents of all that has to do with checkpoints, also where a harm has moved it."""
    return sum((contents(path) for path in folder.iterdir() if path.name.startswith((".", "log", "checkpoints"))
                and path.is_dir()), Counter())  # fmt: skip


def check(original, expected, place, rng, capfd):
    """Harm a copy of a folder, go on with it, and look at what became of it; the exit code."""
    folder = place / "case" / original.name
    shutil.copytree(original, folder)
    pristine, done, documents = of_training(folder), harm(folder, rng), harm_document(folder, rng)
    before, outside = of_training(folder), snapshot(place, besides=folder)
    checkpoints = {name: contents(folder / name) if (folder / name).is_dir() else Counter() for name in (OLDER, NEWEST)}
    capfd.readouterr()
    with bounded((done, documents)):
        code = main([str(folder)])
    said, after = capfd.readouterr().err, of_training(folder)
    assert "Traceback" not in said, (done, documents, said)
    assert snapshot(place, besides=folder) == outside, (done, documents)
    if documents:  # it may ask for something else, or for nothing at all
        assert code in (0, 2), (done, documents, code, said)
        assert code == 0 or (said and not before - after), (done, documents, said)
    elif code == 0:
        assert outcome(folder) == expected, done
        notes = read_status(folder)["notes"]
        used_up = [name for name, inside in checkpoints.items() if not any(
            f"checkpoint {name.rpartition('/')[2]} is damaged" in note for note in notes)]  # fmt: skip
        may_go = sum((checkpoints[name] for name in used_up), Counter())  # pruned, as there were newer ones
        assert not before - pristine - may_go - after, done
    else:
        assert code == 2, (done, said)
        assert said.count("\n") == 1, (done, said)
        assert read_status(folder)["state"] == "failed", done
        assert read_status(folder)["message"] == said.strip(), done
        assert not before - after, done
    return code


@pytest.fixture
def check_harmed(interrupted, tmp_path, capfd, monkeypatch):
    """A function (generator) that checks one harmed folder, and how often each exit code came of it."""
    monkeypatch.setattr("os.fsync", lambda file: None)  # what stands on the disk when the power fails is not at stake
    revision = code_revision(Path(__file__).parents[4])
    monkeypatch.setattr("suite.results.provenance.code_revision", lambda root: revision)
    codes = Counter()

    def check_one(rng):
        shutil.rmtree(tmp_path / "case", ignore_errors=True)
        codes[check(*interrupted, tmp_path, rng, capfd)] += 1

    return check_one, codes


def test_damaged_folders_end_as_if_undisturbed_or_lose_nothing(check_harmed):
    check_one, codes = check_harmed
    fuzz(check_one, FEW, 0)
    assert codes[0] > FEW // 2


@pytest.mark.slow
@pytest.mark.stress
def test_many_damaged_folders_end_as_if_undisturbed_or_lose_nothing(check_harmed):
    check_one, codes = check_harmed
    fuzz(check_one, number_of_cases("checkpoints"), SEED)
    assert codes[0] > codes[2] > 0
