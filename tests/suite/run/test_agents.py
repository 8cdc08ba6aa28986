"""A finished agent comes back in three lines, acts, adapts, and is the one that was tested."""

import hashlib
import os
import resource
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from algorithms.base import Transition
from suite.errors import UserError
from suite.experiment.specs import MetatestSpec
from suite.results.json_files import read_json, write_json
from suite.results.layout import metatest_folders
from suite.results.prepare import prepare
from suite.results.records import read_table
from suite.run.agents import find_metatest, load_agent
from suite.run.metatest import Meters, adaptation_transitions, run_trial, trial_of, trials_of
from suite.run.rollout import Meter
from suite.run.training import checkpoint_for, open_training
from suite.run.video import before_and_after, film
from tasks.registry import get_family


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def finished(tiny_experiment, run_here, tmp_path_factory, kept):
    """Training folders of MIER with MIER-wR, and of PEARL, run once."""
    if not kept:
        experiment = tiny_experiment(("mier", "mier-wr", "pearl"))
        kept["mier"], kept["pearl"] = run_here(experiment, tmp_path_factory.mktemp("runs") / "out")
    return kept


def test_three_lines(finished):
    agent = load_agent(finished["pearl"])
    action = agent.act(np.zeros((1, 2), np.float32), explore=False)
    assert action.shape == (1, 2)
    assert (np.abs(action) <= 1).all()


@pytest.mark.parametrize("variant", ["mier", "mier-wr", "pearl"])
def test_it_acts_in_a_batch_and_adapts(finished, variant):
    below = next(path for path in metatest_folders(finished["pearl" if variant == "pearl" else "mier"])
                 if f'"{variant}"' in (path / "label.json").read_text())  # fmt: skip
    agent = load_agent(str(below), num_tasks=3, seed=1)
    observations = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    before = agent.fork(1).act(observations, explore=False)
    for step in range(40):
        actions = agent.act(observations, explore=True)
        rewards = -np.abs(actions).sum(1) * np.array([0.0, 1.0, 3.0], np.float32)
        end = np.full(3, step % 20 == 19)
        agent.observe(Transition(observations, actions, rewards, observations, end & False), np.ones(3, bool), end)
    points = list(agent.adapt(every=3))
    assert points[-1].updates == (6 if variant == "mier" else 0)
    after = agent.fork(1).act(observations, explore=False)
    assert after.shape == (3, 2)
    assert (before != after).any(axis=1).all()


def test_it_is_the_agent_that_was_tested(finished):
    """The adapted agent repeats the returns in the records."""
    (below,) = metatest_folders(finished["pearl"])
    spec = MetatestSpec.model_validate_json((below / "config.json").read_text())
    trial = next(trials_of(spec, get_family(spec.split.family)))
    agent = load_agent(below, num_tasks=len(trial.tasks), seed=trial.agent_seed)
    agent.begin = lambda num_tasks: None  # it has begun
    rows, _ = run_trial(trial, agent, spec.protocol, adaptation_transitions(spec), Meters(Meter(), Meter()))
    recorded = read_table(below / "records.parquet")[0].to_pandas()
    recorded = recorded[recorded.task_list == trial.list_name]
    assert [row["return"] for row in rows] == recorded["return"].tolist()


@pytest.mark.parametrize("variant", ["mier", "pearl"])
def test_a_film_shows_the_episodes_that_the_meta_test_evaluates(finished, variant):
    below = next(path for path in metatest_folders(finished[variant])
                 if f'"{variant}"' in (path / "label.json").read_text())  # fmt: skip
    metatest = find_metatest(below)
    spec = metatest.spec
    trial = trial_of(spec, get_family(spec.split.family), "test", spec.split.tasks("test")[2:3])
    agent = load_agent(below, num_tasks=1, seed=trial.agent_seed)
    agent.begin = lambda num_tasks: None  # it has begun
    rows, _ = run_trial(trial, agent, spec.protocol, adaptation_transitions(spec), Meters(Meter(), Meter()))
    shown = before_and_after(metatest, trial)
    for episode, phase in zip(shown, ("before", "after")):
        recorded = next(row for row in rows if row["phase"] == phase and row["episode"] == 0)
        assert episode.rewards.sum(dtype=np.float64) == pytest.approx(recorded["return"], abs=1e-4)
        assert len(episode.images) == recorded["length"] + 1
    assert shown[0].name == "before adaptation"
    assert (
        shown[1].name == {"pearl": "after 40 steps", "mier": f"after 40 steps, {rows[-1]['update']} updates"}[variant]
    )


