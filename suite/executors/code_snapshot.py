"""Code that was submitted is the code that runs: a copy of the packages, or a refusal while they hold changes."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from suite.errors import UserError
from suite.experiment.plugins import source_of
from suite.results.json_files import read_json, write_json
from suite.results.provenance import REVISION_FILE, changed_files, code_revision

FOLDER = "code"  # of a results folder
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tasks", "algorithms", "suite", "reports", "offmap", "configs")
"""All that a run needs, and what a plugin may import besides."""

LEFT_OUT = ("__pycache__", "reference")
"""Folders that no code is in."""


class Code(NamedTuple):
    """The code that jobs run: the folder that holds its packages, and its revision, if it is known."""

    folder: Path
    revision: str | None
    setup: tuple[str, ...] = ()  # shell lines that make a job run it


def launched_code(out: Path, way: Literal["snapshot", "clean"], root: Path = ROOT, modules: Iterable[str] = ()) -> Code:
    """The code that jobs of a results folder are to run: a copy in `out/code`, or the code itself if it is unchanged.

    A copy holds the packages of plugins' `modules` too; files that are plugins have copies of their own in `out`.

    Raises:
        UserError: it has to be unchanged, and is not.
    """
    known = code_revision(root)
    if way == "clean":
        _refuse_changes(root)
        return Code(root, known["git_revision"])
    sources = [root / package for package in PACKAGES] + [source_of(module) for module in modules]
    files = {
        path.relative_to(source.parent): path for source in sources for path in _files(source) if _counts(path, source)
    }
    copy = out.absolute() / FOLDER / _digest(files)
    if not copy.exists():
        scratch = copy.with_name(f".{copy.name}.partial")
        shutil.rmtree(scratch, ignore_errors=True)
        for place, path in files.items():
            target = scratch / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        write_json(scratch / REVISION_FILE, known)
        scratch.replace(copy)
    revision = read_json(copy / REVISION_FILE)["git_revision"]
    return Code(copy, revision, (f"export PYTHONPATH={shlex.quote(str(copy))}${{PYTHONPATH:+:$PYTHONPATH}}",))


def _refuse_changes(root: Path) -> None:
    changed = changed_files(root)
    if changed is None:
        raise UserError(
            f"executor.code: clean was asked for, and git cannot tell whether {root} is unchanged (no repository of "
            "its own, or git is missing); use code: snapshot"
        )
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"executor.code: clean was asked for, and {root} has uncommitted changes ({', '.join(changed[:3])}{more}); "
            "commit them, or use code: snapshot"
        )


def _files(source: Path) -> list[Path]:
    """A file itself, or what is below a folder."""
    return [source] if source.is_file() else [*source.rglob("*")]


def _counts(path: Path, source: Path) -> bool:
    return path.is_file() and not {*LEFT_OUT} & {*path.relative_to(source).parts} and not path.name.startswith(".")


def _digest(files: Mapping[Path, Path]) -> str:
    """Identity of the contents of files, and of their places."""
    digest = hashlib.sha256()
    for place, path in sorted(files.items()):
        digest.update(f"{place}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
