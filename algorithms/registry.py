"""Every algorithm by name, as its own file declares it: `ALGORITHMS = (AlgorithmEntry(name=..., ...), ...)`.

A declaration is read from the text of the file, so that looking a name up imports no torch; the file itself is imported
when the algorithm is used. The references among them say what doing nothing and knowing everything return on a split.
"""

from __future__ import annotations

import ast
import difflib
import pkgutil
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import algorithms
from tasks.errors import UserError
from tasks.plugins import PROBLEMS, BrokenPlugin, NameTaken, Plugin, assigned_names, explained, imported, path_of

if TYPE_CHECKING:
    from tasks.spec import TaskFamily

ORDER = (
    "mier", "pearl", "mql", "maml", "promp", "rl2", "recurrent_sac", "varibad", "varibad_off_policy", "grbal",
    "references", "multitask_sac",
)  # fmt: skip
"""Files in the order of every list and legend; those that are not named here follow by name."""

DECLARATION = "ALGORITHMS"

LONGEST = 300
"""Letters of a text in a declaration."""

KEY = r"[A-Za-z0-9:_+./-]{1,100}"
"""A key of a BibTeX entry."""

DRAWN = (
    ("colour", r"(#[0-9A-Fa-f]{6})?", "a colour as #RRGGBB"),
    ("marker", r"[.ov^<>1234s8pP*hH+xXDd|_]?", "a marker of matplotlib, such as o"),
    ("dashes", r"-|--|-\.|:", "one of - -- -. :"),
    ("hatch", r"[-/\\|+xoO.*]{0,6}", "a hatch of matplotlib, such as //"),
)
"""What an entry is drawn with: the field, what it may be, and the same in words."""


@dataclass(frozen=True, kw_only=True)
class AlgorithmEntry:
    """One row of a comparison: a meta-training and a way to adapt. Entries may share a meta-training.

    Declared by keywords with literal values. `cites` are keys of entries in a `.bib` file beside the algorithm's (ours:
    `papers.bib`). `colour`, `marker`, `dashes` and `hatch` are how figures draw it; without a colour they choose.
    `tiny_train` and `tiny_adapt` are the smallest values that exercise everything: what the contract tests run with.
    """

    name: str
    algorithm: str  # class in the module
    train: str  # config class of the meta-training
    adapt: str  # config class of the adaptation
    summary: str
    source: str
    cites: tuple[str, ...] = ()
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
        """Put in the defaults that depend on the name.

        Raises:
            ValueError: a text is none that can be printed, or nothing can be drawn with what is to be drawn with.
        """
        for attribute in ("training", "title"):
            object.__setattr__(self, attribute, getattr(self, attribute) or self.name)
        for attribute in ("name", "algorithm", "train", "adapt", "summary", "source", "training", "title"):
            value = getattr(self, attribute)
            if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST:
                raise ValueError(
                    f"{attribute} has to be a text on one line of at most {LONGEST} letters, not {value!r}"
                )
        if not isinstance(self.cites, tuple) or not all(re.fullmatch(KEY, str(key)) for key in self.cites):
            raise ValueError(f"cites has to be a tuple of keys of BibTeX entries, not {self.cites!r}")
        for attribute, pattern, words in DRAWN:
            if re.fullmatch(pattern, str(getattr(self, attribute))) is None:
                raise ValueError(f"{attribute} has to be {words}, not {getattr(self, attribute)!r}")

    @property
    def is_reference(self) -> bool:
        """Whether it is no competitor but a row to read the others by.

        Such a row trains on nothing, or on the test tasks, or is told the true parameters of its tasks.
        """
        return self.privileged or self.trains_on != ("train",)

    def load(self, attribute: str) -> Any:
        """A class of the algorithm's file, by the field of this entry that names it.

        Raises:
            BrokenPlugin: it is a plugin's, which cannot be imported, or has no such class.
        """
        return self._from_module(getattr(self, attribute))

    @property
    def is_plugin(self) -> bool:
        """Whether it is a user's own, and no part of this package."""
        return not self.module.startswith(f"{algorithms.__name__}.")

    @property
    def path(self) -> Path:
        """The file that declares it."""
        path = path_of(self.module)
        assert path is not None
        return path

    def unsupported(self, family: TaskFamily) -> str | None:
        """Why the algorithm cannot run on splits of a family, or None."""
        rule = self._from_module("unsupported", None)
        return rule(self.name, family) if rule is not None else None

    def _from_module(self, name: str, *default: Any) -> Any:
        """Something of the algorithm's file by its name, or the default where it has no such thing."""
        if not self.is_plugin:
            return getattr(imported(self.module), name, *default)
        plugin = Plugin(self.name, self.module, self.path)
        try:
            return getattr(imported(self.module), name, *default)
        except AttributeError as error:
            if error.obj is sys.modules.get(self.module):
                raise BrokenPlugin(
                    f"plugin {self.name} ({self.path}) declares {name!r}, and has no such class"
                ) from None
            raise explained(error, plugin) from error
        except Exception as error:
            raise explained(error, plugin) from error


