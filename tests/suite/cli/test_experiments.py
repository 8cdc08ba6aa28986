"""`offmap plan`, `run`, `status`, `collect` and `video`, on an experiment of which one part diverges."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
import yaml
from patience import PATIENCE, wait_until
from PIL import Image

from suite.executors import launch
from suite.monitor import job_states, overview
from suite.results import prepare
from suite.results.json_files import read_json
from suite.results.records import read_table

TINY = {
    "mier": {"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20, "steps_per_iteration": 3,
             "policy_hidden": [16, 16, 16], "model_hidden": [16, 16, 16], "task_batch": 10, "meta_batch": 4},
    "pearl": {"initial_transitions": 20, "prior_transitions": 20, "posterior_transitions": 40, "steps_per_iteration": 3,
              "policy_hidden": [16, 16, 16], "encoder_hidden": [16, 16, 16], "meta_batch": 4, "batch": 8,
              "context_batch": 10},
}  # fmt: skip
DECLARED = {
    "name": "tiny",
    "splits": ["point-goal.ood"],
    "algorithms": [
        {"name": "mier-wr", "train": TINY["mier"], "adapt": {"context_steps": 2}},
        {"name": "pearl", "label": "wild", "train": TINY["pearl"] | {"learning_rate": 1e15}},
    ],
    "budget": {"env_steps": 1600},
    "protocol": {"evaluation_episodes": 2, "max_tasks": 3},
}


def write(folder, **changes):
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(DECLARED | changes))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The results folder of a whole run, and what it printed and returned."""
    folder = tmp_path_factory.mktemp("ran")
    command = [sys.executable, "-P", "-m", "suite.cli", "run", str(write(folder)), "--out", str(folder / "out")]
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True)
    return folder / "out", done


def test_run_collects_and_reports_what_did_not_fail(ran):
    out, done = ran
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"tiny: 2 trainings; results in {out}"
    assert lines[-1].startswith("failed: wild · point-goal.ood · seed 0: diverged: ")
    assert lines[-1].endswith("worker.log")
    assert "MIER-wR" in done.stdout
    assert str(out / "report" / "report.html") in lines
    assert (out / "report" / "report.html").stat().st_size > 10_000
    table, _ = read_table(out / "results.parquet")
    assert set(table["variant"].to_pylist()) == {"mier-wr"}
    assert [cell["status"] for cell in read_json(out / "cells.json")] == ["done", "failed"]


def test_run_looks_at_a_prepared_folder_once(tmp_path, offmap, monkeypatch):
    """And once more when the work is done, where there was any; a new folder is checked again once it is locked."""
    calls = Counter()

    def count(place, name):
        function = getattr(place, name)

        def counted(*arguments, **named):
            calls[name] += 1
            return function(*arguments, **named)

        monkeypatch.setattr(place, name, counted)

    count(prepare, "refuse_foreign")
    count(launch, "refuse_altered")
    count(overview, "read_progress")
    count(job_states, "read_submissions")  # of every `Cluster`
    monkeypatch.setattr("suite.cli.launching._report", lambda folder: None)
    command = ("run", write(tmp_path, algorithms=["null"]), "--out", tmp_path / "out", "--executor", "inline")
    assert offmap(*command).code == 0
    assert calls == {"refuse_foreign": 2, "refuse_altered": 1, "read_submissions": 2, "read_progress": 1}
    calls.clear()
    assert offmap(*command).code == 0
    assert calls == {"refuse_foreign": 1, "refuse_altered": 1, "read_submissions": 1, "read_progress": 1}


def test_status(ran, offmap):
    out, _ = ran
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    document = json.loads(offmap("status", out, "--json").out)
    assert document["experiment"] == "tiny"
    assert document["counts"] | {"done": 1, "failed": 1} == document["counts"]
    done, failed = document["cells"]
    assert (done["state"], done["env_steps"], done["budget"], done["remaining_seconds"]) == ("done", 1600, 1600, None)
    assert failed["reason"].startswith("diverged: ")
    answer = offmap("status", out)
    assert "1 done, 1 failed" in answer.out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before  # it reads only


def test_plan_of_what_is_done(ran, offmap):
    out, _ = ran
    arguments = ("plan", out.parent / "tiny.yaml", "--out", out, "--no-calibrate", "--workers", 3)
    document = json.loads(offmap(*arguments, "--json").out)
    assert [cell["state"] for cell in document["cells"]] == ["done", "to do"]
    done, failed = document["trainings"]
    assert (done["env_steps_left"], done["metatests_left"]) == (0, 0)
    assert failed["metatests_left"] == 1
    assert document["total"]["hours"] is None
    assert document["workers"] == 3
    assert offmap(*arguments).code == 0


def test_collect(ran, offmap):
    out, _ = ran
    answer = offmap("collect", out)
    assert (answer.code, answer.out) == (0, f"{out / 'results.parquet'}\n")


def test_video_says_what_it_cannot_do(ran, refused, tmp_path):
    out, _ = ran
    done = out / read_json(out / "cells.json")[0]["training"]
    assert f"its runs are\n  {out}" in refused("video", out)
    assert "has no list 'tst'; it has train, test, test_id" in refused("video", done, "--list", "tst")
    assert "10 tasks in test, 0 to 9: no 10" in refused("video", done, "--task", "10")
    assert "written as .mp4 or .gif" in refused("video", done, "--out", tmp_path / "film.avi")


def test_a_film_of_a_point_needs_no_opengl(ran, offmap, tmp_path, monkeypatch):
    out, _ = ran
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    done = out / read_json(out / "cells.json")[0]["training"]
    answer = offmap("video", done, "--task", "1", "--out", tmp_path / "film.gif")
    assert (answer.code, answer.out.strip()) == (0, str(tmp_path / "film.gif"))
    film = Image.open(tmp_path / "film.gif")
    assert film.n_frames == 21  # twenty steps
    assert film.width > 2 * 240  # two episodes


