"""What is shown of runs under way: one line per change, a table on a terminal."""

import io

import pytest
from rich.console import Console
from tests_support import write_metrics, write_status

from suite.cli import display as display_module
from suite.cli.display import LiveDisplay, PlainDisplay, display_for
from suite.executors.base import Outcome, Pool
from suite.monitor.progress import RunProgress, read_progress


def plain(labels):
    return PlainDisplay(labels, Console(file=io.StringIO(), width=40))


def lines_of(display):
    return [line.partition("  ")[2] for line in display.console.file.getvalue().splitlines()]


def test_plain_lines_come_at_changes_and_now_and_then(folder, monkeypatch):
    monkeypatch.setattr(display_module, "REFRESH_SECONDS", 0.0)
    clock = [100.0]
    monkeypatch.setattr(display_module.time, "monotonic", lambda: clock[0])
    display = plain({folder: "pearl [a]"})
    pool = Pool((), (folder,), ())
    with display:
        display.update(pool)  # nothing written yet
        write_status(folder, env_steps=100, budget=1000)
        display.update(pool)
        display.update(pool)
        clock[0] += 29
        display.update(pool)
        clock[0] += 2
        write_status(folder, env_steps=199, budget=1000)
        display.update(pool)  # not another tenth
        write_status(folder, env_steps=300, budget=1000)
        display.update(pool)
        clock[0] += 601
        display.update(pool)  # slow, and alive
        write_status(folder, state="done", stage="done")
        display.update(pool)  # its worker has not ended yet
        display.update(Pool((), (), (Outcome(folder, 0),)))
    assert lines_of(display) == [
        "pearl [a]: starting",
        "pearl [a]: training 10%, 100 / 1,000 env steps",
        "pearl [a]: training 30%, 300 / 1,000 env steps",
        "pearl [a]: training 30%, 300 / 1,000 env steps",
        "pearl [a]: done",
    ]


def test_what_an_earlier_attempt_left_is_not_shown_as_this_one(folder):
    write_status(folder, state="failed", message="yesterday's")
    display = plain({folder: "mier"})
    display.update(Pool((), (folder,), ()))
    assert lines_of(display) == ["mier: starting"]


def test_a_worker_that_dies_without_a_word_has_failed(folder):
    write_status(folder, env_steps=100, budget=1000, pid=2**22 + 1)  # no such process
    display = plain({folder: "mier"})
    display.update(Pool((), (), (Outcome(folder, -9),)))
    assert display.progress[folder].state == "failed"
    (folder / "status.json").unlink()
    display = plain({folder: "mier"})
    display.update(Pool((), (), (Outcome(folder, 1),)))
    assert lines_of(display) == ["mier: failed: exit code 1; see worker.log"]


def test_the_files_are_read_about_once_per_second(folder, monkeypatch):
    read = []
    monkeypatch.setattr(display_module, "read_progress", lambda where: read.append(where) or RunProgress("running"))
    display = plain({folder: "mier"})
    for _ in range(50):
        display.update(Pool((), (folder,), ()))
    assert len(read) == 1


def test_a_terminal_gets_a_live_table(folder, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=24)
    assert isinstance(display_for({}, console), LiveDisplay)
    assert isinstance(display_for({}, Console(file=io.StringIO())), PlainDisplay)
    write_status(folder, env_steps=400, budget=1000, **{"return": -12.5})
    write_metrics(folder, [(1, 200, 0.1), (2, 300, 10.1), (3, 400, 20.1)])
    other = tmp_path / "other"
    other.mkdir()
    pool = Pool((tmp_path / "x",), (folder,), (Outcome(other, 7),))
    with LiveDisplay({folder: "mier on hard", other: "pearl"}, console) as display:
        display.update(pool)
        with console.capture() as capture:
            console.print(display.table(pool))
        shown = capture.get()
    for text in ("mier on hard", "training", "400 / 1,000", "-12.5", "1 min", "exit code 7", "1 running, 1 waiting"):
        assert text in shown


def test_a_small_terminal_shows_what_matters(tmp_path):
    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=10)
    display = LiveDisplay({folder: f"run-{folder.name}." for folder in folders}, console)
    outcomes = tuple(Outcome(folder, 1 if folder.name == "3" else 0) for folder in folders[:-1])
    pool = Pool((), (folders[-1],), outcomes)
    with display:
        display.update(pool)
        with console.capture() as capture:
            console.print(display.table(pool))
    shown = capture.get()
    assert "run-39." in shown
    assert "run-3." in shown
    assert "run-38." in shown
    assert "run-10." not in shown
    assert "38 done, 1 failed" in shown


def test_at_eighty_columns_nothing_is_cut_and_the_stage_is_named(folder):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    label = "mier-wr, cheetah-velocity.hard, seed 3"
    display = LiveDisplay({folder: label}, console)
    training = RunProgress("running", "training", 0.95, 475_000, 500_000, 1234.0, -312.5, 3000.0)
    testing = training._replace(stage="meta-test mier on cheetah-velocity.hard", fraction=0.5, steps_per_second=None)
    for progress, words in ((training, ["training"]), (testing, ["meta-test", "50%"])):
        display.progress = {folder: progress}
        with console.capture() as capture:
            console.print(display.table(Pool((), (folder,), ())))
        shown = capture.get()
        assert "\u2026" not in shown
        assert all(word in shown for word in (label, "50 min", *words))


def test_the_bar_counts_meta_training_and_meta_tests_and_never_goes_back(folder):
    shares = [display_module.done_share(read_progress(folder))]
    for steps in (0, 500, 1000):
        write_status(folder, env_steps=steps, budget=1000)
        shares.append(display_module.done_share(read_progress(folder)))
    for fraction, tested in ((0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (0.0, 0.5), (1.0, 1.0)):  # two meta-tests
        fields = {"stage": "meta-test", "metatest": "mier on hard", "fraction": fraction, "tested": tested}
        write_status(folder, env_steps=1000, budget=1000, **fields)
        shares.append(display_module.done_share(read_progress(folder)))
    write_status(folder, state="done", stage="done")
    shares.append(display_module.done_share(read_progress(folder)))
    assert shares == pytest.approx([None, 0, 0.4, 0.8, 0.8, 0.85, 0.9, 0.9, 1, 1])


def test_where_nothing_is_trained_the_bar_is_that_of_the_meta_tests():
    tests = [RunProgress("running", "meta-test a on b", 0.5, 0, 0, tested=share) for share in (None, 0.0, 0.25)]
    assert [display_module.done_share(progress) for progress in tests] == [None, 0.0, 0.25]
