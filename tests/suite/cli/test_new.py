"""`offmap new`: projects that work as they stand, under names that can be used."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = {
    "algorithm": {"my_own.py", "test_my_own.py", "experiment.yaml", "README.md"},
    "family": {"my_own.py", "test_my_own.py", "experiment.yaml", "README.md"},
}


@pytest.mark.parametrize("kind", FILES)
def test_a_project_has_a_file_a_test_an_experiment_and_a_readme(offmap, tmp_path, kind):
    said = offmap("new", kind, "my-own", "--out", tmp_path / "my-own")
    assert said.code == 0
    assert f"offmap check {kind} ./my_own.py" in said.out
    assert {path.name for path in (tmp_path / "my-own").iterdir()} == FILES[kind]
    for path in (tmp_path / "my-own").iterdir():
        text = path.read_text()
        assert not any(word in text for word in ("NAME", "CLASS", "FILE", "TITLE", "SOURCE"))
        if path.suffix == ".py":
            ast.parse(text)
            assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(("kind", "name", "said"), [
    ("algorithm", "My_Own", "take small letters, digits and hyphens"),
    ("algorithm", "mier", "there is a 'mier' already"), ("algorithm", "9lives", "take small letters"),
    ("algorithm", "numpy", "numpy.py would hide the module 'numpy' that Python has"),
    ("family", "tasks", "give it another name, such as my-tasks"), ("algorithm", "sys", "would hide the module"),
    ("algorithm", "none", "None cannot be its class"), ("family", "step", "Step cannot be its class"),
])  # fmt: skip
def test_a_name_that_cannot_be_used_is_refused(refused, tmp_path, kind, name, said):
    assert said in refused("new", kind, name, "--out", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_is_there_is_left_alone(refused, tmp_path):
    assert "is there already" in refused("new", "family", "my-own", "--out", tmp_path)
    assert "there is a 'ant-goal' already" in refused("new", "family", "ant-goal")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_its_own_tests_pass_so_it_learns_as_it_stands(offmap, tmp_path, kind):
    offmap("new", kind, "my-own", "--out", tmp_path / "my-own")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path / "my-own", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
