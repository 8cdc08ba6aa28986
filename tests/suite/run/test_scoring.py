"""Policies from elsewhere as rows: measured as others are, beside them, with what their files hold as identity."""

import importlib.util
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from algorithms.elsewhere.rows import PolicyTrain
from reports.reading.load import load
from suite.cli import main
from suite.errors import UserError
from suite.experiment.declaration import Choice
from suite.experiment.expansion import expand
from suite.monitor.overview import read_cells
from suite.results.layout import read_grid
from suite.results.prepare import prepare
from suite.run.agents import load_agent
from suite.run.evaluation import evaluate
from suite.run.scoring import prepare_scores, scored
from suite.run.worker import work

FEW = ["protocol.max_tasks=2", "protocol.evaluation_episodes=1"]
POLICIES = '''"""Policies of the point, whose reward is minus its distance to a goal on the unit circle."""

from pathlib import Path

import numpy as np


def still(observations):
    """Stay."""
    return np.zeros((len(observations), 2))


def east(observations):
    """Go to (1, 0)."""
    return np.clip(4 * ([1.0, 0.0] - observations), -1, 1)


class Seeks:
    """Goes to the goal that the rewards tell, and at first stays."""

    goal = np.zeros(2)

    def __call__(self, observations):
        return np.clip(4 * (self.goal - observations), -1, 1)

    def explore(self, observations, generator):
        return generator.uniform(-1, 1, (len(observations), 2))

    def adapt(self, data):
        places = data.next_observations  # p and g on the unit circle: |p - g|^2 = |p|^2 - 2 p g + 1
        self.goal = np.linalg.lstsq(places, ((places**2).sum(1) + 1 - data.rewards**2) / 2, rcond=None)[0]


class Twice(Seeks):
    """The same, that returns the policy of a task."""

    def adapt(self, data):
        other = Seeks()
        other.adapt(data)
        return other


class Draws(Seeks):
    """The same, by random numbers that all of the process shares."""

    def __init__(self):
        import torch

        self.first = float(torch.rand(()))

    def adapt(self, data):
        self.goal = np.array([self.first, np.random.uniform(-1, 1)])


class Odd(Seeks):
    """What adapts to what cannot be called."""

    def adapt(self, data):
        return 3


def late(observations):
    """An action that is not finite once the point has moved."""
    return np.where(np.abs(observations) > 1.0, np.nan, 1.0)


def weighs(observations):
    """By a number that lies beside it."""
    return np.clip(float((Path(__file__).parent / "gain.txt").read_text()) * observations, -1, 1)
'''


