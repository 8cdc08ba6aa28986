"""How everything looks: one colour, marker and name per algorithm, words for axes, order of rows, and numbers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Literal, NamedTuple, cast

from algorithms.registry import known_entries
from tasks.pictures import look as of_pictures

FONT = of_pictures.FONT
"""Of figures, as of all pictures."""

SERIF = "STIXGeneral"
"""Of figures in a serif type, for papers in Times; matplotlib brings it along too."""

INK, GRID = of_pictures.INK, of_pictures.GRID
"""Text and axes, and the grid; in the page they follow the reader's colour scheme."""

PAPER = "#FEFEFE"
"""What hollow marks are filled with where a line passes behind them. In the page it follows the colour scheme."""

SHADE = "#9AA0A6"
"""The training range behind a per-task figure; always drawn translucent."""


Dashes = Literal["-", "--", "-.", ":"]


class Look(NamedTuple):
    """How one variant is drawn, in every figure; `drawn` is what figures call it, where that is not its name."""

    name: str
    colour: str
    marker: str
    dashes: Dashes
    hatch: str = ""
    drawn: str = ""


def _declared_looks(references: bool) -> dict[str, Look]:
    """The looks that algorithms declare in their own files, by the letters and digits of their names."""
    return {
        _key(entry.name): Look(entry.title, entry.colour, entry.marker, cast(Dashes, entry.dashes), entry.hatch)
        for entry in known_entries().values()
        if entry.is_reference == references and entry.colour
    }


def _key(variant: str) -> str:
    return re.sub(r"[^a-z0-9]", "", variant.lower())


# Chosen for distance under simulated red- and green-blindness and for contrast on white and on near-black;
# a marker, a line style and a hatch of their own carry the same information without colour.
LOOKS = _declared_looks(references=False)
"""Of the algorithms of offmap; those of plugins that are in use are asked for when something is drawn."""

# Rows to read the others by: grey, thin and dotted, and last in every table and legend.
REFERENCES = _declared_looks(references=True)
"""By the registered name of the algorithm."""

REFERENCE = " (reference)"
"""What a report puts behind the label of a reference, whatever the label is: `reports.reading.load` does."""

OTHER_COLOURS = ("#A0522D", "#5B7F00", "#C2185B", "#00838F", "#7E57C2", "#5D6D7E")
OTHER_MARKERS = ("<", ">", "h", "d", "*", "8")
OTHER_HATCHES = ("", "//", "||", "xx")
OTHER_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")

SIBLING_DASHES: tuple[Dashes, ...] = ("-", "--", "-.")
SIBLING_HATCHES = ("", "--", "||", "xx")
"""Put over the hatch of the algorithm; none has dots, which are seeds."""

LUMINANCES = (0.11, 0.4)
"""Relative luminances (linear, white 1) that stand out both on white and on the dark page."""

TASK_LISTS = {"test": "test tasks", "test_id": "test_id tasks (training distribution)"}

SHIFTS = {
    "in_distribution": "test tasks are drawn from the training distribution",
    "out_of_distribution": "test tasks lie outside the training distribution",
    "same_tasks": "the test tasks are the training tasks themselves (declared)",
}

RETURN = "return per episode"
SCORE = "score (0: doing nothing,\n1: stated best)"
STEPS = "meta-training environment steps"
UPDATES = "adaptation updates"
TRANSITIONS = "adaptation transitions"
TIME = "meta-training wall-clock time"
COMPUTE = "meta-training core-minutes"


def reference_names() -> list[str]:
    """The registered names of algorithms that are references, those of plugins among them."""
    return [name for name, entry in known_entries().items() if entry.is_reference]


def look(variant: str) -> Look:
    """How a variant is drawn by its name alone: as an algorithm of that name declares, or by its hash."""
    if is_reference(variant):
        reference = REFERENCES.get(_key(variant.partition(REFERENCE)[0]), REFERENCES["null"])
        return reference._replace(name=variant)
    base, mark, rest = variant.partition(" [")  # what a report put behind it, such as the folder it is from
    declared = LOOKS.get(_key(base)) or _declared_looks(references=False).get(_key(base))
    return declared._replace(name=f"{declared.name}{mark}{rest}") if declared else _by_hash(variant)


