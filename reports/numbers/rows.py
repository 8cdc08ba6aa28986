"""The rows of a frame, for sentences and cells that name columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd


def named_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Each row as a named tuple of its columns, in order; a column's type is known to its schema alone."""
    return frame.itertuples(index=False)