@pytest.fixture
def policies(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(POLICIES)
    return path


@pytest.fixture
def row(policies, tmp_path):
    """A function (names, split, **declared) -> training folders of policies of the file, carried out here."""

    def make(*names, split="point-goal.ood", out="out", expect=0, overrides=FEW, beside=(), **declared):
        given = {"name": None, "env_steps": 1000, "finetunes": None} | declared
        some = scored([f"{policies}:{name}" for name in names], beside, **given)
        folders = prepare_scores(some, split, tmp_path / out, overrides)
        assert [work(folder) for folder in folders] == [expect] * len(folders)
        return folders

    return make


def records_of(folder):
    (path,) = folder.glob("metatests/*/records.parquet")
    return pd.read_parquet(path)


def final(records):
    return records[(records["phase"] == "after") & (records["task_list"] == "test")].set_index("task")["return"]


def test_a_row_is_measured_as_a_policy_is_and_says_what_was_declared(row):
    (folder,) = row("still", env_steps=7_000_000, name="stays")
    records = records_of(folder)
    assert final(records).to_numpy() == pytest.approx([-20.0, -20.0]), "twenty steps at the distance 1"
    assert {*records["env_steps"]} == {7_000_000}
    assert {*records["variant"]} == {"stays"}
    assert {*records["algorithm"]} == {"policy"}
    assert records["is_final"].all()
    assert records[records["phase"] == "collect"].groupby(["task_list", "task"])["length"].sum().eq(40).all()
    (run,) = load(folder.parent).runs.values()
    assert run["budget_env_steps"] == 7_000_000
    assert run["cost"]["train_env_steps"] == 7_000_000
    assert run["cost"]["train_wall_seconds"] is None, "nobody knows"
    assert run["gain"]["before"]["kind"] == "does not adapt"
    assert run["values"] == "made elsewhere, with 7,000,000 training steps as its author declares; no adaptation"
    assert run["config"]["train"] == {"env_steps": 7_000_000, "precision": "fp32"}
    assert run["provenance"]["policy"]["policy"] == "mine.py:still"
    assert len(run["provenance"]["policy"]["files"]["mine.py"]) == 64, "of its SHA-256"


def test_what_the_file_holds_is_the_identity(row, policies):
    (first,), (again,) = row("still"), row("still")
    assert first == again
    policies.write_text(POLICIES.replace("np.zeros((len(observations), 2))", "np.ones((len(observations), 2))"))
    (changed,) = row("still")
    assert changed != first
    assert final(records_of(changed)).max() < -20
    assert [cell["training"] for cell in read_grid(first.parent)] == [changed.name], "which stands for the row now"
    assert {*load(first.parent).records["training"]} == {changed.name}


def test_the_folder_keeps_what_it_was_made_of(row, policies, tmp_path):
    (folder,) = row("east")
    policies.unlink()
    moved = folder.parent.rename(tmp_path / "elsewhere") / folder.name
    actions = load_agent(moved, num_tasks=1).act(np.zeros((1, 2), np.float32), explore=False)
    assert actions.tolist() == [[1.0, 0.0]]
    (kept,) = moved.parent.glob("policies/*/mine.py")
    kept.write_text(POLICIES.replace("[1.0, 0.0]", "[0.0, 1.0]"))
    with pytest.raises(UserError, match="are not in the results folder as they were when it was scored"):
        load_agent(moved)


def test_a_policy_that_adapts_is_fine_tuned_to_every_task_by_itself(row):
    (folder,) = row("Seeks", overrides=[])
    records = records_of(folder)
    before = records[(records["phase"] == "before") & (records["task_list"] == "test")]
    assert before["return"].to_numpy() == pytest.approx(-20.0)
    assert final(records).min() > -4, "each of the ten tasks has its own goal, found by exploring"
    assert {*records["algorithm"]} == {"policy-finetuned"}
    (as_it_is,) = row("Seeks", overrides=[], finetunes=False, name="as it is")
    assert as_it_is == folder, "one policy, tested in two ways"
    tested = pd.concat(map(pd.read_parquet, folder.glob("metatests/*/records.parquet")))
    assert final(tested[tested["variant"] == "as it is"]).to_numpy() == pytest.approx(-20.0)


def test_a_policy_that_draws_from_global_generators_does_the_same_again(row):
    (first,) = row("Draws", out="first")
    (second,) = row("Draws", out="second")
    returns = final(records_of(first))
    assert returns.equals(final(records_of(second)))
    assert returns[0] != returns[1], "each task has draws of its own"


def test_what_adapt_returns_is_the_policy_of_the_task(row, policies):
    changed, returned = (final(records_of(row(name, out=name)[0])) for name in ("Seeks", "Twice"))
    assert returned.min() > -4
    assert changed.min() > -4
    spec = importlib.util.spec_from_file_location("policies_of_a_test", policies)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    frame = evaluate(module.Seeks(), "point-goal.ood", {"max_tasks": 2})
    assert final(frame).min() > -4, "in a notebook too"


def test_several_policies_are_the_seeds_of_one_row(row):
    folders = row("still", "east")
    assert [int(records_of(folder)["seed"].iloc[0]) for folder in folders] == [0, 1]
    assert [(cell.variant, cell.seed, cell.state) for cell in read_cells(folders[0].parent)] == [
        ("mine", 0, "done"), ("mine", 1, "done"),
    ]  # fmt: skip
    results = load(folders[0].parent)
    assert {*results.records["seed"]} == {0, 1}
    assert not results.problems, "they are one configuration"


def test_a_row_stands_beside_those_of_an_experiment_and_stays(row, tiny_experiment, run_here, tmp_path):
    experiment = tiny_experiment(("null",), protocol={"max_tasks": 2, "evaluation_episodes": 1})
    run_here(experiment, tmp_path / "out")
    (folder,) = row("east", overrides=())
    results = load(tmp_path / "out")
    assert {*results.records["variant"]} == {"null (reference)", "mine"}
    assert results.records["protocol_hash"].nunique() == 1, "that of the folder's experiment"
    prepare(experiment, tmp_path / "out")
    assert [cell.variant for cell in read_cells(tmp_path / "out")] == ["null", "mine"]
    with pytest.raises(UserError, match="has a row 'null' of the algorithm null; give the policy another --name"):
        row("still", name="null")
    assert folder.exists()


def test_a_split_of_the_folders_own_experiment_can_be_scored(row, tiny_experiment, run_here, tmp_path):
    own = {"family": "point-goal", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 20,
           "train": {"uniform": [1, 3], "number": 8, "seed": 1}, "test": {"values": [0.0, 4.0]},
           "null_return": -20}  # fmt: skip
    run_here(tiny_experiment(("null",), "point-goal.mine", own_splits=[own]), tmp_path / "out")
    (folder,) = row("east", split="point-goal.mine", overrides=())
    returns = final(records_of(folder)).groupby("task").mean()
    assert returns[0] > -5, "it goes to the goal of the first test task"
    assert returns[1] < -20


def test_a_row_can_be_measured_as_a_shipped_table_was(policies, tmp_path):
    policies.write_text(POLICIES.replace("np.zeros((len(observations), 2))", "np.zeros((len(observations), 6))"))
    still = scored([f"{policies}:still"], (), None, 0, None)
    (folder,) = prepare_scores(still, "cheetah-velocity.hard", tmp_path / "new", (), "published-budget/mier")
    (spec,) = folder.glob("metatests/*/config.json")
    assert json.loads(spec.read_text())["protocol"]["evaluate_every"] == 500
    assert json.loads((tmp_path / "new" / "experiment.json").read_text())["experiment"]["against"] == (
        "published-budget/mier"
    )
    with pytest.raises(UserError, match=r"follows another protocol .* Comparable with --set protocol.max_tasks=null"):
        prepare_scores(still, "cheetah-velocity.hard", tmp_path / "few", FEW[:1], "published-budget/mier")
    assert not (tmp_path / "few").exists()
    with pytest.raises(UserError, match=r"has no results on point-goal.ood; it has them on cheetah-velocity.hard"):
        prepare_scores(still, "point-goal.ood", tmp_path / "few", (), "published-budget/mier")


def test_an_experiment_does_not_train_it_and_no_list_has_it(tiny_experiment, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["algorithms", "show", "policy"])
    assert "what `offmap score` calls its rows" in capsys.readouterr().err
    experiment = tiny_experiment(("null",)).model_copy(update={"algorithms": (Choice(name="policy"),)})
    with pytest.raises(UserError, match=r"offmap score point-goal.ood --policy FILE"):
        expand(experiment)


def test_what_goes_wrong_on_the_way_fails_that_run_alone(row, capsys):
    (folder,) = row("late", expect=2)
    said = json.loads((folder / "status.json").read_text())
    assert said["state"] == "failed"
    assert "policy mine.py:late gave an action that is not finite, in row 0" in said["message"]
    (folder,) = row("Odd", expect=2, name="odd")
    assert (
        "adapt returned int; it returns the policy of the task"
        in json.loads((folder / "status.json").read_text())["message"]
    )


@pytest.mark.parametrize(("words", "said"), [
    (["point-goal.odd", "--policy", "mine.py:still"], "there is no split 'point-goal.odd'"),
    (["point-goal.ood", "--policy", "mine.py:stil"], "the file has no 'stil'; did you mean still?"),
    (["cheetah-velocity.hard", "--policy", "mine.py:still"], "of shape (3, 2) where (row, action) = (3, 6)"),
    (["point-goal.ood", "--policy", "mine.py:still", "--adapt"], "offers no `adapt(data)`, so that it cannot be fine-"),
    (["point-goal.ood", "--policy", "mine.py:weighs"], "No such file or directory: "),
    (["point-goal.ood", "--policy", "mine.py:weighs", "--with", "gian.txt"], "gian.txt; did you mean gain.txt?"),
    (["point-goal.ood", "--policy", "mine.py:still", "--policy", "mine.py:still"], "two policies are the same"),
    (["point-goal.ood", "--policy", "mine.py:still", "--set", "budget=3"], "only the protocol can be changed"),
    (["point-goal.ood", "--policy", "mine.py:still", "--set", "protocol.max_task=3"], "did you mean max_tasks"),
    (["point-goal.ood", "--policy", "mine.py:still", "--out", "."], "holds files but no experiment"),
    (["point-goal.ood", "--policy", "mine.py:still", "--policy", "mine.py:Seeks"], "say --adapt or --no-adapt"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_writes_nothing(policies, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gain.txt").write_text("1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as left:
        main(["score", "--env-steps", "0", *words])
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert said in err
    assert err.startswith("offmap: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_policy_reads_goes_with_it(row, tmp_path):
    (tmp_path / "gain.txt").write_text("0.5")
    (folder,) = row("weighs", beside=[str(tmp_path / "gain.txt")])
    assert {path.name for path in folder.parent.glob("policies/*/*.*")} == {"mine.py", "gain.txt"}


def test_a_folder_that_leads_elsewhere_is_refused(row, tmp_path):
    (folder,) = row("still")
    for path in folder.glob("metatests/*/records.parquet"):
        path.unlink()
    execution = json.loads((folder / "execution.json").read_text())
    execution["plugins"] = ["policies/../../out2"]
    (folder / "execution.json").write_text(json.dumps(execution))
    shutil.copytree(next(folder.parent.glob("policies/*")), tmp_path / "out2")
    assert work(folder) == 2
    assert "is not one of its folders" in json.loads((folder / "status.json").read_text())["message"]


@pytest.mark.parametrize("given", [
    {"policy": "../mine.py:act", "files": {"../mine.py": "0"}},
    {"policy": "mine.py:act", "files": {"other.py": "0"}},
])  # fmt: skip
def test_a_configuration_cannot_lead_out_of_the_folder(given):
    with pytest.raises(ValidationError, match="names without a folder"):
        PolicyTrain(env_steps=0, **given)


@pytest.mark.slow
def test_the_command_scores_and_reports(policies, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--set", FEW[0], "--env-steps", "5", "--name", "goes east"]
    with pytest.raises(SystemExit) as left:
        main(["score", "point-goal.ood", "--policy", "mine.py:east", *words])
    assert left.value.code in (None, 0), capsys.readouterr().err
    folder = tmp_path / "runs" / "goes-east"
    assert "goes east" in capsys.readouterr().out
    assert (folder / "report" / "report.html").exists()
    assert "offmap run" not in (folder / "report" / "report.html").read_text()
