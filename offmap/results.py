"""Results folders as one table of rows, for whoever makes figures of their own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_results(folders: str | Path | Sequence[str | Path], mix: bool = False) -> pd.DataFrame:
    """Every recorded episode below one or several results folders, a row each; what a report would show.

    The columns are those of `suite.results.records.SCHEMA`, in the order of `docs/library.md`, and `is_reference`. What
    is left out (a damaged file, a run that was not measured as most were) is warned of, and so is whatever a reader of
    the numbers has to know.

    Args:
        folders: Searched recursively.
        mix: Keep runs that were not measured alike, under labels of their own.

    Raises:
        UserError: a folder does not exist, or none holds results.
    """
    from reports import style
    from reports.reading.load import load

    listed = [folders] if isinstance(folders, str | Path) else folders
    results = load([Path(folder) for folder in listed], mix)
    for problem in results.problems:
        warnings.warn(f"left out: {problem.where}: {problem.why}", stacklevel=2)
    for note in results.notes:
        warnings.warn(note, stacklevel=2)
    records = results.records.copy()
    records["is_reference"] = records["variant"].map(style.is_reference).astype(bool)
    records["variant"] = records["variant"].str.replace(style.REFERENCE, "", regex=False)
    return records
