"""Where a variant's values come from: each preset says so, and what a tuning record is named for is what it chose."""

from pathlib import Path

import pytest

from algorithms.registry import ALGORITHMS, get_algorithm
from suite.experiment import origins
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.experiment.origins import TunedBy, origin_of, origin_words
from suite.experiment.presets import presets
from suite.tuning.record import disagreements, read_record
from tasks.registry import get_split
from tasks.splits import BUILDERS

TRAININGS = sorted({entry.training for entry in ALGORITHMS.values()})
RECORDS = Path(__file__).parents[3] / "reports" / "tuning"


def words(name, split="cheetah-velocity.hard", preset=None, train=None, adapt=None):
    return origin_words(get_algorithm(name), get_split(split), preset, train or {}, adapt or {})


@pytest.mark.parametrize("training", TRAININGS)
def test_every_preset_says_where_its_values_come_from(training):
    names = [entry.name for entry in ALGORITHMS.values() if entry.training == training]
    for preset in presets(training).values():
        assert "origin" in preset
        for split in BUILDERS:
            assert all(origin_of(preset, name, split) for name in names)  # and each that it has is one


PUBLISHED = {  # the rows that a publication, or its code, has values of, and on which families
    "mier": ("cheetah-", "ant-direction", "ant-negated-joints", "humanoid-", "walker-parameters"),
    "mier-wr": ("cheetah-", "ant-direction", "ant-negated-joints", "humanoid-", "walker-parameters"),
    "pearl": ("cheetah-velocity", "cheetah-direction", "ant-direction", "ant-goal", "humanoid-", "walker-parameters"),
    "mql": ("cheetah-velocity", "cheetah-direction", "humanoid-", "walker-parameters"),
}


@pytest.mark.parametrize("split", BUILDERS)
def test_only_what_was_published_for_a_family_without_change_is_called_so(split):
    for name, entry in ALGORITHMS.items():
        if entry.trains_on:
            published = origin_of(presets(entry.training)["default"], name, split) == "published"
            assert published == split.startswith(PUBLISHED.get(name, ("nothing",))), name


def test_the_words_name_the_preset_that_nothing_defends_and_what_the_experiment_sets():
    assert words("mier") == "published values"
    assert words("mier", preset="paper") == "published values (preset paper)"
    assert words("mier", preset="small") == words("pearl", preset="small") == "not tuned (preset small)"
    assert words("mier", "point-goal.ood") == "not tuned (preset default)"
    assert words("mier", "point-goal.ood", "paper") == "not tuned (preset default)"
    assert words("mier", "ant-goal.tavt") == "published values, adapted"
    assert words("mier", "ant-goal.tavt", "paper") == "published values, adapted (preset paper)"
    assert words("pearl+relabeling") == words("told") == words("maml") == "published values, adapted"
    assert words("maml", preset="code") == "published values (preset code)"  # which takes back what was adapted
    own = words("mier", train={"task_batch": 5}, adapt={"gate": "total"})
    assert own == "published values; set by the experiment: train.task_batch, adapt.gate"


def test_a_tuning_record_is_named(monkeypatch):
    layers = {
        "default": {"origin": "published", "splits": {"ant-*": {"origin": "untuned"}}},
        "lite": {"origin": {"tuning": "lite"}, "splits": {"ant-*": {"origin": "untuned"}}},
    }
    monkeypatch.setattr(origins, "presets", lambda training: layers)
    assert words("mier", preset="lite") == "tuning record lite"
    assert words("mier", "ant-goal.tavt", "lite") == "not tuned (preset default and lite)"
    with pytest.raises(ValueError, match="published"):
        origin_of({"origin": "guessed"}, "mier", "ant-goal.tavt")


def test_cells_carry_the_words_of_their_variant():
    choices = ["mier", {"name": "mier", "label": "mine", "preset": "small", "adapt": {"batch": 64}}]
    declared = {
        "name": "x",
        "splits": ["cheetah-velocity.hard"],
        "algorithms": choices,
        "budget": {"env_steps": 500_000},
    }
    first, second = expand(Experiment.model_validate(declared))
    assert (first.values, second.values) == (
        "published values", "not tuned (preset small); set by the experiment: adapt.batch",
    )  # fmt: skip


def tuned_presets():
    """Each preset that names a tuning record: training, name, record."""
    return [
        (training, name, preset["origin"])
        for training in TRAININGS
        for name, preset in presets(training).items()
        if isinstance(origin_of(preset, "", ""), TunedBy)
    ]


@pytest.mark.parametrize("record", sorted(path.parent.name for path in RECORDS.glob("*/record.json")))
def test_every_record_is_of_tuning_splits_as_they_are_and_its_winner_follows(record):
    recorded = read_record(RECORDS / record)
    assert recorded.search.name == record
    for searched in recorded.document["results"].values():
        assert searched["cost"]["core_minutes"] <= recorded.search.core_minutes
    own = {declaration.split().full_name: declaration.split() for declaration in recorded.search.own_splits}
    for name, hashed in recorded.document["splits"].items():
        split = own.get(name) or get_split(name)
        assert (split.role, split.hash) == ("tuning", hashed)


def test_every_preset_that_names_a_record_has_the_values_of_its_winner():
    for training, preset, origin in tuned_presets():
        record = read_record(RECORDS / origin["tuning"])
        splits = [get_split(name) for name in record.search.splits if name in BUILDERS]
        entries = [entry for entry in ALGORITHMS.values() if entry.training == training]
        searched = [entry for entry in entries if entry.name in record.standings]
        assert searched, (training, preset)
        for entry in searched:
            assert disagreements(record, entry.name, entry, preset, splits) == []
