"""What a run is doing, in one small file that anyone can read at any time; who lives is asked of the lock."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite.results.json_files import write_json
from suite.results.lock import owner
from suite.results.process_identity import is_alive, this_process
from suite.results.shapes import STATUS, read_shaped

DIVERGED = "diverged"
"""The first word of the message of a run that failed since its numbers are not finite: trying again changes nothing."""

JOB = "OFFMAP_JOB"  # environment variable: the job of a cluster that a worker belongs to


class Status:
    """Writes `status.json` of a training folder: at every change, and at the heartbeats of whoever owns the folder.

    Fields: state (running, done, failed, stopped), stage (training, meta-test), env_steps, budget, fraction (of the
    stage), tested (the share of all meta-tests that is done), steps_per_second, return, message, notes, pid, host,
    process (of the writer), started and heartbeat (Unix seconds of the first and of the last writing), and job, where a
    cluster's job does the work.
    """

    def __init__(self, folder: Path) -> None:
        """Of a training folder that this process owns; nothing is written yet."""
        self._path = folder / "status.json"
        self._lock = threading.Lock()
        self._count: Callable[[], int] | None = None
        self._first = (time.time(), 0)
        self._fields: dict[str, Any] = {
            "state": "running",
            "stage": "starting",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process": this_process(),
            "started": time.time(),
            "notes": [],
            **({"job": os.environ[JOB]} if JOB in os.environ else {}),
        }

    @property
    def env_steps(self) -> int:
        """Environment steps of the training so far."""
        return self._count() if self._count is not None else 0

    def follow(self, env_steps: Callable[[], int], budget: int) -> None:
        """Meta-training begins, or goes on: report what `env_steps` counts against `budget` environment steps."""
        self._count, self._first = env_steps, (time.time(), env_steps())
        self.write(stage="training", budget=budget)

    def training_return(self, value: float) -> None:
        """Report the return of the last training episodes; not a number where none was whole."""
        self.write(**({"return": value} if value == value else {}))

    def note(self, sentence: str) -> None:
        """Keep a sentence that the user should see."""
        self.write(notes=[*self._fields["notes"], sentence])

    def write(self, **fields: Any) -> None:
        """Change fields and write the file; a disk that is full never ends a run here."""
        with self._lock:
            self._fields |= fields
            now = time.time()
            if self._count is not None:
                since, steps = self._first
                self._fields["env_steps"] = self.env_steps
                self._fields["steps_per_second"] = (self.env_steps - steps) / max(now - since, 1e-9)
                self._fields["seconds"] = now - since
            self._put(self._fields | {"heartbeat": now})

    def _put(self, document: dict[str, Any]) -> None:
        """Write whole or not at all; where there is no space for a second file, into the space of the first."""
        try:
            write_json(self._path, document)
        except OSError:
            with contextlib.suppress(OSError), open(self._path, "r+", opener=_follow_no_link) as handle:
                handle.write(json.dumps(document))
                handle.truncate()


def _follow_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_status(folder: Path) -> dict[str, Any]:
    """The status of a training folder, as its worker wrote it last.

    But for `state`: `pending` where nothing has begun, and `unknown` where the file cannot be understood. Where the
    file says `running` and nobody owns the folder (`suite.results.lock.owner`), `killed` if that was on this machine
    and `lost` if it was on another, both with `is_silent`.
    """
    try:
        fields = read_shaped(folder / "status.json", STATUS)
        if fields["state"] == "running" and owner(folder) is None:
            # Again: a worker that has ended since has said so before it gave the folder back.
            fields = read_shaped(folder / "status.json", STATUS)
            if fields["state"] == "running":
                return fields | _silence(folder, fields)
    except FileNotFoundError:
        return {"state": "pending"}
    except (OSError, ValueError) as error:
        return {"state": "unknown", "message": f"status.json cannot be read: {error}"}
    return fields


def _silence(folder: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """What to say of a run that nobody works on, though its status says that somebody does."""
    age = time.time() - (folder / "status.json").stat().st_mtime
    if is_alive(fields.get("process", {})) is None:
        message = f"no sign of life for {age:.0f} s on {fields['host']}. Run again to continue, once it has ended."
        return {"state": "lost", "message": message, "is_silent": True}
    message = f"nothing works on it any more; the last sign of life is {age:.0f} s old. Run again to continue."
    return {"state": "killed", "message": message, "is_silent": True}


def note_end(folder: Path, pid: int, state: str, message: str) -> None:
    """Write how a worker of this machine ended that could not say so itself, for whoever reads its status.

    Where another process works on the folder by now, or has finished it, the status is left as that one wrote it.
    """
    try:
        about, fields = owner(folder), read_shaped(folder / "status.json", STATUS)
        is_taken = bool(about and (about["host"], about["pid"]) != (socket.gethostname(), pid))
        if not is_taken and (fields["state"] != "done" or fields.get("pid") == pid):
            write_json(folder / "status.json", fields | {"state": state, "message": message, "heartbeat": time.time()})
    except (OSError, ValueError):  # it never began, or the disk is full: the lock will tell
        return
