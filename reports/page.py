"""The page: what the template shows, prepared as plain lists of text, and nothing that changes between two builds."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports import formats, scores, style, tables, words
from reports.intervals import LEVEL, Estimate
from reports.load import Results
from reports.mixing import dig, precision
from reports.rows import named_rows

Facts = list[tuple[str, str]]
"""Names and values, in the order shown."""


THEMES = ((style.INK, style.GRID), ("#E4E6EA", "#3B4048"))
"""Colours of text and axes, and of the grid: light, dark."""


class Picture(NamedTuple):
    """One drawn figure: where it belongs, its words, its SVG as text, and its files without their endings."""

    split: str
    title: str
    caption: str
    alt: str
    svg: str
    files: str

    @property
    def source(self) -> str:
        """The picture as a data address, so that the page is one file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def themed(svg: str) -> str:
    """An SVG of ours whose ink and grid follow the reader's light or dark colour scheme."""
    light, dark = (f"svg{{color:{ink};--grid:{grid}}}" for ink, grid in THEMES)
    rules = f"<style>{light}@media (prefers-color-scheme: dark){{{dark}}}</style>"
    head, mark, rest = svg[svg.index("<svg") :].partition(">")
    body = rest.replace(style.INK.lower(), "currentColor").replace(style.GRID.lower(), "var(--grid)")
    return head + mark + rules + body


def typeset(text: str) -> str:
    """Text with true minus signs, and with `n = 3` and `[low, high]` kept on one line each."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "\u2212", text).replace("n = ", "n\u00a0=\u00a0")
    return re.sub(r"(\[\S+), (\S+\])", "\\1,\u00a0\\2", text)


def render(results: Results, pictures: Sequence[Picture], absent: Sequence[str]) -> str:
    """The whole page as HTML.

    Args:
        results: What the page is about.
        pictures: The figures that were drawn.
        absent: Sentences on the figures that could not be drawn.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["typeset"] = typeset
    main = formats.wide(tables.main_table(results))
    return environment.get_template("template.html").render(
        name=" + ".join(results.folders),
        again=" ".join(["offmap report", *results.folders, *(["--mix"] if results.mixed else [])]),
        verdict=words.verdict(results),
        notes=results.notes,
        main=_rows(main),
        mark=style.REFERENCE,
        has_references=bool(results.cells["variant"].map(style.is_reference).any()),
        level=f"{LEVEL:.0%}",
        splits=[_split(results, split, pictures) for split in sorted(set(results.cells["split"]))],
        protocols=_protocols(results),
        configurations=_configurations(results),
        runs=_runs(results),
        totals=_totals(results),
        problems=results.problems,
        holes=_holes(results),
        absent=absent,
        commands=_commands(results),
        environment=_environment(results),
    )


