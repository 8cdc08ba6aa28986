"""The identity of code: which modules an algorithm's results depend on, and what each of them does, as digests.

A configuration's hash says nothing of code that was edited since. What counts is what a module does: comments,
docstrings, layout, descriptions and how an algorithm is drawn change no digest.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from algorithms.registry import DECLARATION, get_algorithm
from tasks.plugins import assigned_names, path_of
from tasks.registry import get_family
from tasks.spec import fingerprint

PROTOCOL = ("suite.run.training", "suite.run.metatest", "suite.run.rollout")
"""What all results depend on; what these import is not followed."""

FACE = {"offmap": "tasks.environments.from_gymnasium"}
"""What results may depend on of what a plugin gets through the face: `offmap.family.from_gymnasium`."""

FOLLOWED = ("algorithms.", "tasks.environments.")
WITHOUT_RESULT = ("algorithms.registry", "tasks.environments.rendering")


def code_of(algorithms: Iterable[str], family: str) -> dict[str, Any]:
    """The code that results of some algorithms on a family depend on: a `digest`, and one of each of its `modules`."""
    roots = [*(get_algorithm(name).module for name in algorithms), get_family(family).entry_point.partition(":")[0]]
    own = {root.partition(".")[0] for root in roots if not root.startswith(FOLLOWED)}  # packages of plugins
    modules: dict[str, str] = {}
    queue = [*roots, *PROTOCOL]
    while queue:
        name = queue.pop()
        path = path_of(name)
        if name in modules or name in WITHOUT_RESULT or path is None:
            continue
        modules[name], imports = _digest_and_imports(path, path.stat().st_mtime_ns, name)
        if name not in PROTOCOL:
            names = [FACE.get(other, other) for other in imports]
            queue += [other for other in names if other.startswith(FOLLOWED) or other.partition(".")[0] in own]
    return {"digest": fingerprint(modules), "modules": dict(sorted(modules.items()))}


def changed_modules(current: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    """Modules of `current` (`code_of`) that are no longer what any part of a run was made by, as its provenance says.

    None where the provenance is older than identities of code.
    """
    documents = [document for document in (provenance, *provenance.get("earlier", ())) if "code" in document]
    recorded = [document["code"]["modules"] for document in documents]
    return [name for name, digest in current["modules"].items() if any(made.get(name) != digest for made in recorded)]


@functools.cache
def _digest_and_imports(path: Path, changed: int, name: str) -> tuple[str, tuple[str, ...]]:
    """Of a module's file that was last changed at that time: 12 hexadecimal digits, and what it may import."""
    del changed
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    text = json.dumps(_skeleton(tree), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12], tuple(dict.fromkeys(_imports(tree.body, package)))


def _skeleton(node: Any) -> Any:
    """What a syntax tree does, as nested lists that do not depend on the version of Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return [type(node).__name__, *([name, _skeleton(value)] for name, value in fields)]
    if isinstance(node, list):
        return [_skeleton(part) for part in node if not _is_words(part)]
    return f"{type(node).__name__} {node!r}"


def _is_words(node: Any) -> bool:
    """Whether a part of a syntax tree only describes: a docstring, a description, or how an algorithm is listed."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.keyword):
        return node.arg == "description"
    return isinstance(node, ast.AST) and DECLARATION in assigned_names(node)


def _imports(body: Iterable[ast.stmt], package: str) -> Iterator[str]:
    """Modules that statements of a module in `package` may import, but for what is only imported for types."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _imports(node.orelse, package)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import):
                yield from (alias.name for alias in inner.names)
            elif isinstance(inner, ast.ImportFrom):
                above = package.rsplit(".", inner.level - 1)[0] if inner.level else ""
                base = ".".join(filter(None, (above, inner.module)))
                yield from (base, *(f"{base}.{alias.name}" for alias in inner.names))
