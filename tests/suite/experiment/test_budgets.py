"""Budgets and native protocols by name."""

import pytest
import yaml

from algorithms.registry import ALGORITHMS, get_algorithm
from suite.errors import UserError
from suite.experiment import budgets, shipped
from suite.experiment.budgets import OwnNumbers, budget_table, native_protocol, own_numbers
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.experiment.presets import LITE_COMPUTE, NATIVE
from suite.experiment.shipped import CONFIGS
from suite.experiment.specs import EvaluationProtocol
from tasks.registry import get_split
from tasks.splits import BUILDERS

PUBLISHED = ("mier", "pearl", "mql", "maml", "promp", "rl2", "grbal")


def cells_of(budget, splits=("cheetah-velocity.hard",), algorithms=("mier", "pearl"), **fields):
    return expand(Experiment.model_validate(
        {"name": "x", "splits": splits, "algorithms": algorithms, "budget": budget} | fields
    ))  # fmt: skip


# Numbers -------------------------------------------------------------------------------------------------------------


def test_the_matched_budget_is_the_papers_for_every_algorithm():
    for split in BUILDERS:
        if split.startswith("point-"):
            continue
        expected = 2_500_000 if split.startswith("ant-negated-joints") else 1_500_000
        found = {cell.execution.env_steps for cell in cells_of("matched", [split], ["mier", "pearl", "oracle"])}
        assert found == {expected}


def row(name, split):
    return budgets._matching(own_numbers(name, NATIVE).env_steps, split)[-1]


@pytest.mark.parametrize(("name", "split", "expected"), [
    ("pearl", "cheetah-velocity.standard", 100 * 2000 + 500 * 5000),
    ("pearl", "cheetah-direction.standard", 2 * 2000 + 500 * 10_000),
    ("pearl", "ant-direction.standard", 2 * 2000 + 500 * 5000),
    ("pearl", "ant-direction.ood", 100 * 2000 + 500 * 5000),
    ("pearl", "ant-goal.standard", 150 * 2000 + 500 * 5000),
    ("pearl", "ant-negated-joints.ood", 35 * 2000 + 500 * 5000),
    ("pearl", "cheetah-negated-joints.ood", 10 * 2000 + 500 * 5000),
    ("pearl", "walker-parameters.standard", 40 * 2000 + 500 * 5000),
    ("maml", "cheetah-velocity.standard", 501 * 40 * 20 * 200 * 2),
    ("promp", "walker-parameters.standard", 1001 * 40 * 20 * 200 * 2),
    ("rl2", "cheetah-direction.standard", 501 * 100 * 2 * 200),
    ("grbal", "cheetah-negated-joints.ood", 50 * 5 * 1000),
    ("mql", "ant-goal.standard", 5_000_000),
    ("recurrent-sac", "cheetah-velocity.standard", (500 + 500 * 25) * 400),
    ("recurrent-sac", "ant-direction.ood", (500 + 3000 * 25) * 400),
    ("mier", "ant-negated-joints.ood", 2_500_000),
])  # fmt: skip
def test_native_budgets_are_the_published_ones(name, split, expected):
    assert row(name, split) == expected


@pytest.mark.parametrize(("name", "preset", "split", "iterations", "steps"), [
    ("maml", "finn", "cheetah-velocity.standard", 800, 40 * 20 * 200 * 2),
    ("maml", "promp-paper", "ant-goal.standard", 1001, 40 * 20 * 200 * 3),
    ("promp", "paper", "ant-goal.standard", 1001, 40 * 20 * 200 * 3),
    ("promp", "paper", "cheetah-direction.standard", 1001, 40 * 20 * 100 * 2),
    ("rl2", "rl2-pearl", "ant-goal.standard", 501, 100 * 2 * 200),
])  # fmt: skip
def test_presets_of_other_runs_have_their_native_budgets(name, preset, split, iterations, steps):
    (cell,) = cells_of("native", [split], [{"name": name, "preset": preset}])
    assert cell.execution.env_steps == pytest.approx(iterations * steps, rel=1e-3)


def test_every_algorithm_of_the_paper_has_numbers_on_every_split_built_or_not():
    for name in PUBLISHED:
        for split in BUILDERS:
            assert row(name, split) > 0
            assert budgets._matching(own_numbers(name, NATIVE).protocol, split)
    natives = [own_numbers(entry.training, NATIVE) for entry in ALGORITHMS.values()]
    tables = [budget_table().matched, budget_table().smoke, *(native.env_steps for native in natives)]
    tables += [rows for native in natives for rows in (*native.presets.values(), native.protocol or {})]
    for pattern in {pattern for rows in tables for pattern in rows}:
        assert any(budgets.fnmatch(split, pattern) for split in BUILDERS), pattern


