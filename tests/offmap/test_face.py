"""What users import: every name, quickly, and with a word about a file of theirs that is in the way."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import offmap
from suite.results.records import SCHEMA

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text()
HEAVY = ("torch", "mujoco", "pandas", "matplotlib", "pyarrow")


def python(code, folder, expect=0):
    """What a script in a folder prints, which Python looks into before it looks for ours."""
    (folder / "script.py").write_text(code)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done.stdout + done.stderr


def test_every_name_is_there_and_on_the_page():
    for name in offmap.__all__:
        assert callable(getattr(offmap, name))
        assert f"`{name}" in PAGE, f"docs/library.md says nothing of {name}"
    assert set(offmap.__all__) < set(dir(offmap))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", offmap.__version__)
    with pytest.raises(AttributeError, match=r"no attribute 'load_agnet'; it has UserError, algorithm"):
        _ = offmap.load_agnet


def test_the_page_lists_the_columns_of_records_in_their_order():
    table = PAGE.partition("| column |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [*SCHEMA.names, "is_reference"]


def test_importing_it_loads_nothing_heavy(tmp_path):
    assert python(f"import offmap, sys; print([m for m in {HEAVY} if m in sys.modules])", tmp_path) == "[]\n"


@pytest.mark.parametrize("code", [
    "import offmap, gymnasium; print(gymnasium.make('offmap/PointGoal-v1', split='ood').reset(seed=0)[1]['task'])",
    "import gymnasium; print(gymnasium.make('offmap:offmap/PointGoal-v1', split='ood').reset(seed=0)[1]['task'])",
    "import offmap; print(offmap.make('point-goal', split='ood').reset(seed=0)[1]['task'])",
])  # fmt: skip
def test_the_families_are_gymnasiums(tmp_path, code):
    assert python(code, tmp_path) == "34\n"


def test_a_vector_of_environments():
    assert offmap.make("point-goal", num_envs=3, split="ood").reset(seed=0)[0].shape == (3, 2)


@pytest.mark.parametrize(("file", "name"), [("tasks.py", "tasks"), ("suite/__init__.py", "suite")])
def test_a_users_file_that_hides_one_of_ours_is_named(tmp_path, file, name):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    said = python("import offmap", tmp_path, expect=1).splitlines()[-1]
    assert said.startswith(f"ImportError: {tmp_path / file.partition('/')[0]} hides offmap's own package '{name}'")
    assert "another name" in said


def test_a_folder_without_modules_is_in_nobodys_way(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "notes.txt").touch()
    assert python("import offmap; print(offmap.family('ant-goal').name)", tmp_path) == "ant-goal\n"
