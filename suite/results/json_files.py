"""Small JSON files, written whole or not at all, and read with a distrust that costs nothing.

What a results folder holds may have been cut short, synchronised badly, edited by hand or made by somebody else: every
small file of it is read here, as an ordinary file of a bearable size that holds JSON of a bearable depth, and, where it
is a document of ours, of the declared shape (`shapes`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from suite.errors import UserError

MOST_BYTES = 64_000_000
DEEPEST = 60  # levels of nesting
ASIDE = ".damaged-"  # begins the names of what was set aside
NOT_THERE = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
"""What says of a file that it is not what it should be; every other error is the disk's."""


class DamagedFile(UserError, ValueError):
    """A file does not hold what it should."""


def write_json(path: Path, document: Any) -> None:
    """Write `document` by atomic rename.

    Raises:
        OSError: it cannot be written, as on a full disk; what there was of it is gone.
    """
    scratch = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(create(scratch), "w") as handle:
            handle.write(json.dumps(document, indent=1, sort_keys=True) + "\n")
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def create(path: Path) -> int:
    """The descriptor of a new file of that name, in place of whatever was there: a link is replaced, not followed.

    Raises:
        OSError: it cannot be made.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def set_aside(path: Path) -> Path:
    """Give what is at a path another name beside it, which is returned: nothing is deleted on a guess."""
    number, target = 1, path.with_name(f"{ASIDE}{path.name}")
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{ASIDE}{path.name}-{number}")
    return path.rename(target)


def open_log(path: Path) -> BinaryIO:
    """A log to which a process appends; what is no ordinary file, such as a link or a pipe, is set aside.

    Raises:
        OSError: it cannot be written.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        set_aside(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def keep_json(path: Path, document: Any) -> None:
    """As `write_json`, but a file that holds `document` already is left alone: replacing one waits for the disk.

    Raises:
        OSError: it cannot be written.
    """
    try:
        before = read_json(path)
    except (OSError, ValueError):
        before = None
    if before != document:
        write_json(path, document)


def read_json(path: Path) -> Any:
    """The document in a file.

    Raises:
        OSError: it cannot be read.
        DamagedFile: it is no ordinary file, too large, not JSON, or nested too deeply.
    """
    try:
        document = json.loads(read_bytes(path))
        refuse_depth(document)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(f"{path} is damaged ({_reason(error)}); put a whole copy back, or delete it") from None
    return document


def read_finite(path: Path) -> Any:
    """The document in a file that is known by its hash: Python's JSON reads infinite numbers, and has no hash for them.

    Raises:
        OSError: it cannot be read.
        DamagedFile: as `read_json`, or a number in it is none.
    """
    document = read_json(path)
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        raise DamagedFile(f"{path} is damaged (it holds a number beyond all bounds); put a whole copy back") from None
    return document


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The contents of an ordinary file of at most so many bytes; never waits for one that is a pipe.

    Raises:
        OSError: it cannot be read.
        DamagedFile: it is no ordinary file, or larger.
    """
    with _opened(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > most:
            raise DamagedFile(f"{path} is damaged (it has {size:,} bytes, and {most:,} are the most there can be)")
        return handle.read(most + 1)


def read_end(path: Path, most: int) -> tuple[bytes, bool]:
    """The last bytes of an ordinary file, at most so many, and whether they are all of it.

    Raises:
        OSError: it cannot be read.
        DamagedFile: it is no ordinary file.
    """
    with _opened(path) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(size - most, 0))
        return handle.read(most), size <= most


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """An ordinary file, open for reading; opening one that is a pipe waits for nobody.

    Raises:
        OSError: it cannot be opened, or is a folder.
        DamagedFile: it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise DamagedFile(f"{path} is damaged (it is no ordinary file); put a whole copy back, or delete it")
        with os.fdopen(descriptor, "rb", closefd=False) as handle:
            yield handle
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def refuse_depth(document: Any) -> None:
    """Nothing, if a document is nested no deeper than people nest.

    Raises:
        ValueError: it is.
    """
    level = [document]
    for _ in range(DEEPEST):
        level = [
            part
            for value in level
            if isinstance(value, dict | list)
            for part in (value.values() if isinstance(value, dict) else value)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")