def test_a_smoke_run_is_the_first_iteration_and_a_few_more():
    mier, pearl, null = cells_of("smoke", ["point-goal.ood"], ["mier", "pearl", "null"])
    assert mier.execution.env_steps == 40 * 200 + 3 * 5 * (200 + 200)
    assert pearl.execution.env_steps == 40 * 200 + 3 * 5 * (200 + 400)
    assert null.execution.env_steps == 0
    assert mier.training.config["steps_per_iteration"] == 20  # the preset of that name


def test_a_smoke_run_takes_exactly_its_iterations(tiny_experiment, run_here, tmp_path):
    folders = run_here(tiny_experiment(("mier", "pearl", "oracle", "mql", "rl2", "maml"), budget="smoke"), tmp_path)
    for folder in folders:
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_budget_given_in_steps_is_what_it_always_was():
    (cell,) = cells_of({"env_steps": 300_000, "milestones": [250_000]}, algorithms=["mier"])
    assert (cell.execution.env_steps, cell.execution.milestones) == (300_000, (250_000,))
    (named,) = cells_of("matched", algorithms=["mier"])
    assert named.training.hash == cell.training.hash  # a budget is no part of a training's identity
    assert named.execution.milestones == ()


def test_the_schema_offers_the_words_and_the_mapping():
    schema = Experiment.model_json_schema()
    choices = schema["properties"]["budget"]["oneOf"]
    words = ["native", "matched", "lite", "lite-compute", "smoke"]
    assert choices[1]["enum"] == words
    assert choices[0]["$ref"].endswith("/Budget")
    assert schema["properties"]["native_protocol"]["default"] is False


# Presets that go with a budget ---------------------------------------------------------------------------------------


def test_a_named_budget_chooses_the_preset_of_its_name_unless_the_user_names_one(monkeypatch):
    few = {"train": {"initial_transitions": 40}}
    known = {"default": few, "matched": {"train": {"context_dim": 3}}, "small": {"train": {"context_dim": 4}}}
    for module in ("suite.experiment.budgets", "suite.experiment.presets"):
        monkeypatch.setattr(f"{module}.presets", lambda training: known)
    dims = {
        budget: [cell.training.config["context_dim"] for cell in cells_of(
            budget, ["point-goal.ood"], ["mier", {"name": "mier", "preset": "small", "label": "small"}]
        )]
        for budget in ("matched", "native")
    }  # fmt: skip
    assert dims == {"matched": [3, 4], "native": [5, 4]}
    (given,) = cells_of({"env_steps": 90_000}, ["point-goal.ood"], ["mier"])
    assert given.training.config["context_dim"] == 5


def natively(monkeypatch, **numbers):
    """Has `own_numbers` give these numbers, by meta-training, and none to any other."""
    known = {training: OwnNumbers.model_validate(given) for training, given in numbers.items()}
    monkeypatch.setattr(budgets, "own_numbers", lambda training, name: known.get(training, OwnNumbers()))


def test_a_presets_own_number_goes_before_that_of_its_training(monkeypatch):
    natively(monkeypatch, mier={"env_steps": {"*": 1_000_000}, "presets": {"small": {"*": 3_000_000}}})
    choices = ["mier", "mier-wr", {"name": "mier", "preset": "small", "label": "small"}]
    steps = [cell.execution.env_steps for cell in cells_of("native", algorithms=choices)]
    assert steps == [1_000_000, 1_000_000, 3_000_000]


def test_lite_compute_is_lite_but_for_those_that_have_a_number_of_their_own():
    algorithms = ["pearl", "maml", "null"]
    lite, compute = (cells_of(name, ["cheetah-velocity.hard"], algorithms) for name in ("lite", "lite-compute"))
    assert [cell.execution.env_steps for cell in lite] == [300_000, 300_000, 0]
    assert [cell.execution.env_steps for cell in compute][::2] == [300_000, 0]
    assert compute[1].execution.env_steps >= 5_000_000
    for here, there in zip(lite, compute):  # one training, of which the second may be the continuation
        assert here.training.hash == there.training.hash


# Mistakes ------------------------------------------------------------------------------------------------------------


def test_a_missing_number_names_what_is_known(monkeypatch):
    natively(monkeypatch, mier={"env_steps": {"ant-*": 1_000_000}})
    with pytest.raises(UserError, match=r"native has no number for pearl on .*; .*/pearl.yaml knows none. Add one"):
        cells_of("native", algorithms=["pearl"])
    with pytest.raises(UserError, match=r"for mier on cheetah-velocity.hard; .* knows ant-\*"):
        cells_of("native", algorithms=["mier"])
    cells_of("native", algorithms=["null"])  # needs no number


