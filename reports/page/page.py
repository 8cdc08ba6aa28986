"""The page: what the template shows, as plain lists of text; the same records make the same page."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import formats, style
from reports.figures import alt_text
from reports.figures.sheets import Exhibit
from reports.numbers import tables
from reports.numbers.aggregates import ALL_SPLITS
from reports.numbers.contest import contest
from reports.numbers.series import on
from reports.page import heat, sections, summary, verdicts
from reports.page.drawings import Drawings
from reports.page.headline import headline
from reports.paper.tables import float_names
from reports.results import Results, named_rows

HERE = Path(__file__).parent


def typeset(text: str) -> str:
    """Text with true minus signs, and with `n = 3` and `[low, high]` kept on one line each."""
    text = re.sub(r"(?<![\w-])-(?=\d)", "\u2212", text).replace("n = ", "n\u00a0=\u00a0")
    return re.sub(r"(\[\S+), (\S+\])", "\\1,\u00a0\\2", text)


def breakable(text: str) -> Markup:
    """A name that may be broken behind its hyphens and dots, and nowhere else."""
    return Markup("<wbr>").join(re.split(r"(?<=[-.])", text))


SHOWN = ("main", "score", "aggregates", "improvement", "factors")
"""Tables that stand on the page as a whole; what the others hold stands split by split."""

MOST_COLUMNS = 8
"""Of a table on the page; one with more is a table per split, which can also be read in print."""


def render(results: Results, exhibits: Sequence[Exhibit], absent: Sequence[str]) -> str:
    """The whole page as HTML.

    No text of a results folder is ever markup: all of it is escaped, and the page's own policy lets the browser run no
    script but ours, by its hash, and fetch nothing at all.

    Args:
        results: What the page is about.
        exhibits: The figures that were drawn.
        absent: Sentences on the figures that could not be drawn.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"typeset": typeset, "breakable": breakable}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    named = results.splits
    drawings = Drawings()
    shown = [_exhibit(exhibit, drawings) for exhibit in exhibits]
    return environment.get_template("template.html").render(
        name=" + ".join(results.folders),
        again=_again(results),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=headline(results),
        heat=heat.heat_table(results),
        whole=heat.seed_scores(results),
        open=OPEN,
        answer=_answering(shown, len(named)) if contest(results).entries else None,
        verdict=summary.verdict(results),
        notes=results.notes,
        tables=[table for name in SHOWN if (table := _table(results, name))],
        files=list(tables.made(results)),
        mark=style.REFERENCE,
        has_references=bool(results.cells["variant"].map(style.is_reference).any()),
        splits=[_split(results, split) for split in named],
        exhibits=shown,
        definitions=drawings.definitions(),
        rules=drawings.rules(),
        protocols=sections.protocols(results),
        configurations=sections.configurations(results),
        differences=sections.differences(results),
        variants=sections.variants(results),
        verdicts=verdicts.rows(results),
        runs=sections.runs(results),
        totals=sections.totals(results),
        problems=results.problems,
        holes=sections.holes(results),
        undeclared=sections.undeclared(results),
        absent=absent,
        experiments=sections.experiments(results),
        commands=sections.commands(results),
        environment=sections.environment(results),
    )


def _again(results: Results) -> str:
    """The command that makes the tables and the page again."""
    options = ["--mix"] if results.mixed else []
    for name, values in (("--variant", results.chosen_variants), ("--split", results.chosen_splits)):
        options += [word for value in values for word in (name, value)]
    return shlex.join(["offmap", "report", *results.folders, *options])


def _table(results: Results, name: str) -> dict[str, Any] | None:
    """A table of cells with its words, None where it has no number."""
    kind = tables.TABLES[name]
    table = kind.make(results)
    if name != "main" and not (table["n"] > 0).any():
        return None
    grids = [
        (part_name, sections.grid(formats.wide(part, heads), formats.marks(part, heads)))
        for part_name, part, heads in formats.parts(table, kind.columns, MOST_COLUMNS)
    ]
    latex = float_names(kind, table, name)
    return {"name": name, "title": kind.title, "words": formats.caption(table), "grids": grids, "latex": latex}


