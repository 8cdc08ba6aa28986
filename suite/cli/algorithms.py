"""`offmap algorithms`: what can be compared, and every knob of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from suite.cli.output import AsJson, print_json, print_lines, print_table
from suite.errors import UserError

app = typer.Typer(help="Algorithms: a meta-training and a way to adapt.", no_args_is_help=True)


@app.command(name="list")
def list_algorithms(as_json: AsJson = False) -> None:
    """All algorithms; those of plugins are imported to see whether they work."""
    from algorithms.registry import ALGORITHMS

    broken = broken_plugins()
    if as_json:
        kept = ("name", "training", "summary", "source", "is_reference", "privileged", "trains_on")
        entries = ALGORITHMS.values()
        listed = [{field: getattr(entry, field) for field in kept} for entry in entries]
        print_json({"algorithms": listed, "broken": broken})
        return
    rows = [(entry.name, entry.training, entry.summary, entry.source) for entry in ALGORITHMS.values()]
    print_table("", ("algorithm", "meta-training", "summary", "source"), rows)
    print_lines(f"broken: {words}" for words in broken)


def broken_plugins() -> list[str]:
    """What is wrong with the plugins in use, and with those that are not in use for it."""
    from algorithms.registry import ALGORITHMS
    from tasks.plugins import PROBLEMS, BrokenPlugin

    broken = list(PROBLEMS)
    for entry in ALGORITHMS.values():
        try:
            for attribute in ("algorithm", "train", "adapt") if entry.is_plugin else ():
                entry.load(attribute)
        except BrokenPlugin as error:
            broken.append(str(error))
    return broken


@app.command()
def show(name: Annotated[str, typer.Argument(help="An algorithm.")], as_json: AsJson = False) -> None:
    """Every field of an algorithm's configuration: type, default, and where the default comes from."""
    from algorithms.registry import SCORED, get_algorithm
    from suite.experiment.presets import algorithm_file, presets

    if name in SCORED:
        raise UserError(f"{name} is no algorithm but what `offmap score` calls its rows; see `offmap score --help`")
    entry = get_algorithm(name)
    blocks = {block: fields_of(entry.load(block)) for block in ("train", "adapt")}
    names = list(presets(entry.training))
    adapt = entry.load("adapt")()
    if as_json:
        about = {"name": entry.name, "training": entry.training, "summary": entry.summary, "source": entry.source,
                 "cites": list(entry.cites)}  # fmt: skip
        about |= {"before": adapt.before._asdict(), "twin": adapt.twin}
        print_json(about | {"presets": names} | blocks)
        return
    print_lines([f"{entry.name}: {entry.summary} ({entry.source})"])
    if names:
        print_lines([f"presets ({algorithm_file(entry.training)}): {', '.join(names)}"])
    twin = "none" if adapt.twin is None else f"adapt: {json.dumps(adapt.twin)}"
    print_lines([f"before adaptation: {adapt.before.kind}: {adapt.before.sentence}", f"unadapted twin: {twin}"])
    for block, fields in blocks.items():
        rows = [(field["name"], field["type"], str(field["default"]), field["description"]) for field in fields]
        print_lines([""])
        print_table(f"{block}: {_first_line(entry.load(block))}", ("field", "type", "default", "description"), rows)


def fields_of(model: Any) -> list[dict[str, Any]]:
    """Name, type, default and description of each field of a Pydantic model, in the order of its schema."""
    from pydantic_core import to_jsonable_python

    schema = model.model_json_schema()
    defaults = model()  # a dump leaves some fields out
    return [
        {
            "name": name,
            "type": type_in_words(described),
            "default": to_jsonable_python(getattr(defaults, name)),
            "description": described.get("description", ""),
        }
        for name, described in schema["properties"].items()
    ]


def type_in_words(described: dict[str, Any]) -> str:
    """A JSON schema type in words."""
    if "anyOf" in described:
        return " or ".join(dict.fromkeys(type_in_words(choice) for choice in described["anyOf"]))
    if "enum" in described:
        return " or ".join(map(str, described["enum"]))
    if "const" in described:
        return str(described["const"])
    if described.get("type") == "array":
        return f"list of {type_in_words(described['items'])}" if "items" in described else "list"
    names = {"null": "none", "number": "float", "integer": "int", "boolean": "true or false", "string": "text",
             "object": "mapping"}  # fmt: skip
    limits = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
    }  # fmt: skip
    bounds = [f"{words} {described[key]:g}" for key, words in limits.items() if key in described]
    return ", ".join([names.get(described.get("type", ""), "any"), *bounds])


def _first_line(model: Any) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]
