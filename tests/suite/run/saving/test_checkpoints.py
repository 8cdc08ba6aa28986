"""Checkpoints appear whole or not at all, say what is wrong with them, and come back bit for bit."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

import suite.run.saving.steady_files
from suite.errors import UserError
from suite.results.json_files import read_json, write_json
from suite.run.saving import log_segments
from suite.run.saving.checkpoints import checkpoint_names, load_checkpoint, prune_checkpoints, save_checkpoint
from suite.run.saving.recovery import clear_log_after, discard_partials, newest_checkpoint, recover

CPU = torch.device("cpu")
COUNTERS = {"env_steps": 7, "seconds": 0.1}
A, B, C, D = (f"{steps:012d}" for steps in (100, 200, 300, 400))
LOG = torch.arange(60, dtype=torch.float32).reshape(20, 3)


def save(folder, name, rows, state=None):
    save_checkpoint(folder / "checkpoints", name, state or {"x": torch.ones(3)}, LOG[:rows], COUNTERS)


@pytest.fixture
def three(tmp_path):
    """A training folder with checkpoints a, b, c at 5, 12 and 20 rows of the log."""
    for name, rows in ((A, 5), (B, 12), (C, 20)):
        save(tmp_path, name, rows)
    return tmp_path


def same(left, right):
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and (left == right).all()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or left != left)


def test_a_state_comes_back_bit_for_bit(tmp_path):
    draw = torch.Generator().manual_seed(1)
    state = {
        "weights": [torch.randn((2, 3), generator=draw), torch.randn(4, generator=draw).to(torch.bfloat16)],
        "random": {"torch": draw.get_state(), "numpy": np.random.default_rng(3).bit_generator.state},
        "counts": np.arange(5, dtype=np.int64), "flags": np.array([True, False]), "scalar": torch.tensor(2.5),
        "empty": [torch.zeros((0, 3)), {}, []], "plain": [1, 0.1, "text", None, True, float("nan"), 2**100],
        "transposed": torch.arange(6.0).reshape(2, 3).T, "slots": torch.arange(3, dtype=torch.int32),
    }  # fmt: skip
    save(tmp_path, A, 20, state)
    checkpoint = load_checkpoint(tmp_path / "checkpoints", A, CPU)
    assert same(state, checkpoint.state)
    assert torch.equal(torch.cat(list(checkpoint.log)), LOG)
    assert checkpoint.counters == COUNTERS


def test_one_storage_behind_two_names_comes_back_as_two(tmp_path):
    weights = torch.ones(4)
    save(tmp_path, A, 0, {"whole": weights, "part": weights[:2]})
    state = load_checkpoint(tmp_path / "checkpoints", A, CPU).state
    state["whole"].zero_()
    assert torch.equal(state["part"], torch.ones(2))


def test_the_log_is_appended_and_every_checkpoint_sees_its_part(three):
    segments = sorted(path.name for path in (three / "log").iterdir())
    assert segments == ["000000000000-000000000005.safetensors", "000000000005-000000000012.safetensors",
                        "000000000012-000000000020.safetensors"]  # fmt: skip
    for name, rows in ((A, 5), (B, 12), (C, 20)):
        assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", name, CPU).log)), LOG[:rows])


def test_without_a_log_there_is_none(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", A, {"x": torch.ones(1)}, None, COUNTERS)
    assert not list(load_checkpoint(tmp_path / "checkpoints", A, CPU).log)
    assert not (tmp_path / "log").exists()


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        save(tmp_path, A, 5)
    finally:
        os.umask(before)
    files = [*(tmp_path / "checkpoints" / A).iterdir(), *(tmp_path / "log").iterdir()]
    assert len(files) == 3
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    held = bytearray(path.read_bytes())
    held[-3] ^= 1
    path.write_bytes(bytes(held))


def in_place(path, make=Path.touch):
    path.rename(path.with_name(".was"))
    make(path)


def pipe(path):
    in_place(path, os.mkfifo)


NEWEST, SEGMENT = f"checkpoints/{C}/state", "log/000000000012-000000000020.safetensors"
DAMAGES = {
    "tensors cut": (lambda folder: cut(folder / f"{NEWEST}.safetensors"), "do not match their digest"),
    "one bit of the tensors": (lambda folder: flip(folder / f"{NEWEST}.safetensors"), "do not match their digest"),
    "tensors gone": (lambda folder: (folder / f"{NEWEST}.safetensors").unlink(), "state.safetensors is missing"),
    "document cut": (lambda folder: cut(folder / f"{NEWEST}.json"), "it cannot be read"),
    "document gone": (lambda folder: (folder / f"{NEWEST}.json").unlink(), "state.json is missing"),
    "document of another kind": (lambda folder: write_json(folder / f"{NEWEST}.json", [1]), "not that of a checkpoint"),
    "document empty": (lambda folder: (folder / f"{NEWEST}.json").write_text("{}"), "not that of a checkpoint"),
    "segment gone": (lambda folder: (folder / SEGMENT).unlink(), "the log holds 12 of its 20 rows"),
    "segment cut": (lambda folder: cut(folder / SEGMENT), "cannot be read"),
    "one bit of a segment": (lambda folder: flip(folder / SEGMENT), "its rows do not match their digest"),
    "a segment too many": (lambda folder: (folder / SEGMENT).rename(
        folder / "log/000000000012-000000000021.safetensors"), "it holds segment"),
    "a pipe for the tensors": (lambda folder: pipe(folder / f"{NEWEST}.safetensors"), "is no ordinary file"),
    "a pipe for the document": (lambda folder: pipe(folder / f"{NEWEST}.json"), "is no ordinary file"),
    "a pipe for a segment": (lambda folder: pipe(folder / SEGMENT), "is no ordinary file"),
    "a file for the folder": (lambda folder: in_place(folder / f"checkpoints/{C}"), "it is no folder"),
    "a folder for a segment": (lambda folder: in_place(folder / SEGMENT, Path.mkdir), "cannot be read"),
    "a link to nowhere": (lambda folder: in_place(
        folder / SEGMENT, lambda path: path.symlink_to("/nowhere/at/all")), "cannot be read"),
    "segment of other rows": (lambda folder: (folder / SEGMENT).replace(
        folder / "log/000000000013-000000000020.safetensors"), "does not follow"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_says_why(three, damage):
    harm, why = DAMAGES[damage]
    harm(three)
    name, passed_over = newest_checkpoint(three / "checkpoints")
    assert name == B
    (sentence,) = passed_over
    assert sentence.startswith(f"checkpoint {C} is damaged (")
    assert why in sentence
    assert sentence.endswith(f"checkpoint {B} is used")
    with pytest.raises(UserError, match=rf"checkpoint .*/{C} is damaged"):
        load_checkpoint(three / "checkpoints", C, CPU)
    assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", B, CPU).log)), LOG[:12])


def test_where_all_are_damaged_there_is_none(three):
    cut(three / "log/000000000000-000000000005.safetensors")
    name, passed_over = newest_checkpoint(three / "checkpoints")
    assert name is None
    assert [sentence.split()[1] for sentence in passed_over] == [C, B, A]
    assert all(sentence.endswith("training starts again") for sentence in passed_over)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_going_back_sets_aside_what_comes_after(three):
    cut(three / NEWEST.replace("state", "state.json"))
    name, (sentence,) = recover(three)
    assert name == B
    assert "and set aside" in sentence
    assert names_in(three / "checkpoints") == [f".damaged-{C}", A, B]
    assert names_in(three / "log")[0] == f".damaged-{SEGMENT.removeprefix('log/')}"
    save(three, C, 20)
    assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", C, CPU).log)), LOG)
    cut(three / f"{NEWEST}.safetensors")
    assert recover(three)[0] == B
    assert f".damaged-{C}-2" in names_in(three / "checkpoints")
    assert recover(three) == (B, [])


def test_what_a_kill_leaves_of_the_log_is_written_again(three):
    """One segment that no checkpoint has come to refer to; two of them are no kill's."""
    before = names_in(three / "log")
    save(three, D, 20)
    (three / f"log/{20:012d}-{30:012d}.safetensors").write_bytes(b"whatever")
    assert recover(three) == (D, [])
    assert names_in(three / "log") == before
    for start in (20, 30):
        (three / f"log/{start:012d}-{start + 10:012d}.safetensors").write_bytes(b"whatever")
    _, (note,) = recover(three)
    assert "belong to no checkpoint; they were set aside" in note
    assert len([name for name in names_in(three / "log") if name.startswith(".damaged-")]) == 2


