"""How commands fail: a user's mistake is one message and exit code 2, anything else a traceback and 1."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# By name, since an error of a module that was never imported cannot have been raised: importing them all here would
# make every command as slow as the slowest.
MISTAKES = (
    ("suite.errors", "UserError"),
    ("suite.results.records", "RecordsError"),
    ("tasks.registry", "UnknownName"),
    ("tasks.registry", "InvalidDeclaration"),
    ("tasks.pictures.rendering", "RenderingUnavailable"),
    ("algorithms.registry", "UnknownAlgorithm"),
)
FULL = (errno.ENOSPC, errno.EDQUOT)
ADVICE = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "check the permissions, or choose another place with --out",
    errno.EPERM: "check the permissions, or choose another place with --out",
    errno.EROFS: "the file system cannot be written; choose another place with --out",
}
MISTAKE, INTERRUPTED = 2, 130


def mistake(error: BaseException) -> str | None:
    """The message for a user's mistake, or None where the error is none."""
    for module, name in MISTAKES:
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return str(error)
    if isinstance(error, OSError):
        return _system_mistake(error)
    pydantic = sys.modules.get("pydantic")
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
    return None


@contextmanager
def explained() -> Iterator[None]:
    """Leave the process as the errors of a command demand."""
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
        print(f"offmap: {message}", file=sys.stderr)
        sys.exit(MISTAKE)
