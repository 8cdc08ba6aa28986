"""What may stand in one table: results that were measured alike. Others are left out, or shown side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from reports import style
from reports.reading.settings import differing_keys, differing_words
from reports.results import Problem, Results, named_rows, precision, value_at
from suite.results.records import protocol_kind


def resolve(results: Results, mix: bool) -> Results:
    """Results that were all measured alike.

    Compared are the task lists and protocols of results on one split, and the budget, configuration and run of
    results under one variant's label. Of results that differ, those that most runs agree with are kept, and the
    others are left out as problems. With `mix` all are kept under separate labels instead, so that they are never
    averaged with one another.
    """
    without_conflicts = _relabelled if mix else _of_the_most
    alike = without_conflicts(results, _task_lists(run_facts(results)))
    alike = without_conflicts(alike, _protocols(run_facts(alike)))
    while remaining := _within_variants(run_facts(alike)):
        alike = without_conflicts(alike, remaining)
    return replace(alike, mixed=mix and alike is not results)


def _of_the_most(results: Results, conflicts: list[Conflict]) -> Results:
    """Without the runs that fewer agree with; of equally many, those whose suffix comes first are kept."""
    reasons: dict[str, tuple[str, str]] = {}
    for text, _, suffix in conflicts:
        count = Counter(suffix.values())
        most = min(count, key=lambda name: (-count[name], name))
        why = f"{text}; kept: {most} (--mix shows both)"
        reasons |= {run: (why, f"{name}, others {most}") for run, name in suffix.items() if name != most}
    return without(results, reasons)


def without(results: Results, reasons: Mapping[str, tuple[str, str]]) -> Results:
    """The results without some runs, which become problems.

    Args:
        results: What was read.
        reasons: Why each run is left out, at length and in a few words, by its hash.
    """
    if not reasons:
        return results
    runs = list(reasons)
    records, diagnostics = (
        frame[~frame["run"].isin(runs)].reset_index(drop=True) for frame in (results.records, results.diagnostics)
    )
    return replace(
        results,
        records=records,
        diagnostics=diagnostics,
        runs={run: document for run, document in results.runs.items() if run not in reasons},
        problems=(*results.problems, *(Problem(f"run {run}", *why) for run, why in sorted(reasons.items()))),
    )


Conflict = tuple[str, str, dict[str, str]]
"""What differs (for the reader), which column gets a suffix ("variant" or "split"), and the suffix of each run."""


def run_facts(results: Results) -> pd.DataFrame:
    """One row per run: everything that has to agree before runs may be compared or averaged.

    Columns: run, variant, split, seed, is_final, split_hash, protocol_hash, training, and as text budget, protocol
    (its hash, or "native"), protocol_settings and config.
    """
    columns = ["run", "variant", "split", "seed", "is_final", "split_hash", "protocol_hash", "training"]
    facts = results.records[columns].drop_duplicates(["run", "is_final"])
    facts = facts.sort_values("is_final").drop_duplicates("run", keep="last").copy()
    documents = [results.runs.get(run, {}) for run in facts["run"]]
    facts["budget"] = [str(document.get("budget_env_steps", "")) for document in documents]
    facts["protocol"] = [protocol_kind(*pair) for pair in zip(documents, facts["protocol_hash"])]
    facts["protocol_settings"] = [_config_text(document.get("protocol")) for document in documents]
    facts["config"] = [_config_text(document.get("config")) for document in documents]
    return facts.sort_values(["split", "variant", "seed", "run"], ignore_index=True)


def _config_text(config: Any) -> str:
    """The resolved configuration as canonical text, without the seed it may hold."""
    if not isinstance(config, dict):
        return ""
    settings = {key: value for key, value in config.items() if key != "seed"}
    return json.dumps(settings, sort_keys=True, default=str)


def _protocols(facts: pd.DataFrame) -> list[Conflict]:
    """The results on a split share one protocol, or all follow native ones; checkpoints on the way have their own."""
    conflicts = []
    for (split, is_final), rows in facts.groupby(["split", "is_final"], sort=True):
        kinds = sorted(set(rows["protocol"]))
        if len(kinds) > 1:
            what = "results" if is_final else "checkpoints on the way"
            text = f"{split}: {what} follow {len(kinds)} different protocols: {', '.join(kinds)}"
            words = differing_words({row.protocol[:6]: row.protocol_settings for row in named_rows(rows)})
            if words and "native" not in kinds:  # those of natives differ among themselves
                text += f" ({words})"
            suffix = {row.run: f"protocol {row.protocol[:6]}" for row in named_rows(rows)}
            conflicts.append((text, "variant", suffix))
    return conflicts


def _task_lists(facts: pd.DataFrame) -> list[Conflict]:
    """The results on a split are of the same task lists."""
    conflicts = []
    for split, rows in facts.groupby("split", sort=True):
        hashes = sorted(set(rows["split_hash"]))
        if len(hashes) > 1:
            text = f"{split} stands for {len(hashes)} different sets of task lists: {', '.join(hashes)}"
            suffix = {row.run: f"lists {row.split_hash[:6]}" for row in named_rows(rows)}
            conflicts.append((text, "split", suffix))
    return conflicts


def _within_variants(facts: pd.DataFrame) -> list[Conflict]:
    """The seeds of a variant on a split differ in nothing but the seed, and each has one result."""
    conflicts: list[Conflict] = []
    for (variant, split), rows in facts[facts["is_final"]].groupby(["variant", "split"], sort=True):
        where = f"{variant} on {split}"
        budgets = [value for value in sorted(set(rows["budget"])) if value]
        configs = sorted(set(rows["config"]))
        if len(budgets) > 1:
            suffix = {row.run: f"budget {row.budget}" for row in named_rows(rows)}
            conflicts.append((f"{where}: budgets of {' and '.join(budgets)} env steps", "variant", suffix))
        elif len(configs) > 1:
            number = {config: index + 1 for index, config in enumerate(configs)}
            suffix = {row.run: f"configuration {number[row.config]}" for row in named_rows(rows)}
            keys = ", ".join(differing_keys(configs))
            conflicts.append((f"{where}: {len(configs)} configurations, which differ in {keys}", "variant", suffix))
        else:
            for seed, same in rows.groupby("seed", sort=True):
                if len(same) > 1:
                    text = f"{where}: more than one result for seed {seed} (runs {', '.join(same['run'])})"
                    conflicts.append((text, "variant", {run: f"run {run}" for run in same["run"]}))
    return conflicts


def _relabelled(results: Results, conflicts: list[Conflict]) -> Results:
    """With suffixed labels, and a note for every difference."""
    if not conflicts:
        return results
    records, diagnostics, cells = (frame.copy() for frame in (results.records, results.diagnostics, results.cells))
    for _, column, suffix in conflicts:
        for frame in (records, diagnostics, cells):
            end = frame["run"].map(suffix)
            is_named = end.notna()
            if is_named.any():
                frame.loc[is_named, column] = frame.loc[is_named, column] + " [" + end[is_named].astype(str) + "]"
    notes = dict.fromkeys(f"Mixed on request: {text}." for text, _, _ in conflicts)
    return replace(results, records=records, diagnostics=diagnostics, cells=cells, notes=(*results.notes, *notes))


def warnings(results: Results) -> tuple[str, ...]:
    """Sentences on differences that are allowed in one table but that its reader has to know."""
    documents = list(results.runs.values())
    sentences = [*_unequal_budgets(results), *_unequal_tasks(results), *_native(results)]
    marked = [name for name in results.records["variant"].unique() if style.is_reference(name)]
    references = set(results.records.loc[results.records["variant"].isin(marked), "run"].unique())
    competing = [document for run, document in results.runs.items() if run not in references]
    values_of = {
        "git revisions": [(value_at(d, "provenance", "git_revision") or "")[:10] or None for d in documents],
        "precisions": [precision(document) for document in competing],
        "mujoco versions": [value_at(document, "provenance", "versions", "mujoco") for document in documents],
        "torch versions": [value_at(document, "provenance", "versions", "torch") for document in documents],
    }
    for what, values in values_of.items():
        texts = sorted({str(value) for value in values if value is not None})
        if len(texts) > 1:
            sentences.append(f"The runs have different {what}: {', '.join(texts)}.")
    sentences += _different_code(results)
    dirty = sum(value_at(document, "provenance", "git_dirty") is True for document in documents)
    if dirty:
        sentences.append(f"{dirty} of {len(documents)} runs were made from a working tree with uncommitted changes.")
    return tuple(sentences)


def _different_code(results: Results) -> list[str]:
    """A sentence for every variant whose runs were made by different code, naming the modules that differ."""
    variants = results.records[["run", "variant"]].drop_duplicates().sort_values("variant")
    digests: dict[str, dict[str, set[str]]] = {}  # by variant and module
    for run, variant in variants.itertuples(index=False):
        made_by = value_at(results.runs.get(run), "provenance")
        earlier = value_at(made_by, "earlier")
        for document in (made_by, *(earlier if isinstance(earlier, list) else ())):
            modules = value_at(document, "code", "modules")
            for name, digest in modules.items() if isinstance(modules, dict) else ():
                digests.setdefault(variant, {}).setdefault(name, set()).add(str(digest))
    different = {variant: sorted(m for m, seen in of.items() if len(seen) > 1) for variant, of in digests.items()}
    return [
        f"Runs of {variant} were made by different code ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}); "
        "`offmap run ... --rerun` makes them again."
        for variant, names in different.items()
        if names
    ]


def _unequal_budgets(results: Results) -> list[str]:
    """A sentence for every set of training budgets that differ between the variants of a split."""
    facts = run_facts(results)
    facts = facts[facts["is_final"] & (facts["budget"] != "") & ~facts["variant"].map(style.is_reference).astype(bool)]
    splits_of: dict[str, list[str]] = {}
    for split, rows in facts.groupby("split", sort=True):
        budgets = dict(zip(rows["variant"], (f"{int(b):,}" if b.isdigit() else b for b in rows["budget"])))
        if len(set(budgets.values())) > 1:
            listed = ", ".join(f"{style.look(name).name} {budgets[name]}" for name in style.ordered(budgets))
            splits_of.setdefault(listed, []).append(str(split))
    return [
        f"Training budgets differ on {', '.join(splits)} (env steps): {listed}." for listed, splits in splits_of.items()
    ]


def _native(results: Results) -> list[str]:
    """A sentence, where each algorithm was tested as its authors did."""
    facts = run_facts(results)
    splits = sorted(set(facts.loc[facts["is_final"] & (facts["protocol"] == "native"), "split"]))
    if not splits:
        return []
    return [
        f"On {', '.join(splits)} each algorithm was tested under its own native protocol, with more or less adaptation "
        "data than others: compare with none of the results under the suite's protocol."
    ]


def _unequal_tasks(results: Results) -> list[str]:
    """A sentence for every task list of which not all runs were tested on the same tasks."""
    final = results.records[results.records["is_final"] & (results.records["phase"] == "after")]
    sentences = []
    for (split, task_list), rows in final.groupby(["split", "task_list"], sort=True):
        tasks = rows.groupby(["variant", "seed"])["task"].unique().map(lambda numbers: tuple(sorted(numbers)))
        if tasks.nunique() > 1:
            counts = sorted({len(numbers) for numbers in tasks})
            sentences.append(
                f"Not every run on {split} was tested on the same {task_list} tasks "
                f"(between {counts[0]} and {counts[-1]} tasks): their means are over different tasks."
            )
    return sentences
