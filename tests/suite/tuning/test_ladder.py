"""Rungs over runs whose records are made up: who goes on, what is asked for again, and what a record holds."""

import math

import pytest

from algorithms.registry import get_algorithm
from suite.errors import UserError
from suite.experiment import presets
from suite.results.json_files import read_json, write_json
from suite.results.prepare import prepare
from suite.results.records import SCHEMA, write_table
from suite.tuning.ladder import climb, returns_after
from suite.tuning.record import disagreements, read_record, write_record
from suite.tuning.search import TASK_BLIND
from suite.tuning.selection import Value
from tasks.registry import get_split

BEST = {"pearl #0": -3.0, "pearl #1": -1.0, "pearl #2": -2.0, "pearl #3": -4.0, "domain-randomised": -50.0}
"""What each variant is made to return, on both lists, the seed's number above 100 better."""


class Runs:
    """A `carry_out` that prepares what it is asked for, and makes up records of it."""

    def __init__(self, out, returns, ends=lambda variant, env_steps: True):
        self.out, self.returns, self.ends = out, returns, ends
        self.asked = []  # budget, and number of meta-tests that were made up, by call

    def __call__(self, experiment):
        made = 0
        for folder in prepare(experiment, self.out):
            for below in sorted((folder / "metatests").iterdir()):
                spec, label = read_json(below / "config.json"), read_json(below / "label.json")["variant"]
                if not (below / "records.parquet").exists() and self.ends(label, spec["env_steps"]):
                    self.write(folder, below, spec, label)
                    made += 1
        self.asked.append((experiment.budget.env_steps, made))

    def write(self, folder, below, spec, label):
        seed = read_json(folder / "config.json")["seed"]
        value = self.returns[label] + (seed - 100) * 0.25 + spec["env_steps"] / 1e6
        rows = [
            {"run": below.name, "training": folder.name, "algorithm": label, "variant": label, "family": "f",
             "split": "s", "split_hash": "h", "protocol_hash": "p", "seed": seed, "env_steps": spec["env_steps"],
             "is_final": spec["is_final"], "task_list": name, "task": task, "parameter": 0.0, "phase": phase,
             "update": 0, "transitions": 0, "episode": 0, "return": value + offset + task, "length": 20,
             "terminated": False, "cut": False}
            for name in ("test", "test_id") for task in (0, 1) for phase, offset in (("before", -99.0), ("after", -0.5))
        ]  # fmt: skip
        write_table(below / "records.parquet", rows, SCHEMA, {"cost": {"metatest_wall_seconds": 6.0}})
        write_json(folder / "provenance.json", {"threads": 2, "cpu": "a processor", "git_revision": "abc"})


def numbers(values, env_steps):
    return sorted(
        {value.configuration for value in values if (value.algorithm, value.env_steps) == ("pearl", env_steps)}
    )


def test_the_better_half_goes_on_and_nothing_is_run_twice(declared, tmp_path):
    runs = Runs(tmp_path, BEST)
    values = climb(declared(), tmp_path, runs)
    assert runs.asked == [(2000, 20), (4000, 12)]  # five variants, two splits, two seeds; then two and the task-blind
    assert (numbers(values, 2000), numbers(values, 4000)) == ([0, 1, 2, 3], [1, 2])
    own = next(value for value in values if value[:6] == ("pearl", 1, 2000, "point-goal.tuning", 101, "test"))
    assert own.value == pytest.approx(-1.0 + 0.25 + 0.002)
    again = Runs(tmp_path, {})
    assert climb(declared(), tmp_path, again) == values
    assert again.asked == []


def test_a_search_goes_on_where_it_was_interrupted(declared, tmp_path):
    with pytest.raises(UserError, match=r"pearl #2 on point-goal\.tuning, seed 100, has not reached 2000 env steps"):
        climb(declared(), tmp_path, Runs(tmp_path, BEST, lambda variant, env_steps: variant != "pearl #2"))
    with pytest.raises(UserError, match=r"pearl #1 on point-goal\.tuning, seed 100, has not reached 4000 env steps"):
        climb(
            declared(),
            tmp_path,
            Runs(tmp_path, BEST, lambda variant, env_steps: (variant, env_steps) != ("pearl #1", 4000)),
        )
    runs = Runs(tmp_path, BEST)
    values = climb(declared(), tmp_path, runs)
    assert runs.asked == [(4000, 4)]
    assert numbers(values, 4000) == [1, 2]


def test_a_task_blind_row_with_a_budget_of_its_own_has_one_value_for_all_rungs(declared, tmp_path):
    blind = {"name": "domain-randomised", "budget": {"env_steps": 1800}}
    runs = Runs(tmp_path, BEST)
    values = climb(declared(task_blind=blind), tmp_path, runs)
    assert runs.asked == [(2000, 20), (4000, 8)]
    own = [value for value in values if value.algorithm == TASK_BLIND]
    assert {value.env_steps for value in own} == {2000, 4000}
    assert all(value.value == pytest.approx(-50.0 + 0.0018) for value in own if value.seed == 100)


def test_every_variant_stays_in_the_grid_with_its_own_last_rung(declared, tmp_path):
    climb(declared(), tmp_path, Runs(tmp_path, BEST))
    cells = read_json(tmp_path / "cells.json")
    assert {cell["variant"] for cell in cells} == {*BEST}
    finals = {}
    for cell in cells:
        spec = read_json(tmp_path / cell["training"] / "metatests" / cell["run"] / "config.json")
        finals[cell["variant"]] = (spec["env_steps"], spec["is_final"])
    assert finals == {
        "pearl #0": (2000, True), "pearl #3": (2000, True), "pearl #1": (4000, True), "pearl #2": (4000, True),
        "domain-randomised": (4000, True),
    }  # fmt: skip


