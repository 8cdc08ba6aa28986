"""Names, letters and streams that no program expects: one message and exit code 2, or the output all the same."""

import os
import subprocess
import sys

import pytest
from patience import PATIENCE

LABEL = "\u00e9\u6f22"
DECLARED = f"name: x\nsplits: [point-goal.ood]\nalgorithms: [{{name: 'null', label: {LABEL}}}]\nbudget: smoke\n"


def call(arguments, cwd, **options):
    """A finished process of the command line."""
    command = [sys.executable, "-P", "-m", "suite.cli", *map(os.fspath, arguments)]
    options = {"capture_output": True} | options
    return subprocess.run(command, cwd=cwd, timeout=PATIENCE, check=False, **options)


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(DECLARED, encoding="utf-8")
    return path


def test_letters_that_a_terminal_does_not_know_are_spelt_out(experiment, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = call(["plan", experiment, "--no-calibrate"], tmp_path, env=environment)
    assert done.returncode == 0
    assert b"\\xe9\\u6f22" in done.stdout


@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&-"])
def test_a_stream_that_is_closed_harms_nobody(tmp_path, redirected):
    command = f'"{sys.executable}" -P -m suite.cli algorithms list {redirected}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, cwd=tmp_path, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_device_is_told_in_one_message(experiment, tmp_path):
    with open("/dev/full", "w") as full:
        done = call(["algorithms", "list"], tmp_path, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 2
    assert b"the disk is full" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "words"), [
    (["status", "n" * 300], "File name too long; a name is at most 255 bytes"),
    (["plan", "n" * 300 + ".yaml"], "File name too long"),
    (["run", "experiment.yaml", "--out", "/dev/full"], "/dev/full cannot be made: File exists; choose another folder"),
    (["plan", "pipe"], "'pipe' cannot be read: it is no ordinary file"),
    (["plan", "/dev/zero"], "cannot be read: it is no ordinary file"),
    (["run", "experiment.yaml", "--set", "name=\udcff"], "is not a YAML value"),
    (["algorithms", "show", "a\x1b[31m"], "there is no algorithm 'a\\x1b[31m'"),
])  # fmt: skip
def test_odd_names_are_one_message(experiment, refused, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    message = refused(*arguments)
    assert words in message
    assert "\x1b" not in message
