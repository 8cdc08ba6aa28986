"""The folders of an experiment: shared where they can be, refused where they belong to another, never lost."""

import threading

import pytest
from tests_support import rows_of

from suite.errors import UserError
from suite.experiment.specs import MetatestSpec, TrainingSpec
from suite.plan import make_plan
from suite.results.json_files import read_json
from suite.results.layout import metatest_folders, pending
from suite.results.lock import owned
from suite.results.prepare import prepare
from suite.results.records import read_table


def names(folders):
    return [folder.name for folder in folders]


def cells_of(out):
    return read_json(out / "cells.json")


def test_what_is_prepared_says_all_that_a_worker_needs(tiny_experiment, tmp_path):
    experiment = tiny_experiment(("mier", "mier-wr", "pearl"), seeds=[0, 1])
    folders = prepare(experiment, tmp_path / "runs")
    assert len(folders) == 4  # two trainings, two seeds
    for folder in folders:
        spec = TrainingSpec.model_validate(read_json(folder / "config.json"))
        assert spec.hash == folder.name
        assert pending(folder)
        for below in metatest_folders(folder):
            assert MetatestSpec.model_validate(read_json(below / "config.json")).hash == below.name
    assert [(cell["variant"], cell["seed"], cell["status"]) for cell in cells_of(tmp_path / "runs")] == [
        (variant, seed, "pending") for variant in ("mier", "mier-wr", "pearl") for seed in (0, 1)
    ]
    assert read_json(tmp_path / "runs" / "experiment.json")["name"] == "tiny"


def test_preparing_again_changes_nothing(tiny_experiment, tmp_path):
    experiment = tiny_experiment(("mier", "mier-wr"))
    prepare(experiment, tmp_path)
    before = contents(tmp_path)
    prepare(experiment, tmp_path)
    assert contents(tmp_path) == before


