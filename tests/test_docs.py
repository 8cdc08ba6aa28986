"""What the documentation says is shown by a test is shown by one."""

import re
from pathlib import Path

import pytest
import yaml

from tasks.split_declaration import SplitDeclaration

TESTS = Path(__file__).parent
CLUSTER = (TESTS.parent / "docs" / "cluster.md").read_text()


def test_every_promise_about_faults_names_tests_that_there_are():
    rows = [line for line in CLUSTER.splitlines() if line.startswith("| ") and "test_" in line]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`([\w./]+)(?:::(test_\w+?)_?(\.\.\.)?)?`", row.split("|")[-2])
        assert named, row
        for path, test, _ in named:
            place = TESTS / path.replace("cluster/...", "cluster/test_faults.py")
            assert place.is_file(), path
            assert test in place.read_text(), (path, test)


@pytest.mark.parametrize("page", ["README.md", "docs/protocol.md"])
def test_own_splits_are_what_the_documentation_shows(page):
    blocks = re.findall(r"```yaml\n(.*?)```", (TESTS.parent / page).read_text(), re.DOTALL)
    shown = [own for block in blocks for own in yaml.safe_load(block).get("own_splits", ())]
    assert shown
    for own in shown:
        assert SplitDeclaration.model_validate(own).split().name == own["name"]
