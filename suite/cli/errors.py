"""How commands fail: a user's mistake is one message and exit code 2, anything else a traceback and 1."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from suite.errors import UserError, printable

FULL = (errno.ENOSPC, errno.EDQUOT)
ADVICE = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "it is no folder; choose another place with --out",
    errno.ENAMETOOLONG: "a name is at most 255 bytes long; choose a shorter one",
    errno.ELOOP: "links lead in a circle; check the path",
    errno.EINVAL: "check the path",
    errno.EFBIG: "check the path",
    errno.EACCES: "check the permissions, or choose another place with --out",
    errno.EPERM: "check the permissions, or choose another place with --out",
    errno.EROFS: "the file system cannot be written; choose another place with --out",
}
MISTAKE, INTERRUPTED = 2, 130
LONGEST = 12_000  # characters of a message


def mistake(error: BaseException) -> str | None:
    """The message for a user's mistake, or None where the error is none."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return _system_mistake(error)
    pydantic = sys.modules.get("pydantic")  # where it was never imported, no error of its was raised
    if pydantic is not None and isinstance(error, pydantic.ValidationError):
        places = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        return f"a file does not fit its format ({error.title}): " + "; ".join(places)
    return None


def _system_mistake(error: OSError) -> str | None:
    if error.errno in FULL:
        where = f" at {error.filename}" if error.filename else ""
        return (
            f"the disk is full{where}. Files are written whole or not at all, so nothing is half done: free space, "
            "then give the same command again to continue."
        )
    if error.filename is not None and error.errno in ADVICE:
        return f"{error.filename}: {error.strerror}; {ADVICE[error.errno]}"
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.strerror}; {ADVICE[error.errno]}"
    return None


def _bounded(text: str) -> str:
    """A message that fits on a screen or two, whatever it quotes."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _prepare_streams() -> None:
    """Have every text be printed, whatever letters the terminal knows, and nothing where a stream was closed before."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def explained() -> Iterator[None]:
    """Leave the process as the errors of a command demand."""
    _prepare_streams()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a reader that has left can be told from an error
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        message = mistake(error)
        if message is None:
            raise
        print(f"offmap: {_bounded(printable(message))}", file=sys.stderr)
        sys.exit(MISTAKE)
