"""One owner per folder: among processes that race, after a death here or elsewhere, whatever the clocks say."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from patience import PATIENCE

from suite.errors import UserError
from suite.results import lock
from suite.results.lock import LOST, owned, owner

HOLDER = (
    "import sys, time; from pathlib import Path; from suite.results import lock;"
    "lock.BEAT_SECONDS = 0.05\n"
    "with lock.owned(Path(sys.argv[1])): print('mine', flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A hundredth of the real times: an owner is given up after 0.4 s without a heartbeat."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lock, "EXPIRY_SECONDS", 0.4)


@pytest.fixture
def holder(tmp_path):
    """Another process that owns `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()


def locks(folder):
    return sorted(path.name for path in folder.iterdir())


def elsewhere(folder, number=1, age=0.0):
    """The lock of an owner on another machine, whose last heartbeat is `age` seconds old."""
    path = folder / f"lock-{number:06d}"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "started": "1", "machine": "another boot"}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_one_owner_at_a_time(tmp_path):
    with owned(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"another process is working on this run .process {os.getpid()} on "):
            owned(tmp_path).__enter__()
    assert owner(tmp_path) is None
    with owned(tmp_path):
        assert locks(tmp_path) == ["lock-000002"]  # numbers grow, and the old ones are cleared away
    with pytest.raises(UserError, match="there is no folder"), owned(tmp_path / "nowhere"):
        pass


def test_who_has_patience_waits(tmp_path, holder):
    threading.Timer(0.3, holder.kill).start()
    with owned(tmp_path, patience=30):
        assert holder.poll() is not None


def test_an_error_gives_the_folder_back(tmp_path):
    with pytest.raises(ValueError, match="x"), owned(tmp_path):
        raise ValueError("x")
    with owned(tmp_path):
        pass


def test_an_owner_that_lives_is_left_alone_whatever_its_heartbeat_says(tmp_path, holder):
    """Stopped, so that its heartbeat is too, and with a clock that has jumped by a day."""
    holder.send_signal(signal.SIGSTOP)
    os.utime(tmp_path / "lock-000001", (1e9, 1e9))
    assert owner(tmp_path)["pid"] == holder.pid
    with pytest.raises(UserError, match=f"process {holder.pid} on"), owned(tmp_path):
        pass


def test_a_dead_owner_on_this_machine_is_noticed_at_once(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert owner(tmp_path) is None
    os.utime(tmp_path / "lock-000001", (time.time() + 1e5, time.time() + 1e5))  # its clock ran ahead
    with owned(tmp_path):
        assert locks(tmp_path) == ["lock-000002"]


def test_a_process_with_the_number_of_a_dead_owner_is_not_it(tmp_path):
    with owned(tmp_path):
        path = tmp_path / "lock-000001"
        about = json.loads(path.read_text())
        path.write_text(json.dumps(about | {"started": "1"}))
        with owned(tmp_path):
            assert locks(tmp_path) == ["lock-000002"]
            lock._set_time(path, None)


def test_a_lock_that_is_gone_from_under_its_listing_leads_to_the_next(tmp_path, monkeypatch):
    """A network file system lists what was there a minute ago: the owner is the one that has taken over since."""
    monkeypatch.setattr(lock, "_newest", lambda folder: 1)
    assert owner(tmp_path) is None
    elsewhere(tmp_path, number=3)
    assert owner(tmp_path) is None
    elsewhere(tmp_path, number=2)
    assert owner(tmp_path)["host"] == "elsewhere"


def test_what_else_is_written_at_a_heartbeat_never_stops_it(tmp_path):
    """In the one thread that renews the lock, and whatever goes wrong in it."""
    threads, seen, again = threading.active_count(), [], threading.Event()

    def write():
        seen.append((tmp_path / "lock-000001").stat().st_mtime)
        again.set() if len(seen) > 1 else None
        raise RuntimeError("no room for this")

    with owned(tmp_path) as ownership:
        assert threading.active_count() == threads + 1
        ownership.write_at_beats(write)
        assert again.wait(PATIENCE)
    assert threading.active_count() == threads
    assert seen[1] > seen[0]


def test_an_owner_elsewhere_is_given_up_after_a_while_without_a_heartbeat(tmp_path):
    elsewhere(tmp_path, age=-1e5)
    assert owner(tmp_path)["host"] == "elsewhere"
    started = time.monotonic()
    elsewhere(tmp_path)
    with owned(tmp_path):
        assert time.monotonic() - started >= 0.39
        assert locks(tmp_path) == ["lock-000002"]


def test_an_owner_elsewhere_whose_heartbeat_is_seen_is_left_alone(tmp_path, monkeypatch):
    """An old heartbeat alone is no proof: clocks may differ. One that moves is."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 4.0)  # it is watched for 10 s: a busy machine may be late
    path, ended, seconds = elsewhere(tmp_path, age=1e5), threading.Event(), itertools.count(1)

    def beat():
        while not ended.wait(0.03):
            second = next(seconds)
            os.utime(path, (second, second))

    heartbeat = threading.Thread(target=beat)
    heartbeat.start()
    with pytest.raises(UserError, match="process 7 on elsewhere"), owned(tmp_path):
        pass
    ended.set()
    heartbeat.join()


def test_a_lock_without_a_name_counts_by_its_heartbeat(tmp_path):
    started = time.monotonic()
    (tmp_path / "lock-000001").touch()  # its owner found the disk full, or died before it had written
    with owned(tmp_path):
        assert time.monotonic() - started >= 0.39


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_is_nobodys_lock(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(lock, "EXPIRY_SECONDS", 1e6)  # nobody is waited for
    run, path = tmp_path / "run", tmp_path / "run" / "lock-000001"
    run.mkdir()
    (tmp_path / "precious").write_text("mine")
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path) if kind == "pipe" else path.symlink_to(tmp_path / "precious")
    assert owner(run) is None
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with owned(run):
            assert owner(run)["pid"] == os.getpid()
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert (tmp_path / "precious").read_text() == "mine"


def test_an_owner_that_was_taken_for_dead_ends_before_it_does_harm(tmp_path, holder):
    elsewhere(tmp_path, number=2)
    assert holder.wait(timeout=PATIENCE) == LOST


def test_an_owner_can_make_sure_before_it_writes(tmp_path):
    """Also where its heartbeat has not come to it yet."""
    script = (
        "import sys; from pathlib import Path; from suite.results.lock import owned\n"
        "with owned(Path(sys.argv[1])) as own:\n"
        "    own.end_if_lost(); print('mine', flush=True); input(); own.end_if_lost(); print('written', flush=True)"
    )
    for taken_over, code, said in ((False, 0, "written\n"), (True, LOST, "")):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
        assert process.stdout.readline() == "mine\n"
        if taken_over:
            elsewhere(tmp_path, number=9)
        assert process.communicate("\n", timeout=PATIENCE)[0] == said
        assert process.returncode == code


def test_who_wakes_up_late_gives_way(tmp_path, monkeypatch):
    """Others have come and gone between a look at the folder and the making of a lock: it is withdrawn."""
    elsewhere(tmp_path, number=5, age=1e5)
    os.utime(tmp_path / "lock-000005", (0, 0))
    seen = iter([2, 5, 5, 6, 6])
    monkeypatch.setattr(lock, "_newest", lambda folder: next(seen, 6))
    monkeypatch.setattr(lock, "_is_free", lambda folder, number: True)
    with owned(tmp_path):
        assert locks(tmp_path) == ["lock-000006"]


def test_of_many_who_take_over_at_once_one_succeeds(tmp_path):
    """Sixteen at a time, ten times over: never two owners, and never none."""
    elsewhere(tmp_path, age=1e5)
    os.utime(tmp_path / "lock-000001", (0, 0))
    inside, most, wins = [], [], []

    def contend(barrier):
        barrier.wait()
        try:
            with owned(tmp_path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.01)
                inside.pop()
            wins.append(1)
        except UserError:
            pass

    for _ in range(10):
        before, barrier = len(wins), threading.Barrier(16)
        threads = [threading.Thread(target=contend, args=(barrier,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) > before
    assert max(most) == 1
