"""Code that was submitted is the code that runs: whatever is edited, committed or deleted afterwards."""

import os
import subprocess
import sys

import pytest

from suite.errors import UserError
from suite.executors.code_snapshot import launched_code
from suite.results.json_files import read_json
from suite.results.provenance import changed_files, code_revision


def git(root, *arguments):
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", str(root), *named, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path):
    """A repository with a package `suite` of one module, committed."""
    root = tmp_path / "root"
    (root / "suite" / "__pycache__").mkdir(parents=True)
    (root / "suite" / "__init__.py").touch()
    (root / "suite" / "value.py").write_text("VALUE = 1\n")
    (root / "suite" / "__pycache__" / "value.pyc").touch()
    (root / "notes.txt").touch()
    git(root, "init", "--quiet")
    git(root, "add", "suite/__init__.py", "suite/value.py", "notes.txt")
    git(root, "commit", "--quiet", "--message", "one")
    return root


def value(code):
    """What a process finds that runs the code."""
    script = " && ".join([*code.setup, f"exec {sys.executable} -P -c 'import suite.value; print(suite.value.VALUE)'"])
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=environment).stdout


def test_a_copy_runs_what_was_submitted(root, tmp_path):
    first = launched_code(tmp_path / "out", "snapshot", root)
    assert launched_code(tmp_path / "out", "snapshot", root) == first  # the same code is copied once
    assert sorted(path.name for path in first.folder.rglob("*") if path.is_file()) == [
        "__init__.py", "revision.json", "value.py",
    ]  # fmt: skip
    (root / "suite" / "value.py").write_text("VALUE = 2\n")
    second = launched_code(tmp_path / "out", "snapshot", root)
    assert (value(first), value(second)) == ("1\n", "2\n")


def test_a_copy_knows_its_revision(root, tmp_path):
    revision = git(root, "rev-parse", "HEAD")
    clean = launched_code(tmp_path / "out", "snapshot", root)
    assert clean.revision == revision
    assert code_revision(clean.folder) == {"git_revision": revision, "git_dirty": False}
    (root / "suite" / "value.py").write_text("VALUE = 2\n")
    changed = launched_code(tmp_path / "out", "snapshot", root)
    assert read_json(changed.folder / "revision.json") == {"git_revision": revision, "git_dirty": True}


def test_changes_are_refused_where_the_code_itself_is_to_run(root, tmp_path):
    code = launched_code(tmp_path / "out", "clean", root)
    assert (code.folder, code.revision, code.setup) == (root, git(root, "rev-parse", "HEAD"), ())
    (root / "suite" / "value.py").write_text("VALUE = 2\n")
    with pytest.raises(UserError, match=r"uncommitted changes \(suite/value.py\); commit them, or use code: snapshot"):
        launched_code(tmp_path / "out", "clean", root)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_somebody_elses_repository_has_no_revision(root):
    """Such as a package that is installed in an environment below it."""
    assert changed_files(root / "suite") is None
    assert code_revision(root / "suite") == {"git_revision": None, "git_dirty": None}


def test_git_is_asked_about_this_repository_whatever_the_environment_says(root, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "another")
    revision = git(root, "rev-parse", "HEAD")
    (root / "suite" / "value.py").write_text("VALUE = 2\n")
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert code_revision(root) == {"git_revision": revision, "git_dirty": True}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_a_repository_of_another_user_still_tells_its_revision(root, tmp_path):
    revision = git(root, "rev-parse", "HEAD")
    for path in (root, *root.rglob("*")):
        os.chown(path, 12345, 12345)
    assert code_revision(root) == {"git_revision": revision, "git_dirty": False}
    (root / "suite" / "value.py").write_text("VALUE = 2\n")
    with pytest.raises(UserError, match="uncommitted changes"):
        launched_code(tmp_path / "out", "clean", root)


def test_a_module_that_no_revision_has_is_a_change(root, tmp_path):
    (root / "suite" / "new module.py").write_text("VALUE = 3\n")
    (root / "scratch.py").touch()  # not of the packages
    assert changed_files(root) == ["suite/new module.py"]
    assert code_revision(root)["git_dirty"] is True
    with pytest.raises(UserError, match=r"uncommitted changes \(suite/new module.py\)"):
        launched_code(tmp_path / "out", "clean", root)


def test_code_of_which_git_cannot_tell_is_not_taken_for_unchanged(root, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"git cannot tell whether .* use code: snapshot"):
        launched_code(tmp_path / "out", "clean", root / "suite")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git cannot tell"):
        launched_code(tmp_path / "out", "clean", root)
