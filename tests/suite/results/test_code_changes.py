"""Results that were made by other code are named, and made again only where that is asked for."""

import pytest
from plugin_texts import ALGORITHM

from suite.experiment.declaration import load_experiment
from suite.experiment.plugins import stop_using
from suite.results.json_files import read_json, write_json

EXPERIMENT = """
name: mine
plugins: [./mine.py]
splits: [point-goal.ood]
algorithms: [{name: steady, label: calm, train: {action: 0.5}}, "null"]
budget: smoke
protocol: {max_tasks: 2}
executor: {kind: inline}
"""


@pytest.fixture
def finished(tmp_path, run_here):
    """A folder with a plugin, an experiment, and in `out` its results."""
    (tmp_path / "mine.py").write_text(ALGORITHM)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    run_here(load_experiment(tmp_path / "experiment.yaml"), tmp_path / "out")
    yield tmp_path
    stop_using("offmap_plugin_mine")


def calm(out):
    """The training folder of the plugin's variant."""
    cells = read_json(out / "cells.json")
    return out / next(cell["training"] for cell in cells if cell["variant"] == "calm")


def test_what_a_run_was_made_by_is_in_its_provenance(finished):
    code = read_json(calm(finished / "out") / "provenance.json")["code"]
    assert {"offmap_plugin_mine", "tasks.environments.point", "suite.run.metatest"} < code["modules"].keys()


def test_a_plan_names_what_changed_and_a_rerun_makes_it_again(finished, offmap, monkeypatch):
    monkeypatch.setattr("suite.cli.launching._report", lambda folder: None)
    experiment, out = finished / "experiment.yaml", finished / "out"
    plan = ("plan", experiment, "--out", out, "--no-calibrate")
    assert "code changed" not in offmap(*plan).out
    (finished / "mine.py").write_text(ALGORITHM.replace("self.action, np.float32", "-self.action, np.float32"))
    said = offmap(*plan).out
    assert "2 cells, 2 done" in said
    assert "code changed since calm was run: offmap_plugin_mine; `offmap run ... --rerun 'calm'`" in said
    before = (calm(out) / "provenance.json").read_bytes()
    said = offmap("run", experiment, "--out", out).out
    assert "code changed since calm was run" in said
    assert (calm(out) / "provenance.json").read_bytes() == before, "nothing is repeated by itself"

    said = offmap("run", experiment, "--out", out, "--rerun", "calm").out
    assert f"calm: 1 trainings set aside in {out / '.set-aside'}" in said
    assert "code changed" not in said
    (aside,) = (out / ".set-aside").iterdir()
    assert aside.name == f"{calm(out).name}-1"
    assert (aside / "provenance.json").read_bytes() == before
    assert (calm(out) / "provenance.json").read_bytes() != before


def test_a_rerun_of_what_there_is_not_is_refused(finished, refused):
    said = refused("run", finished / "experiment.yaml", "--out", finished / "out", "--rerun", "clam")
    assert "--rerun clam: mine has no such variant; did you mean calm?" in said


@pytest.mark.parametrize("document", [{}, [], {"code": 3}, {"code": {"modules": []}}, {"earlier": 3, "code": {}}])
def test_what_is_not_recorded_or_damaged_is_not_told(finished, offmap, document):
    write_json(calm(finished / "out") / "provenance.json", document)
    said = offmap("plan", finished / "experiment.yaml", "--out", finished / "out", "--no-calibrate")
    assert said.code == 0
    assert "code changed" not in said.out
