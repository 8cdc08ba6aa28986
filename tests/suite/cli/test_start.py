"""The command line as a whole: quick, one message for a mistake, and no plugin can break it."""

import errno
import json
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, version

import pytest
from pydantic import TypeAdapter

from algorithms.registry import UnknownAlgorithm
from suite.cli import plugins
from suite.cli.errors import explained
from suite.errors import UserError
from suite.experiment.shipped import CONFIGS
from suite.results.records import RecordsError
from tasks.environments.rendering import RenderingUnavailable
from tasks.registry import InvalidDeclaration, UnknownName

VERBS = ("plan", "run", "status", "collect", "report", "video", "schema", "bench", "tasks", "algorithms")
HEAVY = ("torch", "mujoco", "pandas", "matplotlib", "pyarrow")


def test_help_names_every_command(offmap):
    answer = offmap("--help")
    assert answer.code == 0
    for verb in VERBS:
        assert f" {verb} " in answer.out
        assert offmap(verb, "--help").code == 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["tasks", "list"], ["algorithms", "list", "--json"], ["status", "nowhere"]]
)
def test_quick_commands_import_nothing_heavy(arguments):
    code = (
        "import atexit, sys; from suite.cli import main;"
        f"atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr));"
        f"main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_version_names_all_that_a_result_may_depend_on(offmap):
    answer = offmap("--version")
    assert answer.code == 0
    first, *others = answer.out.splitlines()
    assert first == f"offmap {version('offmap')}"
    for package in ("torch", "mujoco", "gymnasium"):
        assert f"{package} {version(package)}" in others
    assert others[-1].startswith("bfloat16 on this processor: n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["tsks"], "tasks"),
        (["tasks", "lst"], "Did you mean 'list'?"),
        (["run"], "EXPERIMENT"),
        (["run", "x.yaml", "--workers", "0"], "greater than or equal to 1"),
        (["status", "--jsn", "."], "--json"),
    ],
)
def test_usage_errors(refused, arguments, hint):
    assert hint in refused(*arguments)


def test_schema_describes_an_experiment(offmap):
    document = json.loads(offmap("schema").out)
    assert {"name", "splits", "algorithms", "axes", "seeds", "budget", "protocol"} <= set(document["properties"])
    assert document["additionalProperties"] is False
    parts = document["$defs"]
    assert {"extra", "support", "null_return"} < set(parts["SplitDeclaration"]["properties"])
    assert {"values", "uniform", "grid", "normal", "parameters"} < set(parts["TaskList"]["properties"])
    assert parts["TaskList"]["properties"]["parameters"]["anyOf"][0]["additionalProperties"]["$ref"] == "#/$defs/Scheme"
    assert parts["Normal"]["required"] == ["mean", "std", "within"]


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (UserError("no such thing"), ["offmap: no such thing"]),
        (UnknownName("split", "point-goal.odd", ["point-goal.ood"], "Look."), ["did you mean 'point-goal.ood'? Look."]),
        (InvalidDeclaration("its train list is empty."), ["offmap: its train list is empty."]),
        (UnknownAlgorithm("there is no algorithm 'x'"), ["offmap: there is no algorithm 'x'"]),
        (RecordsError("results.parquet: is damaged"), ["offmap: results.parquet: is damaged"]),
        (RenderingUnavailable("no OpenGL"), ["offmap: no OpenGL"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["the disk is full.", "free space", "same command"]),
        (FileNotFoundError(errno.ENOENT, "No such file", "a/b.yaml"), ["a/b.yaml", "No such file", "check the path"]),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), ["/out", "--out"]),
        (OSError(errno.EDQUOT, "Quota", "/runs/x"), ["the disk is full at /runs/x"]),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(capsys, error, parts):
    with pytest.raises(SystemExit) as left, explained():
        raise error
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for part in parts:
        assert part in message


def test_a_file_that_does_not_fit_its_format_is_no_traceback(capsys):
    with pytest.raises(SystemExit) as left, explained():
        TypeAdapter(dict[str, int]).validate_python({"a": "x"})
    assert left.value.code == 2
    assert "a: Input should be a valid integer" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EIO, "I/O error"), KeyError("x")])
def test_our_own_errors_keep_their_traceback(error):
    with pytest.raises(type(error)), explained():
        raise error


def test_an_unexpected_error_exits_with_1_and_a_traceback():
    code = (
        "import suite.cli.experiments as verbs; verbs.schema.__code__ = (lambda: 1 / 0).__code__;"
        "from suite.cli import main; main(['schema'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -P -m suite.cli schema | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_every_command_that_joins_can_be_loaded():
    declared = tomllib.loads((CONFIGS.parent / "pyproject.toml").read_text())["project"]["entry-points"]
    points = [EntryPoint(name, value, plugins.GROUP) for name, value in declared[plugins.GROUP].items()]
    assert {point.name: point.load().__name__ for point in points} == {point.name: point.name for point in points}
    assert {"bench", "report"} <= {point.name for point in points}


def test_a_broken_plugin_breaks_only_itself(monkeypatch):
    points = [
        EntryPoint("bad", "no.such.module:command", plugins.GROUP),
        EntryPoint("schema", "suite.cli.experiments:schema", plugins.GROUP),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    found = dict(plugins.commands())
    assert found["schema"].__name__ == "schema"
    assert "No module named 'no'" in found["bad"].__doc__


def test_a_broken_plugin_says_so_when_it_is_called():
    code = (
        "from importlib.metadata import EntryPoint; from suite.cli import plugins;"
        "plugins.entry_points = lambda group: [EntryPoint('bad', 'no.such.module:command', group)];"
        "from suite.cli import main; main()"
    )
    helped = subprocess.run([sys.executable, "-P", "-c", code, "--help"], capture_output=True, text=True)
    assert helped.returncode == 0
    assert "(broken: ModuleNotFoundError" in helped.stdout
    called = subprocess.run([sys.executable, "-P", "-c", code, "bad"], capture_output=True, text=True)
    assert called.returncode == 1
    assert "the command 'bad' of an unknown package (no.such.module:command) is broken" in called.stderr
