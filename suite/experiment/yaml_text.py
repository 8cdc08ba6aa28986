"""YAML as experiments are written in it: plain values, each key once, and no more than a person would write.

Scalars are those of YAML 1.2's core schema, which has fewer surprises than 1.1: only `true` and `false` are truths,
`1e6` is a number, and dates, times and numbers to the base of 60 are texts. What the two versions read differently
without a word (`010`) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

MOST_BYTES = 1_000_000  # of a text
MOST_VALUES = 100_000  # in a document, each counted as often as aliases repeat it: what takes seconds to read
DEEPEST = 40  # levels of nesting
LONGEST_NUMBER = 40  # digits

_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SCALARS = (  # tag, what is meant by it, and the characters that it begins with
    ("bool", re.compile("|".join(_TRUTHS)), "tTfF"),
    ("null", re.compile("~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", re.compile("<<"), "<"),
)
_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("bool", "null", "int", "float", "str", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """The events and nodes of PyYAML with the scalars and the checks of this module."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    _composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, as long as there are no more of them than are read at all."""
        self._composed += 1
        if self._composed > MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {MOST_VALUES:,} values")
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node whose tag is one of the few that are used here."""
        if node.tag not in _TAGS:
            raise _problem(
                node, f"the tag {_short(node.tag.replace(_TAG, '!!'))} is not used here; write a plain value"
            )
        return super().construct_object(node, deep)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys occur once; those that are merged in with `<<` give way to its own."""
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node)
        return super().construct_mapping(node, deep)


for _name, _pattern, _first in _SCALARS:
    for _letter in _first:
        _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append(
            (_TAG + _name, re.compile(f"(?:{_pattern.pattern})$"))
        )


def _problem(node: yaml.Node, words: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, words, node.start_mark)


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
            if key.value in lines:
                first = lines[key.value] + 1
                raise _problem(key, f"the key {_short(key.value)!r} stands here and in line {first}; keep one of them")
            lines[key.value] = key.start_mark.line


def _number(loader: _Loader, node: yaml.ScalarNode) -> int:
    """A whole number, written to the base of 10, or as 0x or 0o."""
    text = node.value.replace("_", "").lower()
    digits = text.lstrip("+-")
    if not (_INTEGER.fullmatch(node.value) and digits):
        raise _problem(node, f"{_short(node.value)!r} is not a whole number")
    if len(digits) > LONGEST_NUMBER:
        raise _problem(node, f"a number of {len(digits)} digits; at most {LONGEST_NUMBER} are allowed")
    if digits.startswith(("0x", "0o")):
        return int(text, 0)
    if len(digits) > 1 and digits.startswith("0"):
        plain = digits.lstrip("0") or "0"
        raise _problem(node, f"{node.value} begins with a zero; write {plain}, or 0o{plain} for the base of 8")
    return int(text)


def _real(loader: _Loader, node: yaml.ScalarNode) -> float:
    """A number with a fraction, an exponent, or infinite."""
    text = node.value.replace("_", "").lower()
    if not _FLOAT.fullmatch(node.value) or len(text) > 10 * LONGEST_NUMBER:
        raise _problem(node, f"{_short(node.value)!r} is not a number")
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _truth(loader: _Loader, node: yaml.ScalarNode) -> bool:
    if node.value not in _TRUTHS:
        raise _problem(node, f"{_short(node.value)!r} is neither true nor false")
    return _TRUTHS[node.value]


def _text(loader: _Loader, node: yaml.Node) -> str:
    text = loader.construct_scalar(node)  # type: ignore[arg-type]
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _problem(node, f"{text!r} holds half of a character, which no file can") from None
    return str(text)


for _tag, _constructor in (("int", _number), ("float", _real), ("bool", _truth), ("str", _text)):
    _Loader.add_constructor(_TAG + _tag, _constructor)


def parse_yaml(text: str) -> Any:
    """The document in a YAML text: mappings, lists, texts, numbers, truths and None.

    Raises:
        yaml.YAMLError: it is not YAML, or not such as this module reads; the message names line and column.
    """
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"a text of {len(text):,} characters; at most {MOST_BYTES:,} are read")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, 0, {}, set())
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError(f"it is nested deeper than {DEEPEST} levels") from None
    except (ValueError, TypeError, AttributeError) as error:  # of PyYAML's own, on what it does not expect
        raise yaml.YAMLError(f"a value that cannot be read: {error}") from None
    finally:
        loader.dispose()


def _measure(node: yaml.Node, depth: int, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """How many values a node stands for once its aliases are written out.

    Raises:
        yaml.YAMLError: too many, too deep, or a node that holds itself.
    """
    if id(node) in open_nodes:
        raise _problem(node, "an alias stands inside of what it is an alias of")
    if depth > DEEPEST:
        raise _problem(node, f"it is nested deeper than {DEEPEST} levels")
    if id(node) not in sizes:
        open_nodes.add(id(node))
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        below = parts if isinstance(node, yaml.CollectionNode) else ()
        sizes[id(node)] = 1 + sum(_measure(part, depth + 1, sizes, open_nodes) for part in below)
        open_nodes.discard(id(node))
    if sizes[id(node)] > MOST_VALUES:
        raise _problem(node, f"with its aliases written out it has more than {MOST_VALUES:,} values")
    return sizes[id(node)]
