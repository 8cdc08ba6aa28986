"""Meta-training: budgets extend, milestones stand for shorter runs, and nothing that is only tested enters it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests_support import checkpoint_of, outcome, rows_of

from suite.experiment.specs import Execution
from suite.results.json_files import read_json
from suite.results.layout import metatest_folders
from suite.results.metrics import read_metrics
from suite.results.prepare import prepare
from suite.results.records import read_table
from suite.results.status import Status, read_status
from suite.run.saving.checkpoints import checkpoint_names
from suite.run.training import checkpoint_for, open_training, train
from suite.run.worker import main

TRAININGS = ["mier", "pearl"]


def stamps(folder):
    """What tells whether anything below a folder was written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("first", [1400, 1350])
def test_an_extended_budget_equals_a_straight_run(tiny_experiment, run_here, tmp_path, name, first):
    """1350 falls between two iterations: the one that would overshoot is not started, and later is."""
    run_here(tiny_experiment((name,), env_steps=first), tmp_path / "extended")
    (extended,) = run_here(tiny_experiment((name,), env_steps=2 * first), tmp_path / "extended")
    (straight,) = run_here(tiny_experiment((name,), env_steps=2 * first), tmp_path / "straight")
    assert outcome(extended) == outcome(straight)
    reached = read_json(extended / "status.json")["env_steps"]
    assert reached <= 2 * first < reached + 300
    assert reached == checkpoint_of(extended, checkpoint_names(extended / "checkpoints")[-1])["counters"]["env_steps"]


@pytest.mark.parametrize("name", TRAININGS)
def test_a_milestone_is_tested_as_a_run_of_that_budget(tiny_experiment, run_here, tmp_path, name):
    protocol = {"evaluate_every": 3, "evaluation_episodes": 2}
    longer = tiny_experiment(
        (name,), budget={"env_steps": 2000, "milestones": [1250, 1500]}, milestone_protocol=protocol
    )
    (folder,) = run_here(longer, tmp_path / "longer")
    (shorter,) = run_here(tiny_experiment((name,), env_steps=1250), tmp_path / "shorter")
    tests = {read_json(path / "config.json")["env_steps"]: path for path in metatest_folders(folder)}
    (only,) = metatest_folders(shorter)
    assert sorted(tests) == [1250, 1500, 2000]
    assert tests[1250].name == only.name
    assert rows_of(tests[1250], drop=("is_final",)) == rows_of(only, drop=("is_final",))
    assert rows_of(tests[1250]) != rows_of(only)  # a milestone there, the result here
    unnamed = ("run", "is_final", "env_steps")
    assert rows_of(tests[1500], drop=unnamed)["records"] != rows_of(only, drop=unnamed)["records"]
    kept = checkpoint_for(folder, 1250)
    assert checkpoint_of(folder, kept) == checkpoint_of(shorter, checkpoint_for(shorter, 1250))


def test_a_milestone_sees_no_data_from_after_it(tiny_experiment, run_here, tmp_path):
    """Everything collected after the milestone is poisoned: its meta-test, relabeling included, stays as it was."""
    declared = tiny_experiment(budget={"env_steps": 2000, "milestones": [1200]})
    (folder,) = run_here(declared, tmp_path / "runs")
    milestone = metatest_folders(folder)[0]
    before = rows_of(milestone)
    rows = checkpoint_of(folder, checkpoint_for(folder, 1200))["rows"]
    poisoned = 0
    for path in sorted((folder / "log").iterdir()):
        if int(path.stem.partition("-")[0]) >= rows:
            save_file({"rows": torch.full_like(load_file(path)["rows"], float("nan"))}, path)
            poisoned += 1
    assert poisoned > 1
    (milestone / "records.parquet").unlink()
    assert main([str(folder)]) == 0
    assert rows_of(milestone) == before
    assert open_training(folder, "cpu", 1, checkpoint_for(folder, 1200)).algorithm.log().isfinite().all()
    (metatest_folders(folder)[1] / "records.parquet").unlink()
    assert main([str(folder)]) == 1  # the poison is real: the final meta-test relabels it
    assert read_status(folder)["message"].startswith("diverged: ")


def test_a_changed_test_list_leaves_the_training_bit_identical(tiny_experiment, run_here, tmp_path):
    train_list = {"uniform": [0.0, 4.0], "number": 40, "seed": 5}
    found = []
    for name, values in (("near", [4.2, 4.4]), ("far", [5.5, 5.7, 6.0])):
        own = {"family": "point-goal", "name": "mine", "shift": "out_of_distribution", "train": train_list,
               "test": {"values": values}, "adaptation_transitions": 40}  # fmt: skip
        (folder,) = run_here(tiny_experiment(split="point-goal.mine", own_splits=[own]), tmp_path / name)
        found.append((folder.name, outcome(folder)))
    (near, near_outcome), (far, far_outcome) = found
    assert near == far
    assert near_outcome["checkpoint"] == far_outcome["checkpoint"]
    assert near_outcome["metrics"] == far_outcome["metrics"]
    assert near_outcome["metatests"].keys() != far_outcome["metatests"].keys()


def test_a_changed_protocol_does_not_retrain(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(), tmp_path)
    before = stamps(folder / "checkpoints") | stamps(folder / "log")
    assert len(before) > 4
    (old,) = metatest_folders(folder)
    (again,) = run_here(tiny_experiment(protocol={"evaluation_episodes": 1}), tmp_path)
    after = stamps(folder / "checkpoints") | stamps(folder / "log")
    assert again == folder
    assert after == before
    (new,) = metatest_folders(folder)
    assert new.name != old.name
    assert len(rows_of(new)["records"]) < len(rows_of(folder / ".set-aside" / old.name)["records"])


