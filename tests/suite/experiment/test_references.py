"""References in an experiment: what trains on nothing is tested and nothing else, and only an oracle is told."""

import json

import numpy as np
import pytest
from tests_support import outcome, rows_of

import suite.run.metatest
from algorithms.registry import ALGORITHMS
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand, training_tasks
from suite.monitor.overview import read_cells
from suite.monitor.progress import steps_text
from suite.plan import make_plan
from suite.results.json_files import read_json
from suite.results.layout import metatest_folders, pending
from suite.results.prepare import prepare
from suite.results.records import read_table
from suite.run.metatest import trials_of
from suite.run.worker import main
from tasks.registry import get_family, get_split

SPLIT = get_split("point-goal.ood")


def by_variant(experiment):
    return {cell.variant: cell for cell in expand(experiment)}


def test_references_run_once_with_the_first_seed_and_the_others_with_every_seed(tiny_experiment):
    names = ("mier", "domain-randomised", "null", "random", "told", "identified", "oracle")
    cells = expand(tiny_experiment(names, seeds=(3, 1, 2)))
    seeds = {name: [cell.seed for cell in cells if cell.variant == name] for name in names}
    every = {name: [3, 1, 2] for name in names[:2]}
    assert seeds == every | {name: [3] for name in names[2:]}
    labelled = tiny_experiment(("oracle",), seeds=(1, 2))
    labelled = labelled.model_copy(
        update={"algorithms": (labelled.algorithms[0].model_copy(update={"label": "told"}),)}
    )
    assert [(cell.variant, cell.seed) for cell in expand(labelled)] == [("told", 1)]


@pytest.mark.parametrize("written", ["[null, oracle]", '["null", oracle]', "[{name: null}, {name: oracle}]"])
def test_null_need_not_be_quoted(tmp_path, written):
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\nsplits: [point-goal.ood]\nalgorithms: {written}\nbudget: smoke\n")
    assert [cell.algorithm for cell in expand(load_experiment(path))] == ["null", "oracle"]
    relabelled = load_experiment(path, ["algorithms.null.label=nothing"])
    assert expand(relabelled)[0].variant == "nothing"
    assert expand(load_experiment(path, ["algorithms=[null]"]))[0].algorithm == "null"


def test_what_each_kind_trains_on(tiny_experiment):
    cells = by_variant(tiny_experiment(("mier", "null", "oracle")))
    assert cells["mier"].training.train_tasks == SPLIT.train
    assert cells["null"].training.train_tasks == ()
    assert cells["oracle"].training.train_tasks == (*SPLIT.test, *SPLIT.test_id)
    other = by_variant(tiny_experiment(("mier", "null", "oracle"), split="point-goal.standard"))
    assert other["null"].training.hash == cells["null"].training.hash  # nothing of a split enters it
    assert other["oracle"].training.hash != cells["oracle"].training.hash
    for entry in ALGORITHMS.values():
        siblings = {other.trains_on for other in ALGORITHMS.values() if other.training == entry.training}
        assert len(siblings) == 1
        assert (training_tasks(entry, SPLIT) == SPLIT.train) == (entry.trains_on == ("train",))


def test_what_is_told_trains_on_the_training_tasks_and_is_one_training_in_two_readings(tiny_experiment):
    cells = by_variant(tiny_experiment(("told", "identified", "domain-randomised", "multitask-finetune")))
    assert {cell.training.train_tasks for cell in cells.values()} == {SPLIT.train}
    trainings = {name: cell.training.hash for name, cell in cells.items()}
    assert trainings["told"] == trainings["identified"] != trainings["domain-randomised"]
    assert trainings["domain-randomised"] == trainings["multitask-finetune"]
    assert len({cell.metatests[-1].hash for cell in cells.values()}) == 4


def test_no_budget_is_no_part_of_a_run_that_trains_nothing(tiny_experiment):
    small, large = (
        by_variant(tiny_experiment(("null",), budget=budget))["null"]
        for budget in ({"env_steps": 10}, {"env_steps": 5000, "milestones": [2000]})
    )
    assert small.metatests == large.metatests
    assert len(small.metatests) == 1
    assert small.metatests[0].env_steps == small.execution.env_steps == 0
    assert small.metatests[0].is_final


def test_the_whole_road_of_all_references(tiny_experiment, run_here, tmp_path):
    experiment = tiny_experiment(("mier-wr", "null", "random", "oracle"), env_steps=1400)
    plan = make_plan(experiment, tmp_path, 1, calibrate=False)
    assert [training.env_steps_left for training in plan.trainings] == [1400, 0, 0, 1400]
    folders = run_here(experiment, tmp_path)
    assert not any(pending(folder) for folder in folders)
    cells = {cell.variant: cell for cell in read_cells(tmp_path)}
    assert {cell.state for cell in cells.values()} == {"done"}
    assert steps_text(cells["null"].progress) == ""
    assert steps_text(cells["oracle"].progress).endswith("/ 1,400")
    for name in ("null", "random"):
        folder = cells[name].folder
        assert [path.name for path in (folder / "checkpoints").iterdir()] == ["000000000000"]
        assert (folder / "metrics.jsonl").read_text() == ""
        assert read_table(folder / "metrics.parquet")[0].num_rows == 0
        (only,) = metatest_folders(folder)
        table, metadata = read_table(only / "records.parquet")
        assert set(table["env_steps"].to_pylist()) == {metadata["budget_env_steps"]} == {0}
        assert metadata["cost"]["train_env_steps"] == 0
        assert metadata["cost"]["adaptation_env_steps"] == 20 * SPLIT.adaptation_transitions
    done = make_plan(experiment, tmp_path, 1, calibrate=False)
    assert {cell.state for cell in done.cells} == {"done"}
    assert all(training.env_steps_left == 0 for training in done.trainings)


