"""Policies in files: finding one, and the identity of what it holds.

Three kinds are known by what is in them: `mine.py:act`, something that can be called in a file of Python; what
stable-baselines3 saves (`model.save("sac.zip")`); and TorchScript (`torch.jit.script(network).save("policy.pt")`).
The first two are programs: loading one (`algorithms.elsewhere.loading`) runs what its author wrote.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.errors import UserError
from tasks.spec import fingerprint

KINDS = "file.py:function, a .zip of stable-baselines3, or TorchScript"

FOLDERS: dict[str, Path] = {}
"""Where the files of policies are that are in use, by `PolicyFile.digest`."""


class PolicyFile(NamedTuple):
    """A policy in a file: which file, of Python also what in it, and the files that it reads, beside it."""

    name: str  # such as mine.py:act or sac.zip
    paths: tuple[Path, ...]  # its own first

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file by its name."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.paths}

    @property
    def digest(self) -> str:
        """Identity of all files: 12 hexadecimal digits."""
        return digest_of(self.files)


def digest_of(files: Mapping[str, str]) -> str:
    """Identity of files, by their names and hashes."""
    return fingerprint(files)


def locate_policy(given: str, beside: Sequence[str] = ()) -> PolicyFile:
    """The policy that was given as a path (of a file of Python, with `:function` behind it); nothing of it is run.

    Args:
        given: Such as `./mine.py:act`, `sac.zip` or `policy.pt`.
        beside: Further files that it reads, which it finds beside itself.

    Raises:
        UserError: a file is not there, or it is not said what in a file of Python the policy is.
    """
    text, colon, attribute = given.partition(":") if ".py:" in given else (given, "", "")
    paths = [Path(text), *map(Path, beside)]
    for path in paths:
        if not path.is_file():
            near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*") if p.is_file()], n=1)
            hint = f"did you mean {path.parent / near[0]}?" if near else f"a policy is {KINDS}"
            raise UserError(f"policy {given}: there is no file {path}; {hint}")
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise UserError(f"policy {given}: two of its files have one name; they are kept in one folder: rename one")
    if paths[0].suffix == ".py" and not attribute:
        raise UserError(f"policy {given}: say which function of the file it is, {text}:NAME; {defined_in(paths[0])}")
    return PolicyFile(f"{paths[0].name}{colon}{attribute}", tuple(paths))


def use_policy_folder(folder: Path) -> str:
    """Have the files of a folder be the policy of their digest, which is returned."""
    digest = PolicyFile("", tuple(sorted(path for path in folder.iterdir() if path.is_file()))).digest
    FOLDERS[digest] = folder
    return digest


def holds(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether a folder holds files of these names and hashes."""
    paths = tuple(folder / name for name in files)
    return all(path.is_file() for path in paths) and PolicyFile("", paths).files == files


def defined_in(path: Path, near: str = "") -> str:
    """What a file of Python defines, in words; of names the one that is near to what was given."""
    with contextlib.suppress(SyntaxError, ValueError, OSError):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        close = difflib.get_close_matches(near, names, n=1)
        return f"did you mean {close[0]}?" if close else f"it defines {', '.join(names) or 'nothing'}"
    return "it is no Python that can be read"
