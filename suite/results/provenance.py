"""Where a result comes from: revision, versions, processor, command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.results.json_files import NOT_THERE, DamagedFile, read_json, set_aside, write_json
from suite.results.shapes import PROVENANCE, read_shaped

REVISION_FILE = "revision.json"  # at the root of a copy of the code, which has no git of its own
CODE = ("tasks", "algorithms", "suite", "reports", "offmap", "configs")
"""The folders that a run's result may depend on."""

UNTOLD = ("command", "git_dirty", "product_rate")
"""What may differ between two parts of a run without being told: the rate does so from one moment to the next."""

PACKAGES = ("offmap", "torch", "mujoco", "gymnasium", "numpy", "pandas", "scipy")


def provenance(
    command: str, device: str, threads: int, code: Mapping[str, Any] | None = None, product_rate: float | None = None
) -> dict[str, Any]:
    """A JSON document: git revision and dirtiness, package versions, host, processor, device, threads, command.

    `device` is `cpu` or the name of another device, `threads` how many a tensor operation may use, `code` the identity
    of the modules that the work depends on (`suite.experiment.code_identity.code_of`), `product_rate` the GFLOP/s of
    float32 products on one thread (`suite.run.compute`).
    """
    return {
        **code_revision(Path(__file__).resolve().parents[2]),
        **({} if code is None else {"code": dict(code)}),
        **({} if product_rate is None else {"product_rate": product_rate}),
        "versions": {"python": platform.python_version(), **versions()},
        "host": socket.gethostname(),
        "cpu": _processor(),
        "device": device,
        "threads": threads,
        "command": command,
    }


def write_provenance(path: Path, document: dict[str, Any]) -> None:
    """Write where a run's work is done now; what it was done by before, where that differs, is kept in `earlier`.

    A file that is damaged is set aside: no result depends on it.
    """
    before = _written_before(path)
    if before is not None:
        earlier = before.pop("earlier", [])
        if any(before.get(name) != document[name] for name in document if name not in UNTOLD):
            earlier = [*earlier, before]
        if earlier:
            document = document | {"earlier": earlier}
    write_json(path, document)


def _written_before(path: Path) -> dict[str, Any] | None:
    try:
        return read_shaped(path, PROVENANCE)
    except FileNotFoundError:
        return None
    except (OSError, DamagedFile) as error:
        if isinstance(error, OSError) and error.errno not in NOT_THERE:
            raise
        set_aside(path)
        return None


def code_revision(root: Path) -> dict[str, Any]:
    """The git revision of the code in `root`, and whether it was changed since; None where there is no telling.

    Of a copy that was made for a cluster: of what it is a copy of.
    """
    if (root / REVISION_FILE).exists():
        return dict(read_json(root / REVISION_FILE))
    changed = changed_files(root)
    if changed is None:
        return {"git_revision": None, "git_dirty": None}
    return {"git_revision": (_ask_git(root, "rev-parse", "HEAD") or "").strip() or None, "git_dirty": bool(changed)}


def changed_files(root: Path) -> list[str] | None:
    """Files below `root` that differ from their revision, and files of the packages that no revision has.

    None where there is no telling: `root` is no git repository of its own, or git does not answer.
    """
    top = _ask_git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != root.resolve():  # below somebody's repository is not part of it
        return None
    tracked = _ask_git(root, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
    untracked = _ask_git(
        root, "ls-files", "-z", "--others", "--exclude-standard", "--exclude=__pycache__/", "--", *CODE
    )
    if tracked is None or untracked is None:
        return None
    return [line[3:] for line in tracked.split("\0") if line] + [line for line in untracked.split("\0") if line]


def _ask_git(root: Path, *arguments: str) -> str | None:
    """What git says of the repository that `root` lies in, whatever its caller's environment points at, or None.

    The repository may be another user's, as on a shared installation: nothing of it is run by the questions asked.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    trusted = ["-c", f"safe.directory={root.resolve()}", "-c", "core.fsmonitor=false"]
    command = ["git", *trusted, "-C", str(root), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return answer.stdout


def versions() -> dict[str, str | None]:
    """The installed version of each of `PACKAGES`, None where it is not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
