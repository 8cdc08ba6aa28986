"""One owner per folder, on any file system, also where the owner died without a word on another machine.

`flock` is not enough on a cluster: a network file system may keep the lock of a node that is gone, or keep none at
all. Here an owner is a small file, `lock-N`, made exclusively, which says who it is, and whose modification time a
heartbeat renews. Numbers only grow, so that nobody has to remove what another has made: whoever takes over from a
dead owner N makes `lock-N+1`, which one alone can succeed in; an owner that finds a higher number than its own was
taken for dead, and ends at once.

Whether an owner lives is asked of the operating system where it runs on this machine, and otherwise of its heartbeat,
which is measured against the file system's own clock: neither clocks that differ nor clocks that jump matter.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import UserError

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0  # without a heartbeat; more than a network file system keeps what it knows of a file
WATCHED_BEATS = 2.5  # how long an owner whose heartbeat looks old is watched before it is taken for dead
LOST = 76  # exit code of a process that was taken for dead, and finds that another owns its folder


@contextmanager
def owned(folder: Path, what: str = "working on this run", patience: float = 0.0) -> Iterator[Callable[[], None]]:
    """Own a folder: one process at a time. Waits while it cannot be told whether an owner on another machine lives.

    Gives a function to be called before something is written that another owner might write too: it ends the process
    if the folder was taken over. A heartbeat calls it too, but may come too late where all of the process stood still.

    `what` is what owners do, in words; for one that lives they wait `patience` seconds.

    Raises:
        UserError: there is no such folder, or another process owns it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    path = _patiently(folder, what, time.monotonic() + patience)
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, ended), daemon=True)
    heart.start()
    try:
        yield lambda: _end_if_lost(path)
    finally:
        ended.set()
        heart.join()
        _set_time(path, 0.0)  # given back; this needs no space on a disk that may be full


def owner(folder: Path) -> dict[str, Any] | None:
    """Who owns a folder (host, pid and more), None if nobody does; of other machines by the last heartbeat. Only reads.

    Raises:
        OSError: there is no such folder.
    """
    path = _path(folder, _newest(folder))
    beat, about = _beat_of(path), _read(path)
    lives = is_alive(about)
    if beat == 0 or lives is False or (lives is None and time.time() - beat > EXPIRY_SECONDS):
        return None
    return about


def _patiently(folder: Path, what: str, until: float) -> Path:
    while True:
        try:
            return _take(folder, what)
        except UserError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _take(folder: Path, what: str) -> Path:
    """A lock file of one's own.

    Raises:
        UserError: another process owns the folder.
    """
    while True:
        newest = _newest(folder)
        if newest and not _is_free(folder, newest):
            about = _read(_path(folder, newest))
            who = f" (process {about['pid']} on {about['host']})" if about else ""
            raise UserError(f"{folder}: another process is {what}{who}; wait for it, or end it")
        path = _path(folder, newest + 1)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:  # somebody was faster
            continue
        with contextlib.suppress(OSError), os.fdopen(descriptor, "w") as handle:  # on a full disk: nameless
            json.dump(this_process(), handle)
        if _newest(folder) > newest + 1:  # we slept so long that others have come and gone since we looked
            path.unlink(missing_ok=True)
            continue
        for number in _numbers(folder):
            if number <= newest:
                _path(folder, number).unlink(missing_ok=True)
        return path


def _is_free(folder: Path, number: int) -> bool:
    """Whether the owner of a lock file has given it back or is dead; waits until one of them can be told."""
    path = _path(folder, number)
    first, since = _beat_of(path), time.monotonic()
    while True:
        beat, lives = _beat_of(path), is_alive(_read(path))
        if beat == 0:
            return True
        if lives is not None:
            return not lives
        if beat != first:
            return False  # its heart was seen beating
        was_watched = time.monotonic() - since >= WATCHED_BEATS * BEAT_SECONDS
        if was_watched and _now(folder) - beat > EXPIRY_SECONDS:
            return True
        time.sleep(BEAT_SECONDS / 4)


def is_alive(about: dict[str, Any]) -> bool | None:
    """Whether a process that said so of itself (`this_process`) lives; None where only its heartbeat can tell."""
    if about.get("machine") != _machine():
        return None
    return bool(_started(about["pid"]) == about["started"])


def _beat_of(path: Path) -> float:
    """Time of the last heartbeat of a lock, by the clock of its file system; 0 where there is none any more."""
    try:
        with path.open("rb") as handle:  # opening makes a network file system ask its server
            return os.fstat(handle.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0


def _now(folder: Path) -> float:
    """The time by the clock of a folder's file system."""
    probe = folder / f".lock-probe-{socket.gethostname()}-{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _beat(path: Path, ended: threading.Event) -> None:
    """Renew a lock until its owner has ended; end the process if it was taken over."""
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(OSError):  # the server may be away for a while
            _end_if_lost(path)
            _set_time(path, None)


def _end_if_lost(path: Path) -> None:
    """End the process, at once, if somebody has taken its lock over."""
    if _newest(path.parent) > int(path.name.rpartition("-")[2]):
        print(f"{path.parent}: another process has taken this run over; ending", file=sys.stderr, flush=True)
        os._exit(LOST)


def _set_time(path: Path, seconds: float | None) -> None:
    """Set a file's modification time; None: now, by the clock of the file system."""
    with contextlib.suppress(OSError):
        os.utime(path, None if seconds is None else (seconds, seconds))


def _path(folder: Path, number: int) -> Path:
    return folder / f"lock-{number:06d}"


def _numbers(folder: Path) -> list[int]:
    found = (name.removeprefix("lock-") for name in os.listdir(folder) if name.startswith("lock-"))
    return sorted(int(number) for number in found if number.isdigit())


def _newest(folder: Path) -> int:
    return max(_numbers(folder), default=0)


def _read(path: Path) -> dict[str, Any]:
    """What an owner says of itself; nothing where it has not come to that."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def this_process() -> dict[str, Any]:
    """What this process says of itself: enough to tell later, on this machine, whether it still lives."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "machine": _machine()}


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
