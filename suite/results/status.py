"""What a run is doing, in one small file that a heartbeat keeps fresh, so that anyone can read it at any time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.results.json_files import read_json, write_json
from suite.results.lock import is_alive, this_process

if TYPE_CHECKING:
    from suite.run.rollout import Meter

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # a heartbeat older than this belongs to a process that is gone
JOB = "OFFMAP_JOB"  # environment variable: the job of a cluster that a worker belongs to


class Status:
    """Writes `status.json` of a training folder: at every change, and by a heartbeat in between.

    Fields: state (running, done, failed, stopped), stage (training, meta-test), env_steps, budget, fraction (of the
    stage), steps_per_second, return, message, notes, pid, host, started and heartbeat (Unix seconds), and job, where
    a cluster's job does the work.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "status.json"
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._meter: Meter | None = None
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

    def __enter__(self) -> Status:
        """Start the heartbeat."""
        self.write()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the heartbeat; the last written state stays."""
        self._stopped.set()
        self._thread.join()

    @property
    def env_steps(self) -> int:
        """Environment steps of the training so far."""
        return self._meter.steps if self._meter is not None else 0

    def follow(self, meter: Meter, budget: int) -> None:
        """Meta-training begins, or goes on: report `meter` against `budget` environment steps."""
        self._meter, self._first = meter, (time.time(), meter.steps)
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
            if self._meter is not None:
                since, steps = self._first
                self._fields["env_steps"] = self._meter.steps
                self._fields["steps_per_second"] = (self._meter.steps - steps) / max(now - since, 1e-9)
                self._fields["seconds"] = now - since
            self._put(self._fields | {"heartbeat": now})

    def _put(self, document: dict[str, Any]) -> None:
        """Write whole or not at all; where there is no space for a second file, into the space of the first."""
        try:
            write_json(self._path, document)
        except OSError:
            with contextlib.suppress(OSError), self._path.open("r+") as handle:
                handle.write(json.dumps(document))
                handle.truncate()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            self.write()


def read_status(folder: Path, now: float | None = None) -> dict[str, Any]:
    """The status of a training folder.

    `pending` where nothing has begun, `killed` where the process is gone, `lost` where it has given no sign of life
    for a while, both with `is_silent`, and `unknown` where the file cannot be understood. On this machine the system
    knows whether a process lives; elsewhere the age of the file tells, so that no clock of another machine matters.
    """
    try:
        fields = read_json(folder / "status.json")
        age = (time.time() if now is None else now) - (folder / "status.json").stat().st_mtime
        is_running, host = fields["state"] == "running", fields["host"]
        lives = is_alive(fields.get("process", {}))
    except FileNotFoundError:
        return {"state": "pending"}
    except (OSError, ValueError) as error:
        return {"state": "unknown", "message": f"status.json cannot be read: {error}"}
    except (KeyError, TypeError):
        return {"state": "unknown", "message": "status.json is not a status"}
    if is_running and lives is False:
        message = f"its process is gone; the last sign of life is {age:.0f} s old. Run again to continue."
        return fields | {"state": "killed", "message": message, "is_silent": True}
    if is_running and lives is None and age > STALE_SECONDS:
        message = f"no sign of life for {age:.0f} s on {host}. Run again to continue, once it has ended."
        return fields | {"state": "lost", "message": message, "is_silent": True}
    return fields


def note_end(folder: Path, pid: int, state: str, message: str) -> None:
    """Write how a worker ended that could not say so itself, for whoever reads its status.

    Nothing where another process works on the folder by now, or has finished it: the status is of that one.
    """
    seen = read_status(folder)
    if seen["state"] in ("running", "done") and seen.get("pid") != pid:
        return
    try:
        fields = read_json(folder / "status.json")
        write_json(folder / "status.json", fields | {"state": state, "message": message, "heartbeat": time.time()})
    except (OSError, ValueError, TypeError):  # it never began, or the disk is full: the heartbeat will tell
        return