def test_a_training_that_diverged_is_a_missing_return_and_not_tried_again(declared, tmp_path):
    def diverge(runs, experiment):
        runs(experiment)
        for path in tmp_path.glob("*/metatests/*/label.json"):
            if read_json(path)["variant"] == "pearl #1":
                status = {
                    "state": "failed",
                    "message": "diverged: a loss is not finite, near env step 9",
                    "host": "here",
                }
                write_json(path.parents[2] / "status.json", status)

    runs = Runs(tmp_path, BEST, lambda variant, env_steps: variant != "pearl #1")
    values = climb(declared(), tmp_path, lambda experiment: diverge(runs, experiment))
    assert all(math.isnan(value.value) for value in values if (value.algorithm, value.configuration) == ("pearl", 1))
    assert numbers(values, 4000) == [0, 2]


def test_the_final_return_is_a_mean_over_episodes_and_then_over_tasks(tmp_path):
    path = tmp_path / "records.parquet"
    base = dict.fromkeys(SCHEMA.names, "x") | dict.fromkeys(("seed", "env_steps", "update", "transitions", "length"), 0)
    base |= {"is_final": True, "terminated": False, "cut": False, "parameter": 0.0}
    rows = [
        base | {"task_list": name, "task": task, "episode": episode, "phase": phase, "return": value}
        for name, task, episode, phase, value in (
            ("test", 0, 0, "after", 1.0), ("test", 0, 1, "after", 3.0), ("test", 1, 0, "after", 5.0),
            ("test", 0, 0, "during", 99.0), ("test_id", 0, 0, "after", math.nan), ("test_id", 1, 0, "after", 1.0),
        )
    ]  # fmt: skip
    write_table(path, rows, SCHEMA, {})
    returns = returns_after(path)
    assert returns["test"] == 3.5
    assert math.isnan(returns["test_id"])


@pytest.fixture
def written(declared, tmp_path):
    """A function (returns) -> the folder of a record."""

    def write(returns=BEST):
        search, out = declared(), tmp_path / "out"
        values = climb(search, out, Runs(out, returns))
        write_record(search, values, out, tmp_path / "record")
        return tmp_path / "record"

    return write


def test_a_record_holds_the_search_the_values_the_winner_and_what_it_took(written, declared):
    record = read_record(written())
    assert record.search == declared().model_copy(update={"executor": record.search.executor})
    assert len(record.values) == 2 * (20 + 12)
    assert record.winner("pearl").train == {"learning_rate": 0.001}
    result = record.document["results"]["pearl"]
    assert result["winner"] == 1
    assert [[one["configuration"] for one in rung] for rung in result["rungs"]] == [[1, 2, 0, 3], [1, 2]]
    # Every meta-test took 6 s of 2 threads: 16 on the first rung and 8 on the second.
    assert result["cost"]["core_minutes"] == pytest.approx((16 + 8) * 12 / 60)
    assert record.document["task_blind_cost"]["core_minutes"] == pytest.approx(8 * 12 / 60)
    assert record.document["splits"]["point-goal.tuning"] == get_split("point-goal.tuning").hash
    assert record.document["environment"]["git_revision"] == ["abc"]


def test_missing_returns_survive_being_written(written):
    folder = written()
    record = read_record(folder)
    gone = Value("pearl", 2, 4000, "point-goal.tuning", 100, "test", math.nan, "r")
    values = [gone if value[:6] == gone[:6] else value for value in record.values]
    write_record(record.search, values, folder.parent / "out", folder)
    assert math.isnan(next(value.value for value in read_record(folder).values if value[:6] == gone[:6]))


def test_a_record_whose_winner_does_not_follow_from_its_values_is_refused(written):
    folder = written()
    document = read_json(folder / "record.json")
    document["results"]["pearl"]["winner"] = 2
    write_json(folder / "record.json", document)
    with pytest.raises(UserError, match=r"by its values the winners are \{'pearl': 1\}, and the record says"):
        read_record(folder)
    (folder / "values.csv").write_text("algorithm\nx\n")
    with pytest.raises(UserError, match="is damaged: KeyError"):
        read_record(folder)
    with pytest.raises(UserError, match=r"holds no record of a search: it has no record\.json"):
        read_record(folder.parent)


def test_a_preset_agrees_with_the_winner_it_names_or_is_told_where_it_does_not(written, monkeypatch):
    record = read_record(written())
    splits = [get_split(name) for name in record.search.splits]
    entry = get_algorithm("pearl+relabeling")
    own = {"good": {"train": {"learning_rate": 0.001}}, "bad": {"train": {"learning_rate": 0.01}}}
    shipped = presets.presets("pearl")
    monkeypatch.setattr(presets, "presets", lambda training: shipped | own)
    assert disagreements(record, "pearl", entry, "good", splits) == []
    assert disagreements(record, "pearl", entry, "bad", splits) == [
        f"{split.full_name}: train.learning_rate is 0.01 in the preset, 0.001 in the winner" for split in splits
    ]
    assert disagreements(record, "mier", get_algorithm("mier"), "small", splits) == ["small has not searched mier"]
    nobody = record._replace(values=[value._replace(value=-99.0) if value.task_list == "test_id" and
                                     value.algorithm == "pearl" else value for value in record.values])  # fmt: skip
    assert disagreements(nobody, "pearl", entry, "good", splits) == ["small has no winner for pearl"]
