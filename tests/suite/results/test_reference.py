"""Shipped tables: found by name, and comparable with what was measured alike only."""

import pytest

from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.plan import make_plan
from suite.results.prepare import prepare
from suite.results.reference import measurements, reference_table, reference_tables, rows

PROTOCOL = {"evaluation_episodes": 2}  # that of the table `parity`


def experiment(**changes):
    given = {"name": "mine", "splits": ["cheetah-velocity.hard"], "algorithms": ["pearl"], "budget": "smoke"}
    return Experiment.model_validate(given | {"protocol": PROTOCOL, "against": "parity"} | changes)


def test_tables_are_found_by_name():
    assert {"parity", "published-budget/mier"} <= reference_tables().keys()
    with pytest.raises(UserError, match="no reference table is called 'party'; did you mean parity"):
        reference_table("party")


def test_rows_say_which_seeds_and_budgets():
    (mier, without) = rows(reference_table("published-budget/mier"))
    assert (mier.variant, without.variant) == ("mier", "mier-wr")
    assert (mier.split, mier.seeds, mier.env_steps) == ("cheetah-velocity.hard", (0,), (500_000,))


def test_measurements_are_those_of_final_checkpoints():
    (measurement,) = measurements(reference_table("published-budget/mier")).values()
    assert measurement.protocol["max_tasks"] is None  # checkpoints on the way were tested on ten tasks


def test_what_was_measured_alike_may_stand_beside_it(tmp_path):
    assert make_plan(experiment(), tmp_path, workers=1, calibrate=False).cells


@pytest.mark.parametrize("refuse", [
    lambda experiment, out: make_plan(experiment, out, workers=1, calibrate=False), prepare,
], ids=["plan", "run"])  # fmt: skip
@pytest.mark.parametrize(("changes", "message"), [
    ({"against": "lit"}, "no reference table is called 'lit'"),
    ({"splits": ["point-goal.ood"]}, "parity has results on cheetah-velocity.hard, and on none of this"),
    ({"protocol": {"max_tasks": 10}}, r"another protocol on cheetah-velocity.hard: \w{12} there, \w{12} here. "
     "Comparable with --set protocol.evaluation_episodes=2 --set protocol.max_tasks=null$"),
])  # fmt: skip
def test_anything_else_is_refused_before_anything_runs(tmp_path, refuse, changes, message):
    out = tmp_path / "mine"
    with pytest.raises(UserError, match=message):
        refuse(experiment(**changes), out)
    assert not out.exists()


def test_other_task_lists_are_refused(monkeypatch, tmp_path):
    table = measurements(reference_table("parity"))
    other = {split: measurement._replace(split_hash="0" * 12) for split, measurement in table.items()}
    monkeypatch.setattr("suite.results.reference.measurements", lambda _: other)
    with pytest.raises(UserError, match=r"other task lists of .*: 000000000000 there, 6c05d489a1fc here"):
        make_plan(experiment(), tmp_path, workers=1, calibrate=False)


def test_the_settings_of_the_message_make_it_comparable(tmp_path):
    fixed = experiment(protocol={"max_tasks": None, "evaluation_episodes": 2})
    assert make_plan(fixed, tmp_path, workers=1, calibrate=False).cells
