"""`offmap check`: whether an algorithm or a family is what the suite expects."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.output import AsJson, console, print_json, print_lines
from suite.errors import UserError

if TYPE_CHECKING:
    from suite.check.report import Finding

app = typer.Typer(help="Check an algorithm or a family of your own (or one of ours).", no_args_is_help=True)

Target = Annotated[
    str, typer.Argument(help="A name, a file such as ./mine.py, or a module: then all that it declares.")
]


@app.command()
def algorithm(
    target: Target,
    as_json: AsJson = False,
    everywhere: Annotated[bool, typer.Option(help="Build it on every family, or on the point families alone.")] = True,
) -> None:
    """Everything that an algorithm has to keep, on a point family; takes seconds to a minute."""
    from algorithms.registry import ALGORITHMS, get_algorithm
    from suite.check.algorithm import check_algorithm
    from suite.check.subjects import SPLITS
    from tasks.registry import get_family

    module = _used(target, ALGORITHMS)
    names = [name for name, entry in ALGORITHMS.items() if entry.module == module]
    _refuse_other(target, module, names, "algorithm", "family")
    names = names or [get_algorithm(target).name]
    on = None if everywhere else [get_family(name.partition(".")[0]) for name in SPLITS]
    _show({name: check_algorithm(get_algorithm(name), on) for name in names}, as_json)


@app.command()
def family(target: Target, as_json: AsJson = False) -> None:
    """Everything that a family has to keep: its splits, its environment, its rules."""
    from suite.check.family import check_family
    from tasks.plugins import path_of
    from tasks.registry import MODULES, families, get_family

    module = _used(target, [name for one in families() for name in (one.name, one.nickname)])
    names = [one.name for one in families() if MODULES.get(one.name) == module and module]
    _refuse_other(target, module, names, "family", "algorithm")
    names = names or [get_family(target).name]
    findings = {}
    for name in names:
        source = path_of(get_family(name).entry_point.partition(":")[0])
        findings[name] = check_family(get_family(name), source or Path())
    _show(findings, as_json)


def _used(target: str, names: Container[str]) -> str | None:
    """The module of a plugin that is given by its file or its module, in use from now on; None for a name."""
    from suite.experiment.plugins import use_plugins
    from tasks.plugins import file_of

    is_path = "/" in target or "." in target
    if target in names or not (is_path or file_of(target)):
        return None
    (plugin,) = use_plugins([target], Path())
    return plugin.module


def _refuse_other(target: str, module: str | None, names: Sequence[str], kind: str, other: str) -> None:
    """Nothing, unless a plugin was given that declares nothing of this kind.

    Raises:
        UserError: it was; every plugin declares something of one of the two kinds.
    """
    if module is not None and not names:
        raise UserError(f"{target} declares no {kind}: `offmap check {other} {target}` checks what it declares")


def _show(findings: Mapping[str, Sequence[Finding]], as_json: bool) -> None:
    """Print what came of the checks; exit code 1 if one failed."""
    from rich.text import Text

    failed = [finding for of_one in findings.values() for finding in of_one if finding.outcome == "FAILED"]
    if as_json:
        print_json({name: [finding._asdict() for finding in of_one] for name, of_one in findings.items()})
    colours = {"passed": "green", "FAILED": "bold red", "skipped": "dim"}
    for name, of_one in () if as_json else findings.items():
        print_lines([f"{name}:"])
        for finding in of_one:
            line = Text(f"{finding.outcome:8}", colours[finding.outcome]) + Text(f"{finding.name}: {finding.detail}")
            console().print(line, soft_wrap=True, highlight=False)
            if finding.outcome == "FAILED":
                print_lines([f"        why it matters: {finding.why}", f"        how to mend it: {finding.mend}"])
    if failed:
        if not as_json:
            print_lines([f"checks failed: {len(failed)}"])
        raise typer.Exit(1)
