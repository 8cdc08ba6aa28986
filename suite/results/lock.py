"""One owner per folder, on any file system, also where the owner died on another machine.

`flock` is not enough on a cluster: a network file system may keep the lock of a node that is gone, or keep none at
all. Here an owner is a small file, `lock-N`, made exclusively, which says who the owner is, and whose modification time
the owner's heartbeat renews. Numbers only grow, so that nobody has to remove what another has made: whoever takes over
from a dead owner N makes `lock-N+1`, in which only one process succeeds; an owner that sees a higher number than its
own was taken for dead, and ends at once.

Whether an owner lives is asked of the operating system where it runs on this machine, and otherwise of its heartbeat,
which whoever takes over measures by the file system's own clock: clocks that differ or jump do not matter.

The heartbeat is the only one of a process: `status.json` is written by it too, and says nothing of who lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.errors import UserError
from suite.results.json_files import NOT_THERE, create, read_json
from suite.results.process_identity import is_alive, is_owner, this_process

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0  # without a heartbeat; more than a network file system keeps what it knows of a file
WATCHED_BEATS = 2.5  # how long an owner whose heartbeat looks old is watched before it is taken for dead
LOST = 76  # exit code of a process that was taken for dead, and finds that another owns its folder


class Owned(UserError):
    """Another process owns a folder."""


class Ownership:
    """What the owner of a folder has of it: a lock file, which a heartbeat keeps fresh in a thread of its own."""

    def __init__(self, path: Path) -> None:
        """`path` is the lock file, which is there already."""
        self._path = path
        self._writers: list[Callable[[], None]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def end_if_lost(self) -> None:
        """End this process, at once, if another has taken its folder over.

        To be called before something is written that the other might write too. The heartbeat calls it as well, but
        may come too late where all of the process stood still.
        """
        if _newest(self._path.parent) > _number(self._path):
            print(f"{self._path.parent}: another process has taken this run over; ending", file=sys.stderr, flush=True)
            os._exit(LOST)

    def write_at_beats(self, write: Callable[[], None]) -> None:
        """Have `write` called at every heartbeat from now on, in the heartbeat's thread, after the lock was renewed."""
        self._writers.append(write)

    def give_back(self) -> None:
        """Stop the heartbeat and leave the folder to others; this needs no space on a disk that may be full."""
        self._ended.set()
        self._thread.join()
        _set_time(self._path, 0.0)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # the server may be away for a while
                self.end_if_lost()
                _set_time(self._path, None)
            for write in self._writers:
                with contextlib.suppress(Exception):  # who lives has to be seen to live, whatever else goes wrong
                    write()


@contextmanager
def owned(folder: Path, what: str = "working on this run", patience: float = 0.0) -> Iterator[Ownership]:
    """Own a folder: one process at a time. Waits while it cannot be told whether an owner on another machine lives.

    Args:
        folder: The folder.
        what: What owners do, in words.
        patience: Seconds to wait for an owner that lives.

    Raises:
        UserError: there is no such folder.
        Owned: another process owns it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    ownership = Ownership(_patiently(folder, what, time.monotonic() + patience))
    try:
        yield ownership
    finally:
        ownership.give_back()


def owner(folder: Path) -> dict[str, Any] | None:
    """Who owns a folder (`this_process` of the owner; empty if it could not write that); None if nobody does.

    Only reads, so that an owner on another machine is judged by its last heartbeat and the clock of this machine.

    Raises:
        OSError: there is no such folder.
    """
    number = _newest(folder)
    while not (beat := _beat_of(_path(folder, number))) and _path(folder, number + 1).exists():
        number += 1  # taken over since, though a network file system may list the lock before for a minute
    about = _read(_path(folder, number))
    lives = is_alive(about)
    if beat == 0 or lives is False or (lives is None and time.time() - beat > EXPIRY_SECONDS):
        return None
    return about


def _patiently(folder: Path, what: str, until: float) -> Path:
    while True:
        try:
            return _take(folder, what)
        except Owned:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _take(folder: Path, what: str) -> Path:
    """A lock file of one's own.

    Raises:
        Owned: another process owns the folder.
    """
    while True:
        newest = _newest(folder)
        if newest and not _is_free(folder, newest):
            about = _read(_path(folder, newest))
            who = f" (process {about['pid']} on {about['host']})" if about else ""
            raise Owned(f"{folder}: another process is {what}{who}; wait for it, or end it")
        path = _path(folder, newest + 1)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:  # somebody was faster
            continue
        with contextlib.suppress(OSError), os.fdopen(descriptor, "w") as handle:  # stays empty on a full disk
            json.dump(this_process(), handle)
        if _newest(folder) > newest + 1:  # others have come and gone while this process stood still
            path.unlink(missing_ok=True)
            continue
        for number in _numbers(folder):
            if number <= newest:
                with contextlib.suppress(OSError):  # a folder of that name stays
                    _path(folder, number).unlink(missing_ok=True)
        return path


def _is_free(folder: Path, number: int) -> bool:
    """Whether the owner of a lock file has given it back or is dead; waits until that can be told."""
    path = _path(folder, number)
    first, since = _beat_of(path), time.monotonic()
    while True:
        beat, lives = _beat_of(path), is_alive(_read(path))
        if beat == 0:
            return True
        if lives is not None:
            return not lives
        if beat != first:
            return False  # a heartbeat was seen
        was_watched = time.monotonic() - since >= WATCHED_BEATS * BEAT_SECONDS
        if was_watched and _now(folder) - beat > EXPIRY_SECONDS:
            return True
        time.sleep(BEAT_SECONDS / 4)


def _beat_of(path: Path) -> float:
    """Time of the last heartbeat of a lock, by the clock of its file system; 0 where there is none any more.

    What is no file, or a link, is nobody's lock, whatever its name.
    """
    try:  # opening makes a network file system ask its server
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in NOT_THERE:
            return 0.0
        raise
    try:
        about = os.fstat(descriptor)
        return about.st_mtime if stat.S_ISREG(about.st_mode) else 0.0
    finally:
        os.close(descriptor)


def _now(folder: Path) -> float:
    """The time by the clock of a folder's file system."""
    probe = folder / f".lock-probe-{socket.gethostname()}-{os.getpid()}"
    try:
        os.close(create(probe))
        return probe.lstat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _set_time(path: Path, seconds: float | None) -> None:
    """Set a file's modification time; None: now, by the clock of the file system."""
    with contextlib.suppress(OSError):
        os.utime(path, None if seconds is None else (seconds, seconds))


def _path(folder: Path, number: int) -> Path:
    return folder / f"lock-{number:06d}"


def _number(path: Path) -> int:
    return int(path.name.removeprefix("lock-"))


def _numbers(folder: Path) -> list[int]:
    numbers = (name.removeprefix("lock-") for name in os.listdir(folder) if name.startswith("lock-"))
    return sorted(int(number) for number in numbers if number.isdigit())


def _newest(folder: Path) -> int:
    return max(_numbers(folder), default=0)


def _read(path: Path) -> dict[str, Any]:
    """What an owner says of itself; empty where it could not write that, or has not yet."""
    try:
        about = read_json(path)
    except (OSError, ValueError):
        return {}
    return about if is_owner(about) else {}
