"""The unadapted twin of a variant: one more run on the same training, known by its hash."""

import pytest

from algorithms.registry import ALGORITHMS
from suite.errors import UserError
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.experiment.twins import gain_facts, twin_of
from suite.results.records import read_table
from tasks.registry import get_family

BASE = {"name": "x", "splits": ["point-goal.ood"], "budget": {"env_steps": 100_000}}


def cells(*algorithms, **fields):
    return expand(Experiment.model_validate(BASE | {"algorithms": list(algorithms)} | fields))


def test_asking_for_a_twin_adds_a_run_on_the_same_training_and_changes_no_other():
    (alone,) = cells("rl2")
    own, twin = cells({"name": "rl2", "twin": True})
    assert own == alone
    assert (twin.variant, twin.algorithm) == ("rl2 unadapted", "rl2")
    assert twin.training == own.training
    assert twin.metatests[-1].config == own.metatests[-1].config | {"online": False}
    assert twin.metatests[-1].protocol == own.metatests[-1].protocol


def test_a_twin_keeps_what_else_was_asked_of_its_variant():
    chosen = {"name": "mql", "label": "mine", "preset": "code", "adapt": {"replay_updates": 7, "beta_clip": 3}}
    own, twin = cells(chosen | {"twin": True})
    assert twin.variant == "mine unadapted"
    values = {"online": False, "new_data_updates": 0, "replay_updates": 0}
    assert twin.metatests[-1].config == own.metatests[-1].config | values
    assert twin.metatests[-1].config["beta_clip"] == 3
    assert twin.metatests[-1].config["proximal"] == 0.1


def test_every_combination_of_an_axis_has_its_own():
    axes = {"rl2.train.hidden": [8, 9]}
    labels = [cell.variant for cell in cells({"name": "rl2", "twin": True}, axes=axes)]
    assert labels == ["rl2 hidden=8", "rl2 hidden=8 unadapted", "rl2 hidden=9", "rl2 hidden=9 unadapted"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_run_knows_the_hash_of_its_twin_whether_or_not_it_was_asked_for(name):
    split = "point-dynamics.ood" if ALGORITHMS[name].unsupported(get_family("point-goal")) else "point-goal.ood"
    (own,) = cells(name, splits=[split], budget="native")
    spec = own.metatests[-1]
    facts = gain_facts(spec)
    assert set(facts["before"]) == {"kind", "sentence"}
    assert not facts["is_twin"]
    if facts["twin"] is None:
        assert facts["before"]["kind"] == "does not adapt"
        return
    _, twin = cells({"name": name, "twin": True}, splits=[split], budget="native")
    assert twin.metatests[-1].hash == facts["twin"] != spec.hash
    assert gain_facts(twin.metatests[-1]) | {"before": None} == {"before": None, "twin": facts["twin"], "is_twin": True}
    assert twin_of(twin.metatests[-1]) == twin.metatests[-1]


def test_a_variant_written_by_hand_is_the_twin_that_would_have_been_added():
    own, by_hand = cells("rl2", {"name": "rl2", "label": "rl2 without memory", "adapt": {"online": False}})
    assert gain_facts(own.metatests[-1])["twin"] == by_hand.metatests[-1].hash
    with pytest.raises(UserError, match="'rl2 unadapted' and 'by hand' have the same configuration"):
        cells({"name": "rl2", "twin": True}, {"name": "rl2", "label": "by hand", "adapt": {"online": False}})


@pytest.mark.parametrize("name", ["null", "oracle"])
def test_what_never_learns_of_its_task_has_no_twin(name):
    with pytest.raises(UserError, match=f"algorithms: {name} has no unadapted twin, .* leave `twin` out"):
        cells({"name": name, "twin": True})


def test_an_unknown_algorithm_is_named_before_its_twin():
    with pytest.raises(UserError, match="there is no algorithm 'rl3': did you mean rl2"):
        cells({"name": "rl3", "twin": True})


def test_records_say_what_a_gain_is_measured_against(tiny_experiment, run_here, tmp_path):
    """Through the whole road: a twin's returns are those before, wherever `before` is said to be the twin's."""
    experiment = tiny_experiment(("maml", "rl2"), env_steps=400)
    choices = [choice.model_copy(update={"twin": True}) for choice in experiment.algorithms]
    folders = run_here(experiment.model_copy(update={"algorithms": tuple(choices)}), tmp_path / "out")
    assert len(folders) == 2
    rows, metadata = {}, {}
    for folder in folders:
        for below in (folder / "metatests").iterdir():
            table, document = read_table(below / "records.parquet")
            metadata[document["variant"]] = document
            for row in table.to_pylist():
                if row["phase"] in ("before", "after"):
                    returns = rows.setdefault((document["variant"], row["phase"]), [])
                    returns.append((row["task_list"], row["task"], row["episode"], row["return"]))
    for name in ("maml", "rl2"):
        gain, twin = metadata[name]["gain"], metadata[f"{name} unadapted"]
        assert gain["twin"] == twin["run"]
        assert twin["gain"]["is_twin"]
        assert rows[f"{name} unadapted", "before"] == rows[f"{name} unadapted", "after"] != rows[name, "after"]
        assert (rows[name, "before"] == rows[f"{name} unadapted", "after"]) == (gain["before"]["kind"] == "unadapted")
