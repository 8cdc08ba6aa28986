"""Searches as they are declared: their configurations, their ladders, and what is refused before anything runs."""

import pytest
import yaml
from pydantic import ValidationError

from suite.errors import UserError
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand
from suite.experiment.shipped import CONFIGS
from suite.tuning.ladder import check
from suite.tuning.search import Search, candidates, experiment_of, load_search

FILES = sorted((CONFIGS / "tuning").glob("*.yaml"))


def blocks(search, algorithm="pearl"):
    return [candidate.blocks for candidate in candidates(search)[algorithm]]


def test_the_published_configuration_comes_first_then_those_listed_then_those_drawn(declared):
    published, listed, *drawn = blocks(declared())
    assert (published.train, published.adapt) == ({}, {})
    assert listed.train == {"learning_rate": 0.001}
    assert len(drawn) == 2
    for one in drawn:
        assert 0.0005 <= one.train["learning_rate"] <= 0.01
        assert one.train["learning_rate"] == float(f"{one.train['learning_rate']:.3g}")
        assert isinstance(one.adapt["relabel_updates"], int)
        assert 100 <= one.adapt["relabel_updates"] <= 900
    assert drawn[0] != drawn[1]


def test_draws_depend_on_the_seed_and_on_nothing_else_that_is_declared(declared):
    search = declared()
    more = declared(configurations=6, rungs=[{"env_steps": 9000}], seeds=[105])
    assert blocks(more)[:4] == blocks(search)
    assert blocks(declared(draw_seed=1)) != blocks(search)


def test_draws_are_log_uniform(declared):
    ranges = {"train.learning_rate": [0.0001, 0.01]}
    search = declared(algorithms=[{"name": "pearl", "ranges": ranges}], configurations=100)
    rates = [one.train["learning_rate"] for one in blocks(search)[1:]]
    assert 0.35 < sum(rate < 0.001 for rate in rates) / len(rates) < 0.65  # half of the exponents; 9 % of the values


def test_each_variant_goes_as_far_as_its_last_rung_and_is_tested_on_those_before(declared):
    search = declared()
    last = {"pearl #0": 1, "pearl #1": 0, "pearl #2": 1, "pearl #3": 0}
    cells = expand(experiment_of(search, last))
    steps = {cell.variant: [test.env_steps for test in cell.metatests] for cell in cells}
    assert steps == {
        "domain-randomised": [2000, 4000], "pearl #0": [2000, 4000], "pearl #1": [2000], "pearl #2": [2000, 4000],
        "pearl #3": [2000],
    }  # fmt: skip
    first = expand(experiment_of(search, dict.fromkeys(last, 0)))
    before = {(cell.variant, cell.split.full_name, cell.seed): cell.metatests[-1].hash for cell in first}
    after = {(cell.variant, cell.split.full_name, cell.seed): cell.metatests[0].hash for cell in cells}
    assert before == after  # what the first rung has tested is not tested again
    assert {cell.training.hash for cell in cells} == {cell.training.hash for cell in first}


def test_configurations_that_differ_in_adaptation_alone_share_a_training_that_goes_furthest(declared):
    configurations = [{"adapt": {"relabel_updates": updates}} for updates in (100, 200, 300)]
    algorithms = [{"name": "pearl+relabeling", "label": "pearl", "configurations": configurations}]
    search = declared(algorithms=algorithms, splits=["point-goal.tuning"])
    cells = [
        cell for cell in expand(experiment_of(search, {"pearl #0": 1, "pearl #1": 0, "pearl #2": 0, "pearl #3": 0}))
        if cell.algorithm == "pearl+relabeling" and cell.seed == 100
    ]  # fmt: skip
    (execution,) = {cell.execution for cell in cells}
    assert (execution.env_steps, execution.milestones) == (4000, (2000,))
    assert [cell.metatests[-1].env_steps for cell in cells] == [4000, 2000, 2000, 2000]
    assert all(cell.metatests[-1].is_final for cell in cells)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": [0, 100]}, "0 may be of a table, .* take seeds from 100 on"),
        ({"rungs": [{"env_steps": 4000, "keep": 2}, {"env_steps": 2000}]}, "2000 env steps are no more than the 4000"),
        ({"rungs": [{"env_steps": 2000, "keep": 4}, {"env_steps": 4000}]}, "of 4 configurations a rung keeps fewer"),
        ({"rungs": [{"env_steps": 2000, "keep": 2}]}, "the last one keeps the winner alone, not 2"),
        ({"algorithms": [{"name": "pearl"}]}, "pearl has 1 configurations .* list more, or give it `ranges`"),
        ({"configurations": 2, "algorithms": [{"name": "pearl", "configurations": [{}, {}, {}]}],
          "rungs": [{"env_steps": 2000}]}, "pearl has 4 configurations .* leave some out"),
        ({"algorithms": [{"name": "pearl", "ranges": {"learning_rate": [1, 2]}}]}, "learning_rate is no knob"),
        ({"algorithms": [{"name": "pearl", "ranges": {"train.learning_rate": [0, 1]}}]}, "from a number above 0"),
        ({"algorithms": [{"name": "domain-randomised", "ranges": {"train.batch": [1, 9]}}]}, "leave it out"),
        ({"algorithms": [{"name": "pearl", "ranges": {"train.batch": [1, 9]}}] * 2}, "names something twice"),
        ({"task_blind": "oracle"}, "oracle is not blind to tasks"),
        ({"protocol": {"task_lists": ["test"]}}, "test both"),
        ({"rule": "best return"}, "shifted mean rank"),
    ],
)  # fmt: skip
def test_what_is_no_search_is_refused(declared, fields, words):
    with pytest.raises(ValidationError, match=words):
        declared(**fields)


