"""Plugins in use: algorithms and families that are not part of offmap, installed or given as a module or a file.

An installed package names its modules as entry points `offmap.algorithms` and `offmap.families`; an experiment names
others in `plugins`, the command line in `--plugin`; all register alike (`algorithms.registry`,
`tasks.plugin_families`). Of a file, a results folder keeps a copy, so that its runs and their agents are the same
wherever the folder is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from algorithms.elsewhere.files import PolicyFile, use_policy_folder
from algorithms.registry import SHOWN, add_algorithms, get_algorithm, read_entries, remove_algorithms
from suite.errors import UserError
from suite.experiment.messages import explain
from tasks import registry
from tasks.plugin_families import add_families, remove_families
from tasks.plugins import (
    GROUPS,
    PROBLEMS,
    BrokenPlugin,
    NameTaken,
    Plugin,
    file_of,
    line_in,
    locate,
    path_of,
    remember,
)

ALGORITHMS, FAMILIES = "ALGORITHMS", "FAMILIES"
FOLDER, POLICIES = "plugins", "policies"  # of a results folder
MOST_BYTES = 1_000_000  # of a plugin's text that a results folder brings along

_IN_USE: dict[str, tuple[Plugin, str]] = {}  # by module, with the digest of the text that is in use


def use_plugins(given: Iterable[str], base: Path) -> list[Plugin]:
    """The plugins that were given, in use from now on; files by their paths from the folder `base`.

    One that is in use already stays so; a file whose text has changed since, or another of its name, replaces it.

    Raises:
        UserError: one is not there, cannot be read or imported, declares nothing, or has the name of another.
    """
    plugins = [locate(one, base) for one in dict.fromkeys(given)]
    named: dict[str, Plugin] = {}
    for plugin in plugins:
        other = named.setdefault(plugin.module, plugin)
        if other.path != plugin.path:
            raise BrokenPlugin(f"plugins {other.path} and {plugin.path} have one name; rename one of the files")
    for plugin in named.values():
        _use(plugin)
    return list(named.values())


def _use(plugin: Plugin) -> None:
    if plugin.module in _IN_USE:
        if _IN_USE[plugin.module][1] == plugin.digest:
            return
        stop_using(plugin.module)
    remember(plugin)
    kinds = [name for name in (ALGORITHMS, FAMILIES) if plugin.declares(name)]
    if not kinds:
        raise BrokenPlugin(
            f"plugin {plugin.given} ({plugin.path}) declares neither {ALGORITHMS} = (AlgorithmEntry(...),) nor "
            f"{FAMILIES} = (TaskFamily(...),); `offmap new` writes a plugin that works"
        )
    try:
        if ALGORITHMS in kinds:
            add_algorithms(plugin)
        if FAMILIES in kinds:
            add_families(plugin, explain)
    except UserError:
        remove_algorithms(plugin.module)
        raise
    _IN_USE[plugin.module] = plugin, plugin.digest


def stop_using(module: str) -> None:
    """Forget a plugin by its module."""
    remove_algorithms(module)
    remove_families(module)
    _IN_USE.pop(module, None)


_LOOKED_FOR: list[str] = []  # groups of entry points that were read in this process


def use_installed_plugins() -> None:
    """Have the plugins of installed packages in use; those that do not work are listed in `PROBLEMS`, and stop nothing.

    Of two that declare the same name, neither is. It is done once in a process.
    """
    if _LOOKED_FOR:  # a plugin may ask for it itself, while it is imported
        return
    _LOOKED_FOR.extend(GROUPS)
    points = {point.value: point for group in GROUPS for point in entry_points(group=group)}
    for module, point in sorted(points.items()):
        if file_of(module) is None:
            PROBLEMS.append(_leads_nowhere(point))
            continue
        try:
            use_plugins([module], Path())
        except UserError as error:
            PROBLEMS.append(str(error))
            if isinstance(error, NameTaken) and error.other in _IN_USE:
                stop_using(error.other)


def _leads_nowhere(point: EntryPoint) -> str:
    package = point.dist.name if point.dist is not None else "a package"
    what = "a module alone, without `:`" if ":" in point.value else "a module that there is"
    return (
        f"plugin {point.value}, the entry point {point.name!r} ({point.group}) of {package}: Python finds no such "
        f"module; name {what} in the package's pyproject.toml and install it again, or uninstall it"
    )


def plugins_of(algorithms: Iterable[str], family: str) -> list[Plugin]:
    """The plugins in use that some algorithms and a family are from."""
    modules = [*(get_algorithm(name).module for name in algorithms), registry.MODULES.get(family, "")]
    return [_IN_USE[module][0] for module in dict.fromkeys(modules) if module in _IN_USE]


def kept(plugins: Sequence[Plugin], out: Path) -> tuple[str, ...]:
    """How a run in a results folder finds its plugins: by module, or as a copy of the file below `out`, made now.

    The presets beside a file (`mine.yaml`) go with it.
    """
    names = []
    for plugin in plugins:
        if not plugin.is_file:
            names.append(plugin.module)
            continue
        copy = Path(FOLDER) / plugin.digest / plugin.path.name
        if not (out / copy).exists():
            (out / copy).parent.mkdir(parents=True, exist_ok=True)
            for path in (presets_beside(plugin.path), plugin.path):
                if path.exists():
                    scratch = (out / copy).with_name(f".{path.name}.partial")
                    shutil.copyfile(path, scratch)
                    scratch.replace(out / copy.with_name(path.name))
        names.append(copy.as_posix())
    return tuple(names)


def use_kept_plugins(names: Iterable[str], out: Path) -> list[Plugin]:
    """The plugins of a run, in use from now on, as `kept` named them; of files only copies in the results folder.

    So too the files of a policy from elsewhere, as `policy_place` names their folder.

    Raises:
        UserError: one is not there or does not work, or it leads out of the folder.
    """
    names, modules = tuple(names), []
    for name in names:
        if name.startswith(f"{POLICIES}/"):
            _use_policy(name, out)
            continue
        plugin = locate(name, out)
        if plugin.is_file and not plugin.path.is_relative_to((out / FOLDER).resolve()):
            raise UserError(f"plugin {plugin.given} of {out} is not one of its copies in {out / FOLDER}; run it again")
        modules.append(name)
    return use_plugins(modules, out)


def policy_place(policy: PolicyFile) -> str:
    """How a run finds a policy from elsewhere: the folder with copies of its files, below the results folder."""
    return f"{POLICIES}/{policy.digest}"


def keep_policy(policy: PolicyFile, out: Path) -> None:
    """Copy the files of a policy from elsewhere into a results folder, where they are not there yet."""
    place = out / policy_place(policy)
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as scratch:
        copies = Path(scratch) / place.name
        copies.mkdir()
        for path in policy.paths:
            shutil.copyfile(path, copies / path.name)
        copies.replace(place)


def _use_policy(name: str, out: Path) -> None:
    folder = (out / name).resolve()
    if not folder.is_relative_to((out / POLICIES).resolve()) or not folder.is_dir():
        raise UserError(f"policy {name} of {out} is not one of its folders in {out / POLICIES}; score it again")
    use_policy_folder(folder)


def advice(error: BaseException, plugins: Iterable[Plugin]) -> str:
    """What to add to the words of an error that plugins may have made: the place, and the command that finds out more.

    Nothing where there are none.
    """
    plugins = list(plugins)
    lines = [(plugin.path.name, line_in(path_of(plugin.module) or plugin.path, error)) for plugin in plugins]
    where = "".join(f" ({name}, line {line})" for name, line in lines if line is not None)
    checks = [
        f"`offmap check {kind} {f'./{plugin.path.name}' if plugin.is_file else plugin.module}`"
        for plugin in plugins
        for kind, declared in (("algorithm", ALGORITHMS), ("family", FAMILIES))
        if plugin.declares(declared)
    ]
    return f"{where}; {' and '.join(checks)} says what is wrong, and how to mend it" if checks else where


def presets_beside(path: Path) -> Path:
    """Where the presets of a plugin's algorithms stand, if it has any."""
    return path.with_suffix(".yaml")


def declare_plugins_of(out: Path) -> None:
    """Have the names and looks of a results folder's plugins be known, to show its results; nothing is imported.

    What cannot be read is passed over: its results are shown as those of an unknown algorithm.
    """
    for path in sorted(out.glob(f"{FOLDER}/*/*.py")):
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_BYTES:
                SHOWN.update({entry.name: entry for entry in read_entries(path, f"{FOLDER}.{path.stem}")})
        except (UserError, OSError, RecursionError, MemoryError):
            continue


def source_of(module: str) -> Path:
    """The file or the package folder to copy for jobs that need a plugin's module: all of its top-level package.

    Raises:
        BrokenPlugin: there is no such module.
    """
    top = locate(module.partition(".")[0], Path()).path
    return top.parent if top.name == "__init__.py" else top
