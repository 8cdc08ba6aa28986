"""Code that was submitted is the code that runs: a copy of the packages, or a refusal while they hold changes."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

from suite.errors import UserError
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


def launched_code(out: Path, way: Literal["snapshot", "clean"], root: Path = ROOT) -> Code:
    """The code that jobs of a results folder are to run: a copy in `out/code`, or the code itself if it is unchanged.

    Raises:
        UserError: it has to be unchanged, and is not.
    """
    known = code_revision(root)
    if way == "clean":
        _refuse_changes(root)
        return Code(root, known["git_revision"])
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*") if _counts(path, root))
    copy = out.absolute() / FOLDER / _digest(files, root)
    if not copy.exists():
        scratch = copy.with_name(f".{copy.name}.partial")
        shutil.rmtree(scratch, ignore_errors=True)
        for path in files:
            target = scratch / path.relative_to(root)
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


def _counts(path: Path, root: Path) -> bool:
    return path.is_file() and not {*LEFT_OUT} & {*path.relative_to(root).parts} and not path.name.startswith(".")


def _digest(files: list[Path], root: Path) -> str:
    """Identity of the contents of files, and of their places."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
