"""The wheel is the product: it holds every file, and used outside the checkout it runs what the checkout would.

It is built from the sdist, installed into an environment of its own, whose dependencies are those of this one.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from plugin_texts import ALGORITHM, FAMILY, PENDULUM

from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand
from suite.experiment.shipped import CONFIGS, ready_experiments

pytestmark = [pytest.mark.wheel, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
PACKAGES = ("offmap", "tasks", "algorithms", "suite", "reports", "configs")
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "MANIFEST.in",
          "Makefile", "mkdocs.yml", "requirements.lock")  # fmt: skip
LEFT_OUT = ("__pycache__", "*.egg-info", ".*")

SMOKE = """
name: smoke
plugins: [./far.py]
splits: [far-point.ood]
algorithms: ["null", steady]
budget: smoke
protocol: {max_tasks: 2}
"""


class Installation(NamedTuple):
    """An environment that the wheel is installed in, and a folder to be in, far from the checkout."""

    bin: Path
    home: Path
    wheel: Path

    def run(self, *words, expect=0):
        """What a command of the environment prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OFFMAP"))}
        command = [str(self.bin / words[0]), *map(str, words[1:])]
        done = subprocess.run(command, cwd=self.home, env=kept, capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + (done.stderr if expect else "")


def built(kind, source, out):
    """The path of a wheel or an sdist of a source tree."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, text=True)
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a distribution is made of, so that building leaves nothing behind in the checkout."""
    tree = tmp_path_factory.mktemp("tree")
    for name in (*PACKAGES, "docs", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in BESIDE:
        shutil.copy(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    """The source distribution, unpacked."""
    out = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", tree, out)) as archive:
        archive.extractall(out, filter="data")
    return next(path for path in out.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def installation(sdist, tmp_path_factory):
    """The wheel of that source distribution, installed."""
    out = tmp_path_factory.mktemp("installed")
    wheel = built("wheel", sdist, out)
    venv.create(out / "venv", with_pip=False)
    (packages,) = (out / "venv" / "lib").glob("python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in others))
    python = out / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    home = out / "home"
    home.mkdir()
    return Installation(out / "venv" / "bin", home, wheel)


def test_the_wheel_holds_every_file_of_the_packages(tree, installation):
    names = set(zipfile.ZipFile(installation.wheel).namelist())
    files = {str(path.relative_to(tree)) for name in PACKAGES for path in (tree / name).rglob("*.*")}
    assert {"reports/page/template.html", "configs/budgets.yaml", "configs/algorithms/mier.yaml", "tasks/py.typed",
            "configs/experiments/paper/table-3-sweep.yaml", "reports/page/page.js",
            "reports/reference/parity/records.parquet"} < files  # fmt: skip
    assert {name for name in names if ".dist-info/" not in name} == files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_holds_what_the_tests_need(tree, sdist):
    for name in (*BESIDE, "tests/test_wheel.py", "docs/protocol.md", "configs/budgets.yaml"):
        assert (sdist / name).read_bytes() == (tree / name).read_bytes()


def test_it_is_the_wheel_that_runs_and_not_the_checkout(installation):
    place = installation.run("python", "-c", "import suite; print(suite.__file__)")
    assert place.startswith(str(installation.bin.parent))
    assert "offmap" in installation.run("offmap", "--version")


def test_it_lists_the_same_splits_under_the_same_hashes(installation):
    from tasks.registry import splits

    families = json.loads(installation.run("offmap", "tasks", "list", "--json"))["families"]
    listed = {split["name"]: split["hash"] for family in families for split in family["splits"]}
    assert listed == {split.full_name: split.hash for split in splits()}


@pytest.mark.parametrize("name", ["tavt"])
def test_it_plans_the_same_runs_under_the_same_hashes(installation, name):
    plan = json.loads(installation.run("offmap", "plan", name, "--json", "--no-calibrate"))
    cells = expand(load_experiment(CONFIGS / "experiments" / f"{name}.yaml"))
    assert [(cell["training"], cell["run"]) for cell in plan["cells"]] == [
        (cell.training.hash, cell.metatests[-1].hash) for cell in cells
    ]


def test_its_experiments_are_ready_by_name_and_an_unknown_one_is_told_them(installation):
    said = installation.run("offmap", "plan", "dmeo", expect=2)
    assert all(name in said for name in ready_experiments())


def test_it_runs_and_reports_an_algorithm_and_a_family_of_ones_own(installation):
    """A family of a file, and an algorithm of an installed package."""
    (installation.home / "smoke.yaml").write_text(SMOKE)
    (installation.home / "far.py").write_text(FAMILY)
    (packages,) = (installation.bin.parent / "lib").glob("python*/site-packages")
    (packages / "my_lab.py").write_text(ALGORITHM)
    (packages / "my_lab-1.0.dist-info").mkdir()
    (packages / "my_lab-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.0\n")
    (packages / "my_lab-1.0.dist-info" / "entry_points.txt").write_text("[offmap.algorithms]\nsteady = my_lab\n")
    assert "steady" in installation.run("offmap", "algorithms", "list")
    assert "far-point.ood" in installation.run("offmap", "tasks", "list", "--plugin", "far.py")
    said = installation.run("offmap", "run", "smoke.yaml", "--workers", "1")
    assert "far-point.ood" in said
    assert (installation.home / "runs/smoke/results.parquet").exists()
    (report,) = (installation.home / "runs" / "smoke").rglob("report.html")
    assert "steady (reference)" in report.read_text()


FEW_UPDATES = "train: {steps_per_iteration: 2}, adapt: {relabel_updates: 2}"
COMPARISON = (  # the words of the project's README, with fewer gradient steps, test tasks and seeds
    "budget=smoke", "splits=[point-goal.ood, cheetah-velocity.hard]", "seeds=[0]",
    f"algorithms=[mine, {{name: mier, {FEW_UPDATES}}}, {{name: pearl, train: {{steps_per_iteration: 2}}}}]",
    "protocol={max_tasks: 1, evaluation_episodes: 1}",
)  # fmt: skip


def test_a_strangers_algorithm_goes_all_the_way_to_a_report(installation):
    """Written, changed, checked, run against two baselines on a point family and on the cheetah, reported."""
    place, edits = installation.home / "mine", ("default=0.3, gt=0,", "default=0.25, gt=0,")
    assert "offmap check algorithm ./mine.py" in installation.run("offmap", "new", "algorithm", "mine")
    text = (place / "mine.py").read_text()
    assert text.count(edits[0]) == 1
    (place / "mine.py").write_text(text.replace(*edits))
    checked = installation.run("offmap", "check", "algorithm", "mine/mine.py", "--no-everywhere", "--json")
    assert {row["outcome"] for row in json.loads(checked)["mine"]} <= {"passed", "skipped"}
    changes = [word for change in COMPARISON for word in ("--set", change)]
    run = ("offmap", "run", "mine/experiment.yaml", "--out", "mine/runs", "--executor", "inline", *changes)
    rows, said = ("cheetah-velocity.hard", "point-goal.ood", "MIER", "PEARL", "mine"), installation.run(*run)
    page = (place / "runs" / "report" / "report.html").read_text()
    assert all(row in said and row in page for row in rows)
    trainings = {path.parent.name: json.loads(path.read_text()) for path in place.glob("runs/*/config.json")}
    mine, _ = [name for name, spec in trainings.items() if spec["algorithm"] == "mine"]
    assert trainings[mine]["config"]["noise"] == 0.25
    installation.run("offmap", "report", f"mine/runs/{mine}", "--out", "mine/report")  # of one training: it is quicker
    assert "mine" in (place / "report" / "report.html").read_text()


def test_a_family_from_gymnasium_and_a_policy_from_elsewhere(installation):
    """Somebody who has a simulator and a policy already, and writes two functions."""
    (installation.home / "heavy.py").write_text(PENDULUM)
    (installation.home / "brake.py").write_text(
        "import numpy as np\ndef act(observations):\n    return np.clip(-observations[:, 2:], -1, 1)\n"
    )
    (installation.home / "heavy.yaml").write_text(
        "{name: heavy, plugins: [./heavy.py], splits: [pendulum-gravity.heavy], algorithms: ['null'], budget: smoke}"
    )
    assert "FAILED" not in installation.run("offmap", "check", "family", "./heavy.py")
    installation.run("offmap", "run", "heavy.yaml", "--workers", "1")
    said = installation.run(
        "offmap", "score", "pendulum-gravity.heavy", "--policy", "brake.py:act", "--env-steps", "0",
        "--out", "runs/heavy", "--plugin", "heavy.py",
    )  # fmt: skip
    assert "null (reference)" in said
    assert "brake" in said


def test_without_a_configuration_it_runs_nothing(installation):
    (packages,) = (installation.bin.parent / "lib").glob("python*/site-packages")
    path = packages / "configs" / "algorithms" / "mier.yaml"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        said = installation.run("offmap", "plan", "quickstart", "--no-calibrate", expect=2)
    finally:
        aside.rename(path)
    assert "mier.yaml cannot be read" in said
    assert "Traceback" not in said
