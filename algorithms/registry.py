"""Every algorithm by name, as its own file declares it: `ALGORITHMS = (AlgorithmEntry(name=..., ...), ...)`.

A declaration is read from the text of the file, so that looking a name up imports no torch; the file itself is imported
when the algorithm is used. The references among them say what doing nothing and knowing everything return on a split.
"""

from __future__ import annotations

import ast
import difflib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import algorithms
from tasks.errors import UserError

if TYPE_CHECKING:
    from tasks.spec import TaskFamily

ORDER = (
    "mier", "pearl", "mql", "maml", "promp", "rl2", "recurrent_sac", "varibad", "varibad_off_policy", "grbal",
    "references", "multitask_sac",
)  # fmt: skip
"""Files in the order of every list and legend; those that are not named here follow by name."""

DECLARATION = "ALGORITHMS"


@dataclass(frozen=True, kw_only=True)
class AlgorithmEntry:
    """One row of a comparison: a meta-training and a way to adapt. Entries may share a meta-training.

    Declared by keywords with literal values. `colour`, `marker`, `dashes` and `hatch` are how figures draw it; without
    a colour they choose. `tiny_train` and `tiny_adapt` are the smallest values that exercise everything: what the
    contract tests run with.
    """

    name: str
    algorithm: str  # class in the module
    train: str  # config class of the meta-training
    adapt: str  # config class of the adaptation
    summary: str
    source: str
    training: str = ""  # name of the meta-training, by default that of the entry; entries that share it share its runs
    trains_on: tuple[str, ...] = ("train",)  # lists of the split that are its training tasks
    privileged: bool = False  # whether it is told the true parameters of the tasks that it trains on and is tested in
    title: str = ""  # its name in tables and figures, by default that of the entry
    colour: str = ""
    marker: str = ""
    dashes: str = "-"
    hatch: str = ""
    tiny_train: Mapping[str, Any] = field(default_factory=dict)
    tiny_adapt: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""  # filled in by whoever reads the declaration

    def __post_init__(self) -> None:
        """Put in the defaults that depend on the name."""
        for attribute in ("training", "title"):
            object.__setattr__(self, attribute, getattr(self, attribute) or self.name)

    @property
    def is_reference(self) -> bool:
        """Whether it is no competitor but a row to read the others by.

        Such a row trains on nothing, or on the test tasks, or is told the true parameters of its tasks.
        """
        return self.privileged or self.trains_on != ("train",)

    def load(self, attribute: str) -> Any:
        """A class of the algorithm's file, by the field of this entry that names it."""
        return getattr(import_module(self.module), getattr(self, attribute))

    def unsupported(self, family: TaskFamily) -> str | None:
        """Why the algorithm cannot run on splits of a family, or None."""
        rule = getattr(import_module(self.module), "unsupported", None)
        return rule(self.name, family) if rule is not None else None


class InvalidRegistration(UserError, ValueError):
    """A file's declaration of its algorithms cannot be read; the message says where and what it has to be."""


def read_entries(path: Path, module: str) -> list[AlgorithmEntry]:
    """The entries that a file declares, read from its text; none where it declares no algorithm.

    Raises:
        InvalidRegistration: the declaration is not what this module's docstring shows.
    """
    tree = ast.parse(path.read_text(), str(path))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == DECLARATION for target in node.targets)
    ]
    return [_entry(call, path, module) for value in values for call in getattr(value, "elts", [value])]


def _entry(call: ast.expr, path: Path, module: str) -> AlgorithmEntry:
    try:
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("it takes keywords alone")
        return AlgorithmEntry(
            module=module, **{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        )
    except (ValueError, TypeError) as error:
        raise InvalidRegistration(
            f"{path}, line {call.lineno}: {DECLARATION} is a tuple of AlgorithmEntry(name=..., ...) with keywords and "
            f"literal values, since it is read without importing the file: {error}"
        ) from None


def _all_entries() -> dict[str, AlgorithmEntry]:
    """The entries of every file of the package, by name.

    Raises:
        InvalidRegistration: two entries have one name, or one cannot be read.
    """
    files = {
        info.name: Path(info.module_finder.path) / f"{info.name}.py"  # type: ignore[union-attr]
        for info in pkgutil.iter_modules(algorithms.__path__)
        if not info.ispkg
    }
    rank = {name: place for place, name in enumerate(ORDER)}
    entries: dict[str, AlgorithmEntry] = {}
    for name in sorted(files, key=lambda name: (rank.get(name, len(ORDER)), name)):
        for entry in read_entries(files[name], f"algorithms.{name}"):
            if entry.name in entries:
                other = entries[entry.name].module
                raise InvalidRegistration(f"{other} and {entry.module} both declare an algorithm {entry.name!r}")
            entries[entry.name] = entry
    return entries


ALGORITHMS: dict[str, AlgorithmEntry] = _all_entries()


class UnknownAlgorithm(UserError, LookupError):
    """No algorithm of that name; the message lists the nearest."""


def get_algorithm(name: str) -> AlgorithmEntry:
    """The entry of that name.

    Raises:
        UnknownAlgorithm: there is none.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    near = difflib.get_close_matches(name, ALGORITHMS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(ALGORITHMS)}."
    raise UnknownAlgorithm(f"there is no algorithm {name!r}: {hint} `offmap algorithms list` shows all.")


def training_entry(training: str) -> AlgorithmEntry:
    """An entry whose meta-training has that name.

    Raises:
        UnknownAlgorithm: there is none.
    """
    for entry in ALGORITHMS.values():
        if entry.training == training:
            return entry
    return get_algorithm(training)