class InvalidRegistration(UserError, ValueError):
    """A file's declaration of its algorithms cannot be read; the message says where and what it has to be."""


def read_entries(path: Path, module: str, declaration: str = DECLARATION) -> list[AlgorithmEntry]:
    """The entries that a file declares by that name, read from its text; none where it declares no algorithm.

    Raises:
        InvalidRegistration: the declaration is not what this module's docstring shows.
    """
    tree = Plugin(module, module, path).tree()
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and declaration in assigned_names(node)
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


SCORED: dict[str, AlgorithmEntry] = {
    entry.name: entry
    for entry in read_entries(Path(__file__).parent / "elsewhere" / "rows.py", "algorithms.elsewhere.rows", "POLICIES")
}
"""By name, the rows of policies from elsewhere, in no list of algorithms: `offmap score` alone makes their runs."""


def _all_entries() -> dict[str, AlgorithmEntry]:
    """The entries of every file of the package, by name.

    Raises:
        InvalidRegistration: one cannot be read.
        NameTaken: two have one name.
    """
    files = {
        info.name: Path(info.module_finder.path) / f"{info.name}.py"  # type: ignore[union-attr]
        for info in pkgutil.iter_modules(algorithms.__path__)
        if not info.ispkg and info.name != Path(__file__).stem  # this file, whose ALGORITHMS are all of theirs
    }
    rank = {name: place for place, name in enumerate(ORDER)}
    entries: dict[str, AlgorithmEntry] = {}
    for name in sorted(files, key=lambda name: (rank.get(name, len(ORDER)), name)):
        for entry in read_entries(files[name], f"algorithms.{name}"):
            _put(entries, entry)
    return entries


def _put(entries: dict[str, AlgorithmEntry], entry: AlgorithmEntry) -> None:
    """Add an entry.

    Raises:
        NameTaken: there is one of its name; the message names both.
    """
    taken = entries.get(entry.name) or SCORED.get(entry.name)
    if taken is not None:
        raise NameTaken(taken.module, entry.module, f"an algorithm {entry.name!r}")
    entries[entry.name] = entry


ALGORITHMS: dict[str, AlgorithmEntry] = _all_entries()
"""By name: those of this package, and behind them those of the plugins that are in use."""


def add_algorithms(plugin: Plugin) -> list[AlgorithmEntry]:
    """The entries that a plugin declares, in use from now on; it is not imported.

    Raises:
        BrokenPlugin: it cannot be read.
        InvalidRegistration: its declaration cannot be.
        NameTaken: it has the name of another; then none of its own is in use.
    """
    declared, all_entries = read_entries(plugin.path, plugin.module), dict(ALGORITHMS)
    for entry in declared:
        _put(all_entries, entry)
    ALGORITHMS.update(all_entries)
    return declared


SHOWN: dict[str, AlgorithmEntry] = {}
"""Entries that results folders brought along, by name: how to show what is not in use."""


def known_entries() -> dict[str, AlgorithmEntry]:
    """All entries by name, to show results: those in use, and then those that results folders brought along."""
    ours = ALGORITHMS | SCORED
    return ours | {name: entry for name, entry in SHOWN.items() if name not in ours}


def remove_algorithms(module: str) -> None:
    """Forget what a plugin's module declared."""
    for name in [name for name, entry in ALGORITHMS.items() if entry.module == module]:
        del ALGORITHMS[name]


class UnknownAlgorithm(UserError, LookupError):
    """No algorithm of that name; the message lists the nearest."""


def get_algorithm(name: str) -> AlgorithmEntry:
    """The entry of that name.

    Raises:
        UnknownAlgorithm: there is none.
    """
    if name in ALGORITHMS or name in SCORED:
        return ALGORITHMS.get(name) or SCORED[name]
    near = difflib.get_close_matches(name, ALGORITHMS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(ALGORITHMS)}."
    broken = f" Plugins that cannot be used: {'; '.join(PROBLEMS)}." if PROBLEMS else ""
    raise UnknownAlgorithm(f"there is no algorithm {name!r}: {hint} `offmap algorithms list` shows all.{broken}")


def training_entry(training: str) -> AlgorithmEntry:
    """An entry whose meta-training has that name.

    Raises:
        UnknownAlgorithm: there is none.
    """
    for entry in ALGORITHMS.values():
        if entry.training == training:
            return entry
    return get_algorithm(training)