def test_mier_and_mier_wr_train_once(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(("mier", "mier-wr")), tmp_path / "both")
    assert sorted(read_json(path / "label.json")["variant"] for path in metatest_folders(folder)) == ["mier", "mier-wr"]
    (alone,) = run_here(tiny_experiment(("mier-wr",)), tmp_path / "alone")
    assert alone.name == folder.name
    assert outcome(alone)["checkpoint"] == outcome(folder)["checkpoint"]
    (tested,) = metatest_folders(alone)
    assert rows_of(tested) == rows_of(folder / "metatests" / tested.name)


def test_a_smaller_budget_tests_its_own_checkpoint_or_says_that_it_is_gone(tiny_experiment, run_here, tmp_path):
    run_here(tiny_experiment(env_steps=1200), tmp_path)
    run_here(tiny_experiment(env_steps=2400), tmp_path)
    (folder,) = run_here(tiny_experiment(env_steps=1200), tmp_path)  # kept, since it once was a budget
    (only,) = metatest_folders(folder)
    assert read_json(only / "config.json")["env_steps"] == 1200
    prepare(tiny_experiment(env_steps=1800), tmp_path)
    assert main([str(folder)]) == 2
    message = read_status(folder)["message"]
    assert "the checkpoint of a budget of 1800 env steps is not there" in message
    assert "1200, 2200, 2400" in message
    assert not list(folder.glob("metatests/*/parts"))


def test_checkpoints_are_as_rare_as_asked_and_the_last_is_always_kept(tiny_experiment, tmp_path):
    (folder,) = prepare(tiny_experiment(env_steps=2400), tmp_path)
    execution = Execution(env_steps=2400, milestones=(1000, 1700), checkpoint_seconds=1e6)
    train(folder, execution, Status(folder))
    assert checkpoint_names(folder / "checkpoints") == ["000000001000", "000000001600", "000000002400"]
    train(folder, execution.model_copy(update={"checkpoint_seconds": 1e-6, "env_steps": 3000}), Status(folder))
    kept = ["000000001000", "000000001600", "000000002800", "000000003000"]
    assert checkpoint_names(folder / "checkpoints") == kept


def test_damaged_and_half_written_checkpoints_do_not_stay(tiny_experiment, tmp_path):
    """Where checkpoints are rare, nothing writes over them: they would count as one of the two that are kept."""
    (folder,) = prepare(tiny_experiment(env_steps=1600), tmp_path)
    execution = Execution(env_steps=1600, checkpoint_seconds=1e-6)
    train(folder, execution, Status(folder))
    assert checkpoint_names(folder / "checkpoints") == ["000000001400", "000000001600"]
    (folder / "checkpoints" / "000000001600" / "state.json").write_text("{")
    (folder / "checkpoints" / ".000000001500.partial").mkdir()
    (folder / "log" / ".000000001680-000000001900.safetensors.partial").write_bytes(b"half")
    train(folder, execution.model_copy(update={"env_steps": 2000, "checkpoint_seconds": 1e6}), Status(folder))
    names = [".damaged-000000001600", "000000001400", "000000002000"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == names
    assert [path.name[:9] for path in (folder / "log").glob(".*")] == [".damaged-"]


def test_the_curve_survives_a_cut_file(tiny_experiment, run_here, tmp_path):
    """A metrics file shorter than its checkpoint knows: whole lines stay, the gap is said, nothing is padded."""
    (folder,) = run_here(tiny_experiment(env_steps=1400), tmp_path)
    path = folder / "metrics.jsonl"
    whole = path.read_text().splitlines()
    path.write_bytes(path.read_bytes()[:-30])
    run_here(tiny_experiment(env_steps=2000), tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["env_steps"] for row in rows] == [800, 1000, 1200, 1600, 1800, 2000]
    assert rows[:3] == [json.loads(line) for line in whole[:3]]
    assert any("metrics.jsonl was cut" in note for note in read_status(folder)["notes"])


@pytest.mark.parametrize("garbage", [b"\xff", b"{", b"["])
def test_lines_that_cannot_be_read_are_left_out_of_the_curve(tiny_experiment, run_here, tmp_path, garbage):
    """Garbage of the right length, up to the middle of the last line."""
    (folder,) = run_here(tiny_experiment(env_steps=1400), tmp_path)
    path = folder / "metrics.jsonl"
    content = path.read_bytes()
    start = content.index(b"\n") + 5
    path.write_bytes(content[:start] + garbage * (len(content) - start))
    run_here(tiny_experiment(env_steps=2000), tmp_path)
    rows, unreadable = read_metrics(path)
    assert [row["env_steps"] for row in rows] == [800, 1600, 1800, 2000]
    assert unreadable == 1
    assert any("1 lines of metrics.jsonl cannot be read" in note for note in read_status(folder)["notes"])
    table, metadata = read_table(folder / "metrics.parquet")
    assert sorted(set(table["env_steps"].to_pylist())) == [800, 1600, 1800, 2000]
    assert metadata["unreadable_lines"] == 1


@pytest.mark.parametrize("name", TRAININGS)
def test_reserving_memory_changes_no_result(tiny_experiment, run_here, tmp_path, name):
    (folder,) = run_here(tiny_experiment((name,)), tmp_path)
    newest = checkpoint_names(folder / "checkpoints")[-1]
    small, large = (open_training(folder, "cpu", capacity, newest) for capacity in (1, 10_000))
    for training in (small, large):
        training.algorithm.iterate()
    assert torch.equal(small.algorithm.log(), large.algorithm.log())
    np.testing.assert_equal(small.meter.steps, large.meter.steps)