def test_a_larger_budget_extends_the_oracle_and_repeats_nothing_of_null(tiny_experiment, run_here, tmp_path):
    names = ("null", "oracle")
    null, oracle = run_here(tiny_experiment(names, env_steps=1000), tmp_path / "extended")
    before = outcome(null)
    stamp = (metatest_folders(null)[0] / "records.parquet").stat().st_mtime_ns
    again = prepare(tiny_experiment(names, env_steps=1600), tmp_path / "extended")
    assert [pending(folder) for folder in again] == [False, True]
    run_here(tiny_experiment(names, env_steps=1600), tmp_path / "extended")
    assert outcome(null) == before
    assert (metatest_folders(null)[0] / "records.parquet").stat().st_mtime_ns == stamp
    _, straight = run_here(tiny_experiment(names, env_steps=1600), tmp_path / "straight")
    assert outcome(oracle) == outcome(straight)


def test_a_run_that_was_cut_before_its_only_checkpoint_or_after_it_comes_out_the_same(
    tiny_experiment, run_here, tmp_path
):
    (whole,) = run_here(tiny_experiment(("random",)), tmp_path / "whole")
    (cut,) = prepare(tiny_experiment(("random",)), tmp_path / "cut")
    (cut / "checkpoints" / ".000000000000.partial").mkdir(parents=True)
    assert main([str(cut)]) == 0
    assert rows_of(metatest_folders(cut)[0]) == rows_of(metatest_folders(whole)[0])
    (metatest_folders(cut)[0] / "records.parquet").unlink()
    assert main([str(cut)]) == 0
    assert rows_of(metatest_folders(cut)[0]) == rows_of(metatest_folders(whole)[0])


@pytest.mark.parametrize("name", ["mier", "pearl", "null", "domain-randomised", "told", "identified", "oracle"])
def test_only_a_privileged_agent_is_told_and_it_is_told_the_truth(
    tiny_experiment, run_here, tmp_path, monkeypatch, name
):
    told = []
    original = suite.run.metatest.run_trial

    def spying(trial, agent, *arguments):
        agent.reveal = lambda values, reveal=agent.reveal: (told.append((trial, values)), reveal(values))
        return original(trial, agent, *arguments)

    monkeypatch.setattr(suite.run.metatest, "run_trial", spying)
    run_here(tiny_experiment((name,), env_steps=1200), tmp_path)
    assert bool(told) == ALGORITHMS[name].privileged == (name in ("told", "identified", "oracle"))
    for trial, values in told:
        assert values.tolist() == [list(task.values) for task in trial.tasks]


def test_revealing_follows_the_registry_and_nothing_that_an_agent_says(tiny_experiment):
    (cell,) = expand(tiny_experiment(("mier",)))
    assert not any(trial.revealed for trial in trials_of(cell.metatests[-1], get_family(SPLIT.family)))
    (cell,) = expand(tiny_experiment(("oracle",)))
    assert all(trial.revealed for trial in trials_of(cell.metatests[-1], get_family(SPLIT.family)))


def test_a_finished_oracle_can_be_loaded_and_asks_for_its_tasks(tiny_experiment, run_here, tmp_path):
    from suite.run.agents import load_agent

    (folder,) = run_here(tiny_experiment(("oracle",)), tmp_path)
    agent = load_agent(folder, num_tasks=2)
    with pytest.raises(RuntimeError, match=r"call agent\.reveal"):
        agent.act(np.zeros((2, 2), np.float32), explore=False)
    agent.reveal(np.array(SPLIT.test[:2]))
    assert agent.act(np.zeros((2, 2), np.float32), explore=False).shape == (2, 2)


def test_the_pieces_of_a_reference_are_timed(tiny_experiment):
    from suite.run.timing import time_pieces

    for name in ("null", "oracle"):
        (cell,) = expand(tiny_experiment((name,)))
        cost = time_pieces(cell.training, cell.metatests[-1], "cpu")
        assert (cost.training.seconds(cell.execution.env_steps) == 0.0) == (name == "null")
        assert cost.trial.fixed > 0


def test_they_are_listed_with_what_they_may_see(offmap):
    listed = {row["name"]: row for row in json.loads(offmap("algorithms", "list", "--json").out)["algorithms"]}
    told = {"told", "identified", "oracle"}
    assert {name for name, row in listed.items() if row["is_reference"]} == {"null", "random", *told}
    assert {name for name, row in listed.items() if row["privileged"]} == told
    assert listed["oracle"]["trains_on"] == ["test", "test_id"]
    assert listed["told"]["trains_on"] == listed["identified"]["trains_on"] == ["train"]
    for name in ("null", "random", *told):
        assert name in offmap("algorithms", "list").out
        assert offmap("algorithms", "show", name).code == 0


def test_a_status_of_a_training_of_nothing(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(("null",)), tmp_path)
    status = read_json(folder / "status.json")
    assert (status["state"], status["env_steps"], status["budget"]) == ("done", 0, 0)