def test_plan_counts_shared_trainings_once_and_writes_nothing(tmp_path, offmap):
    mier = {"train": TINY["mier"]}
    path = write(
        tmp_path,
        algorithms=[{"name": "mier", **mier}, {"name": "mier-wr", **mier}, {"name": "pearl", "train": TINY["pearl"]}],
        seeds=[0, 1],
    )
    document = json.loads(offmap("plan", path, "--out", tmp_path / "out", "--no-calibrate", "--json").out)
    assert len(document["cells"]) == 6
    assert {cell["state"] for cell in document["cells"]} == {"to do"}
    labels = [training["label"] for training in document["trainings"]]
    assert labels == [f"{names} · point-goal.ood · seed {n}" for names in ("mier, mier-wr", "pearl") for n in (0, 1)]
    assert document["total"]["env_steps_left"] == 4 * 1600
    assert list(tmp_path.iterdir()) == [path]


def test_plan_with_overrides(tmp_path, offmap):
    arguments = ("--set", "budget.env_steps=2400", "--set", "algorithms=[mier-wr]", "--set", "name=other")
    document = json.loads(offmap("plan", write(tmp_path), "--no-calibrate", "--json", *arguments).out)
    assert document["out"] == "runs/other"
    assert [training["budget"] for training in document["trainings"]] == [2400]


def test_plan_times_the_work_once(tmp_path, offmap, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write(tmp_path, algorithms=DECLARED["algorithms"][:1], seeds=[0, 1])
    answer = offmap("plan", path, "--json", "--workers", "1")
    assert answer.err.count("timing") == 1  # the second seed costs what the first does
    document = json.loads(answer.out)
    hours = [training["hours"] for training in document["trainings"]]
    assert hours[0] == hours[1] > 0
    assert document["total"]["hours"] == pytest.approx(sum(hours))
    again = offmap("plan", path, "--json", "--workers", "2")
    assert again.err == ""
    assert json.loads(again.out)["total"]["hours"] == pytest.approx(hours[0])
    assert "2 workers on this machine" in offmap("plan", path, "--workers", "2").out


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"algorithms": ["paerl"]}, ["'paerl'", "pearl"]),
        ({"splits": ["point-goal.odd"]}, ["point-goal.odd", "point-goal.ood"]),
        ({"sedes": [1]}, ["sedes", "seeds"]),
        ({"budget": {"env_steps": -1}}, ["budget.env_steps", "-1"]),
        ({"budget": {"env_steps": 100}}, ["100", "800"]),
    ],
)
def test_mistakes_in_the_file(tmp_path, refused, verb, changes, parts):
    message = refused(verb, write(tmp_path, **changes), "--out", tmp_path / "out")
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists()


def test_mistakes_on_the_command_line(tmp_path, refused):
    path = write(tmp_path)
    assert f"did you mean {path}?" in refused("run", tmp_path / "tyny.yaml")
    assert "write it as key=value" in refused("plan", path, "--set", "seeds")
    path.write_text("name: [")
    assert "not valid YAML" in refused("run", path)


def test_a_folder_that_belongs_to_another_experiment(ran, refused, tmp_path):
    out, _ = ran
    before = (out / "experiment.json").read_text()
    path = write(tmp_path, name="other")
    for verb in ("plan", "run"):
        assert "belongs to the experiment 'tiny', not to 'other'" in refused(verb, path, "--out", out)
    assert (out / "experiment.json").read_text() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert "choose an empty or new folder" in refused("run", path, "--out", tmp_path / "mine")


@pytest.mark.parametrize("verb", ["status", "collect", "report"])
def test_folders_without_results(tmp_path, refused, verb):
    assert str(tmp_path / "none") in refused(verb, tmp_path / "none")


def test_status_helps_to_find_the_folder(ran, refused):
    out, _ = ran
    assert f"did you mean {out}?" in refused("status", out.parent)
    assert f"results folders beside it: {out}" in refused("status", out.parent / "uot")


def test_a_full_disk_is_explained(tmp_path, refused, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    path = write(tmp_path)
    monkeypatch.setattr("suite.results.prepare.write_json", full)
    assert "the disk is full" in refused("run", path, "--out", tmp_path / "out")


def test_an_interrupted_run_says_how_to_go_on(tmp_path, offmap):
    path = write(tmp_path, algorithms=DECLARED["algorithms"][:1], budget={"env_steps": 5_000_000})
    out = tmp_path / "out"
    command = [sys.executable, "-P", "-m", "suite.cli", "run", str(path), "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # not ignored, as in the background
    )  # fmt: skip
    wait_until(lambda: list(out.glob("*/metrics.jsonl")), lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert printed.splitlines()[-1] == f"To continue: offmap run {path} --out {out}"
    (status,) = out.glob("*/status.json")
    with pytest.raises(ProcessLookupError):
        os.kill(read_json(status)["pid"], 0)
    counts = json.loads(offmap("status", out, "--json").out)["counts"]
    assert counts["stopped"] + counts["killed"] == 1  # killed, where it did not end within the time it was given


def test_a_long_table_is_printed_in_plain_columns(capsys):
    from suite.cli.output import LONG, print_table

    rows = [("x" * 100, number, None) for number in range(LONG)] + [("[red]y", 10.5, "why")]
    print_table("title", ("name", "number", "reason"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "title"
    assert lines[1] == "name".ljust(100) + "  number  reason"
    assert lines[2] == "x" * 100 + "       0"
    assert lines[-1] == "[red]y".ljust(100) + "    10.5  why"
    assert len(lines) == 2 + len(rows)
