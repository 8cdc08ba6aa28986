"""A user's mistakes in an experiment: each is said in one message, with the place, what was given, and the remedy."""

from pathlib import Path

import pytest
import yaml
from tests_support import GOOD, OWN, changed, written

from suite.errors import UserError
from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand


@pytest.fixture
def refusal(tmp_path):
    """A function (document, *overrides) -> the message with which it is refused, when loaded or expanded."""

    def refuse(document, *overrides):
        path = written(tmp_path, document if isinstance(document, str) else yaml.safe_dump(document))
        with pytest.raises(UserError) as caught:
            expand(load_experiment(path, overrides))
        return str(caught.value)

    return refuse


MISTAKES = {
    "misspelt key": (changed(protocl={}), ["protocl is not a known key", "did you mean protocol?"]),
    "misspelt key inside": (changed(protocol={"evalute_every": 5}),
                            ["protocol.evalute_every", "did you mean evaluate_every?"]),
    "trial shorter than an episode": (
        changed(algorithms=[{"name": "rl2", "train": {"trial_transitions": 5}}]),
        ["rl2 on point-goal.ood: trial_transitions is 5", "less than one episode of 20", "set it to 40 or more"]),
    "more trials in a minibatch than there are": (
        changed(algorithms=[{"name": "rl2", "train": {"minibatches": 500}}]),
        ["rl2 on point-goal.ood: minibatches is 500", "more than the 40 trials_per_iteration"]),
    "a view that the family does not have": (
        changed(algorithms=[{"name": "promp", "train": {"view": "without_position"}}]),
        ["promp on point-goal.ood: the family has no view 'without_position'", "set `view` to 'full'",
         "offmap tasks show FAMILY"]),
    "a misspelt view": (
        changed(splits=["cheetah-direction.standard"], algorithms=[{"name": "rl2", "train": {"view": "no_position"}}]),
        ["rl2 on cheetah-direction.standard: the family has no view 'no_position'", "did you mean 'without_position'"]),
    "a view of an algorithm that observes everything": (
        changed(algorithms=[{"name": "grbal", "train": {"view": "full"}}], splits=["point-dynamics.ood"]),
        ["grbal.train: view is not a known key"]),
    "a batch larger than the data": (
        changed(algorithms=[{"name": "mql", "train": {"batch": 1601}}]),
        ["mql on point-goal.ood: batch is 1601", "more than the 1600 transitions", "of 40 tasks; lower it"]),
    "a batch larger than the replay": (
        changed(algorithms=[{"name": "mql", "train": {"replay_capacity": 63}}]),
        ["batch is 64, more than the 63 transitions", "replay_capacity"]),
    "a batch larger than an oracle's data": (
        changed(algorithms=[{"name": "oracle", "train": {"batch": 5000}}]),
        ["oracle on point-goal.ood: batch is 5000, more than the", "lower it or raise initial_transitions"]),
    "a past as long as an episode": (
        changed(splits=["point-dynamics.ood"], algorithms=[{"name": "grbal", "train": {"past": 20, "least_past": 20}}]),
        ["grbal on point-dynamics.ood: past: 20 transitions are needed before the first adaptation",
         "an episode has only 20 steps; lower `past`"]),
    "collections too short for a window": (
        changed(splits=["point-dynamics.ood"], algorithms=[{"name": "grbal", "train": {"transitions": 2}}]),
        ["past: 2 transitions are needed", "but transitions has only 2 steps"]),
    "a force that repels": (changed(algorithms=[{"name": "mql", "adapt": {"proximal": -0.1}}]),
                            ["mql.adapt: proximal", "greater than or equal to 0, given -0.1"]),
    "a gate that was never calibrated": (
        changed(algorithms=[{"name": "mier", "adapt": {"gate": "likelihood"}}]),
        ["mier on point-goal.ood: adapt.gate: likelihood was never calibrated",
         "takes 9 of them, and train.left_out_tasks is 0; set that to 9 or more"]),
    "a gate calibrated on fewer transitions than it judges": (
        changed(algorithms=[{"name": "mier", "train": {"left_out_tasks": 9}, "adapt": {"gate": "likelihood"}}],
                protocol={"adaptation_transitions": 60}),
        ["calibrated on as many transitions per task as a test gives, 60",
         "train.initial_transitions is 40; set that to 60 or more"]),
    "a gate's threshold where its kind stands": (changed(algorithms=[{"name": "mier", "adapt": {"gate": -3}}]),
                                                 ["mier.adapt: gate", "'none', 'total' or 'likelihood', given -3"]),
    "most training tasks left out": (
        changed(algorithms=[{"name": "mier", "train": {"left_out_tasks": 1000}}]),
        ["mier on point-goal.ood: train.left_out_tasks: without 1000 of", "at most"]),
    "misspelt key in a list": (changed(algorithms=[{"name": "mier", "trian": {}}]),
                               ["algorithms.0.trian is not a known key", "did you mean train?"]),
    "misspelt key of an algorithm": (changed(algorithms=[{"name": "mier", "train": {"contxt_dim": 3}}]),
                                     ["mier.train: contxt_dim is not a known key", "did you mean context_dim?"]),
    "a key of another algorithm": (changed(algorithms=[{"name": "mier-wr", "adapt": {"gate": 3}}]),
                                   ["mier-wr.adapt: gate is not a known key", "known: context_steps, fit_fraction"]),
    "unknown algorithm": (changed(algorithms=["meir"]), ["there is no algorithm 'meir'", "did you mean mier"]),
    "unknown split": (changed(splits=["point-goal.odd"]), ["there is no split 'point-goal.odd'", "'point-goal.ood'"]),
    "unknown family": (changed(splits=["point-gaol.ood"]), ["there is no task family 'point-gaol'", "'point-goal'"]),
    "no family": (changed(splits=["point-goal"]),
                  ["there is no split 'point-goal'", "A split is named `family.split`"]),
    "unknown preset": (changed(algorithms=[{"name": "mier", "preset": "papre"}]),
                       ["mier has no preset 'papre'", "did you mean paper?"]),
    "unknown axis": (changed(axes={"meir.train.context_dim": [1]}),
                     ["axes: meir.train.context_dim is not `label.train.field`", "did you mean mier.train?"]),
    "unknown block of an axis": (changed(axes={"mier.trian.context_dim": [1]}), ["did you mean mier.train?"]),
    "axis without a field": (changed(axes={"mier.train": [1]}), ["axes: mier.train is not `label.train.field`"]),
    "unknown field of an axis": (changed(axes={"mier.train.contxt_dim": [1]}), ["did you mean context_dim?"]),
    "empty axis": (changed(axes={"mier.train.context_dim": []}), ["axes: mier.train.context_dim has no values"]),
    "a single value for an axis": (changed(axes={"mier.train.context_dim": 5}),
                                   ["axes.mier.train.context_dim", "given 5"]),
    "impossible value": (changed(algorithms=[{"name": "mier", "train": {"discount": 1.5}}]),
                         ["mier.train: discount: Input should be less than or equal to 1, given 1.5"]),
    "not finite": (changed(algorithms=[{"name": "mier", "train": {"policy_learning_rate": float("inf")}}]),
                   ["mier.train: policy_learning_rate must be a finite number, given inf"]),
    "one of a few words": (changed(algorithms=[{"name": "mier", "train": {"predicts": "rewards"}}]),
                           ["mier.train: predicts: Input should be 'reward' or 'dynamics'",
                            "did you mean reward?", "given 'rewards'"]),
    "neither of two kinds": (changed(algorithms=[{"name": "mier", "train": {"temperature": "aut"}}]),
                             ["mier.train: temperature: Input should be a valid number", " or Input should be 'auto'",
                              "did you mean auto?", "given 'aut'"]),
    "wrong type": (changed(budget={"env_steps": "many"}), ["budget.env_steps", "valid integer", "given 'many'"]),
    "wrong shape": (changed(seeds={"a": 1}), ["seeds: Input should be a valid tuple", "given {'a': 1}"]),
    "negative seed": (changed(seeds=[-1]), ["seeds.0: Input should be greater than or equal to 0, given -1"]),
    "repeated seed": (changed(seeds=[1, 1]), ["seeds: [1, 1] names something twice"]),
    "no splits": (changed(splits=[]), ["splits", "at least 1 item", "given []"]),
    "nothing of a kind": ({"name": "x", "splits": ["point-goal.ood"], "algorithms": ["mier"]}, ["budget is missing"]),
    "unknown budget": (changed(budget="matchd"), ["budget: Input should be 'native', 'matched', 'lite',",
                                                  "did you mean matched?", "given 'matchd'"]),
    "misspelt key of a budget": (changed(budget={"env_steps": 50_000, "milestnes": []}),
                                 ["budget.milestnes is not a known key; did you mean milestones?"]),
    "a protocol named by hand": (changed(protocol={"name": "native"}),
                                 ["protocol: a protocol is not named by hand", "write native_protocol: true"]),
    "half a budget": (changed(budget={}),
                      ["budget.env_steps is missing: environment steps, initial exploration included"]),
    "repeated labels": (changed(algorithms=["mier", {"name": "pearl", "label": "mier"}]),
                        ["algorithms: mier occurs twice; give one of them another `label`"]),
    "twins": (changed(algorithms=["mier", {"name": "mier", "label": "other"}]),
              ["'mier' and 'other' have the same configuration on point-goal.ood", "take one out or change it"]),
    "budget before the end of exploration": (changed(budget={"env_steps": 1599}),
                                             ["budget: 1599 env steps are fewer than the 1600 of the first iteration",
                                              "of mier on point-goal.ood",
                                              "(40 training tasks)", "raise the budget or explore less"]),
    "milestone before the end of exploration": (changed(budget={"env_steps": 9999, "milestones": [100]}),
                                                ["budget: 100 env steps are fewer than the 1600"]),
    "milestone beyond the budget": (changed(budget={"env_steps": 5000, "milestones": [2000, 5000, 6000]}),
                                    ["budget: milestones lie on the way to env_steps (5000); [5000, 6000] do not"]),
    "unknown list": (changed(protocol={"task_lists": ["test", "test_ood"]}),
                     ["protocol.task_lists: point-goal.ood has no list 'test_ood'", "did you mean test_id?"]),
    "empty lists": (changed(splits=["point-goal.standard"], protocol={"task_lists": ["test_id"]}),
                    ["protocol.task_lists: ['test_id'] of point-goal.standard are empty", "it has train, test"]),
    "list named twice": (changed(protocol={"task_lists": ["test", "test"]}), ["names a list twice"]),
    "no list": (changed(protocol={"task_lists": []}), ["protocol.task_lists", "at least 1 item"]),
    "unknown device": (changed(device="gpu"), ["device: String should match pattern", "given 'gpu'"]),
    "a name that is no folder": (changed(name="../elsewhere"), ["name: String should match pattern"]),
    "no mapping": ("- a\n- b\n", ["an experiment is a mapping of keys such as name, splits, algorithms and budget"]),
    "empty file": ("", ["an experiment is a mapping"]),
    "not YAML": ("name: [", ["is not valid YAML"]),
    "algorithm of no kind": (changed(algorithms=[5]), ["algorithms.0", "given 5"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(refusal, mistake):
    document, parts = MISTAKES[mistake]
    message = refusal(document)
    for part in parts:
        assert part in message
    assert "pydantic" not in message.lower()


def test_every_mistake_of_a_file_is_named_at_once(refusal):
    lines = refusal(changed(protocl={}, seeds=[-1], budget={})).splitlines()
    places = [line.partition("experiment.yaml: ")[2].split()[0] for line in lines]
    assert places == ["seeds.0:", "budget.env_steps", "protocl"]


OWN_MISTAKES = {
    "wrong number of parameters": ("values: [4.5, 5.0]", "values: [[4.5, 1.0]]",
                                   ["point-goal.mine', test task 0: 2 values given, point-goal takes 1: angle (1)"]),
    "out of range": ("values: [4.5, 5.0]", "values: [9.0]", ["test task 0: angle = 9.0, allowed: 0.0 to 6.28"]),
    "empty": ("values: [4.5, 5.0]", "values: []", ["its test list is empty"]),
    "not a number": ("values: [4.5, 5.0]", "values: [.nan]", ["own_splits.0.test.values.0", "finite number"]),
    "text": ("values: [4.5, 5.0]", "values: [far]", ["own_splits.0.test.values.0", "given 'far'"]),
    "overlap": ("values: [4.5, 5.0]", "same_as: point-goal.mine.train", ["there is no split 'point-goal.mine'"]),
    "shared tasks": ("test: {values: [4.5, 5.0]}", "test: {uniform: [0, 4], number: 5, seed: 1}",
                     ["test shares 5 tasks with train, such as", "declare shift: same_tasks"]),
    "two ways": ("{values: [4.5, 5.0]}", "{values: [4.5], same_as: point-goal.ood.test}",
                 ["own_splits.0.test: give exactly one of values, uniform, grid, normal, parameters and same_as, not "
                  "values and same_as"]),
    "no way": ("{values: [4.5, 5.0]}", "{}", ["own_splits.0.test: give exactly one of values, uniform, grid, "]),
    "half a draw": (", number: 30, seed: 1", "", ["own_splits.0.train: a uniform draw needs number and seed"]),
    "draw upside down": ("[0, 4]", "[4, 0]",
                         ["own_splits.0.train: a uniform draw needs its low end below its high end"]),
    "seed without a draw": ("values: [4.5, 5.0]", "values: [4.5], seed: 3",
                            ["number and seed belong to a uniform or normal draw"]),
    "misspelt key": ("values:", "vlaues:", ["own_splits.0.test.vlaues is not a known key", "did you mean values?"]),
    "unknown list": ("values: [4.5, 5.0]", "same_as: point-goal.ood.tset",
                     ["there is no task list 'point-goal.ood.tset'", "'point-goal.ood.test'"]),
    "a field that is no list": ("values: [4.5, 5.0]", "same_as: point-goal.ood.family", ["there is no task list"]),
    "an empty list": ("values: [4.5, 5.0]", "same_as: point-goal.standard.test_id", ["there is no task list"]),
    "text in a draw": ("[0, 4]", "[0, far]", ["own_splits.0.train.uniform.1: ", "given 'far'"]),
    "text in a draw from several intervals": ("[0, 4]", "[[0, 1], [2, far]]", ["own_splits.0.train.uniform.1.1: "]),
    "intervals out of order": ("[0, 4]", "[[3, 4], [0, 1]]",
                               ["own_splits.0.train: the intervals of a uniform draw must be apart and in order"]),
    "tuning outside the training": (
        "shift: out_of_distribution", "shift: out_of_distribution\n    tunes: [standard, ood]",
        ["own_splits: split 'point-goal.mine' is declared as a tuning split, but 1 task lies of its test list, such as "
         "number 1 (5), outside the training distribution of point-goal.ood (angle in 0 to 4.712 rad), which it tunes: "
         "take them out, or take 'ood' out of tunes"]),
    "tuning what there is not": ("shift: out_of_distribution", "shift: out_of_distribution\n    tunes: [odd]",
                                 ["tunes names 'odd', but point-goal has no benchmark split of that name: "
                                  "did you mean ood?"]),
    "a shift that is none": (
        "[4.5, 5.0]", "[4.5, 3.0]",
        ["split 'point-goal.mine': declares shift 'out_of_distribution', but test [1] lie inside the training "
         "distribution (angle in 0 to 4 rad): take them out, or declare shift: in_distribution"]),
    "a support that is misspelt": ("name: mine", "name: mine\n    support: listd",
                                   ["own_splits.0.support: ", "'listed'", "given 'listd'"]),
    "a support of a drawn list": ("name: mine", "name: mine\n    support: {angle: [0, 4]}",
                                  ["support follows from train"]),
    "a support upside down": ("name: mine", "name: mine\n    support: {angle: [4, 0]}",
                              ["own_splits.0: support.angle needs its low end below its high end"]),
    "tuning on test tasks": (
        "train: {uniform: [0, 4], number: 30, seed: 1}\n    test: {values: [4.5, 5.0]}",
        "train: {uniform: [5, 6], number: 30, seed: 1}\n    test: {same_as: point-goal.ood.test_id}\n    tunes: [ood]",
        ["10 tasks lie of its test list", "on the test_id list of point-goal.ood: what is tuned on test tasks says "
         "nothing about them; take them out"]),
    "unknown family": ("family: point-goal", "family: point-gaol", ["there is no task family 'point-gaol'"]),
    "built-in name": ("name: mine", "name: ood",
                      ["split 'point-goal.ood' exists already; give yours a name of its own"]),
    "a grid without a number": ("values: [4.5, 5.0]", "grid: [4.5, 5.0]", ["own_splits.0.test: a grid needs number"]),
    "a normal without ends": ("uniform: [0, 4]", "normal: {mean: 2, std: 1}",
                              ["own_splits.0.train.normal.within is missing: low and high, or several such pairs"]),
    "a normal in vain": ("uniform: [0, 4]", "normal: {mean: 99, std: 1, within: [0, 4]}",
                         ["own_splits.0.train.normal: next to nothing (0) of N(99, 1) lies within 0 to 4; move mean"]),
    "an extra list that is misspelt": ("name: mine", "name: mine\n    extra: {far: {vlaues: [5.5]}}",
                                       ["own_splits.0.extra.far.vlaues is not a known key; did you mean values?"]),
    "an extra list of a name that is taken": ("name: mine", "name: mine\n    extra: {test_id: {values: [5.5]}}",
                                              ["own_splits.0: extra: test_id stands beside it, not in it"]),
    "a parameter that there is not": ("values: [4.5, 5.0]", "parameters: {angel: {values: [5]}}",
                                      ["own_splits: there is no parameter 'angel': did you mean 'angle'"]),
    "a parameter in two ways": ("values: [4.5, 5.0]", "parameters: {angle: {values: [5], grid: [5, 6], number: 3}}",
                                ["own_splits.0.test: parameters.angle: give exactly one of values, uniform, grid and"]),
    "a mistake in a parameter": ("values: [4.5, 5.0]", "parameters: {angle: {vlaues: [5]}}",
                                 ["own_splits.0.test.parameters.angle.vlaues is not a known key; did you mean"]),
    "name with a dot": ("name: mine", "name: a.b", ["own_splits.0.name: String should match pattern"]),
    "unknown shift": ("shift: out_of_distribution", "shift: out_of_distributon", ["did you mean out_of_distribution?"]),
    "seed that numpy has not": ("seed: 1", "seed: -1", ["own_splits.0.train.seed", "given -1"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", OWN_MISTAKES)
def test_mistakes_in_own_splits_are_explained(refusal, mistake):
    before, after, parts = OWN_MISTAKES[mistake]
    assert OWN.count(before) == 1
    message = refusal(f"{GOOD}own_splits:{OWN.replace(before, after)}".replace("splits: [point", "splits: [point", 1))
    for part in parts:
        assert part in message
    assert len(message.splitlines()) == 1


def test_own_splits_are_declared_once_and_named_when_misspelt(refusal):
    assert "own_splits: point-goal.mine is declared twice" in refusal(f"{GOOD}own_splits:{OWN}{OWN}")
    text = GOOD.replace("point-goal.ood", "point-goal.mien") + f"own_splits:{OWN}"
    assert "Of own_splits, did you mean point-goal.mine?" in refusal(text)


OVERRIDE_MISTAKES = {
    "budget.env_steps": ["--set 'budget.env_steps': write it as key=value, such as budget.env_steps=50000"],
    "=5": ["write it as key=value"],
    "budget..env_steps=5": ["write it as key=value"],
    "seeds=[1": ["--set 'seeds=[1': '[1' is not a YAML value"],
    "seeds.5=1": ["there is no element 5 in that list", "it has 2 elements, numbered from 0"],
    "algorithms.meir.train.context_dim=1": ["there is no element meir in that list", "did you mean mier?"],
    "algorithms.mier-wr.trian={}": ["algorithms.1.trian is not a known key", "did you mean train?"],
    "name.x=1": ["name is the single value 'mine'; nothing can be set inside it"],
    "budgt.env_steps=5": ["budgt is not a known key", "did you mean budget?"],
    "budget.env_steps=0": ["budget.env_steps: Input should be greater than 0, given 0"],
}


@pytest.mark.parametrize("override", OVERRIDE_MISTAKES)
def test_mistakes_in_overrides_are_explained(refusal, override):
    message = refusal(GOOD, override)
    for part in OVERRIDE_MISTAKES[override]:
        assert part in message


def test_files_that_cannot_be_read(tmp_path):
    written(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"there is no experiment file .*; did you mean .*experiment.yaml\?"):
        load_experiment(tmp_path / "experimnt.yaml")
    with pytest.raises(UserError, match="ready ones, by name: demo, "):
        load_experiment(Path("/nowhere/x.yaml"))
    with pytest.raises(UserError, match="cannot be read"):
        load_experiment(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UserError, match=r"cannot be read|not valid YAML"):
        load_experiment(tmp_path / "binary.yaml")
