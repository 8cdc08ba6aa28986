r"""Tables as LaTeX floats that fit: what is too wide is set smaller, then in two lines, then in parts, never scaled.

They need `\usepackage{booktabs}`. Sizes are those of Computer Modern, the widest of the usual types, so that a paper in
Times has room to spare; no type is smaller than `layout.LEAST_TYPE`. Where numbers are left to siunitx they need that
too, with `\sisetup{mode=match, propagate-math-font, reset-text-series=false}` for bold ones (`detect-all` before its
version 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from reports.formats import latex_text
from reports.layout import LEAST_TYPE, POINTS, Layout

LEADING = 1.2
"""Of lines, in sizes of type."""

GAP = 5.0
"""Points between two columns."""

CAPTION = 11.0
"""Points: type of captions at the most, in the classes of the venues."""

SPARE = 24.0
"""Points around a float that are left free, and which the rules and gaps of a table take."""

HEAD = 6.0
"""Room for what heads a column before it is broken into lines, in sizes of type."""


class Cell(NamedTuple):
    """A cell: texts that stand side by side, or one below the other where there is no room, and what sets it off.

    Attributes:
        lines: Plain text.
        mark: "best" (bold), "tied" (underlined) or nothing.
        note: Plain text below the table, numbered; equal ones once.
    """

    lines: tuple[str, ...]
    mark: str = ""
    note: str = ""


class Grid(NamedTuple):
    """A table: what heads its columns, and its rows by their names; a row has a cell per head."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


class Setting(NamedTuple):
    """How a table is set: whether the lines of a cell stand side by side, the size of type in points, by siunitx."""

    is_flat: bool
    size: float
    siunitx: bool = False


SETTINGS = tuple(
    Setting(is_flat, size) for sizes in ((9.0, 8.0), (LEAST_TYPE,)) for is_flat in (True, False) for size in sizes
)
"""How a table may be set, the first that fits: cells in two lines rather than in the smallest type."""


def floats(grid: Grid, caption: str, label: str, layout: Layout) -> str:
    r"""A table as one LaTeX float, or as several where no page holds it.

    Args:
        grid: The table.
        caption: Plain text.
        label: For `\ref`, after `tab:`; that of the first float.
        layout: What there is room for.
    """
    for width in dict.fromkeys((layout.column, layout.page)):
        for setting in SETTINGS:
            if table_width(grid, setting) <= width * POINTS:
                return _floats([grid], setting, width, caption, label, layout)
    parts = _columns_apart(grid, SETTINGS[-1], layout.page * POINTS)
    return _floats(parts, SETTINGS[-1], layout.page, caption, label, layout)


def _floats(parts: Sequence[Grid], setting: Setting, width: float, caption: str, label: str, layout: Layout) -> str:
    """Parts of a table in as few floats as hold them."""
    setting = setting._replace(siunitx=layout.siunitx)
    notes = _notes(parts)
    room = layout.height * POINTS - SPARE - caption_height(caption, width) - notes_height(notes, width)
    whole = [piece for part in parts for piece in _rows_apart(part, setting, room)]
    pages: list[list[Grid]] = [[]]
    for piece in whole:
        if pages[-1] and sum(table_height(g, setting) for g in [*pages[-1], piece]) > room:
            pages.append([])
        pages[-1].append(piece)
    star = "*" if layout.has_columns and width == layout.page else ""
    texts = []
    for number, page in enumerate(pages):
        words = caption if number == 0 else "Continued from the table before."
        name = label if number == 0 else f"{label}-{number + 1}"
        texts.append(_float(page, setting, words, name, _notes(page), star))
    return "\n".join(texts)


def _float(parts: Sequence[Grid], setting: Setting, caption: str, label: str, notes: Sequence[str], star: str) -> str:
    numbers = {note: number for number, note in enumerate(notes, start=1)}
    tabulars = "\n\\par\\medskip\n".join(_tabular(part, setting, numbers) for part in parts)
    lines = [
        f"\\begin{{table{star}}}[tbp]", "\\centering", f"\\caption{{{latex_text(caption)}}}", f"\\label{{tab:{label}}}",
        "\\smallskip", _type(setting.size), f"\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}", tabulars,
    ]  # fmt: skip
    if notes:
        below = "\\par\n".join(f"\\textsuperscript{{{n}}}~{latex_text(text)}" for text, n in numbers.items())
        lines += ["\\par\\smallskip", f"\\parbox{{\\linewidth}}{{{_type(LEAST_TYPE)}\\raggedright", f"{below}}}"]
    return "\n".join([*lines, f"\\end{{table{star}}}", ""])


