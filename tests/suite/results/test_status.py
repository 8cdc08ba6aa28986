"""Status: fresh while a process lives, honest when it does not, and no reason to die."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

import suite.results.status
from suite.results.json_files import read_json, write_json
from suite.results.lock import this_process
from suite.results.status import STALE_SECONDS, Status, note_end, read_status
from suite.run.rollout import Meter

HERE = socket.gethostname()


ELSEWHERE = {"process": {"host": "elsewhere", "pid": 1, "started": "1", "machine": "another"}, "host": "elsewhere"}


def running(**fields):
    return {"state": "running", "pid": os.getpid(), "host": HERE, "process": this_process(), "notes": []} | fields


def put_status(folder, **fields):
    """A status that was written 1000 s after the beginning of all time."""
    write_json(folder / "status.json", running(**fields))
    os.utime(folder / "status.json", (1000.0, 1000.0))


def gone(pid):
    return {"process": this_process() | {"pid": pid}}


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_nothing_has_begun(tmp_path):
    assert read_status(tmp_path) == {"state": "pending"}


@pytest.mark.parametrize(("fields", "age", "state"), [
    ({}, 1.0, "running"), ({}, 1e6, "running"), (ELSEWHERE, 1.0, "running"), (ELSEWHERE, -1e6, "running"),
    (ELSEWHERE, STALE_SECONDS + 1, "lost"), (gone(2**22 + 1), 1.0, "killed"), (gone(1), 1.0, "killed"),
    ({"process": {}}, 1.0, "running"), ({"process": {}}, STALE_SECONDS + 1, "lost"),
    (gone(2**22 + 1) | {"state": "done"}, 1e6, "done"), ({"state": "failed", "message": "x"}, 1e6, "failed"),
])  # fmt: skip
def test_the_state_that_can_be_told(tmp_path, fields, age, state):
    """On this machine the system knows; process 1 is another than the one that wrote the status."""
    put_status(tmp_path, **fields)
    assert read_status(tmp_path, now=1000.0 + age)["state"] == state


def test_a_process_that_is_gone_is_noticed_at_once(tmp_path, dead_pid):
    put_status(tmp_path, **gone(dead_pid))
    found = read_status(tmp_path, now=1003.0)
    assert found["state"] == "killed"
    assert found["message"] == "its process is gone; the last sign of life is 3 s old. Run again to continue."
    assert read_json(tmp_path / "status.json")["state"] == "running"  # reading writes nothing


def test_a_heartbeat_that_stopped_is_noticed(tmp_path):
    put_status(tmp_path, **ELSEWHERE)
    found = read_status(tmp_path, now=1090.0)
    assert found["message"] == "no sign of life for 90 s on elsewhere. Run again to continue, once it has ended."


@pytest.mark.parametrize(("text", "said"), [
    ('{"state": "run', "status.json cannot be read"), ("", "status.json cannot be read"),
    ("{}", "status.json is not a status"), ("[1]", "status.json is not a status"),
    ('{"state": "running", "heartbeat": 1}', "status.json is not a status"),
])  # fmt: skip
def test_a_file_that_cannot_be_understood(tmp_path, text, said):
    (tmp_path / "status.json").write_text(text)
    found = read_status(tmp_path)
    assert found["state"] == "unknown"
    assert said in found["message"]


@pytest.mark.parametrize(("fields", "is_it", "is_noted"), [
    ({}, True, True), ({}, False, False), ({"state": "done"}, False, False), ({"state": "stopped"}, False, True),
    (gone(2**22 + 1), False, True), (ELSEWHERE, False, False),
])  # fmt: skip
def test_the_end_of_a_worker_is_noted_unless_another_has_taken_over(tmp_path, fields, is_it, is_noted):
    write_json(tmp_path / "status.json", running(**fields))
    before = read_json(tmp_path / "status.json")
    note_end(tmp_path, os.getpid() if is_it else 1, "killed", "by SIGKILL")
    found = read_json(tmp_path / "status.json")
    assert ((found["state"], found["message"]) == ("killed", "by SIGKILL")) if is_noted else (found == before)


def test_nothing_is_noted_where_nothing_has_begun(tmp_path):
    note_end(tmp_path, 1, "killed", "by SIGKILL")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written(tmp_path):
    meter = Meter(500)
    with Status(tmp_path) as status:
        assert read_status(tmp_path)["stage"] == "starting"
        assert status.env_steps == 0
        status.follow(meter, 2000)
        meter.add(250)
        status.training_return(-3.5)
        status.note("one")
        status.note("two")
        status.training_return(float("nan"))  # no whole episode: the last value stands
        found = read_status(tmp_path)
        assert (found["state"], found["stage"], found["budget"]) == ("running", "training", 2000)
        assert (found["env_steps"], found["return"], found["notes"]) == (750, -3.5, ["one", "two"])
        assert found["steps_per_second"] == pytest.approx(250 / found["seconds"])  # of this process alone
        assert (found["pid"], found["host"]) == (os.getpid(), HERE)
        assert status.env_steps == 750
        status.write(state="done", stage="done")
    assert read_status(tmp_path, now=time.time() + 1e6)["state"] == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_the_heartbeat_beats_and_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(suite.results.status, "HEARTBEAT_SECONDS", 0.01)
    threads = threading.active_count()
    with Status(tmp_path):
        first = read_status(tmp_path)["heartbeat"]
        until = time.monotonic() + 60
        while read_status(tmp_path)["heartbeat"] == first and time.monotonic() < until:
            time.sleep(0.01)
        assert read_status(tmp_path)["heartbeat"] > first
    assert threading.active_count() == threads


def test_a_full_disk_does_not_stop_the_heart(tmp_path, monkeypatch):
    """Where no second file can be written, the message goes into the space of the first."""
    monkeypatch.setattr(suite.results.status, "HEARTBEAT_SECONDS", 0.01)
    full = []

    def write(path, document):
        if full:
            full.append(path)
            raise OSError(28, "No space left on device")
        write_json(path, document)

    monkeypatch.setattr(suite.results.status, "write_json", write)
    with Status(tmp_path) as status:
        full.append(True)
        status.write(state="failed", message="the disk is full")
        seen = len(full)
        until = time.monotonic() + 60
        while len(full) < seen + 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(full) >= seen + 3  # it beat on
    found = read_status(tmp_path)
    assert (found["state"], found["message"]) == ("failed", "the disk is full")


def test_a_disk_that_was_full_from_the_start(tmp_path, monkeypatch):
    def write(path, document):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suite.results.status, "write_json", write)
    with Status(tmp_path) as status:
        status.note("anything")
    assert read_status(tmp_path) == {"state": "pending"}
