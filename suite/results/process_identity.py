"""Which process it is: what a process says of itself in a file, and whether one that said so still lives.

A number alone does not tell: another machine has a process of the same number, and so has this one, a while later.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What this process says of itself: enough to tell later, on this machine, whether it still lives."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "machine": _machine()}


def is_alive(about: dict[str, Any]) -> bool | None:
    """Whether a process that said so of itself (`this_process`) lives; None where only its heartbeat can tell."""
    if about.get("machine") != _machine():
        return None
    return bool(_started(about["pid"]) == about["started"])


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
