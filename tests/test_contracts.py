"""The contracts on imports break where they should: in a copy of the code, with imports that none of them allows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tasks", "algorithms", "suite", "reports", "offmap")

FLOORS = "floors: imports go down only"
SIBLINGS = "algorithm files never import one another, and the kit knows none of them"
KIT = "the kit knows nothing of ours but the declared data of tasks"
ROOMS = "suite: imports go down only, and every room has its place"
CIRCLES = "no file is in a circle"
NO_TORCH = "no torch and no simulator where nothing learns"
COMMANDS = "commands leave torch and the simulator to what they call"

FACE = "the face loads neither torch nor a simulator by itself"

OFFENCES = [  # file, what it imports, the contract that this breaks, and how the linter says so
    ("tasks/toy.py", "algorithms.base", FLOORS, "tasks.toy -> algorithms.base"),
    ("suite/toy_of_face.py", "offmap.results", FLOORS, "suite.toy_of_face -> offmap.results"),
    ("offmap/toy.py", "torch", FACE, "offmap.toy -> torch"),
    ("algorithms/toy.py", "algorithms.pearl", SIBLINGS, "algorithms.toy -> algorithms.pearl"),
    ("algorithms/kit/toy.py", "algorithms.mier", SIBLINGS, "algorithms.kit.toy -> algorithms.mier"),
    ("algorithms/kit/toy_of_registry.py", "algorithms.registry", SIBLINGS, "algorithms.kit.toy_of_registry -> algo"),
    ("algorithms/kit/off_policy/toy.py", "tasks.registry", KIT, "algorithms.kit.off_policy.toy -> tasks.registry"),
    ("suite/results/toy.py", "suite.monitor.overview", ROOMS, "suite.results.toy -> suite.monitor.overview"),
    ("suite/run/toy.py", "suite.monitor.overview", ROOMS, "suite.run.toy -> suite.monitor.overview"),
    ("suite/cli/toy.py", "suite.bench.run", ROOMS, "suite.cli.toy -> suite.bench.run"),
    ("suite/attic/__init__.py", "suite.errors", ROOMS, "suite.attic"),  # a room that has no place
    ("suite/results/toy_of_torch.py", "torch", NO_TORCH, "suite.results.toy_of_torch -> torch"),
    ("suite/monitor/toy.py", "suite.run.worker", NO_TORCH, "suite.monitor.toy -> suite.run.worker"),
    ("suite/cli/toy_of_mujoco.py", "mujoco", COMMANDS, "suite.cli.toy_of_mujoco -> mujoco"),
    ("suite/experiment/toy.py", "suite.experiment.yot", CIRCLES, "No cycles are allowed in suite.experiment"),
    ("suite/experiment/yot.py", "suite.experiment.toy", CIRCLES, "No cycles are allowed in suite.experiment"),
]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """By contract, what the linter says of a copy of the code with all these offences in it."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("reference", "__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", root)
    for file, imported, _, _ in OFFENCES:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(f"def when_it_is_called():\n    import {imported}\n")
    code = "from importlinter.cli import lint_imports; lint_imports(no_cache=True, no_logo=True)"
    wide = os.environ | {"COLUMNS": "400"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env=wide, check=True)
    _, _, broken = done.stdout.partition("Broken contracts")
    assert broken, done.stdout + done.stderr
    parts = re.split(r"^(.+)\n-+\n", broken, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize(("file", "contract", "said"), [(file, *told) for file, _, *told in OFFENCES])
def test_an_import_that_is_not_allowed_breaks_a_contract(complaints, file, contract, said):
    assert said in complaints[contract]
