"""Figures as markup of the page: what many of them share (letters, marks, looks of lines) is kept once for all."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from reports import style
from reports.figures.marks import TOLD

THEME = {style.INK: "currentColor", style.GRID: "var(--grid)", style.PAPER: "var(--panel)"}
"""What our colours of text, of the grid and of paper become, so that they follow the reader's colour scheme."""

FINEST = {"d": 2, "x": 2, "y": 2, "width": 2, "height": 2, "transform": 4}
"""Decimals, by attribute, of numbers in points; a transform also holds the scale of letters, a number below 1."""


class Drawings:
    """The shared parts of all figures of a page: definitions by their markup, and classes by their style."""

    def __init__(self) -> None:
        self._definitions: dict[str, str] = {}
        self._classes: dict[str, str] = {}

    def parts(self, svg: str) -> dict[str, str]:
        """The markup of each part of a figure (`axes_1`, `legend_1`, ...), for the inside of an `svg` element.

        Args:
            svg: What `canvas.svg` returns. Its letters are drawn, and what its marks tell is a title of theirs.
        """
        root = ElementTree.fromstring(svg)
        renamed: dict[str, str] = {}
        for definition in _definitions(root):
            identifier = definition.attrib.pop("id")
            markup = self._markup(definition, renamed)
            renamed[identifier] = self._definitions.setdefault(markup, f"d{len(self._definitions)}")
        figure = next(element for element in root.iter() if element.get("id") == "figure_1")
        return {str(part.get("id")): self._markup(part, renamed) for part in figure}

    def definitions(self) -> str:
        """What all figures refer to, for one hidden `svg` of the page."""
        return "".join(re.sub(r"^<(\w+)", rf'<\1 id="{name}"', text) for text, name in self._definitions.items())

    def rules(self) -> str:
        """The looks that all figures refer to, as CSS."""
        return "\n".join(f".{name}{{{text}}}" for text, name in self._classes.items())

    def _markup(self, element: ElementTree.Element, renamed: dict[str, str]) -> str:
        """An element without ids, comments and definitions, with short numbers and references to what is shared."""
        tag = element.tag.rpartition("}")[2]
        if tag == "defs":
            return ""
        inside = "".join(self._markup(child, renamed) for child in element)
        written = "".join(self._attribute(key.rpartition("}")[2], text, renamed) for key, text in element.items())
        name = element.get("id", "")
        if name.startswith(TOLD) and inside:
            return f"<g{written}><title>{html.escape(name.removeprefix(TOLD))}</title>{inside}</g>"
        if tag == "g" and not (written and inside):
            return inside
        if tag == "g" and "scale(" in written:  # a text: its letters, which many others have too
            name = self._definitions.setdefault(f"<g>{inside}</g>", f"d{len(self._definitions)}")
            return f'<use href="#{name}"{written}/>'
        return f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>"

    def _attribute(self, name: str, text: str, renamed: dict[str, str]) -> str:
        if name == "id":
            return ""
        if name == "style":
            return f' class="{self._classes.setdefault(themed(text), f"c{len(self._classes)}")}"'
        if name in FINEST:
            text = _rounded(" ".join(text.split()), FINEST[name])
        text = re.sub(r"#([\w-]+)", lambda found: f"#{renamed.get(found[1], found[1])}", text)
        return f' {name}="{html.escape(themed(text))}"'


def themed(text: str) -> str:
    """Text of a style with our colours as those of the reader's colour scheme."""
    for colour, value in THEME.items():
        text = text.replace(colour.lower(), value)
    return text


def _definitions(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for block in root.iter():
        if block.tag.rpartition("}")[2] == "defs":
            yield from (child for child in block if child.get("id"))


def _rounded(text: str, places: int) -> str:
    """Text whose numbers have at most so many decimals."""

    def shorter(found: re.Match[str]) -> str:
        value = float(found[0])
        return f"{value:.{places if abs(value) < 1 else 2}f}".rstrip("0").rstrip(".")

    return re.sub(rf"-?\d+\.\d{{{places + 1},}}(?![\de])", shorter, text)
