"""Code of a user's own on a real Slurm: what runs is what was submitted, wherever the originals are by then."""

from __future__ import annotations

import shutil

import pytest
from cluster_sweeps import Sweep
from plugin_texts import FAMILY
from tests_support import outcome

from suite.results.json_files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

DOCUMENT = {
    "name": "mine",
    "plugins": ["./mine/mine.py", "my_lab.far"],
    "splits": ["far-point.ood"],
    "algorithms": ["mine", "null"],
    "budget": {"env_steps": 640},
    "protocol": {"evaluation_episodes": 1},
    "executor": {"kind": "slurm", "memory": "500MB", "time": "01:00:00"},
}


def test_a_new_algorithm_and_a_family_of_a_package_run_as_they_were_submitted(cluster, tmp_path, monkeypatch):
    lab = tmp_path / "installed" / "my_lab"
    lab.mkdir(parents=True)
    (lab / "__init__.py").touch()
    (lab / "far.py").write_text(FAMILY)
    monkeypatch.setenv("PYTHONPATH", str(lab.parent), prepend=":")
    sweep = Sweep(cluster, tmp_path, {}, DOCUMENT)
    sweep.offmap("new", "algorithm", "mine", "--out", tmp_path / "mine")
    here = tmp_path / "here"
    sweep.offmap("run", sweep.file, "--out", here, "--executor", "inline")
    sweep.begin()
    text = (tmp_path / "mine" / "mine.py").read_text()
    for original in (tmp_path / "mine", lab.parent):
        shutil.rmtree(original)
    sweep.wait_until("done", "done")
    sweep.expected = {folder.name: outcome(here / folder.name) for folder in sweep.folders}
    sweep.check()
    (copy,) = sweep.out.glob("plugins/*/mine.py")
    assert copy.read_text() == text
    (package,) = sweep.out.glob("code/*/my_lab")
    assert (package / "far.py").read_text() == FAMILY
    for folder in sweep.folders:
        code = read_json(folder / "provenance.json")["code"]
        assert code == read_json(here / folder.name / "provenance.json")["code"]
        assert "my_lab.far" in code["modules"]