def test_the_seed_decides_how_it_explores(finished):
    observations = np.zeros((1, 2), np.float32)
    draws = [load_agent(finished["pearl"], seed=seed).act(observations, explore=True) for seed in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_two_ways_to_adapt_have_to_be_told_apart(finished):
    """`load_agent` and `video` refuse the same folder, and list what there is to choose from."""
    with pytest.raises(UserError, match="holds meta-tests that differ in algorithm and config; give the folder") as one:
        load_agent(finished["mier"])
    with pytest.raises(UserError) as other:
        film(finished["mier"], "test", 0)
    assert str(one.value) == str(other.value)
    _, *choices = str(one.value).split("\n")
    below = metatest_folders(finished["mier"])
    assert sorted(choices) == sorted(
        f"  {name} on point-goal.ood at 1,600 env steps: {path}"
        for path in below for name in [read_json(path / "config.json")["algorithm"]]
    )  # fmt: skip
    assert [find_metatest(path).folder for path in below] == below


def test_meta_tests_that_adapt_alike_are_one_agent(tiny_experiment, run_here, tmp_path):
    longer = {"budget": {"env_steps": 1400, "milestones": [1000]}, "splits": ["point-goal.ood", "point-goal.near"],
              "own_splits": [{"family": "point-goal", "name": "near", "shift": "out_of_distribution",
                              "adaptation_transitions": 40, "train": {"same_as": "point-goal.ood.train"},
                              "test": {"values": [5.0]}}]}  # fmt: skip
    (folder,) = run_here(tiny_experiment(**longer), tmp_path)
    assert len(metatest_folders(folder)) == 4
    final = open_training(folder, "cpu", 1, checkpoint_for(folder, 1400)).algorithm
    assert (load_agent(folder).policy[0] == final.sac.policy[0]).all()
    with pytest.raises(UserError, match="differ in split; give the folder of one") as caught:
        film(folder, "test", 0)  # the task is one of a split
    assert [" on point-goal.near at 1,400 env steps" in str(caught.value), "1,000" in str(caught.value)] == [
        True,
        False,
    ]


def test_a_training_that_is_not_done_has_no_agent_yet(tiny_experiment, run_here, tmp_path):
    """Its newest checkpoint would stand for a smaller budget."""
    (folder,) = run_here(tiny_experiment(("mier-wr",), env_steps=1200), tmp_path)
    prepare(tiny_experiment(("mier-wr",), env_steps=2000), tmp_path)
    with pytest.raises(UserError, match="for 2000 env steps yet: its newest checkpoint is at 1200; run it first"):
        load_agent(folder)


def test_of_many_choices_the_first_are_listed(tmp_path):
    for number in range(9):
        (tmp_path / str(number)).mkdir()
        write_json(tmp_path / str(number) / "config.json", {})
    with pytest.raises(UserError, match=r"its runs are\n(  .*\n){6}  and 3 more$"):
        find_metatest(tmp_path)


def test_folders_that_are_no_run(finished, tiny_experiment, tmp_path):
    out = finished["pearl"].parent
    with pytest.raises(UserError, match=r"is no run folder: it holds no meta-test; its runs are\n") as caught:
        load_agent(out)
    assert str(finished["pearl"]) in str(caught.value)
    with pytest.raises(UserError, match="give the folder of a training or of a meta-test"):
        load_agent(tmp_path)
    with pytest.raises(UserError, match="is no run folder"):
        load_agent("/nowhere/at/all")
    (folder,) = prepare(tiny_experiment(), tmp_path / "new")
    with pytest.raises(UserError, match="for 1600 env steps yet: it has no checkpoint; run it first"):
        load_agent(folder)
    other = tmp_path / "x" / "metatests" / "y"
    other.mkdir(parents=True)
    for document in ({"unlike": 1}, []):
        write_json(other / "config.json", document)
        with pytest.raises(UserError, match="does not describe a meta-test"):
            load_agent(other)
    for text in ("{", '{"config": {"rate": 1e999}}'):
        (other / "config.json").write_text(text)
        with pytest.raises(UserError, match="does not describe a meta-test"):
            load_agent(other)


def test_a_damaged_checkpoint_is_said(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(("pearl",)), tmp_path)
    state = folder / "checkpoints" / checkpoint_for(folder, 1600) / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(
        UserError, match=r"checkpoint .* is damaged \(its tensors do not match their digest\); put a whole"
    ):
        load_agent(folder)


def change(path, **fields):
    write_json(path, read_json(path) | fields)


def change_train(folder, **fields):
    change(folder / "config.json", config=read_json(folder / "config.json")["config"] | fields)


def write_state(folder, tensors):
    """Other tensors in the last checkpoint, with their digest."""
    place = folder / "checkpoints" / checkpoint_for(folder, 1600)
    save_file(tensors, place / "state.safetensors")
    document = read_json(place / "state.json")
    del document["document_sha256"]
    digest = hashlib.sha256((place / "state.safetensors").read_bytes()).hexdigest()
    write_json(place / "state.json", document | {"sha256": digest})


def below(folder):
    return next((folder / "metatests").glob("*/config.json"))


BAD_FOLDERS = {
    "no such algorithm": (lambda folder: change(folder / "config.json", algorithm="pearls"), "no algorithm 'pearls'"),
    "no such family": (lambda folder: change(folder / "config.json", family="poin"), "family"),
    "another algorithm": (lambda folder: change(folder / "config.json", algorithm="mier"), "and .* is a training of"),
    "another one to adapt": (lambda folder: change(below(folder), algorithm="mier"), "tests mier, and"),
    "a list": (lambda folder: write_json(folder / "config.json", []), "does not hold the training|valid"),
    "a pipe": (lambda folder: ((folder / "config.json").unlink(), os.mkfifo(folder / "config.json")), "no ordinary"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "No such file"),
    "no train block": (lambda folder: change(folder / "config.json", config={"x": 1}), "x"),
    "a number beyond bounds": (lambda folder: change_train(folder, batch=10**16), "must be at most 1e"),
    "a layer beyond memory": (lambda folder: change_train(folder, policy_hidden=[10**9, 16]), "numbers or more"),
    "wide layers": (lambda folder: change_train(folder, policy_hidden=[10**5, 10**5]), "numbers or more"),
    "many layers": (lambda folder: change_train(folder, policy_hidden=[2000] * 30), "numbers or more"),
    "another width": (lambda folder: change_train(folder, policy_hidden=[16, 17, 16]), "has the shape"),
    "another depth": (lambda folder: change_train(folder, policy_hidden=[16]), "has the shape|not hold the training"),
    "no tensors": (lambda folder: write_state(folder, {"x": torch.ones(1)}), r"KeyError.*put a whole copy back"),
    "other steps": (lambda folder: change(below(folder), env_steps=10**11), "has not been trained for 100000000000"),
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD_FOLDERS)
def test_of_a_bad_folder_one_message_says_why(finished, tmp_path, harm):
    """And no memory is taken for what a configuration asks for."""
    folder = tmp_path / finished["pearl"].name
    shutil.copytree(finished["pearl"], folder)
    make, why = BAD_FOLDERS[harm]
    make(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=why):
        load_agent(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB
