"""The reference: the command line, the experiment file, and pages that mkdocstrings fills from docstrings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from text import code, fenced, table

from reports.figures.catalogue import FIGURES
from suite.cli.algorithms import type_in_words
from suite.cli.app import app
from suite.experiment.budgets import Budget
from suite.experiment.declaration import Choice, Experiment
from suite.experiment.executor import ExecutorSpec, Request
from suite.experiment.specs import EvaluationProtocol
from suite.tuning.search import Search
from tasks.split_declaration import SplitDeclaration, TaskList

API = yaml.safe_load((Path(__file__).parent / "api.yaml").read_text())
"""Pages of docstrings, by name."""

BLOCKS = (
    ("Experiment", "", Experiment), ("An algorithm of it", "algorithms", Choice),
    ("A budget", "budget", Budget), ("The protocol", "protocol", EvaluationProtocol),
    ("A split of one's own", "own_splits", SplitDeclaration),
    ("A list of tasks", "own_splits: train, test, test_id", TaskList),
    ("Where runs are carried out", "executor", ExecutorSpec),
    ("What one run asks of a cluster", "executor.variants", Request),
    ("A search for values", "a file of its own", Search),
)  # fmt: skip
"""Models of the experiment file: heading, the key under which they stand, and the model."""


def navigation() -> list[Any]:
    """The entries of the section."""
    api = [{page["title"]: f"reference/api/{name}.md"} for name, page in API.items()]
    first = {"Experiment file": "experiment", "Command line": "command-line", "Figures of a report": "figures"}
    return [*({title: f"reference/{name}.md"} for title, name in first.items()), *api]


def pages() -> dict[str, str]:
    """The Markdown of each page."""
    made = {"reference/experiment.md": _experiment(), "reference/command-line.md": _command_line()}
    made["reference/figures.md"] = _figures()
    return made | {f"reference/api/{name}.md": _api(**page) for name, page in API.items()}


def _api(title: str, about: str, shows: list[str]) -> str:
    directives = "\n".join(f"::: {name}\n    options: {{heading_level: 2}}\n" for name in shows)
    return f"# {title}\n\n{about}\n\n{directives}"


def _figures() -> str:
    rows = [(code(kind.name), kind.title, kind.caption, kind.needs) for kind in FIGURES]
    return f"""# Figures of a report

`offmap report` makes each of these for which the records have what it needs, with a panel per split.

{table(("file", "figure", "what it shows", "needs"), rows)}
[Reading a report](../tutorials/report.md) says which to look at first, [add a plot](../adding.md#a-plot) how to make
another. """


def _experiment() -> str:
    parts = [
        "# Experiment file\n",
        "Every key of an experiment in YAML. `offmap schema` prints the same as a JSON schema, for editors. An unknown "
        "key, an impossible value or a name that does not exist is refused before anything runs. How one is put "
        "together stands in [declare an experiment](../how-to/experiment.md).\n",
    ]
    for title, key, model in BLOCKS:
        rows = [(code(f["name"]), f["type"], f["default"], f["description"]) for f in _fields(model)]
        parts += [f"## {title}\n", f"Under {code(key)}. " if key else "", f"{(model.__doc__ or '').strip()}\n",
                  table(("key", "type", "default", "meaning"), rows)]  # fmt: skip
    return "\n".join(parts)


def _fields(model: Any) -> Iterator[dict[str, str]]:
    """Name, type, default and description of each key; models among them need not have a default for everything."""
    schema = model.model_json_schema()
    for name, described in schema["properties"].items():
        field = model.model_fields[name]
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        kind = type_in_words(_resolved(described, schema.get("$defs", {})))
        model_of_it = described.get("items", described).get("$ref", "").rpartition("/")[2]
        about = schema.get("$defs", {}).get(model_of_it, {}).get("description", "").partition("\n")[0]
        yield {"name": name, "type": kind, "default": default, "description": field.description or about}


def _resolved(described: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """A part of a JSON schema with what it refers to in its place; a model in it is a mapping."""
    if "$ref" in described:
        described = inner[described["$ref"].rpartition("/")[2]]
    if "properties" in described:
        return {"type": "object"}
    choices = [_resolved(choice, inner) for key in ("anyOf", "oneOf") for choice in described.get(key, ())]
    items = {"items": _resolved(described["items"], inner)} if "items" in described else {}
    return described | items | ({"anyOf": choices} if choices else {})


def _default(value: Any) -> str:
    if hasattr(value, "model_dump"):
        return "its own defaults"
    return code("none" if value is None else value if isinstance(value, str) else json.dumps(value))


def _command_line() -> str:
    context = typer.main.get_command(app)
    parts = [
        "# Command line\n",
        "`offmap COMMAND --help` prints the same. Mistakes leave with 2, failures with 1; `--json` prints one JSON "
        "document on standard output where a command has it.\n",
    ]
    return "\n".join([*parts, *_commands("offmap", context, 2)])


def _commands(name: str, command: Any, level: int) -> Iterator[str]:
    """A command and those below it: what it does, how it is called, its arguments and options."""
    children = getattr(command, "commands", {})
    if name != "offmap":
        yield f"{'#' * level} {name}\n"
        yield f"{(command.help or '').strip()}\n"
    if not children:
        arguments = " ".join(_call(p) for p in command.params if p.param_type_name == "argument")
        yield fenced(f"{name} {arguments}".strip() + " [OPTIONS]", "text")
        rows = [
            (code(_call(p)), getattr(p, "help", "") or "") for p in command.params if p.name not in ("help", "plugin")
        ]
        yield table(("argument or option", "meaning"), rows)
    for child_name, child in children.items():
        yield from _commands(f"{name} {child_name}", child, 2 if name == "offmap" else 3)


def _call(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    flag = " / ".join([*parameter.opts, *parameter.secondary_opts])
    return flag if parameter.is_flag else f"{flag} {parameter.metavar or parameter.opts[0].strip('-').upper()}"
