"""Results of several experiments that were not measured alike: each stands under labels that name its folder.

Seeds of one variant that several folders measured alike are pooled. What differs is no mistake of one of them, so
nothing is left out: task lists or protocols that differ make columns of their own ("split [folder]"), budgets and
configurations rows of their own ("variant [folder]").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from reports.reading.comparability import run_facts
from reports.reading.settings import MOST_NAMED, differing_words
from reports.results import Results, named_rows, value_at

HASHES_ALONE = "their hashes differ, and nothing that is recorded"

Ways = dict[str, dict[str, tuple[str, str]]]
"""By folder, and there by what has to agree where two folders have it: the way that most of its runs agree on."""


def apart(results: Results) -> Results:
    """Results in which no column and no row holds runs of different experiments that were not measured alike."""
    return _rows_apart(_columns_apart(results))


def _facts(results: Results) -> pd.DataFrame:
    """The facts about final results, with the folder of each; without those of no experiment."""
    facts = run_facts(results).query("is_final")
    facts = facts.assign(folder=[value_at(results.runs.get(run), "folder") or "" for run in facts["run"]])
    return facts[facts["folder"] != ""]


def _columns_apart(results: Results) -> Results:
    """With a split for every way in which folders measured it."""
    for split, rows in _facts(results).groupby("split", sort=True):
        groups = _groups(_ways(rows, "split", ["split_hash", "protocol"]))
        if len(groups) > 1:
            results = _relabelled(results, "split", str(split), groups)
            kinds = {label: json.dumps(_measurement(results, folders, rows)) for label, folders in groups.items()}
            how = differing_words(kinds) or HASHES_ALONE
            note = f"{split} was measured in {len(groups)} ways, which stand apart: {how}."
            pictures = {f"{split} [{label}]": results.pictures.get(str(split)) for label in groups}
            shown = results.pictures | {name: picture for name, picture in pictures.items() if picture}
            results = replace(results, notes=(*results.notes, note), pictures=shown)
    return results


def _rows_apart(results: Results) -> Results:
    """With a variant for every way in which folders trained and adapted it."""
    for variant, rows in _facts(results).groupby("variant", sort=True):
        ways = _ways(rows, "split", ["budget", "config"])
        groups = _groups(ways)
        if len(groups) > 1:
            results = _relabelled(results, "variant", str(variant), groups)
            unlike = (s for s in sorted(set(rows["split"])) if len({way[s] for way in ways.values() if s in way}) > 1)
            split = next(unlike)
            kinds: dict[str, str] = {}
            for label, folders in groups.items():
                for budget, config in [ways[folder][split] for folder in folders if split in ways[folder]][:1]:
                    kinds[label] = json.dumps({"budget": budget, **json.loads(config or "{}")})
            how = differing_words(kinds) or HASHES_ALONE
            note = f"{variant} is not the same in all folders, whose rows stand apart: on {split} {how}."
            results = replace(results, notes=(*results.notes, note))
    return results


def _ways(rows: pd.DataFrame, by: str, columns: list[str]) -> Ways:
    """What most runs of each folder agree on, by the values of a column; of equally many the first."""
    ways: Ways = {}
    for (folder, key), part in rows.groupby(["folder", by], sort=True):
        counts = part.groupby(columns, sort=True).size()
        way = min(counts.index, key=lambda way: (-counts[way], way))
        ways.setdefault(str(folder), {})[str(key)] = way
    return ways


def _groups(ways: Ways) -> dict[str, list[str]]:
    """Folders that agree wherever they measured the same, by the label of the group."""
    groups: list[list[str]] = []
    for folder, way in ways.items():
        for group in groups:
            if all(ways[other][key] == way[key] for other in group for key in way.keys() & ways[other].keys()):
                group.append(folder)
                break
        else:
            groups.append([folder])
    return {_label(group): group for group in groups}


def _label(folders: list[str]) -> str:
    rest = f" and {len(folders) - MOST_NAMED} more" if len(folders) > MOST_NAMED else ""
    return ", ".join(folders[:MOST_NAMED]) + rest


def _relabelled(results: Results, column: str, label: str, groups: Mapping[str, list[str]]) -> Results:
    """With what folders call `label` in a column called "label [group]"."""
    group_of = {folder: name for name, folders in groups.items() for folder in folders}
    folder_of = {run: value_at(document, "folder") for run, document in results.runs.items()}

    def renamed(frame: pd.DataFrame, folders: pd.Series) -> pd.DataFrame:
        names = folders.map(group_of)
        here = (frame[column] == label) & names.notna()
        return frame.assign(**{column: frame[column].where(~here, label + " [" + names.astype(str) + "]")})

    return replace(
        results,
        records=renamed(results.records, results.records["run"].map(folder_of)),
        diagnostics=renamed(results.diagnostics, results.diagnostics["run"].map(folder_of)),
        cells=renamed(results.cells, results.cells["folder"]),
    )


def _measurement(results: Results, folders: list[str], rows: pd.DataFrame) -> dict[str, Any]:
    """How folders measured: the hash of the task lists, and the protocol (or its hash, where it is not recorded)."""
    first = next(row for row in named_rows(rows) if row.folder in folders)
    protocol = value_at(results.runs.get(first.run), "protocol")
    return {"task lists": first.split_hash, **(protocol if protocol else {"protocol": first.protocol})}
