"""Code of users' own: a module that is installed, or one file; where it is, what it declares, and importing it.

What a plugin declares stands in its text (`ALGORITHMS = ...`, `FAMILIES = ...`), so that it is known without importing
it. A file is imported under a name of its own, so that it hides nothing that is called like it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import traceback
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tasks.errors import UserError, staying

GROUPS = ("offmap.algorithms", "offmap.families")
"""Of the entry points by which an installed package names its modules."""

PREFIX = "offmap_plugin_"
"""Of the modules that files become."""


FEW = 5
"""Of the fields that are wrong in one declaration, how many a message names."""

PROBLEMS: list[str] = []
"""Installed plugins that cannot be used, each with the reason."""


def any_installed() -> bool:
    """Whether an installed package names plugins, which `suite.experiment.plugins.use_installed_plugins` then uses."""
    return any(entry_points(group=group) for group in GROUPS)


class BrokenPlugin(UserError, ImportError):
    """A plugin that is not there, cannot be read or cannot be imported; the message says where and why."""


class NameTaken(BrokenPlugin):
    """Two modules declare something of one name; `other` is the one that was there before."""

    def __init__(self, other: str, module: str, what: str) -> None:
        first, second = (path_of(name) or name for name in (other, module))
        super().__init__(f"{first} and {second} both declare {what}; rename one of them")
        self.other = other


class Plugin(NamedTuple):
    """A user's module: as it was given, what it is imported as, and the file that holds it."""

    given: str
    module: str
    path: Path

    @property
    def is_file(self) -> bool:
        """Whether it was given as a file, which nothing but its path leads to."""
        return self.module.startswith(PREFIX)

    @property
    def digest(self) -> str:
        """Identity of its text: 12 hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    def tree(self) -> ast.Module:
        """Its text as a syntax tree.

        Raises:
            BrokenPlugin: it cannot be read, or is no Python.
        """
        try:
            return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))
        except SyntaxError as error:
            raise BrokenPlugin(f"plugin {self.given} ({self.path}, line {error.lineno}): {error.msg}") from None
        except (OSError, ValueError) as error:
            raise BrokenPlugin(f"plugin {self.given} ({self.path}) cannot be read: {error}") from None

    def declares(self, name: str) -> bool:
        """Whether its text assigns something to a name."""
        return any(name in assigned_names(node) for node in self.tree().body)


def assigned_names(node: ast.AST) -> list[str]:
    """The names that a statement assigns to, with a type or without."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def locate(given: str, base: Path) -> Plugin:
    """The plugin that was given: a path of a file (`./mine.py`, from the folder `base`) or a module (`my_lab.varibad`).

    Nothing is imported, not even the packages around a module.

    Raises:
        BrokenPlugin: there is none; the message says where it was looked for.
    """
    if given.endswith(".py") or "/" in given:
        path = (base / given).resolve()
        if not path.is_file():
            raise BrokenPlugin(f"plugin {given}: there is no file {path}")
        if not path.stem.isidentifier():
            raise BrokenPlugin(f"plugin {given}: a module has a name of letters, digits and _; rename {path.name}")
        return Plugin(given, PREFIX + path.stem, path)
    found = file_of(given)
    if found is None:
        raise BrokenPlugin(
            f"plugin {given}: Python finds no such module; install its package, put its folder on PYTHONPATH, or give "
            "the file as a path such as ./mine.py"
        )
    return Plugin(given, given, found)


def file_of(module: str) -> Path | None:
    """The file of a module or package by its dotted name, without importing anything; None if there is none."""
    head, *rest = module.split(".")
    spec = None
    for finder in sys.meta_path:  # packages that are installed for editing have finders of their own
        spec = finder.find_spec(head, None) if hasattr(finder, "find_spec") else None
        if spec is not None:
            break
    for depth in range(2, 2 + len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join([head, *rest][:depth]), list(spec.submodule_search_locations))
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


_FILES: dict[str, Path] = {}  # by the modules that they become


def remember(plugin: Plugin) -> None:
    """Have the module of a plugin be imported from its file from now on."""
    if plugin.is_file:
        _FILES[plugin.module] = plugin.path
        sys.modules.pop(plugin.module, None)


def path_of(module: str) -> Path | None:
    """The file of any module, plugins' among them; None if it is not Python text."""
    return _FILES.get(module) or file_of(module)


def imported(module: str) -> ModuleType:
    """A module, imported; one of a plugin's that does not work says where it fails.

    Raises:
        BrokenPlugin: importing a file that was given as a plugin failed.
    """
    if module in sys.modules:
        return sys.modules[module]
    path = _FILES.get(module)
    if path is None:
        with staying():
            return import_module(module)
    spec = spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[module] = made
    try:
        with staying():
            spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[module]
        raise
    return made


def explained(error: Exception, plugin: Plugin) -> BrokenPlugin:
    """An error of importing a plugin as one line: the last line of its file that was reached, and what went wrong."""
    line = error.lineno if isinstance(error, SyntaxError) else line_in(plugin.path, error)
    where = f"{plugin.path}, line {line}" if line is not None else str(plugin.path)
    return BrokenPlugin(f"plugin {plugin.given} ({where}) cannot be imported: {in_one_line(error)}")


def line_in(path: Path, error: BaseException) -> int | None:
    """The last line of a file that was reached before an error; None if none was."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == path), None)


def in_one_line(error: BaseException) -> str:
    """The type of an error and what it says; of one that is in words for users already, the words alone."""
    fields: Any = getattr(error, "errors", None)
    if type(error).__name__ == "ValidationError" and callable(fields):  # pydantic's, which has a line for each field
        reasons = [f"{'.'.join(map(str, one['loc'])) or 'as a whole'}: {one['msg']}" for one in fields()]
        more = f"; {len(reasons) - FEW} more" if len(reasons) > FEW else ""
        return f"{getattr(error, 'title', '')}: {'; '.join(reasons[:FEW])}{more}"
    words = " ".join(str(error).split()) or "it gives no reason"
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}"
