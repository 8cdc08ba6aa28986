"""Adding an algorithm is adding one file: everything finds it by itself, and the contract tests hold it to its word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOY = '''
"""An algorithm that does nothing."""
from algorithms.registry import AlgorithmEntry
from algorithms.references import Null, UntrainedAdapt, UntrainedTrain

ALGORITHMS = (
    AlgorithmEntry(
        name="toy", algorithm="Toy", train="UntrainedTrain", adapt="UntrainedAdapt",
        summary="a toy", source="this test",
        trains_on=(), title="Toy", colour="#123456", marker="o",
    ),
)  # fmt: skip


class Toy(Null):
    """The zero action under another name."""
'''

BROKEN = TOY.replace(
    '"""The zero action under another name."""',
    '''"""Has no agent at all."""

    def agent(self, config, seed):
        return None
''',
)

PROGRAM = """
import sys, algorithms
algorithms.__path__.append({folder!r})
{then}
"""


def run(folder, then):
    """What a process prints that finds the files of `folder` beside those of `algorithms`, and its exit code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-P", "-c", PROGRAM.format(folder=str(folder), then=then)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def toy(tmp_path):
    """A folder with one new algorithm."""
    (tmp_path / "toy.py").write_text(TOY)
    return tmp_path


def test_one_new_file_is_listed_expanded_and_drawn(toy):
    code, printed = run(toy, """
from reports.style import look
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.cli import main
experiment = Experiment(name="x", splits=("point-goal.ood",), algorithms=("toy", "mier"), budget="smoke")
assert [cell.algorithm for cell in expand(experiment)] == ["toy", "mier"]
assert look("toy (reference)").colour == "#123456"
main(["algorithms", "list"])
""")  # fmt: skip
    assert code == 0, printed
    assert "a toy" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("text", "passes"), [(TOY, True), (BROKEN, False)])
def test_the_contract_tests_find_it_by_themselves(tmp_path, text, passes):
    (tmp_path / "toy.py").write_text(text)
    code, printed = run(tmp_path, """
import pytest
sys.exit(pytest.main(["tests/contract/test_every_algorithm.py", "-k", "toy and point", "-q", "-p", "no:cacheprovider"]))
""")  # fmt: skip
    assert (code == 0) == passes, printed
    assert "passed" in printed if passes else "failed" in printed