def _exhibit(exhibit: Exhibit, drawings: Drawings) -> dict[str, Any]:
    """A figure as the template shows it: its panels one by one, then the legends of its sheets."""
    panels: list[dict[str, Any]] = []
    legends: list[dict[str, Any]] = []
    for sheet in exhibit.sheets:
        parts = drawings.parts(sheet.svg)
        panels += [
            {"split": panel.split, "note": panel.note, "alt": panel.alt, "numbers": panel.numbers, "box": panel.box,
             "markup": parts[f"axes_{number}"]}
            for number, panel in enumerate(sheet.panels, 1)
        ]  # fmt: skip
        if sheet.legend:
            legends.append({"box": sheet.legend, "markup": parts["legend_1"]})
    notes = {panel["note"] for panel in panels}
    return {
        "kind": exhibit.kind, "panels": panels, "sheets": [sheet.address for sheet in exhibit.sheets],
        "legends": legends[:1] if len({legend["markup"] for legend in legends}) == 1 else legends,
        "note": notes.pop() if len(notes) == 1 else "",
    }  # fmt: skip


OPEN = ("out_of_distribution", "in_and_out", "profile", "adaptation_test")
"""Figures that a page shows without being asked."""

ANSWERS = ("overall", "out_of_distribution")
"""Figures that answer the question of the page, the first that there is being shown on top."""


def _answering(shown: Sequence[dict[str, Any]], splits: int) -> dict[str, Any] | None:
    """The figure on top: over all splits where it is pooled, or of the only one; None where several would be needed."""
    for name in ANSWERS:
        for exhibit in shown:
            wanted = [p for p in exhibit["panels"] if splits == 1 or p["split"] == ALL_SPLITS]
            if exhibit["kind"].name == name and wanted:
                return {**exhibit, "panels": wanted[:1], "note": ""}  # its panel says it itself
    return None


def _split(results: Results, split: str) -> dict[str, Any]:
    document = results.split_document(split)
    return {
        "name": split,
        "anchor": heat.anchor(results, split),
        "seeds": heat.seed_table(results, split),
        "description": document.get("description") or "",
        "shift": style.SHIFTS.get(str(document.get("shift")), "how its test tasks relate to training is not recorded"),
        "facts": sections.split_facts(results, split),
        "table": sections.grid(_split_table(results, split)),
        "gate": _gate_rows(results, split),
        "picture": _picture(results, split),
    }


def _picture(results: Results, split: str) -> dict[str, Any] | None:
    """The picture of a split's body with its words, None where the results came without one."""
    picture = results.pictures.get(split)
    if picture is None:
        return None
    return {
        "source": "data:image/png;base64," + base64.b64encode(picture.png).decode(),
        "width": picture.width,
        "height": picture.height,
        "alt": f"The body with the joints that vary marked on it. {alt_text.describe_split(results, split)}",
    }


def _split_table(results: Results, split: str) -> pd.DataFrame:
    """Per variant the numbers of one split as text: before, result, gain over the twin, gap and score."""
    gain, after = on(tables.gain_table(results), split), on(tables.main_table(results), split)
    gain = gain[gain["declared"] > 0]
    columns: dict[str, dict[str, str]] = {}
    for task_list in style.ordered_lists(gain["task_list"]):
        rows = gain[gain["task_list"] == task_list]
        columns[f"before, {task_list}"] = {row.variant: style.number(row.before) for row in named_rows(rows)}
        columns[f"after, {task_list}"] = _briefly(after[after["task_list"] == task_list])
        columns[f"gain from adaptation, {task_list}"] = _briefly(rows)
    for name, table in (("gap: test_id - test", tables.gap_table), ("score on test", tables.score_table)):
        rows = on(table(results), split)
        if (rows["n"] > 0).any():
            columns[name] = _briefly(rows)
    order = style.ordered(gain["variant"])
    frame = pd.DataFrame({name: [texts.get(v, "–") for v in order] for name, texts in columns.items()})
    frame.index = pd.Index([style.look(variant).name for variant in order], name="variant")
    return frame


def _briefly(rows: pd.DataFrame) -> dict[str, str]:
    """The text of each variant's cell, without why single seeds are missing: that stands in the main table."""
    return dict(zip(rows["variant"], formats.brief(rows)))


def _gate_rows(results: Results, split: str) -> sections.Grid | None:
    table = on(tables.gate_table(results), split)
    if table.empty:
        return None
    text = pd.DataFrame({
        "tasks": [f"{row.task_list}, {row.tasks} tasks x seeds" for row in named_rows(table)],
        "gate open": ["no gate" if isnan(value) else f"{value:.0%}" for value in table["open"]],
        "mean gain where open": [style.number(value) for value in table["gain_open"]],
        "mean gain where closed": [style.number(value) for value in table["gain_closed"]],
        "gain over": list(table["baseline"]),
    })  # fmt: skip
    text.index = pd.Index([style.look(variant).name for variant in table["variant"]], name="variant")
    return sections.grid(text)