def contents(folder):
    """What files of a folder hold, but for whose turn it is."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "lock-" not in path.name}


def test_two_who_prepare_at_once_take_turns(tiny_experiment, tmp_path):
    experiment, errors = tiny_experiment(("null",), seeds=list(range(40))), []
    start = threading.Barrier(4)

    def prepare_too():
        start.wait()
        try:
            prepare(experiment, tmp_path / "together")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare_too) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    prepare(experiment, tmp_path / "alone")
    made = {name: {path.relative_to(tmp_path / name): held for path, held in contents(tmp_path / name).items()}
            for name in ("together", "alone")}  # fmt: skip
    assert made["together"] == made["alone"]


def test_preparing_again_writes_no_file_of_a_run(tiny_experiment, tmp_path):
    """Thousands of files would be replaced by the same ones, and each of them waits for the disk."""
    prepare(tiny_experiment(("mier", "mier-wr")), tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.glob("*/**/*.json")}
    assert len(before) == 2 + 2 * 2
    prepare(tiny_experiment(("mier", "mier-wr"), env_steps=2000), tmp_path)
    changed = {path.name for path, inode in before.items() if path.exists() and path.stat().st_ino != inode}
    assert changed == {"execution.json"}
    assert read_json(next(tmp_path.glob("*/execution.json")))["env_steps"] == 2000


@pytest.mark.parametrize(("splits", "number"), [
    (["cheetah-velocity.hard", "cheetah-velocity.graded"], 1),
    (["cheetah-velocity.hard", "cheetah-velocity.medium"], 2),
])  # fmt: skip
def test_splits_with_one_training_list_share_one_folder(tiny_experiment, tmp_path, splits, number):
    experiment = tiny_experiment(("mier", "mier-wr"), split=splits[0], env_steps=10_000).model_copy(
        update={"splits": tuple(splits)}
    )
    folders = prepare(experiment, tmp_path)
    assert len(folders) == number
    assert sum(len(metatest_folders(folder)) for folder in folders) == 4
    assert len({cell["run"] for cell in cells_of(tmp_path)}) == 4


def test_own_splits_that_differ_in_their_tests_share_one_folder(tiny_experiment, tmp_path):
    own = [{"family": "point-goal", "name": name, "shift": "out_of_distribution", "adaptation_transitions": 40,
            "train": {"uniform": [0, 4], "number": 40, "seed": 1}, "test": {"values": [value]}}
           for name, value in (("near", 4.1), ("far", 6.0))]  # fmt: skip
    experiment = tiny_experiment(split="point-goal.near", own_splits=own)
    folders = prepare(experiment.model_copy(update={"splits": ("point-goal.near", "point-goal.far")}), tmp_path)
    assert len(folders) == 1
    assert len(metatest_folders(folders[0])) == 2


def test_a_new_protocol_sets_the_old_results_aside_and_takes_them_back(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(), tmp_path)
    (first,) = metatest_folders(folder)
    rows = rows_of(first)
    (same,) = run_here(tiny_experiment(protocol={"evaluation_episodes": 1}), tmp_path)
    (second,) = metatest_folders(same)
    assert (same, second.name != first.name) == (folder, True)
    assert (folder / ".set-aside" / first.name / "records.parquet").exists()
    plan = make_plan(tiny_experiment(), tmp_path, workers=1, calibrate=False)
    assert [cell.state for cell in plan.cells] == ["done"]
    assert cells_of(tmp_path)[0]["run"] == second.name
    prepare(tiny_experiment(), tmp_path)
    assert names(metatest_folders(folder)) == [first.name]
    assert rows_of(first) == rows
    assert not pending(folder)
    assert (folder / ".set-aside" / second.name / "records.parquet").exists()


def test_a_meta_test_that_is_no_longer_asked_for_is_not_run(tiny_experiment, tmp_path):
    (folder,) = prepare(tiny_experiment(("mier", "mier-wr")), tmp_path)
    prepare(tiny_experiment(("mier",)), tmp_path)
    assert [read_json(below / "label.json")["variant"] for below in metatest_folders(folder)] == ["mier"]
    prepare(tiny_experiment(("mier", "mier-wr")), tmp_path)
    assert len(metatest_folders(folder)) == 2


def test_finished_results_of_another_variant_stay(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(("mier", "mier-wr")), tmp_path)
    prepare(tiny_experiment(("mier",)), tmp_path)
    assert len(metatest_folders(folder)) == 2


def test_nothing_is_moved_under_a_worker(tiny_experiment, tmp_path):
    (folder,) = prepare(tiny_experiment(), tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with owned(folder):
        with pytest.raises(UserError, match="another process is working on this run"):
            prepare(tiny_experiment(protocol={"evaluation_episodes": 1}), tmp_path)
        prepare(tiny_experiment(), tmp_path)  # nothing to move
    assert {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.startswith("lock")
    } == before


def test_a_larger_budget_makes_the_old_result_a_thing_of_the_past(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(env_steps=1200), tmp_path)
    prepare(tiny_experiment(env_steps=2000), tmp_path)
    assert [read_json(below / "config.json")["env_steps"] for below in metatest_folders(folder)] == [2000]
    assert read_json(folder / "execution.json")["milestones"] == [1200]
    assert read_json(folder / "execution.json")["env_steps"] == 2000


@pytest.mark.parametrize("back", [False, True])
def test_a_result_becomes_a_milestone_without_being_measured_again(tiny_experiment, run_here, tmp_path, back):
    protocol = {"evaluate_every": 3, "evaluation_episodes": 2}
    longer = {"budget": {"env_steps": 2000, "milestones": [1200]}, "milestone_protocol": protocol}
    (folder,) = run_here(tiny_experiment(env_steps=1200), tmp_path)
    (below,) = metatest_folders(folder)
    rows = rows_of(below, drop=("is_final",))
    prepare(tiny_experiment(**longer), tmp_path)
    table, metadata = read_table(below / "records.parquet")
    assert set(table["is_final"].to_pylist()) == {False}
    assert metadata["budget_env_steps"] == 2000
    if back:
        prepare(tiny_experiment(env_steps=1200), tmp_path)
        table, metadata = read_table(below / "records.parquet")
        assert set(table["is_final"].to_pylist()) == {True}
        assert metadata["budget_env_steps"] == 1200
    assert rows_of(below, drop=("is_final",)) == rows


def test_a_new_label_names_old_results(tiny_experiment, run_here, tmp_path):
    experiment = tiny_experiment()
    (folder,) = run_here(experiment, tmp_path)
    (below,) = metatest_folders(folder)
    rows = rows_of(below, drop=("variant",))
    named = experiment.algorithms[0].model_copy(update={"label": "ours"})
    prepare(experiment.model_copy(update={"algorithms": (named,)}), tmp_path)
    for kind in ("records", "diagnostics"):
        table, metadata = read_table(below / f"{kind}.parquet")
        assert set(table["variant"].to_pylist()) == {metadata["variant"]} == {"ours"}
    assert rows_of(below, drop=("variant",)) == rows
    assert not pending(folder)


def test_a_folder_of_another_experiment_is_refused(tiny_experiment, tmp_path):
    experiment = tiny_experiment()
    prepare(experiment, tmp_path / "runs")
    other = experiment.model_copy(update={"name": "other"})
    with pytest.raises(
        UserError, match=r"belongs to the experiment 'tiny', not to 'other'; choose another folder with --out"
    ):
        prepare(other, tmp_path / "runs")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files but no experiment"):
        prepare(experiment, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match=r"cannot be made: (Not a directory|File exists)"):
        prepare(experiment, tmp_path / "mine" / "thesis.txt")
    (tmp_path / "runs" / "experiment.json").write_text("{")
    prepare(experiment, tmp_path / "runs")  # nothing else is in it than its own: the marker is written anew
    assert read_json(tmp_path / "runs" / "experiment.json")["name"] == "tiny"
    (tmp_path / "runs" / "experiment.json").write_text("{")
    (tmp_path / "runs" / "thesis.txt").touch()
    with pytest.raises(UserError, match=r"experiment.json cannot be read"):
        prepare(experiment, tmp_path / "runs")


def test_an_invalid_experiment_leaves_no_folder(tiny_experiment, tmp_path):
    with pytest.raises(UserError, match="fewer than the 800 of the first iteration"):
        prepare(tiny_experiment(env_steps=799), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_cell_that_cannot_run_says_why(tiny_experiment, tmp_path, monkeypatch):
    rule = "algorithms.pearl.unsupported"
    monkeypatch.setattr(rule, lambda name, family: f"{name} has no use for {family.name}", raising=False)
    folders = prepare(tiny_experiment(("mier", "pearl")), tmp_path)
    assert len(folders) == 1
    cell = cells_of(tmp_path)[1]
    assert (cell["status"], cell["run"], cell["training"]) == ("unsupported", None, None)
    assert cell["reason"] == "pearl has no use for point-goal"
