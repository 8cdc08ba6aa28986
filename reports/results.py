"""What a report is made of: the tables of results folders, what stands beside them, and what was left out.

`reports.reading` makes `Results` of folders; everything above reads them and changes none.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import pandas as pd

from reports import style
from reports.returns import per_seed

CELL_COLUMNS = ("variant", "algorithm", "split", "seed", "run", "status", "reason", "folder")


class Problem(NamedTuple):
    """A file or a run that was left out: where (relative to the folder), why, and why in a few words (or empty)."""

    where: str
    why: str
    briefly: str = ""


class Picture(NamedTuple):
    """A picture as a PNG that holds pixels and nothing else, and its size in pixels."""

    png: bytes
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a report is made of.

    Attributes:
        folders: Names of the results folders.
        records: Rows of `records.parquet`, with the columns of `suite.results.records.SCHEMA`. All tables of rows are
            in one canonical order, so that the order of files and rows changes no digit.
        diagnostics: Rows of `diagnostics.parquet`, in the same way.
        metrics: Rows of `metrics.parquet`, in the same way.
        runs: The metadata document of each run's records file, by the run's hash; its `folder` is that of the
            experiment that the run is of, empty where none declares a grid.
        cells: One row per (variant, split, seed) that is declared or has records, with `CELL_COLUMNS`.
        experiments: The resolved experiments, by the label of their file.
        pictures: Pictures of bodies, by split.
        problems: Files and runs that were left out.
        notes: Warnings about what is in the report.
        mixed: Whether labels were split up to keep apart what was not measured alike.
        chosen_variants: Those that were asked for alone, in this order.
        chosen_splits: In the same way.
    """

    folders: tuple[str, ...]
    records: pd.DataFrame
    diagnostics: pd.DataFrame
    metrics: pd.DataFrame
    runs: dict[str, dict[str, Any]]
    cells: pd.DataFrame
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    mixed: bool = False
    chosen_variants: tuple[str, ...] = ()
    chosen_splits: tuple[str, ...] = ()

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """The final result of every seed (`returns.per_seed`); read-only, as it is kept."""
        return per_seed(self.records)

    @cached_property
    def looks(self) -> dict[str, style.Look]:
        """How each variant is drawn, by its label."""
        return style.looks(self.cells[["variant", "algorithm"]].itertuples(index=False, name=None))

    @cached_property
    def splits(self) -> list[str]:
        """The splits in the order of their experiments, then others by name; `split [folder]` stands as the split."""
        of_experiments = (split for experiment in self.experiments.values() for split in experiment["splits"])
        declared = [*self.chosen_splits, *map(str, of_experiments)]
        rank = {split: place for place, split in reversed(list(enumerate(declared)))}

        def place(split: str) -> tuple[int, str]:
            return rank.get(split, rank.get(split.partition(" [")[0], len(declared))), split

        return sorted(set(self.cells["split"]), key=place)

    def look(self, variant: str) -> style.Look:
        """How a variant is drawn; where no cell names it, by its label alone."""
        return self.looks.get(variant) or style.look(variant)

    def split_document(self, split: str) -> dict[str, Any]:
        """What the records say about a split, from the first of its runs that does; empty where none does."""
        return self._split_documents.get(split, {})

    @cached_property
    def _split_documents(self) -> dict[str, dict[str, Any]]:
        documents: dict[str, dict[str, Any]] = {}
        for row in named_rows(self.records[["split", "run"]].drop_duplicates().sort_values(["split", "run"])):
            if isinstance(document := value_at(self.runs.get(row.run), "split"), dict):
                documents.setdefault(row.split, document)
        return documents


def named_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Each row of a frame as a named tuple of its columns, in order."""
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    return map(_row_of(tuple(map(str, frame.columns)))._make, zip(*columns))


@lru_cache(maxsize=100)
def _row_of(columns: tuple[str, ...]) -> Any:
    """The type of a row; `itertuples` makes it anew for every frame, which takes longer than most frames."""
    return namedtuple("Row", columns, rename=True)


def value_at(document: Any, *keys: str) -> Any:
    """The value at a path of keys in nested dicts, or None."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def precision(document: dict[str, Any]) -> Any:
    """The resolved precision of a run, from its metadata document: part of its training's configuration, or None."""
    return value_at(document, "config", "train", "precision") or value_at(document, "provenance", "precision")
