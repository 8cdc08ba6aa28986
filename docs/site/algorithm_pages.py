"""A page per file of `algorithms`, of its docstring, declarations and configurations, and one that lists all."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from text import WIDE, as_page, code, fenced, folded, table

from algorithms.registry import ALGORITHMS, AlgorithmEntry
from suite.cli.algorithms import fields_of
from suite.experiment.presets import algorithm_document, presets
from suite.experiment.shipped import CONFIGS
from tasks.registry import families

SHARED = ("belief", "inner_gradient", "memory")
"""Files that several algorithms stand on; their docstrings belong to the pages of those."""


def navigation() -> list[Any]:
    """The entries of the section."""
    return ["algorithms/index.md", *({_title(entries): f"algorithms/{name}.md"} for name, entries in _files().items())]


def pages() -> dict[str, str]:
    """The Markdown of each page."""
    made = {"algorithms/index.md": _overview()}
    return made | {f"algorithms/{name}.md": file_page(name, entries) for name, entries in _files().items()}


def _files() -> dict[str, list[AlgorithmEntry]]:
    """The entries of each file, by its name."""
    files: dict[str, list[AlgorithmEntry]] = {}
    for entry in ALGORITHMS.values():
        files.setdefault(entry.module.rpartition(".")[2], []).append(entry)
    return files


def _title(entries: list[AlgorithmEntry]) -> str:
    return ", ".join(entry.name for entry in entries)


def _overview() -> str:
    rows = [
        (
            f"[{entry.name}]({name}.md)", code(entry.training), entry.summary, entry.source,
            entry.load("adapt")().before.kind, "reference" if entry.is_reference else "",
        )
        for name, entries in _files().items() for entry in entries
    ]  # fmt: skip
    columns = ("algorithm", "meta-training", "what it is", "source", "before adaptation", "")
    return f"""{WIDE}# Algorithms

A row of a comparison is a meta-training and a way to adapt. Rows with the same meta-training share its runs, so they
are paired by seed. References take part in no comparison: they say what doing nothing, drawing at random or knowing the
task returns. What `before adaptation` means, and why a gain is not `after` minus `before`, stands in
[protocol](../protocol.md#what-adaptation-gained).

{table(columns, rows)}
Each page has the idea and the equations, where the code leaves paper and published code, every knob with its default
and where it is from, the presets, and what the algorithm cannot run on. `offmap algorithms show NAME` prints the knobs.
"""


def file_page(name: str, entries: list[AlgorithmEntry]) -> str:
    """What there is to know of the algorithms of a file."""
    module = import_module(f"algorithms.{name}")
    title, _, rest = str(module.__doc__).partition("\n")
    parts = [f"# {_title(entries)}\n", f"**{title.strip()}**\n", as_page(rest), *_shared(module)]
    for entry in entries:
        parts += [_entry(entry)]
    for training in dict.fromkeys(entry.training for entry in entries):
        parts += [_presets(training)]
    parts += ["## Files\n", f"`algorithms/{name}.py` is the whole algorithm above `algorithms/kit`."]
    return "\n".join(parts) + "\n"


def _shared(module: Any) -> list[str]:
    """What is shared with siblings, by the imports of the file."""
    tree = ast.parse(Path(module.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    parts = []
    for name in SHARED:
        if f"algorithms.{name}" in names:
            doc = str(import_module(f"algorithms.{name}").__doc__)
            title, _, rest = doc.partition("\n")
            parts += [
                f"## Shared with siblings\n\n`algorithms/{name}.py`: {title}\n",
                as_page(rest, "Deviations that are shared"),
            ]
    return parts


def _entry(entry: AlgorithmEntry) -> str:
    adapt = entry.load("adapt")()
    twin = "none: it does not adapt" if adapt.twin is None else code(f"adapt: {json.dumps(dict(adapt.twin))}")
    facts = [
        ("meta-training", code(entry.training)),
        ("trains on", ", ".join(map(code, entry.trains_on)) or "nothing"),
        ("told in a trial", "the true parameters of its tasks" if entry.privileged else "nothing"),
        ("before adaptation", f"{adapt.before.kind}: {adapt.before.sentence}"),
        ("unadapted twin", twin),
        ("source", entry.source),
    ]
    refusals: dict[str, list[str]] = {}
    for family in families():
        refusals.setdefault(entry.unsupported(family) or "", []).append(code(family.name))
    facts += [("cannot run on", f"{', '.join(names)}: {reason}") for reason, names in refusals.items() if reason]
    blocks = []
    for block in ("train", "adapt"):
        fields = [
            (code(f["name"]), f["type"], _default(f["default"]), f["description"]) for f in fields_of(entry.load(block))
        ]
        if fields:
            blocks += [
                f"### `{block}` of {entry.name}\n",
                table(("knob", "type", "default", "meaning and source"), fields),
            ]
    return "\n".join(
        [f"## {entry.name}\n", f"{entry.summary[0].upper()}{entry.summary[1:]}.\n", table(("", ""), facts), *blocks]
    )


def _default(value: Any) -> str:
    return code("none" if value is None else str(value).lower() if isinstance(value, bool) else value)


def _presets(training: str) -> str:
    """The presets of a meta-training, with where their values are from, and the file that holds them."""
    path = CONFIGS / "algorithms" / f"{training}.yaml"
    if not algorithm_document(training):
        return ""
    rows = [(code(name), _origin(preset)) for name, preset in presets(training).items()]
    head, _, _ = path.read_text().partition("\n\n")
    comment = re.sub(r"^# ?", "", head, flags=re.MULTILINE) if head.startswith("#") else ""
    return "\n".join([
        f"## Presets of {training}\n", f"{comment}\n" if comment else "",
        "`default` applies to every run, further ones on top of it; what stands for a split goes before what stands "
        "for all.\n", table(("preset", "where its values are from"), rows),
        folded(f"`configs/algorithms/{training}.yaml`", fenced(path.read_text(), "yaml")),
    ])  # fmt: skip


def _origin(preset: Any) -> str:
    """Where a preset's values are from, with the rows and the splits that have others."""
    origin = preset.get("origin", "untuned")
    rows = "".join(f"; of `{name}` {_origin_word(own)}" for name, own in preset.get("origins", {}).items())
    of_splits = {_origin_word(part["origin"]) for part in preset.get("splits", {}).values() if "origin" in part}
    some = f"; for some splits {', '.join(sorted(of_splits))}" if of_splits - {_origin_word(origin)} else ""
    return f"{_origin_word(origin)}{rows}{some}"


def _origin_word(origin: Any) -> str:
    return origin if isinstance(origin, str) else ", ".join(f"{key} `{value}`" for key, value in origin.items())