def _type(size: float) -> str:
    return f"\\fontsize{{{size:g}}}{{{size * LEADING:g}}}\\selectfont"


def _tabular(grid: Grid, setting: Setting, numbers: dict[str, int]) -> str:
    """The `tabular` of a table."""
    widths = _widths(grid, setting)
    names = [_at_start(name) for name, _ in grid.rows]
    align = "r" if setting.is_flat else "c"
    lines = [f"\\begin{{tabular}}{{@{{}}l{align * len(grid.heads)}@{{}}}}", "\\toprule"]
    heads = [_head(head, room, setting.size) for head, room in zip(grid.heads, widths)]
    lines.append(" & ".join(["", *heads]) + r" \\")
    lines.append("\\midrule")
    for place, (name, (_, cells)) in enumerate(zip(names, grid.rows)):
        stacks = [_stack(cell, setting, numbers) for cell in cells]
        for row in range(max(map(len, stacks))):
            texts = [stack[row] if row < len(stack) else "" for stack in stacks]
            lines.append(" & ".join([name if row == 0 else "", *texts]) + r" \\")
        if not setting.is_flat and place + 1 < len(names):
            lines.append("\\addlinespace[2pt]")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _stack(cell: Cell, setting: Setting, numbers: dict[str, int]) -> list[str]:
    """The lines of a cell as LaTeX; what sets it off is put around the first."""
    first, *others = [_left_to_siunitx(line) if setting.siunitx else _number(line) for line in cell.lines]
    around = {"best": "\\textbf{%s}", "tied": "\\underline{%s}"}.get(cell.mark, "%s")
    first = around % first
    if cell.note:
        first += f"\\textsuperscript{{{numbers[cell.note]}}}"
    return [" ".join([first, *others])] if setting.is_flat else [first, *others]


def _number(text: str) -> str:
    """Text with true minus signs."""
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", latex_text(text))


def _left_to_siunitx(text: str) -> str:
    """A number, or an interval of two, as numbers of the package siunitx; any other text as it is."""
    if re.fullmatch(r"\[?-?[\d.]+(, -?[\d.]+\])?", text) is None:
        return _number(text)
    return re.sub(r"-?[\d.]+", r"\\num{\g<0>}", text)


def _head(text: str, room: float, size: float) -> str:
    lines = [_at_start(line) for line in head_lines(text, room, size)]
    stacked = " \\\\ ".join(lines)
    return stacked if len(lines) == 1 else f"\\begin{{tabular}}[b]{{@{{}}c@{{}}}}{stacked}\\end{{tabular}}"


def _at_start(text: str) -> str:
    """Text behind the end of a row, of which a bracket or a star would be taken for an argument."""
    return re.sub(r"^(?=[\[*])", "{}", latex_text(text))


def head_lines(text: str, room: float, size: float) -> list[str]:
    """What heads a column in lines no longer than so many points, broken as `_words` are."""
    lines = [""]
    for word in _words(text, size):
        if lines[-1] and text_width((lines[-1] + word).strip(), size) > room:
            lines.append("")
        lines[-1] += word
    return [line.strip() for line in lines]


def _words(text: str, size: float) -> list[str]:
    """The parts of what heads a column that stay whole: short words, and of others what ends in a hyphen or a dot."""
    words = re.split(r"(?<= )", text)
    return [
        part
        for word in words
        for part in ([word] if text_width(word.strip(), size) <= HEAD * size else re.split(r"(?<=[-.,/])", word))
    ]


def _notes(parts: Sequence[Grid]) -> list[str]:
    """The notes of the cells of some parts, each once."""
    return list(dict.fromkeys(cell.note for part in parts for _, cells in part.rows for cell in cells if cell.note))


# Room, in points.

