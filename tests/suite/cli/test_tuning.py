"""`offmap tune`: what it refuses and shows, and one small search end to end, killed and taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.experiment.shipped import CONFIGS
from suite.results.metrics import read_metrics
from suite.results.status import read_status
from suite.tuning.ladder import returns_after
from suite.tuning.record import read_record
from suite.tuning.search import candidates, load_search

SEARCH = CONFIGS / "tuning" / "point.yaml"
RECORD = Path(__file__).parents[3] / "reports" / "tuning" / "point"
PATIENCE = 300.0  # seconds


def test_a_test_split_is_refused_with_the_remedy(refused, tmp_path):
    said = refused("tune", SEARCH, "--set", "splits=[point-goal.ood]", "--out", tmp_path / "out")
    assert "point-goal.ood is a benchmark split" in said
    assert "take point-goal.tuning" in said
    assert not (tmp_path / "out").exists()


def test_seeds_of_tables_are_refused(refused):
    assert "take seeds from 100 on" in refused("tune", SEARCH, "--set", "seeds=[0, 1]")


def test_a_search_is_no_experiment(refused):
    assert "run it with `offmap tune" in refused("run", SEARCH)
    assert "rungs is missing" in refused("tune", CONFIGS / "experiments" / "demo.yaml")


def test_a_dry_run_shows_the_configurations_and_the_effort(offmap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = offmap("tune", SEARCH, "--dry-run").out
    for candidate in candidates(load_search(SEARCH))["multitask-finetune"]:
        assert f"#{candidate.number}" in said
    assert "rung of 2,600 env steps: 5 configurations, 10 trainings, 2 kept" in said
    # 10 trainings of 2,600 steps, 4 of 1,400 more.
    assert "each of 1 algorithms: 31,600 env steps of training; domain-randomised: 8,000" in said
    assert list(tmp_path.iterdir()) == []
    said = offmap("tune", CONFIGS / "tuning" / "lite-on-policy.yaml", "--dry-run").out
    assert "9,000,000 env steps of training; domain-randomised: 600,000" in said  # two splits on its own budget


def test_a_record_is_shown_with_its_winner_the_veto_and_the_spread(offmap):
    said = offmap("tune", RECORD, "--show").out
    record = read_record(RECORD)
    assert record.winner("multitask-finetune") is not None
    assert said.count("winner") == 2  # in its row, and below the table
    assert "vetoed" in said
    assert "task-blind" in said
    assert "spread on point-goal.tuning at 2,600 env steps: worst" in said


def wait_for(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_search_from_end_to_end_is_killed_and_taken_up_again(tmp_path, run_here):
    """Three configurations, two rungs. The one with a rate too small to learn never wins; the winner is undisturbed."""
    declared = yaml.safe_load(SEARCH.read_text()) | {
        "splits": ["point-goal.tuning"], "own_splits": [], "configurations": 3, "checkpoint_seconds": 0.01,
        "rungs": [{"env_steps": 2600, "keep": 2}, {"env_steps": 3400}],
        "protocol": {"max_tasks": 2, "evaluation_episodes": 1},
    }  # fmt: skip
    del declared["algorithms"][0]["ranges"]
    path, out, record = tmp_path / "point.yaml", tmp_path / "out", tmp_path / "record"
    path.write_text(yaml.safe_dump(declared))
    command = [sys.executable, "-P", "-m", "suite.cli", "tune", str(path), "--out", str(out), "--copy-to", str(record)]
    command += ["--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(lambda: any(read_status(path.parent).get("env_steps", 0) > 2000 for path in out.glob("*/status.json")))
        (working,) = [s for path in out.glob("*/status.json") if (s := read_status(path.parent))["state"] == "running"]
        os.kill(working["pid"], signal.SIGKILL)
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, said
    assert f"To continue: offmap tune {path} --out {out}" in said
    assert not record.exists()

    again = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    chosen = read_record(record)
    assert (record / "values.csv").read_bytes() == (out / "tuning" / "values.csv").read_bytes()
    rungs = chosen.standings["multitask-finetune"]
    assert [len(rung) for rung in rungs] == [3, 2]
    assert chosen.winner("multitask-finetune").train == {}
    for metrics in out.glob("*/metrics.jsonl"):  # no iteration was made twice, neither after the kill nor by a rung
        steps = [row["env_steps"] for row in read_metrics(metrics)[0]]
        assert steps == sorted(set(steps))
    number = rungs[-1][0].configuration
    choice = candidates(chosen.search)["multitask-finetune"][number].choice
    alone = Experiment(name="alone", splits=("point-goal.tuning",), algorithms=(choice,), seeds=(100,),
                       budget={"env_steps": 3400}, protocol=chosen.search.protocol)  # fmt: skip
    run_here(alone, tmp_path / "alone")
    ((test,),) = [cell.metatests for cell in expand(alone)]
    returns = returns_after(tmp_path / "alone" / test.training / "metatests" / test.hash / "records.parquet")
    assert (returns["test"],) == rungs[-1][0].shifted
    assert (returns["test_id"],) == rungs[-1][0].inside