def everything(folder):
    """Contents by path; None of what is no file."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("part", ["state.json", "state.safetensors", "log"])
def test_a_disk_that_does_not_answer_changes_nothing(three, monkeypatch, number, part):
    """A read that fails for ever stops with one message; one that fails twice is tried again, and nobody notices."""
    calls, original = [], suite.run.saving.steady_files.require_regular
    monkeypatch.setattr(suite.run.saving.steady_files, "RETRY_SECONDS", (0, 0, 0))
    (three / f"checkpoints/.{D}.partial").mkdir()
    before = everything(three)

    def fails(path, *rest):
        if part in str(path.relative_to(three)) and (calls.append(path) or len(calls) <= failures):
            raise OSError(number, os.strerror(number), str(path))
        return (read_bytes if path.name == "state.json" else original)(path, *rest)

    read_bytes = suite.results.json_files.read_bytes
    for module in ("suite.run.saving.steady_files", "suite.run.saving.log_segments"):
        monkeypatch.setattr(f"{module}.require_regular", fails)
    monkeypatch.setattr("suite.results.json_files.read_bytes", fails)
    failures = 10**9
    with pytest.raises(
        UserError, match=rf"could not be read in 4 attempts: {os.strerror(number)}\. Nothing was changed"
    ):
        recover(three)
    assert everything(three) == before
    calls, failures = [], 2
    assert recover(three) == (C, [])
    assert len(calls) >= 3


def test_what_is_not_ours_is_named_and_left_alone(three):
    copies = ["log/000000000005-000000000012 (1).safetensors", "checkpoints/000000000300 (conflict)", "log/notes.txt"]
    (three / copies[0]).write_bytes(b"x")
    (three / copies[1]).mkdir()
    (three / copies[2]).write_text("x")
    name, (sentence,) = recover(three)
    assert name == C
    assert sentence == f"not of this run, and left alone: {copies[1]!r}, {copies[0]!r}, {copies[2]!r}"
    assert all((three / copy).exists() for copy in copies)
    (three / "checkpoints" / A / "mine.txt").write_text("precious")
    for steps in (400, 500):
        save(three, f"{steps:012d}", 20)
    prune_checkpoints(three / "checkpoints", set())
    assert (three / f"checkpoints/.damaged-{A}/mine.txt").read_text() == "precious"


def test_one_digit_of_the_document_is_noticed(three):
    path = three / f"{NEWEST}.json"
    path.write_text(path.read_text().replace('"env_steps": 7', '"env_steps": 8'))
    name, (sentence,) = newest_checkpoint(three / "checkpoints")
    assert name == B
    assert "its state.json does not match its digest" in sentence


def test_checkpoints_of_before_documents_had_digests_are_read(three):
    document = read_json(three / f"{NEWEST}.json")
    del document["document_sha256"]
    write_json(three / f"{NEWEST}.json", document)
    assert recover(three) == (C, [])
    assert load_checkpoint(three / "checkpoints", C, CPU).counters == COUNTERS


@pytest.mark.parametrize("place", ["checkpoints", "log"])
def test_a_file_in_place_of_a_folder_stops_everything(three, place):
    (three / place).rename(three / "elsewhere")
    (three / place).write_text("x")
    with pytest.raises(UserError, match=f"{place} is no folder: move it away"):
        recover(three)
    (three / place).unlink()
    (three / place).symlink_to(three / "elsewhere")  # as where checkpoints are kept on another disk
    assert recover(three) == (C, [])


def test_pruning_keeps_two_and_those_asked_for(tmp_path):
    for number in range(6):
        save(tmp_path, f"{number:012d}", number + 1)
    prune_checkpoints(tmp_path / "checkpoints", {f"{1:012d}", f"{5:012d}"})
    assert [int(name) for name in checkpoint_names(tmp_path / "checkpoints")] == [1, 4, 5]


@pytest.mark.parametrize("error", [
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
])  # fmt: skip
@pytest.mark.parametrize("call", [1, 2])
def test_on_a_full_disk_nothing_half_written_stays(three, monkeypatch, error, call):
    """The first call writes a segment of the log, the second the tensors."""
    before, calls, save_file = sorted(three.rglob("*")), [], suite.run.saving.steady_files.save_file

    def full(tensors, path, metadata=None):
        calls.append(path)
        if len(calls) == call:
            path.write_bytes(b"half")
            raise error
        save_file(tensors, path, metadata)

    monkeypatch.setattr(suite.run.saving.steady_files, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(three / "checkpoints", D, {"x": torch.ones(3)}, torch.cat([LOG, LOG]), COUNTERS)
    assert caught.value.errno == errno.ENOSPC
    assert clear_log_after(three / "log", 20) == []
    assert sorted(three.rglob("*")) == before
    assert newest_checkpoint(three / "checkpoints") == (C, [])


def test_another_fault_of_the_library_is_not_hidden(tmp_path, monkeypatch):
    def broken(tensors, path, metadata=None):
        raise SafetensorError("something else")

    monkeypatch.setattr(suite.run.saving.steady_files, "save_file", broken)
    with pytest.raises(SafetensorError, match="something else"):
        save(tmp_path, A, 5)


def test_what_a_killed_process_left_is_removed(three):
    (three / f"checkpoints/.{D}.partial").mkdir()
    (three / f"checkpoints/.{D}.partial/state.json").write_text("{")
    (three / "log/.000000000020-000000000030.safetensors.partial").write_bytes(b"half")
    (three / ".status.json.partial").write_text("{")  # not ours to remove: a heartbeat may be writing it
    assert checkpoint_names(three / "checkpoints") == [A, B, C]
    discard_partials(three)
    assert [path.name for path in three.rglob(".*")] == [".status.json.partial"]


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    monkeypatch.setattr("pathlib.Path.replace", lambda self, target: (_ for _ in ()).throw(OSError(errno.ENOSPC, "x")))
    with pytest.raises(OSError, match="x"):
        write_json(tmp_path / "a.json", {"x": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == {"x": 1}


def test_a_segment_under_the_name_of_another_of_its_length_is_noticed(tmp_path):
    log = torch.arange(12.0).reshape(6, 2)
    for rows in (2, 4, 6):
        log_segments.append_segment(tmp_path / "log", log[:rows])
    assert log_segments.log_fault(tmp_path / "log", 6) is None
    _, second, third = log_segments.segments(tmp_path / "log")
    second.path.write_bytes(third.path.read_bytes())
    assert f"it holds segment {third.path.stem}" in log_segments.log_fault(tmp_path / "log", 6)
