"""The cells of a grid, as `cells.json` declares them and as records fill them: variant, split, seed and status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from reports.reading.comparability import without
from reports.reading.files import checked_bytes, experiment_folder, files
from reports.reading.metadata import printable
from reports.results import CELL_COLUMNS, Problem, Results, named_rows, value_at
from suite.results.records import RecordsError

MOST_BYTES = 50_000_000
"""Of a grid; that of ten thousand cells has three million."""

LEFT_OUT = "left out"
"""The status of a finished run whose records cannot be read, or were measured otherwise than those of most."""

STATUSES = ("done", "running", "pending", "failed", "unsupported")
"""The most useful status first: where two grids declare one cell, it counts. Others (such as killed) come last."""


def read_cells(roots: Sequence[Path], problems: list[Problem]) -> pd.DataFrame:
    """The declared cells of every `cells.json` (`CELL_COLUMNS`), the most useful status first."""
    rows: list[dict[str, Any]] = []
    for path, label in files(roots, "cells.json", problems):
        try:
            folder = experiment_folder(label, {str(PurePosixPath(label).parent)}, roots)
            rows += [
                _cell(row) | {"folder": folder} for row in json.loads(checked_bytes(path, MOST_BYTES).decode("utf-8"))
            ]
        except RecordsError as error:
            problems.append(Problem(label, str(error)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            problems.append(Problem(label, printable(f"is no list of cells ({type(error).__name__}: {error})")))
    rows.sort(key=lambda row: (_rank(row["status"]), *map(str, row.values())))
    return pd.DataFrame(rows, columns=list(CELL_COLUMNS), dtype=object)


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def _cell(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "variant": printable(str(row["variant"])),
        "algorithm": printable(str(row.get("algorithm") or row["variant"])),
        "split": printable(str(row["split"])),
        "seed": int(row["seed"]),
        "run": _text(row.get("run")),
        "status": printable(str(row["status"])),
        "reason": _text(row.get("reason")),
    }


def _text(value: Any) -> str | None:
    return None if value is None else printable(str(value))


def drop_superseded(results: Results) -> Results:
    """Without the runs of a declared cell that the grid does not name: it says which run answers for it."""
    named = set(results.cells["run"].dropna())
    cell = ["variant", "split", "seed"]
    final = results.records[results.records["is_final"]].drop_duplicates(["run", *cell])
    answered = set(final.loc[final["run"].isin(named), cell].itertuples(index=False, name=None))
    old = [
        (row.run, f"{row.variant}, {row.split}, seed {row.seed}")
        for row in named_rows(final)
        if row.run not in named and (row.variant, row.split, row.seed) in answered
    ]
    return without(results, {run: (f"the grid names another run for {where}", "") for run, where in old})


def with_every_cell(results: Results) -> Results:
    """With a cell for every result, declared or not, and a reason where a finished run has no records here."""
    cells = _explained(results)
    row_of = {cell: row for row, cell in enumerate(zip(cells["variant"], cells["split"], cells["seed"]))}
    once = results.records.drop_duplicates(["run", "variant", "algorithm", "split", "seed", "is_final"])
    for (variant, algorithm, split, seed), rows in once.groupby(["variant", "algorithm", "split", "seed"], sort=True):
        done = bool(rows["is_final"].any())
        if (variant, split, seed) in row_of:
            if done:
                cells.at[row_of[variant, split, seed], "status"] = "done"
            continue
        status, reason = ("done", None) if done else ("running", "only checkpoints on the way were tested so far")
        run = rows["run"].iloc[0]
        folder = value_at(results.runs.get(run), "folder") or ""
        cells.loc[len(cells)] = [variant, algorithm, split, int(rows["seed"].iloc[0]), run, status, reason, folder]
    return replace(results, cells=cells.sort_values(["split", "variant", "seed"], ignore_index=True))


def _explained(results: Results) -> pd.DataFrame:
    """The declared cells, each once, with why a finished run has no final result among the records."""
    cells = results.cells.drop_duplicates(["variant", "split", "seed"], ignore_index=True)
    final = results.records.loc[results.records["is_final"], ["variant", "split", "seed"]]
    have = set(final.drop_duplicates().itertuples(index=False, name=None))
    for index, row in cells.iterrows():
        if row["status"] == "done" and (row["variant"], row["split"], row["seed"]) not in have:
            broken = [p for p in results.problems if row["run"] and row["run"] in p.where]
            why = broken[0].briefly or broken[0].why if broken else "the run is done, but no records of it were found"
            cells.loc[index, ["status", "reason"]] = [LEFT_OUT if broken else "failed", why]
    return cells
