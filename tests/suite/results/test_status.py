"""Status: written at changes and at the lock's heartbeats, honest when its writer is gone, and no reason to die."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from patience import wait_until

import suite.results.status
from suite.results import lock
from suite.results.json_files import read_json, write_json
from suite.results.lock import EXPIRY_SECONDS, owned
from suite.results.process_identity import this_process
from suite.results.status import Status, note_end, read_status

HERE = socket.gethostname()
ELSEWHERE = {"host": "elsewhere", "pid": 7, "started": "1", "machine": "another"}
ONE_ELSEWHERE = {"process": ELSEWHERE, "host": "elsewhere"}
STATUS_AGE = 30.0


def running(**fields):
    return {"state": "running", "pid": os.getpid(), "host": HERE, "process": this_process(), "notes": []} | fields


def gone(pid=2**22 + 1):
    return this_process() | {"pid": pid}


def put_status(folder, **fields):
    """A status that was written a while ago."""
    write_json(folder / "status.json", running(**fields))
    age(folder / "status.json", STATUS_AGE)


def put_lock(folder, about, seconds=0.0):
    """The lock of an owner whose last heartbeat was so long ago; None: of one that has given it back."""
    path = folder / "lock-000003"
    path.write_text(json.dumps(about) if about else "")
    if seconds is None:
        os.utime(path, (0, 0))
    else:
        age(path, seconds)


def age(path, seconds):
    os.utime(path, (time.time() - seconds, time.time() - seconds))


EARLIER = this_process() | {"started": "1"}  # a process that had our number


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_nothing_has_begun(tmp_path):
    assert read_status(tmp_path) == {"state": "pending"}
    assert read_status(tmp_path / "nowhere") == {"state": "pending"}


OLD = EXPIRY_SECONDS + 1


@pytest.mark.parametrize(("fields", "owner", "beat", "state"), [
    # on this machine the system knows, whatever clocks and heartbeats say; a number may be given again
    ({}, this_process(), 1.0, "running"), ({}, this_process(), 1e6, "running"),
    ({"process": gone()}, gone(), 1.0, "killed"), ({"process": EARLIER}, EARLIER, 1.0, "killed"),
    # elsewhere the heartbeat of the lock tells, however old the status is
    (ONE_ELSEWHERE, ELSEWHERE, 1.0, "running"), (ONE_ELSEWHERE, ELSEWHERE, -1e6, "running"),
    (ONE_ELSEWHERE, ELSEWHERE, EXPIRY_SECONDS - 20, "running"), (ONE_ELSEWHERE, ELSEWHERE, OLD, "lost"),
    # whoever has taken over works on it, though it has not written anything yet
    ({"process": gone()}, ELSEWHERE, 1.0, "running"), (ONE_ELSEWHERE, this_process(), 1.0, "running"),
    # given back without a word, as by an interrupted `--executor inline`
    ({}, this_process(), None, "killed"), (ONE_ELSEWHERE, ELSEWHERE, None, "lost"),
    # an owner that could not write who it is; a status of a version that did not write that
    ({}, None, 1.0, "running"), ({}, None, OLD, "killed"), ({"process": {}}, this_process(), 1.0, "running"),
    ({"process": {}}, ELSEWHERE, OLD, "lost"),
    # what has ended has ended
    ({"state": "done"}, gone(), 1e6, "done"), ({"state": "failed", "message": "x"}, gone(), 1e6, "failed"),
])  # fmt: skip
def test_the_owner_of_the_lock_decides(tmp_path, fields, owner, beat, state):
    put_status(tmp_path, **fields)
    put_lock(tmp_path, owner, beat)
    seen = read_status(tmp_path)
    assert seen["state"] == state
    assert seen.get("is_silent", False) is (state in ("killed", "lost"))


@pytest.mark.parametrize(("fields", "state"), [({}, "killed"), (ONE_ELSEWHERE, "lost"), ({"state": "done"}, "done")])
def test_a_folder_that_never_had_a_lock_can_be_read(tmp_path, fields, state):
    """As versions before this one left it."""
    put_status(tmp_path, **fields)
    assert read_status(tmp_path)["state"] == state


def test_a_process_that_is_gone_is_noticed_at_once(tmp_path, dead_pid):
    put_status(tmp_path, process=gone(dead_pid))
    put_lock(tmp_path, gone(dead_pid))
    seen = read_status(tmp_path)
    assert seen["state"] == "killed"
    message = f"nothing works on it any more; the last sign of life is {STATUS_AGE:.0f} s old. Run again to continue."
    assert seen["message"] == message
    assert read_json(tmp_path / "status.json")["state"] == "running"  # reading writes nothing
    assert len(list(tmp_path.iterdir())) == 2


def test_a_heartbeat_that_stopped_is_noticed(tmp_path):
    put_status(tmp_path, **ONE_ELSEWHERE)
    put_lock(tmp_path, ELSEWHERE, OLD)
    message = f"no sign of life for {STATUS_AGE:.0f} s on elsewhere. Run again to continue, once it has ended."
    assert read_status(tmp_path)["message"] == message


def test_who_ends_while_it_is_asked_about_is_not_taken_for_dead(tmp_path, monkeypatch):
    """It said that it is done after the status was read, and gave the folder back before the lock was."""
    put_status(tmp_path)

    def ended(folder):
        write_json(folder / "status.json", running(state="done"))

    monkeypatch.setattr(suite.results.status, "owner", ended)
    assert read_status(tmp_path)["state"] == "done"


@pytest.mark.parametrize(("text", "said"), [
    ('{"state": "run', "status.json cannot be read"), ("", "status.json cannot be read"),
    ("{}", "state is missing"), ("[1]", "it holds [1], and no mapping"),
    ('{"state": "running", "heartbeat": 1}', "host is missing"),
    ('{"state": "done", "host": "e1", "heartbeat": 1' + "0" * 400 + "}", "it has to be a finite number"),
])  # fmt: skip
def test_a_file_that_cannot_be_understood(tmp_path, text, said):
    (tmp_path / "status.json").write_text(text)
    seen = read_status(tmp_path)
    assert seen["state"] == "unknown"
    assert said in seen["message"]


MINE = {"pid": os.getpid()}


@pytest.mark.parametrize(("fields", "owner", "is_noted"), [
    (MINE, this_process(), True), (MINE, None, True), (MINE | {"state": "done"}, None, True),
    ({"pid": 1}, None, True), ({"pid": 1, "state": "stopped"}, None, True), ({"pid": 1, "state": "done"}, None, False),
    (MINE, this_process() | {"pid": os.getpid() + 1, "machine": "another"}, False), (MINE, ELSEWHERE, False),
    (MINE, gone(), True), ({"pid": 1} | ONE_ELSEWHERE, ELSEWHERE, False),
])  # fmt: skip
def test_the_end_of_a_worker_is_noted_unless_another_has_taken_over(tmp_path, fields, owner, is_noted):
    write_json(tmp_path / "status.json", running(**fields))
    if owner is not None:
        put_lock(tmp_path, owner)
    before = read_json(tmp_path / "status.json")
    note_end(tmp_path, os.getpid(), "killed", "by SIGKILL")
    after = read_json(tmp_path / "status.json")
    assert ((after["state"], after["message"]) == ("killed", "by SIGKILL")) if is_noted else (after == before)


def test_nothing_is_noted_where_nothing_has_begun(tmp_path):
    note_end(tmp_path, 1, "killed", "by SIGKILL")
    note_end(tmp_path / "nowhere", 1, "killed", "by SIGKILL")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written(tmp_path):
    steps = [500]
    with owned(tmp_path):
        status = Status(tmp_path)
        assert read_status(tmp_path) == {"state": "pending"}
        status.write()
        assert read_status(tmp_path)["stage"] == "starting"
        assert status.env_steps == 0
        status.follow(lambda: steps[0], 2000)
        steps[0] += 250
        status.training_return(-3.5)
        status.note("one")
        status.note("two")
        status.training_return(float("nan"))  # no whole episode: the last value stands
        seen = read_status(tmp_path)
        assert (seen["state"], seen["stage"], seen["budget"]) == ("running", "training", 2000)
        assert (seen["env_steps"], seen["return"], seen["notes"]) == (750, -3.5, ["one", "two"])
        assert seen["steps_per_second"] == pytest.approx(250 / seen["seconds"])  # of this process alone
        assert (seen["pid"], seen["host"]) == (os.getpid(), HERE)
        assert status.env_steps == 750
        status.write(state="done", stage="done")
    assert read_status(tmp_path)["state"] == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock-000001", "status.json"]


@pytest.fixture
def beating(tmp_path, monkeypatch):
    """A status that is written at the heartbeats of the lock, a hundred a second."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    with owned(tmp_path) as ownership:
        status = Status(tmp_path)
        status.write()
        ownership.write_at_beats(status.write)
        yield status


def test_the_heartbeat_of_the_lock_writes_it_too(tmp_path, beating):
    first = read_status(tmp_path)["heartbeat"]
    wait_until(lambda: read_status(tmp_path)["heartbeat"] > first)


def test_a_full_disk_does_not_stop_the_heartbeat(tmp_path, beating, monkeypatch):
    """Where no second file can be written, the message goes into the space of the first."""
    full = []

    def write(path, document):
        full.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suite.results.status, "write_json", write)
    beating.write(state="failed", message="the disk is full")
    seen = len(full)
    wait_until(lambda: len(full) >= seen + 3)
    fields = read_status(tmp_path)
    assert (fields["state"], fields["message"]) == ("failed", "the disk is full")


def test_a_disk_that_was_full_from_the_start(tmp_path, monkeypatch):
    def write(path, document):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suite.results.status, "write_json", write)
    Status(tmp_path).note("anything")
    assert read_status(tmp_path) == {"state": "pending"}