def test_a_benchmark_split_is_refused_before_anything_runs_with_the_remedy(declared):
    with pytest.raises(UserError, match=r"point-goal\.ood is a benchmark split, .* take point-goal\.tuning"):
        check(declared(splits=["point-goal.ood"]))
    with pytest.raises(UserError, match=r"cheetah-direction\.standard is a benchmark split, .* has no tuning split"):
        check(declared(splits=["cheetah-direction.standard"], rungs=[{"env_steps": 20_000}]))


def test_an_own_split_may_be_tuned_on_if_it_says_what_for(declared):
    own = {"family": "point-goal", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 40,
           "train": {"uniform": [0.1, 0.5], "number": 20, "seed": 1}, "test": {"values": [0.7, 0.8]},
           "test_id": {"values": [0.3]}}  # fmt: skip
    with pytest.raises(UserError, match=r"point-goal\.mine is a benchmark split, .* declare one in own_splits"):
        check(declared(splits=["point-goal.mine"], own_splits=[own]))
    check(declared(splits=["point-goal.mine"], own_splits=[own | {"tunes": ["ood"]}]))


def test_what_does_not_run_on_a_split_gets_a_search_of_its_own(declared):
    grbal = {"name": "grbal", "ranges": {"train.inner_learning_rate": [0.1, 1.0]}}
    with pytest.raises(UserError, match=r"grbal does not run on point-goal\.tuning .* a search of its own"):
        check(declared(algorithms=[grbal]))


def test_a_shared_value_of_a_searched_knob_is_refused(declared):
    shared = {"name": "pearl", "ranges": {"train.learning_rate": [0.001, 0.01]}}
    check(declared(algorithms=[shared | {"train": {"meta_batch": 4}}]))
    with pytest.raises(UserError, match=r"train\.learning_rate is searched, .* sets it to 0\.1 on point-goal\.tuning"):
        check(declared(algorithms=[shared | {"train": {"learning_rate": 0.1}}]))


def test_a_rung_shorter_than_the_first_iteration_is_refused(declared):
    with pytest.raises(UserError, match="500 env steps are fewer than the"):
        check(declared(rungs=[{"env_steps": 500, "keep": 2}, {"env_steps": 4000}]))


def test_offmap_run_sends_a_search_to_offmap_tune(tmp_path, declared):
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(declared().model_dump(mode="json", exclude_defaults=True)))
    assert load_search(path) == declared()
    with pytest.raises(UserError, match=r"declares a search .* run it with `offmap tune"):
        load_experiment(path)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_search_of_ours_may_run(path):
    search = load_search(path)
    assert isinstance(search, Search)
    assert path.stem == search.name
    assert search.core_minutes is not None
    # With the presets that its winners change, a search that has been run would become another.
    assert all(choice.preset != "lite" for choice in (*search.algorithms, search.task_blind))
    check(search)


def test_our_searches_for_one_budget_are_of_one_effort():
    """Whichever algorithms had to be searched in files of their own: the same configurations, minutes and seeds."""
    efforts = {}
    for path in FILES:
        search = load_search(path)
        kind = search.name.partition("-")[0]
        blind = search.task_blind.model_copy(update={"budget": None})
        effort = (search.configurations, search.core_minutes, search.seeds, search.protocol, blind)
        assert efforts.setdefault(kind, effort) == effort, path
