"""The local executor: bounded, one failure alone, nothing left running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import wait_until

from suite.executors import local
from suite.executors.base import Interrupted, Outcome
from suite.executors.local import run_local
from suite.run.processes import PARENT_PIPE, available_cores, worker_command, worker_environment


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in "abcde"]
    for folder in made:
        folder.mkdir()
    return made


def shell(script):
    """A fake worker: a shell script whose $1 is the folder."""
    return lambda folder: ["/bin/sh", "-c", script, "worker", str(folder)]


def is_alive(pid):
    """Whether a process runs; one that only waits to be reaped by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_failure_stops_no_other_run(folders):
    script = 'case "$1" in *b) echo broken >&2; exit 3;; *c) kill -9 $$;; *) echo fine; touch "$1/done";; esac'
    outcomes = run_local(folders, 2, command=shell(script))
    assert dict(outcomes) == {folder: {"b": 3, "c": -9}.get(folder.name, 0) for folder in folders}
    assert [(folder / "done").exists() for folder in folders] == [True, False, False, True, True]
    assert (folders[1] / "worker.log").read_text() == "broken\n"
    run_local(folders[:1], 1, command=shell("echo again"))
    assert (folders[0] / "worker.log").read_text() == "fine\nagain\n"


def test_at_most_so_many_run_at_once(folders):
    pools = []
    outcomes = run_local(folders, 2, pools.append, shell("sleep 0.3"))
    assert {outcome.folder for outcome in outcomes} == set(folders)
    assert max(len(pool.running) for pool in pools) == 2
    for pool in pools:
        known = [*pool.waiting, *pool.running, *(outcome.folder for outcome in pool.outcomes)]
        assert sorted(known) == folders
    assert pools[-1].outcomes == tuple(outcomes)
    assert pools[-1].running == ()


def test_started_in_the_order_given(folders):
    assert run_local(folders, 1, command=shell("true")) == [Outcome(folder, 0) for folder in folders]
    assert run_local([], 3) == []


def test_a_worker_has_one_thread_and_a_pipe_to_its_parent(folders):
    run_local(folders[:1], 1, command=shell('echo "$OMP_NUM_THREADS $MALLOC_MMAP_MAX_ $OFFMAP_PARENT_PIPE"'))
    assert (folders[0] / "worker.log").read_text() == "1 0 1\n"
    assert PARENT_PIPE not in worker_environment()
    assert worker_command(folders[0])[1:] == ["-P", "-m", "suite.run.worker", str(folders[0])]
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.fixture
def heard():
    """Signals as a terminal leaves them: whoever runs the tests in the background may have had them ignored."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_ignored_hangup_stays_ignored(folders, heard):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    outcomes = run_local(folders[:1], 1, lambda pool: os.kill(os.getpid(), signal.SIGHUP), shell("exit 0"))
    assert [outcome.code for outcome in outcomes] == [0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_every_worker(folders, heard, number):
    handler = signal.getsignal(signal.SIGTERM)

    def tick(pool):
        if all((folder / "pid").exists() for folder in folders[:2]):
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted):
        run_local(folders, 2, tick, shell('echo $$ > "$1/pid.new"; mv "$1/pid.new" "$1/pid"; exec sleep 60'))
    pids = [int((folder / "pid").read_text()) for folder in folders[:2]]
    assert not any(map(is_alive, pids))
    assert not (folders[2] / "pid").exists()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_worker_that_does_not_listen_is_killed(folders, monkeypatch):
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.2)

    def tick(pool):
        if (folders[0] / "pid").exists():
            raise KeyboardInterrupt

    deaf = 'trap "" TERM; echo $$ > "$1/pid.new"; mv "$1/pid.new" "$1/pid"; while true; do sleep 0.1; done'
    with pytest.raises(Interrupted):
        run_local(folders[:1], 1, tick, shell(deaf))
    assert not is_alive(int((folders[0] / "pid").read_text()))


def test_an_error_of_the_display_leaves_nothing_running(folders):
    def tick(pool):
        if (folders[0] / "pid").exists():
            raise ValueError("display")

    with pytest.raises(ValueError, match="display"):
        run_local(folders[:1], 1, tick, shell('echo $$ > "$1/pid.new"; mv "$1/pid.new" "$1/pid"; exec sleep 60'))
    assert not is_alive(int((folders[0] / "pid").read_text()))


def test_workers_end_when_their_executor_is_killed(folders):
    worker = (
        "import os, sys, time; from pathlib import Path; from suite.run.processes import end_with_parent;"
        "end_with_parent(); new = Path(sys.argv[1], 'pid.new'); new.write_text(str(os.getpid()));"
        "new.rename(new.with_name('pid')); time.sleep(60)"
    )
    parent = (
        "import sys; from pathlib import Path; from suite.executors.local import run_local;"
        f"run_local([Path(sys.argv[1])], 1, command=lambda folder: [sys.executable, '-c', {worker!r}, str(folder)])"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, str(folders[0])])
    wait_until((folders[0] / "pid").exists)
    pid = int((folders[0] / "pid").read_text())
    assert is_alive(pid)
    process.kill()
    process.wait()
    wait_until(lambda: not is_alive(pid))