def _by_hash(variant: str) -> Look:
    digest = hashlib.sha256(variant.encode()).digest()
    return Look(
        variant,
        OTHER_COLOURS[digest[0] % len(OTHER_COLOURS)],
        OTHER_MARKERS[digest[1] % len(OTHER_MARKERS)],
        OTHER_DASHES[digest[2] % len(OTHER_DASHES)],
        OTHER_HATCHES[digest[3] % len(OTHER_HATCHES)],
    )


def looks(variants: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """How each variant of one report is drawn, by its label.

    A label of its own takes the colour and the marker of its algorithm; several of one algorithm are told apart by
    lightness, line style and hatch, the algorithm's own name or else the first label keeping its plain look.

    Args:
        variants: Labels with the registered names of their algorithms; an empty name is an unknown one.
    """
    siblings: dict[str, list[str]] = {}
    for label, algorithm in sorted(set(variants)):
        siblings.setdefault(algorithm or label, []).append(label)
    look_of: dict[str, Look] = {}
    for algorithm, labels in siblings.items():
        labels.sort(key=lambda label: (_key(label) != _key(algorithm), label))
        drawn = shortened([look(label).name for label in labels])
        for place, label in enumerate(labels):
            base = look(algorithm + REFERENCE) if is_reference(label) else _sibling(look(algorithm), place)
            name = look(label).name
            look_of.setdefault(label, base._replace(name=name, drawn="" if drawn[place] == name else drawn[place]))
    return look_of


def shortened(names: list[str]) -> list[str]:
    """Names of siblings that a figure has room for, as different from one another as the names are.

    Long ones keep their first word and the words that not all of them have; those of a sweep keep the first letters of
    their settings; what is then still too long, or the same, loses its middle and gets a number.
    """
    if all(len(name) <= MOST_DRAWN for name in names):
        return names
    words = [re.split(r"(?<=[\s,;/\[\]()])", name) for name in names]
    common = set.intersection(*(set(parts) for parts in words)) if len(names) > 1 else set[str]()
    texts = ["".join(p for n, p in enumerate(parts) if n == 0 or p not in common).strip(" ,;") for parts in words]
    texts = _with_short_settings(texts)
    cut = [_without_middle(text) for text in texts]
    stems = [_without_middle(text, MOST_DRAWN - 4) for text in cut]
    return [
        text if cut.count(text) == 1 else f"{stems[place]} #{stems[:place].count(stems[place]) + 1}"
        for place, text in enumerate(cut)
    ]


_SETTING = re.compile(r"(?<=[\s,;])([A-Za-z_]\w*)=")


def _with_short_settings(texts: list[str]) -> list[str]:
    """Texts whose settings (`steps_per_iteration=1000`) keep as many letters (`step=1000`) as there is room for.

    They keep at least their values, unless these alone do not tell the texts apart.
    """
    names = {name for text in texts for name in _SETTING.findall(text)}
    for letters in range(MOST_DRAWN, 0, -1):
        short_of = {name: name[:letters] for name in names}
        short = [_SETTING.sub(lambda setting: f"{short_of[setting[1]]}=", text) for text in texts]  # noqa: B023
        if len({*short_of.values()}) == len(names) and max(map(len, short)) <= MOST_DRAWN:
            return short
    values = [_SETTING.sub("", text) for text in texts]
    return values if len(set(values)) == len(set(texts)) else texts


def _without_middle(text: str, most: int = 0) -> str:
    most = most or MOST_DRAWN
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-most // 2 :]}"


def _sibling(base: Look, place: int) -> Look:
    """The look of one of several variants of an algorithm; nine differ in lightness or line style."""
    turn = (SIBLING_DASHES.index(base.dashes) if base.dashes in SIBLING_DASHES else 0) + place + place // 3
    return base._replace(
        colour=_shade(base.colour, place % 3),
        dashes=base.dashes if place == 0 else SIBLING_DASHES[turn % len(SIBLING_DASHES)],
        hatch=base.hatch + SIBLING_HATCHES[place % len(SIBLING_HATCHES)],
    )


def _shade(colour: str, step: int) -> str:
    """A colour (0), the same as far from its own luminance as both pages allow (1), and one between the two (2)."""
    if step == 0:
        return colour
    channels = [_to_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5)]
    luminance = sum(part * weight for part, weight in zip(channels, (0.2126, 0.7152, 0.0722)))
    far = max(LUMINANCES, key=lambda end: abs(math.log(end / luminance)))
    goal = far if step == 1 else math.sqrt(far * luminance)
    white = max(0.0, (goal - luminance) / (1 - luminance))  # luminance is linear in the share of white
    scale = min(1.0, goal / luminance)
    mixed = (scale * part + white * (1 - part) for part in channels)
    return "#" + "".join(f"{round(255 * _from_linear(part)):02X}" for part in mixed)