@pytest.mark.parametrize(("text", "parts"), [
    ("mached: {}", ["mached is not a known key; did you mean matched?"]),
    ("smoke: {'*': {iteration: 4}}", ["smoke.*.iteration is not a known key", "iterations is missing"]),
    ("matched: {'*': -5}", ["matched.*", "greater than 0", "given -5"]),
    ("matched: [1]", ["matched", "valid dictionary"]),
    ("matched: [", ["cannot be read"]),
])  # fmt: skip
def test_mistakes_in_the_file_of_budgets_are_explained(tmp_path, monkeypatch, text, parts):
    monkeypatch.setattr(shipped, "CONFIGS", tmp_path)
    (tmp_path / "budgets.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        budget_table.__wrapped__()
    for part in ("budgets.yaml", *parts):
        assert part in str(caught.value)


def test_the_names_of_the_file_are_those_an_experiment_may_use():
    names = set(yaml.safe_load((CONFIGS / "budgets.yaml").read_text()))
    assert names | {NATIVE, LITE_COMPUTE} == set(budgets.BudgetName.__args__)


def test_mistakes_in_the_native_numbers_of_an_algorithm_are_explained(monkeypatch):
    monkeypatch.setattr(budgets, "algorithm_document", lambda training: {NATIVE: {"env_step": {"*": 1}}})
    with pytest.raises(UserError, match=r"new.yaml: native: env_step is not a known key; did you mean env_steps"):
        own_numbers("new", NATIVE)


# Native protocols ----------------------------------------------------------------------------------------------------


def test_a_native_protocol_replaces_what_its_authors_did_otherwise_and_keeps_the_rest():
    own = EvaluationProtocol(evaluate_every=7, task_lists=("test",), evaluation_episodes=5)
    pearl = native_protocol(own, get_algorithm("pearl"), "walker-parameters.ood")
    assert pearl == own.model_copy(update={"name": "native", "adaptation_transitions": 400, "evaluation_episodes": 2})
    null = native_protocol(own, get_algorithm("null"), "walker-parameters.ood")
    assert null == own.model_copy(update={"name": "native"})


def test_the_identity_of_an_unnamed_protocol_is_what_it_was_and_a_native_one_has_another():
    assert "name" not in EvaluationProtocol().model_dump()
    assert EvaluationProtocol().hash == "e918052ecfb3"
    same = native_protocol(EvaluationProtocol(), get_algorithm("null"), "point-goal.ood")
    assert same.hash != EvaluationProtocol().hash
    assert EvaluationProtocol.model_validate(same.model_dump(mode="json")) == same


def test_an_experiment_under_native_protocols_shares_trainings_and_no_meta_test():
    split = ["point-goal.ood"]
    plain = cells_of({"env_steps": 9000, "milestones": [8500]}, split)
    native = cells_of({"env_steps": 9000, "milestones": [8500]}, split, native_protocol=True)
    assert [cell.training.hash for cell in plain] == [cell.training.hash for cell in native]
    for one, other in zip(plain, native):
        assert {test.hash for test in one.metatests} & {test.hash for test in other.metatests} == set()
        assert all(test.protocol.name == "native" for test in other.metatests)
        assert all(test.protocol.name is None for test in one.metatests)
    assert native[1].metatests[-1].protocol.adaptation_transitions == 40


def test_an_algorithm_without_a_native_protocol_is_named(monkeypatch):
    natively(monkeypatch, pearl={"protocol": {}})
    with pytest.raises(UserError, match=r"native_protocol: mier has none; add .* to configs/algorithms/mier.yaml"):
        cells_of("matched", algorithms=["mier"], native_protocol=True)


def test_the_two_kinds_never_stand_in_one_table(tiny_experiment, run_here, tmp_path):
    from reports.reading.load import load
    from suite.results.collect import collect

    run_here(tiny_experiment(("mier-wr", "pearl"), native_protocol=True), tmp_path / "native")
    native = load(tmp_path / "native")
    assert any("under its own native protocol" in note for note in native.notes)
    assert native.records["protocol_hash"].nunique() == 2
    collect(tmp_path / "native")  # each its own, and all of them native: one table
    run_here(tiny_experiment(("mier-wr",), name="plain"), tmp_path / "plain")
    both = load([tmp_path / "native", tmp_path / "plain"])
    assert {split.partition(" [")[2] for split in both.records["split"]} == {"native]", "plain]"}
    assert both.problems == ()
    with pytest.raises(UserError, match="different protocols"):
        collect(tmp_path)
    apart = load([tmp_path / "native", tmp_path / "plain"], mix=True)
    assert any(variant.endswith("[protocol native]") for variant in apart.cells["variant"])


def test_all_entries_and_splits_resolve_under_every_name():
    """Whatever is registered can be run under a name: no algorithm is forgotten in the files."""
    for entry in ALGORITHMS.values():
        for split in BUILDERS:
            reason = entry.unsupported(budgets_family(split))
            if reason is None:
                for budget in ("native", "matched", "smoke"):
                    (cell,) = cells_of(budget, [split], [entry.name], native_protocol=True)
                    assert cell.execution.env_steps > 0 or not entry.trains_on


def budgets_family(split):
    from tasks.registry import get_family

    return get_family(get_split(split).family)
