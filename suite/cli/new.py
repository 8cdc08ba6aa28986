"""`offmap new`: a project that works as it stands, to be changed piece by piece."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from suite.cli.output import print_lines
from suite.errors import UserError

app = typer.Typer(help="Start an algorithm or a family of your own, from one that works.", no_args_is_help=True)

TEMPLATES = Path(__file__).parent / "templates"

Name = Annotated[str, typer.Argument(help="What it is to be called, such as my-algorithm.")]
Out = Annotated[Path | None, typer.Option(help="The folder to make; by default NAME.")]


@app.command()
def algorithm(name: Name, out: Out = None) -> None:
    """An algorithm in one file, with a test, an experiment and a README; it learns on a point family."""
    from algorithms.registry import ALGORITHMS, SCORED

    _refuse_name(name, ALGORITHMS | SCORED)
    _write("algorithm", name, out or Path(name))


@app.command()
def family(name: Name, out: Out = None) -> None:
    """A family of tasks in one file, with a split, a test, an experiment and a README."""
    from tasks.registry import families

    _refuse_name(name, [known for one in families() for known in (one.name, one.nickname)])
    _write("family", name, out or Path(name))


def _refuse_name(name: str, taken: object) -> None:
    if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) is None:
        raise UserError(f"{name!r} is no name for it: take small letters, digits and hyphens, such as my-algorithm")
    if name in taken:  # type: ignore[operator]
        raise UserError(f"there is a {name!r} already; give yours another name")


def _refuse_file(kind: str, name: str) -> None:
    """Nothing, if a file of that name hides no module, and a class of that name nothing that the file uses.

    Raises:
        UserError: one does.
    """
    file, own = _file(name), _class(name)
    there = find_spec(file)
    if there is not None and there.origin is not None:  # a folder without modules is in nobody's way
        raise UserError(
            f"{file}.py would hide the module {file!r} that Python has; give it another name, such as my-{name}"
        )
    text = (TEMPLATES / f"{kind}.py.txt").read_text(encoding="utf-8")
    if keyword.iskeyword(own) or re.search(rf"^from .* import .*\b{own}\b", text, re.MULTILINE):
        raise UserError(f"{own} cannot be its class, since its file uses that name; give it another")


def _file(name: str) -> str:
    return name.replace("-", "_")


def _class(name: str) -> str:
    return name.title().replace("-", "")


def _write(kind: str, name: str, out: Path) -> None:
    """Write a project.

    Raises:
        UserError: the folder is there already.
    """
    _refuse_file(kind, name)
    if out.exists():
        raise UserError(f"{out} is there already; give another folder with --out, or another name")
    file = _file(name)
    words = {
        "CLASS": _class(name), "FILE": file, "TITLE": name.replace("-", " ").capitalize(),
        "SOURCE": "this file", "NAME": name,
    }  # fmt: skip
    places = {
        f"{kind}.py": f"{file}.py", f"{kind}_test.py": f"test_{file}.py", f"{kind}.yaml": "experiment.yaml",
        f"{kind}.md": "README.md",
    }  # fmt: skip
    out.mkdir(parents=True)
    for template, place in places.items():
        text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        (out / place).write_text(text, encoding="utf-8")
    print_lines([f"made {out}: {', '.join(places.values())}", f"next: cd {out} && offmap check {kind} ./{file}.py"])