NARROW, WIDE, CAPITALS = ".,:;'|!iIjl()[]ft/ -", "mwMW%@", 0.76
"""Letters that are narrower and wider than others, and the width of capitals in sizes of type."""


def text_width(text: str, size: float) -> float:
    """The width of a text in points, at the most: in Computer Modern, with its wide minus signs."""
    minus = 0.39 * len(re.findall(r"(?<![\w-])-(?=\d)", text))
    widths = (
        0.39 if c in NARROW else 0.9 if c in WIDE else CAPITALS if c.isupper() else 0.5 if c.isdigit() else 0.56
        for c in text
    )  # fmt: skip
    return size * (minus + sum(widths))


def _widths(grid: Grid, setting: Setting) -> list[float]:
    """The width of each column: of its widest cell, and at the least of what heads it, or of its longest word."""
    widths = []
    for place, head in enumerate(grid.heads):
        own = max(_cell_width(cells[place], setting) for _, cells in grid.rows)
        words = max(text_width(word.strip(), setting.size) for word in _words(head, setting.size))
        widths.append(max(own, words, min(HEAD * setting.size, text_width(head, setting.size))))
    return widths


def _cell_width(cell: Cell, setting: Setting) -> float:
    note = 0.8 * setting.size if cell.note else 0.0
    widths = [text_width(line, setting.size) * (1.15 if cell.mark == "best" else 1.0) for line in cell.lines]
    if setting.is_flat:
        return sum(widths) + 0.4 * setting.size * (len(widths) - 1) + note
    return max(widths[0] + note, *widths[1:], 0.0)


def table_width(grid: Grid, setting: Setting) -> float:
    """The width of a table in points."""
    names = max((text_width(name, setting.size) for name, _ in grid.rows), default=0.0)
    return names + sum(_widths(grid, setting)) + GAP * len(grid.heads)


def table_height(grid: Grid, setting: Setting) -> float:
    """The height of a table in points, with its rules."""
    widths = _widths(grid, setting)
    head = max((len(head_lines(h, w, setting.size)) for h, w in zip(grid.heads, widths)), default=1)
    return LEADING * setting.size * (head + 0.5) + 12 + sum(_row_height(row, setting) for row in grid.rows)


def _row_height(row: tuple[str, tuple[Cell, ...]], setting: Setting) -> float:
    lines = 1 if setting.is_flat else max(len(cell.lines) for cell in row[1])
    return LEADING * setting.size * lines + (0 if setting.is_flat else 2)


def caption_height(text: str, width: float) -> float:
    """The height of a caption in points, in a float so many inches wide."""
    return LEADING * CAPTION * (1 + text_width("Table 10: " + text, CAPTION) // (width * POINTS)) + CAPTION


def notes_height(notes: Sequence[str], width: float) -> float:
    """The height of the notes below a table in points."""
    lines = sum(1 + text_width(f"10 {note}", LEAST_TYPE) // (width * POINTS) for note in notes)
    return LEADING * LEAST_TYPE * lines


def _columns_apart(grid: Grid, setting: Setting, room: float) -> list[Grid]:
    """A table in parts of as many columns as there is room for side by side; a single column always is a part."""
    names = max(text_width(name, setting.size) for name, _ in grid.rows)
    ends, used = [0], names
    for place, width in enumerate(_widths(grid, setting)):
        if used + width + GAP > room and place > ends[-1]:
            ends.append(place)
            used = names
        used += width + GAP
    return [
        Grid(grid.heads[start:end], tuple((name, cells[start:end]) for name, cells in grid.rows))
        for start, end in pairwise([*ends, len(grid.heads)])
    ]


def _rows_apart(grid: Grid, setting: Setting, room: float) -> list[Grid]:
    """A table in parts of as many rows as there is room for one below the other; a single row always is a part."""
    head = table_height(grid, setting) - sum(_row_height(row, setting) for row in grid.rows)
    parts: list[list[tuple[str, tuple[Cell, ...]]]] = [[]]
    used = head
    for row in grid.rows:
        height = _row_height(row, setting)
        if parts[-1] and used + height > room:
            parts.append([])
            used = head
        parts[-1].append(row)
        used += height
    return [Grid(grid.heads, tuple(rows)) for rows in parts]
