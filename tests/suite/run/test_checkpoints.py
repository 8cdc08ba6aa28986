"""Checkpoints appear whole or not at all, say what is wrong with them, and come back bit for bit."""

import errno
import os

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

import suite.run.checkpoints
from suite.errors import UserError
from suite.results.json_files import read_json, write_json
from suite.run.checkpoints import (
    checkpoint_names,
    discard_after,
    discard_log_after,
    discard_partials,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)

CPU = torch.device("cpu")
COUNTERS = {"env_steps": 7, "seconds": 0.1}
LOG = torch.arange(60, dtype=torch.float32).reshape(20, 3)


def save(folder, name, rows, state=None):
    save_checkpoint(folder / "checkpoints", name, state or {"x": torch.ones(3)}, LOG[:rows], COUNTERS)


@pytest.fixture
def three(tmp_path):
    """A training folder with checkpoints a, b, c at 5, 12 and 20 rows of the log."""
    for name, rows in (("a", 5), ("b", 12), ("c", 20)):
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
    save(tmp_path, "a", 20, state)
    checkpoint = load_checkpoint(tmp_path / "checkpoints", "a", CPU)
    assert same(state, checkpoint.state)
    assert torch.equal(torch.cat(list(checkpoint.log)), LOG)
    assert checkpoint.counters == COUNTERS


def test_one_storage_behind_two_names_comes_back_as_two(tmp_path):
    weights = torch.ones(4)
    save(tmp_path, "a", 0, {"whole": weights, "part": weights[:2]})
    state = load_checkpoint(tmp_path / "checkpoints", "a", CPU).state
    state["whole"].zero_()
    assert torch.equal(state["part"], torch.ones(2))


def test_the_log_is_appended_and_every_checkpoint_sees_its_part(three):
    segments = sorted(path.name for path in (three / "log").iterdir())
    assert segments == ["000000000000-000000000005.safetensors", "000000000005-000000000012.safetensors",
                        "000000000012-000000000020.safetensors"]  # fmt: skip
    for name, rows in (("a", 5), ("b", 12), ("c", 20)):
        assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", name, CPU).log)), LOG[:rows])


def test_without_a_log_there_is_none(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", "a", {"x": torch.ones(1)}, None, COUNTERS)
    assert not list(load_checkpoint(tmp_path / "checkpoints", "a", CPU).log)
    assert not (tmp_path / "log").exists()


def test_others_may_read_it_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        save(tmp_path, "a", 5)
    finally:
        os.umask(before)
    files = [*(tmp_path / "checkpoints" / "a").iterdir(), *(tmp_path / "log").iterdir()]
    assert len(files) == 3
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    held = bytearray(path.read_bytes())
    held[-3] ^= 1
    path.write_bytes(bytes(held))


NEWEST, SEGMENT = "checkpoints/c/state", "log/000000000012-000000000020.safetensors"
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
    "segment of other rows": (lambda folder: (folder / SEGMENT).replace(
        folder / "log/000000000013-000000000020.safetensors"), "does not follow"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_says_why(three, damage):
    harm, why = DAMAGES[damage]
    harm(three)
    name, passed_over = newest_checkpoint(three / "checkpoints")
    assert name == "b"
    (sentence,) = passed_over
    assert sentence.startswith("checkpoint c is damaged (")
    assert why in sentence
    assert sentence.endswith("checkpoint b is used")
    with pytest.raises(UserError, match=r"checkpoint .*/c is damaged"):
        load_checkpoint(three / "checkpoints", "c", CPU)
    assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", "b", CPU).log)), LOG[:12])


def test_where_all_are_damaged_there_is_none(three):
    cut(three / "log/000000000000-000000000005.safetensors")
    name, passed_over = newest_checkpoint(three / "checkpoints")
    assert name is None
    assert [sentence.split()[1] for sentence in passed_over] == ["c", "b", "a"]
    assert all(sentence.endswith("training starts again") for sentence in passed_over)


def test_going_back_discards_what_comes_after(three):
    discard_after(three / "checkpoints", "b")
    discard_log_after(three / "log", 12)
    assert checkpoint_names(three / "checkpoints") == ["a", "b"]
    assert len(list((three / "log").iterdir())) == 2
    save(three, "c", 20)
    assert torch.equal(torch.cat(list(load_checkpoint(three / "checkpoints", "c", CPU).log)), LOG)
    discard_after(three / "checkpoints", None)
    discard_log_after(three / "log", 0)
    assert newest_checkpoint(three / "checkpoints") == (None, [])
    assert not list((three / "log").iterdir())


def test_a_log_of_another_training_is_refused(three):
    with pytest.raises(UserError, match="holds rows 5 to 12, the checkpoint ends at 8"):
        discard_log_after(three / "log", 8)


def test_pruning_keeps_two_and_those_asked_for(tmp_path):
    for number in range(6):
        save(tmp_path, f"{number}", number + 1)
    prune_checkpoints(tmp_path / "checkpoints", {"1", "5"})
    assert checkpoint_names(tmp_path / "checkpoints") == ["1", "4", "5"]


@pytest.mark.parametrize("error", [
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
])  # fmt: skip
@pytest.mark.parametrize("call", [1, 2])
def test_on_a_full_disk_nothing_half_written_stays(three, monkeypatch, error, call):
    """The first call writes a segment of the log, the second the tensors."""
    before, calls, save_file = sorted(three.rglob("*")), [], suite.run.checkpoints.save_file

    def full(tensors, path, metadata=None):
        calls.append(path)
        if len(calls) == call:
            path.write_bytes(b"half")
            raise error
        save_file(tensors, path, metadata)

    monkeypatch.setattr(suite.run.checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(three / "checkpoints", "d", {"x": torch.ones(3)}, torch.cat([LOG, LOG]), COUNTERS)
    assert caught.value.errno == errno.ENOSPC
    discard_log_after(three / "log", 20)
    assert sorted(three.rglob("*")) == before
    assert newest_checkpoint(three / "checkpoints") == ("c", [])


def test_another_fault_of_the_library_is_not_hidden(tmp_path, monkeypatch):
    def broken(tensors, path, metadata=None):
        raise SafetensorError("something else")

    monkeypatch.setattr(suite.run.checkpoints, "save_file", broken)
    with pytest.raises(SafetensorError, match="something else"):
        save(tmp_path, "a", 5)


def test_what_a_killed_process_left_is_removed(three):
    (three / "checkpoints/.d.partial").mkdir()
    (three / "checkpoints/.d.partial/state.json").write_text("{")
    (three / "log/.000000000020-000000000030.safetensors.partial").write_bytes(b"half")
    (three / ".status.json.partial").write_text("{")  # not ours to remove: a heartbeat may be writing it
    assert checkpoint_names(three / "checkpoints") == ["a", "b", "c"]
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