def _to_linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _from_linear(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else float(1.055 * light ** (1 / 2.4) - 0.055)


def is_reference(variant: str) -> bool:
    """Whether a variant's label is marked as a reference: it is compared with, and never the best."""
    return REFERENCE in variant


_FIRST: ContextVar[tuple[str, ...]] = ContextVar("first", default=())
"""Variants that stand before all others, by their labels without what references are marked with."""


@contextmanager
def in_order(variants: Iterable[str]) -> Iterator[None]:
    """Inside, tables, legends and bars have these variants first, as they are given, whatever they are."""
    token = _FIRST.set(tuple(variants))
    try:
        yield
    finally:
        _FIRST.reset(token)


def ordered(variants: Iterable[str]) -> list[str]:
    """Each variant once: known algorithms in their fixed order, others by name, references; `a / b` stands as a.

    A label that begins with the name of a known algorithm (`pearl bf16`) stands behind it. In names numbers count as
    such: 5 comes before 10. What `in_order` names stands
    first.
    """
    chosen: dict[str, int] = {}
    for number, name in enumerate(_FIRST.get()):
        chosen |= {_key(called): number for called in (name, look(name).name)}
    rank = {name: index for index, name in enumerate((*LOOKS, *REFERENCES))}

    def place(variant: str) -> tuple[int, bool, int, bool, list[str | float], str]:
        asked = chosen.get(_key(bare(variant.partition(" / ")[0])), len(chosen))
        first = _key(variant.partition(" / ")[0].partition(REFERENCE)[0])
        begun = max((name for name in rank if first.startswith(name)), key=len, default=first)
        parts = [float(part) if n % 2 else part for n, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", variant))]
        return asked, is_reference(variant), rank.get(begun, len(rank)), first != begun, parts, variant

    return sorted(set(variants), key=place)


def bare(variant: str) -> str:
    """A variant's label without what marks it as a reference."""
    return variant.replace(REFERENCE, "")


def ordered_lists(task_lists: Iterable[str]) -> list[str]:
    """Each task list once: `test`, `test_id`, then further lists by name."""
    first = {name: index for index, name in enumerate(TASK_LISTS)}
    return sorted(set(task_lists), key=lambda name: (first.get(name, len(first)), name))


def task_list_words(task_list: str) -> str:
    """What a task list is called in titles."""
    return TASK_LISTS.get(task_list, f"{task_list} tasks")


def plain(text: str) -> str:
    """Text that a figure shows as it is: no mathematics in dollars, no leading underscore (which hides a label)."""
    escaped = drawable(text).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def drawable(text: str) -> str:
    r"""Text in the letters of the figures' font, which is the same everywhere; others are spelt out, as `\u4e2d`."""
    if text.isascii():
        return text
    return "".join(letter if ord(letter) in _drawn_letters() else ascii(letter)[1:-1] for letter in text)


@lru_cache(maxsize=1)
def _drawn_letters() -> frozenset[int]:
    """The code points of the figures' font."""
    from matplotlib import font_manager  # what draws nothing does without it

    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())


MOST_DRAWN = 24
"""Letters of a name in a figure: longer ones would leave no room for what is drawn."""


def drawn_name(look: Look) -> str:
    """A variant's name as figures show it: without the middle of a long one."""
    return plain(_without_middle(drawable(look.drawn or look.name)))


def decimals(*values: float) -> int:
    """Decimal places that suit the largest of the values: none from 1000, one from 10, two from 1, else three."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return next(places for limit, places in ((1000, 0), (10, 1), (1, 2), (-1, 3)) if largest >= limit)


def number(value: float, places: int | None = None) -> str:
    """A number for readers; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals(value) if places is None else places}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(mean: float, low: float, high: float) -> str:
    """`mean [low, high]` with equal decimals, or the mean alone where there is no interval."""
    places = decimals(mean, low, high)
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(mean, places)
    return f"{number(mean, places)} [{number(low, places)}, {number(high, places)}]"


def duration(seconds: float | None) -> str:
    """Wall-clock time for readers: seconds, minutes or hours."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