def _rows(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame with its index as header and rows of text."""
    body = [[str(label), *map(str, row)] for label, row in zip(frame.index, frame.itertuples(index=False, name=None))]
    return {"head": [str(frame.index.name), *map(str, frame.columns)], "body": body}


def _split(results: Results, split: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    document = scores.split_document(results, split)
    return {
        "name": split,
        "anchor": f"split-{sorted(set(results.cells['split'])).index(split) + 1}",
        "description": document.get("description") or "",
        "shift": style.SHIFTS.get(str(document.get("shift")), "how its test tasks relate to training is not recorded"),
        "facts": _split_facts(results, split, document),
        "table": _rows(_split_table(results, split)),
        "gate": _gate_rows(results, split),
        "pictures": [picture for picture in pictures if picture.split == split],
    }


def _split_table(results: Results, split: str) -> pd.DataFrame:
    """Per variant what a split's figures hold together: before, result, gain, gap and score, as text."""
    gain = tables.gain_table(results).query("split == @split")
    columns: dict[str, dict[str, str]] = {}
    for task_list in style.ordered_lists(gain["task_list"]):
        rows = gain[gain["task_list"] == task_list]
        columns[f"before, {task_list}"] = {row.variant: style.number(row.before) for row in named_rows(rows)}
        columns[f"gain from adapting, {task_list}"] = _briefly(rows)
    for name, table in (("gap: test_id - test", tables.gap_table), ("score on test", tables.score_table)):
        rows = table(results).query("split == @split")
        if (rows["n"] > 0).any():
            columns[name] = _briefly(rows)
    order = style.ordered(gain["variant"])
    frame = pd.DataFrame({name: [held.get(v, "–") for v in order] for name, held in columns.items()})
    frame.index = pd.Index([style.look(variant).name for variant in order], name="variant")
    return frame


def _briefly(rows: pd.DataFrame) -> dict[str, str]:
    """The text of each variant's cell; why single seeds are missing stands in the main table already."""
    return {
        row.variant: row.text
        if row.n == 0
        else formats.cell_text(Estimate(row.mean, row.low, row.high, row.n), row.declared, "")
        for row in named_rows(rows)
    }


def _gate_rows(results: Results, split: str) -> dict[str, Any] | None:
    table = tables.gate_table(results).query("split == @split")
    if table.empty:
        return None
    text = pd.DataFrame({
        "tasks": [f"{row.task_list}, {row.tasks} tasks x seeds" for row in named_rows(table)],
        "gate open": [f"{value:.0%}" for value in table["open"]],
        "mean gain where open": [style.number(value) for value in table["gain_open"]],
        "mean gain where closed": [style.number(value) for value in table["gain_closed"]],
        "gain over": list(table["baseline"]),
    })  # fmt: skip
    text.index = pd.Index([style.look(variant).name for variant in table["variant"]], name="variant")
    return _rows(text)


def _split_facts(results: Results, split: str, document: dict[str, Any]) -> Facts:
    hashes = sorted(set(results.records.loc[results.records["split"] == split, "split_hash"]))
    ends = scores.score_ends(results, split)
    lists = document.get("test_lists") or document.get("test lists") or {}
    axis, unit = document.get("axis"), document.get("axis_unit")
    return [
        ("hash of the task lists", ", ".join(hashes) or "–"),
        ("shift", _text(document.get("shift"))),
        ("how the tasks were drawn", _text(document.get("drawn"))),
        ("axis", f"{axis} ({unit})" if axis and unit else _text(axis)),
        *((f"tasks in {name}", str(v if isinstance(v, int) else len(v))) for name, v in lists.items()),
        *([("test_id", "the training tasks themselves (declared)")] if document.get("test_id_is_train") else []),
        ("adaptation transitions per task", _text(document.get("adaptation_transitions"))),
        ("return of the zero action (score 0)", _end(ends.null, ends.null_source)),
        ("best known return (score 1)", _end(ends.best, ends.best_source)),
    ]


def _end(value: float | None, source: str) -> str:
    return "–" if value is None else f"{style.number(value)} ({source})"


def _protocols(results: Results) -> list[dict[str, Any]]:
    """Every protocol among the results with its hash and fields; a field that a split resolves lists all values."""
    fields: dict[str, dict[str, list[str]]] = {}
    rows = results.records[["run", "is_final", "protocol_hash"]].drop_duplicates()
    for row in named_rows(rows.sort_values(["is_final", "run"], ascending=[False, True])):
        held = fields.setdefault(row.protocol_hash, {})
        for name, value in _facts(dig(results.runs.get(row.run), "protocol") or {}):
            held.setdefault(name, []).append(value)
    return [
        {"hash": key, "facts": [(name, " or ".join(sorted(set(values)))) for name, values in held.items()]}
        for key, held in fields.items()
    ]


def _configurations(results: Results) -> list[dict[str, str]]:
    """The resolved configuration of every variant on every split that records one, each written once."""
    texts: dict[tuple[str, str], list[str]] = {}
    done = results.cells.dropna(subset="run")
    for row in named_rows(done):
        config = dig(results.runs.get(row.run), "config")
        if isinstance(config, dict):
            text = json.dumps({k: v for k, v in config.items() if k != "seed"}, indent=2, sort_keys=True, default=str)
            splits = texts.setdefault((row.variant, text), [])
            if row.split not in splits:
                splits.append(row.split)
    ordered = sorted(texts, key=lambda key: (style.ordered(v for v, _ in texts).index(key[0]), key[1]))
    return [
        {"variant": style.look(variant).name, "splits": ", ".join(texts[variant, text]), "text": text}
        for variant, text in ordered
    ]


def _runs(results: Results) -> dict[str, Any]:
    """Every cell of the grid as a row of text: status, provenance and cost."""
    head = ["variant", "split", "seed", "status", "env steps (budget)", "training took", "meta-test took", "where",
            "revision", "run / training"]  # fmt: skip
    body = []
    for row in tables.run_table(results).to_dict("records"):
        where = [_text(row[key]) for key in ("host", "device", "precision") if _present(row[key])]
        threads = [f"threads: {_text(row['threads'])}"] if _present(row["threads"]) else []
        revision = _text(row["git_revision"])[:10] + (" + changes" if row["git_dirty"] is True else "")
        body.append([
            style.look(row["variant"]).name, row["split"], str(row["seed"]),
            f"{row['status']}: {row['reason']}" if _present(row["reason"]) else row["status"],
            f"{_count(row['env_steps'])} ({_count(row['budget_env_steps'])})",
            _duration(row["train_wall_seconds"]), _duration(row["metatest_wall_seconds"]),
            ", ".join(where + threads) or "–", revision,
            f"{_text(row['run'])[:12]} / {_text(row['training'])[:12]}",
        ])  # fmt: skip
    return {"head": head, "body": body}


def _totals(results: Results) -> Facts:
    """What the results cost together; a training that several runs share counts once."""
    table = tables.run_table(results)
    trainings = table.dropna(subset="training").drop_duplicates("training")
    sums = {
        "meta-training, wall clock": _duration(_sum(trainings["train_wall_seconds"])),
        "meta-tests, wall clock": _duration(_sum(table["metatest_wall_seconds"])),
        "meta-training env steps": _count(_sum(trainings["env_steps"])),
        "adaptation env steps": _count(_sum(table["adaptation_env_steps"])),
        "evaluation env steps": _count(_sum(table["evaluation_env_steps"])),
    }
    return list(sums.items())


def _holes(results: Results) -> list[tuple[str, str, str]]:
    """Every cell of the main table that lacks seeds: variant, where, why."""
    table = tables.main_table(results)
    missing = table[table["missing"] != ""]
    return [(style.look(row.variant).name, f"{row.split}, {row.task_list}", row.missing) for row in named_rows(missing)]


def _commands(results: Results) -> list[str]:
    found = {dig(document, "provenance", "command") for document in results.runs.values()}
    return sorted(" ".join(map(str, c)) if isinstance(c, list) else str(c) for c in found if c)


def _environment(results: Results) -> Facts:
    """Package versions and hardware, all values that occur."""
    provenances = [dig(document, "provenance") or {} for document in results.runs.values()]
    names = ("git_revision", "cpu", "device", "threads", "host")
    facts = [(name.replace("_", " "), _all(p.get(name) for p in provenances)) for name in names]
    facts.append(("precision", _all(precision(document) for document in results.runs.values())))
    packages = sorted({name for p in provenances for name in (dig(p, "versions") or {})})
    return facts + [(name, _all(dig(p, "versions", name) for p in provenances)) for name in packages]


def _all(values: Any) -> str:
    return ", ".join(sorted({str(value) for value in values if value is not None})) or "–"


def _facts(document: Any, prefix: str = "") -> Facts:
    """A nested dict as dotted names and values."""
    if not isinstance(document, dict):
        return [(prefix or "value", _text(document))]
    return [
        fact for key, value in document.items() for fact in _facts(value, f"{prefix}.{key}" if prefix else str(key))
    ]


def _present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and pd.isna(value)) and value != ""


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value) if _present(value) else "–"


def _count(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) and _present(value) else "–"


def _duration(value: Any) -> str:
    return style.duration(float(value)) if isinstance(value, int | float) and _present(value) else "–"


def _sum(values: pd.Series) -> float | None:
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    return float(numbers.sum()) if len(numbers) else None
