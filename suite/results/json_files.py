"""Small JSON files, written whole or not at all; light enough for commands that must answer at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suite.errors import UserError


class DamagedFile(UserError, ValueError):
    """A file does not hold what it should."""


def write_json(path: Path, document: Any) -> None:
    """Write `document` by atomic rename.

    Raises:
        OSError: it cannot be written, as on a full disk; what there was of it is gone.
    """
    scratch = path.with_name(f".{path.name}.partial")
    try:
        scratch.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


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
        DamagedFile: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise DamagedFile(f"{path} is damaged ({error}); put a whole copy back, or delete it") from None
