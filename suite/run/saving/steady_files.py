"""Files of a run on a disk that may fail: what is damaged is told from what only cannot be read at this moment.

A file that is there and is not what it should be is damaged, and is set aside under another name. A disk that does not
answer (a stale handle of a network file system, an I/O error) says nothing of the file: reading is tried again, and
then the run stops with everything as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from suite.errors import UserError
from suite.results.json_files import NOT_THERE, DamagedFile

Read = TypeVar("Read")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FAILS = (
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTCONN,
    errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO,
)  # fmt: skip

RETRY_SECONDS = (0.1, 0.5, 2.0)  # waits before a read that failed is tried again


def steady(read: Callable[[], Read], path: Path) -> Read:
    """What `read` returns, tried again a few times where the disk does not answer.

    Raises:
        OSError: what is to be read is not there, or is a folder.
        UserError: the disk still does not answer.
    """
    for seconds in (*RETRY_SECONDS, None):
        try:
            return read()
        except OSError as error:
            if error.errno in NOT_THERE:
                raise
            if seconds is None:
                raise UserError(
                    f"{error.filename or path} could not be read in {len(RETRY_SECONDS) + 1} attempts: "
                    f"{error.strerror or error}. Nothing was changed: see to the disk, then run again"
                ) from None
            time.sleep(seconds)
    raise AssertionError("the last attempt returns or raises")


def require_regular(path: Path) -> Path:
    """The path, if an ordinary file is there, also at the end of a link: opening a pipe would wait for ever.

    Raises:
        OSError: nothing is there, or a folder.
        DamagedFile: something else.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise DamagedFile(f"{path.name} is no ordinary file")
    return path


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise_what_the_system_said(error, path)
        raise
    path.chmod(path.parent.stat().st_mode & 0o666)  # the library lets nobody else read it, whatever the umask says


def raise_what_the_system_said(error: SafetensorError, path: Path) -> None:
    """Raise the operating system's error, which the library hides in the text of one of its own; nothing without one.

    Raises:
        OSError: there is one.
    """
    code = re.search(r"os error (\d+)", str(error))
    if code is not None:
        number = int(code.group(1))
        raise OSError(number, os.strerror(number), str(path)) from error


def digest_of_file(path: Path) -> str:
    """SHA-256 of an ordinary file.

    Raises:
        OSError: it cannot be read.
        DamagedFile: it is no ordinary file.
    """
    with require_regular(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
