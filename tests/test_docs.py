"""What the documentation says is shown by a test is shown by one."""

import re
from pathlib import Path

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
