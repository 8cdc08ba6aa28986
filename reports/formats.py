"""Tables of cells as readers want them: wide frames of text, and these as Markdown and CSV; LaTeX: `reports.paper`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from reports import style
from reports.numbers.cell_text import NOT_DECLARED, cell_text
from reports.numbers.intervals import LEVEL, WILSON, Estimate, caution
from reports.results import named_rows

ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
"""What LaTeX would take for a command."""

ONE_SEED, ALIKE = "one seed", "seeds none of which changes it"
"""Why a number has no interval."""

LETTERS = "–—…×±µ°·’‘“”"
"""Letters beyond those of Western European languages that LaTeX sets without further packages."""


def wide(table: pd.DataFrame, columns: Sequence[str], cell: str = "text") -> pd.DataFrame:
    """A tidy table of cells in the wide form: rows variants, columns such as `split task_list`, cells text.

    Args:
        table: What a function of `tables` returns.
        columns: The columns whose values together head a column.
        cell: The column that fills the cells.
    """
    heads = list(dict.fromkeys(table[list(columns)].itertuples(index=False, name=None)))
    cells = table.set_index(["variant", *columns])[cell].to_dict()
    variants = style.ordered(table["variant"])
    rows = [[cells.get((variant, *head), "–") for head in heads] for variant in variants]
    name_of = called({*variants, *table.get("other", ())})
    titles = [" ".join(f"than {name_of[v]}" if c == "other" else v for c, v in zip(columns, head)) for head in heads]
    return pd.DataFrame(rows, index=pd.Index([name_of[v] for v in variants], name="variant"), columns=titles)


def called(variants: Iterable[str]) -> dict[str, str]:
    """What each variant is called; those that would be called alike keep their labels."""
    names = {variant: style.look(variant).name for variant in variants}
    counts = Counter(names.values())
    return {variant: name if counts[name] == 1 else variant for variant, name in names.items()}


def marks(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """In the shape of `wide`: "best", "tied" or "" for every cell."""
    mark = ["best" if row.best else "tied" if row.tied else "" for row in named_rows(table)]
    return wide(table.assign(mark=mark), columns, "mark").replace("–", "")


def brief(table: pd.DataFrame) -> pd.Series:
    """The text of each cell without the reasons why single seeds are missing; a cell without a number keeps its own."""
    texts = [
        cell_text(Estimate(row.mean, row.low, row.high, row.n), getattr(row, "declared", row.n), "")
        if row.n
        else row.text
        for row in named_rows(table)
    ]
    return pd.Series(texts, index=table.index, dtype=object)


def caption(table: pd.DataFrame, tied: str = "italic", seeds: str = "n: seeds.") -> str:
    """What a reader has to know of a table's intervals, marks and numbers of seeds, in whole sentences.

    Args:
        table: What a function of `tables` returns.
        tied: How cells are set off that are not shown to differ from the best of their column, which is bold.
        seeds: The sentence on the number of seeds.
    """
    methods = [method for method in dict.fromkeys(table["method"]) if method]
    sentences = [f"In brackets: {LEVEL:.0%} intervals ({'; '.join(methods)})." if methods else "", seeds]
    if table["best"].any():
        sentences.append("Bold: the best of its column.")
    if table["tied"].any():
        sentences.append(
            f"{tied.capitalize()}: not shown to differ from it (the interval of the difference, paired where "
            f"meta-trainings are shared, includes zero; at {LEVEL:.0%} for all comparisons of a column together)."
        )
    alone = table.loc[(table["n"] > 0) & table["low"].isna(), "n"]
    if table["best"].any() and len(alone):
        reasons = [why for why, holds in ((ONE_SEED, alone == 1), (ALIKE, alone > 1)) if holds.any()]
        sentences.append(f"A number without an interval has {' or '.join(reasons)}, and takes no part in that.")
    with_numbers = table[(table["n"] > 0) & ~table["variant"].map(style.is_reference).astype(bool)]
    if len(with_numbers):
        sentences.append(caution(with_numbers["n"], normal={*methods} != {WILSON}))
    return " ".join(sentence for sentence in sentences if sentence)


def parts(table: pd.DataFrame, columns: Sequence[str], most: int) -> list[tuple[str, pd.DataFrame, Sequence[str]]]:
    """A tidy table in pieces of at most so many columns where it can be: its name, its rows, what heads its columns.

    One that fits is a single piece without a name. Others are one for each value of the first of `columns` (a split),
    without the variants that are not declared there.
    """
    if len(table[list(columns)].drop_duplicates()) <= most:
        return [("", table, columns)]
    declared = table[table["text"] != NOT_DECLARED]
    return [(str(name), part, columns[1:]) for name, part in declared.groupby(columns[0], sort=False)]


def seeds_words(numbers: pd.DataFrame) -> str:
    """Over how many seeds the numbers behind a panel are, references aside: "n = 1 to 3 seeds"; empty without seeds."""
    rows = numbers[~numbers["variant"].map(style.is_reference).astype(bool)] if "variant" in numbers else numbers
    if "seed" in rows:
        counts = rows.groupby("variant")["seed"].nunique()
    elif "n" in rows:
        counts = rows.loc[rows["n"] > 0, "n"]
    else:
        return ""
    return f"n = {_span(counts)} seed{'s' if counts.max() > 1 else ''}" if len(counts) else ""


def panel_words(numbers: pd.DataFrame) -> str:
    """What a reader has to know of the numbers behind a panel: seeds, kind of interval, what checkpoints share."""
    phrases = [seeds_words(numbers)]
    if "method" in numbers:
        methods = [method for method in dict.fromkeys(numbers["method"]) if method]
        phrases.append(f"{LEVEL:.0%} intervals: {'; '.join(methods)}" if methods else "no intervals")
    if {"tasks", "update"} <= {*numbers}:
        tasks, updates = (_span(numbers[name]) for name in ("tasks", "update"))
        by = ", by variant" if " to " in tasks + updates else ""
        phrases.append(f"every checkpoint: {tasks} tasks, {updates} adaptation updates{by}")
    return "; ".join(phrase for phrase in phrases if phrase)


def _span(counts: pd.Series) -> str:
    ends = [f"{int(end):,}" for end in (counts.min(), counts.max())]
    return " to ".join(dict.fromkeys(ends))


def markdown(frame: pd.DataFrame, cell_marks: pd.DataFrame | None = None) -> str:
    """A frame with its index as a Markdown table; the best of a column bold, those tied with it italic.

    Args:
        frame: Text, or what can be written as text.
        cell_marks: `marks` of the same shape; None: no cell is marked.
    """
    around = {"best": "**", "tied": "*", "": ""}
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [[_markdown_cell(cell) for cell in head], ["---"] * len(head)]
    for number, (label, row) in enumerate(zip(frame.index, frame.itertuples(index=False, name=None))):
        ends = [around[mark] for mark in cell_marks.iloc[number]] if cell_marks is not None else [""] * len(row)
        cells = [f"{end}{_markdown_cell(str(cell))}{end}" for cell, end in zip(row, ends)]
        lines.append([_markdown_cell(str(label)), *cells])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _markdown_cell(text: str) -> str:
    """Text that stays text: no end of a cell, no tags, no emphasis, no links."""
    text = re.sub(r"([\\|*`])", r"\\\1", text).replace("](", "]\\(")
    return text.replace("\n", " ").replace("<", "&lt;")


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is; letters that it may have no type for are spelt out, as figures do."""
    spelt = "".join(c if ord(c) < 0x180 or c in LETTERS else ascii(c)[1:-1] for c in str(text))
    escaped = "".join(ESCAPED.get(letter, letter) for letter in spelt).replace("\n", " ")
    return re.sub(r"-(?=-)", "-{}", escaped)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """A frame as CSV with ten significant digits, the same bytes on every machine.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    copy = frame.copy(deep=False)
    for column in copy.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in copy.dtypes]]:
        copy[column] = [
            f"'{v}" if isinstance(v, str) and re.match(r"[=+@\t\r]|-(?!\d)", v) else v for v in copy[column]
        ]
    copy.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")
