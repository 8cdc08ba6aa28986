"""Which process it is: what a process says of itself in a file, and whether one that said so still lives.

A number alone does not tell: another machine has a process of the same number, and so has this one, a while later.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = (b"suite.run.worker", b"suite.worker", b"suite.cli", b"submitit.core._submit")  # that `python -m` runs
FIELDS: dict[str, Callable[[Any], bool]] = {
    "host": lambda host: isinstance(host, str),
    "pid": lambda pid: isinstance(pid, int) and 1 < pid < 2**31,
    "started": lambda started: started is None or isinstance(started, str),
    "machine": lambda machine: isinstance(machine, str),
}
"""What a process says of itself, and what each has to be."""


def this_process() -> dict[str, Any]:
    """What this process says of itself: enough to tell later, on this machine, whether it still lives."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "machine": _machine()}


def is_alive(about: dict[str, Any]) -> bool | None:
    """Whether a process that said so of itself (`this_process`) lives; None where only its heartbeat can tell."""
    if not is_owner(about) or about["machine"] != _machine():
        return None
    return bool(_started(about["pid"]) == about["started"])


def is_owner(about: Any) -> bool:
    """Whether a document is what a process says of itself."""
    return isinstance(about, dict) and all(check(about.get(name)) for name, check in FIELDS.items())


def is_offmap(pid: int) -> bool:
    """Whether a process of this machine does offmap's work, by its command line: no other may be asked to end."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self/cmdline").exists()  # a system that does not tell
    return any(word in MODULES or os.path.basename(word) == b"offmap" for word in words)


def _machine() -> str:
    """What processes share whose numbers mean the same to each other: a boot of a machine, or a container on it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process of this machine started, as the system counts; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return _exists(pid) if not Path("/proc/self/stat").exists() else None
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> str | None:
    """Stands in for the start of a process where there is no /proc, such as on macOS."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "running"
    return "running"
