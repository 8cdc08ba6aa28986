"""Tables of cells as readers want them: wide frames of text, and these as Markdown, CSV and LaTeX (booktabs)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reports import style
from reports.numbers.intervals import LEVEL, Estimate, caution
from reports.numbers.rows import named_rows

ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
"""What LaTeX would take for a command."""

WIDE = 4
"""Most columns of a LaTeX table; one with more is a table per split, one below the other."""

NO_WIDER = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"
"""In LaTeX: what follows at its own size, or scaled down to the width of the text."""

NOT_DECLARED = "not in the grid"
"""What the cell of a variant says that no experiment declares on a split."""


def wide(table: pd.DataFrame, columns: Sequence[str] = ("split", "task_list"), cell: str = "text") -> pd.DataFrame:
    """A tidy table of cells as a reader wants it: rows variants, columns `split task_list`, cells text.

    Args:
        table: What a function of `tables` returns.
        columns: The columns whose values together head a column.
        cell: The column that fills the cells.
    """
    heads = list(dict.fromkeys(table[list(columns)].itertuples(index=False, name=None)))
    cells = table.set_index(["variant", *columns])[cell].to_dict()
    variants = style.ordered(table["variant"])
    rows = [[cells.get((variant, *head), "–") for head in heads] for variant in variants]
    # Variants that would be called alike keep their labels.
    names = {variant: style.look(variant).name for variant in {*variants, *table.get("other", ())}}
    counts = Counter(names.values())
    called = {variant: name if counts[name] == 1 else variant for variant, name in names.items()}
    titles = [" ".join(f"than {called[v]}" if c == "other" else v for c, v in zip(columns, head)) for head in heads]
    return pd.DataFrame(rows, index=pd.Index([called[v] for v in variants], name="variant"), columns=titles)


def marks(table: pd.DataFrame, columns: Sequence[str] = ("split", "task_list")) -> pd.DataFrame:
    """In the shape of `wide`: "best", "tied" or "" for every cell."""
    marked = [("best" if row.best else "tied" if row.tied else "") for row in named_rows(table)]
    return wide(table.assign(mark=marked), columns, "mark").replace("–", "")


def brief(table: pd.DataFrame) -> pd.Series:
    """The text of each cell without the reasons why single seeds are missing; a cell without a number keeps its own."""
    texts = [
        cell_text(Estimate(row.mean, row.low, row.high, row.n), getattr(row, "declared", row.n), "")
        if row.n
        else row.text
        for row in named_rows(table)
    ]
    return pd.Series(texts, index=table.index, dtype=object)


def caption(table: pd.DataFrame, best: str = "bold", tied: str = "italic") -> str:
    """What a reader has to know of a table's intervals, marks and numbers of seeds, in whole sentences.

    Args:
        table: What a function of `tables` returns.
        best: How the best of a column is set off.
        tied: How those are that are not shown to differ from it.
    """
    methods = [method for method in dict.fromkeys(table["method"]) if method]
    sentences = [f"In brackets: {LEVEL:.0%} intervals ({'; '.join(methods)})." if methods else "", "n: seeds."]
    if table["best"].any():
        sentences.append(f"{best.capitalize()}: the best of its column.")
    if table["tied"].any():
        sentences.append(
            f"{tied.capitalize()}: not shown to differ from it (the interval of the difference, paired where "
            "meta-trainings are shared, includes zero or there is none; not corrected for the number of comparisons)."
        )
    with_numbers = table[(table["n"] > 0) & ~table["variant"].map(style.is_reference).astype(bool)]
    if len(with_numbers):
        sentences.append(caution(with_numbers["n"]))
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
    held = numbers[~numbers["variant"].map(style.is_reference).astype(bool)] if "variant" in numbers else numbers
    if "seed" in held:
        counts = held.groupby("variant")["seed"].nunique()
    elif "n" in held:
        counts = held.loc[held["n"] > 0, "n"]
    else:
        return ""
    return f"n = {_span(counts)} seed{'s' if counts.max() > 1 else ''}" if len(counts) else ""


def panel_words(numbers: pd.DataFrame) -> str:
    """What a reader has to know of the numbers behind a panel: seeds, kind of interval, what checkpoints share."""
    said = [seeds_words(numbers)]
    if "method" in numbers:
        methods = [method for method in dict.fromkeys(numbers["method"]) if method]
        said.append(f"{LEVEL:.0%} intervals: {'; '.join(methods)}" if methods else "no intervals")
    if {"tasks", "update"} <= {*numbers}:
        tasks, updates = (_span(numbers[name]) for name in ("tasks", "update"))
        by = ", by variant" if " to " in tasks + updates else ""
        said.append(f"every checkpoint: {tasks} tasks, {updates} adaptation updates{by}")
    return "; ".join(part for part in said if part)


def _span(counts: pd.Series) -> str:
    ends = [f"{int(end):,}" for end in (counts.min(), counts.max())]
    return " to ".join(dict.fromkeys(ends))


def markdown(frame: pd.DataFrame, marked: pd.DataFrame | None = None) -> str:
    """A frame with its index as a Markdown table; the best of a column bold, those tied with it italic.

    Args:
        frame: Text, or what can be written as text.
        marked: `marks` of the same shape; None marks nothing.
    """
    around = {"best": "**", "tied": "*", "": ""}
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [[_markdown_cell(cell) for cell in head], ["---"] * len(head)]
    for number, (label, row) in enumerate(zip(frame.index, frame.itertuples(index=False, name=None))):
        ends = [around[mark] for mark in marked.iloc[number]] if marked is not None else [""] * len(row)
        cells = [f"{end}{_markdown_cell(str(cell))}{end}" for cell, end in zip(row, ends)]
        lines.append([_markdown_cell(str(label)), *cells])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _markdown_cell(text: str) -> str:
    """Text that stays text: no end of a cell, no tags, no emphasis, no links."""
    text = re.sub(r"([\\|*`])", r"\\\1", text).replace("](", "]\\(")
    return text.replace("\n", " ").replace("<", "&lt;")


def latex(table: pd.DataFrame, columns: Sequence[str], title: str, label: str, cell: str = "") -> str:
    r"""A tidy table as a LaTeX `table` with booktabs rules; the best of a column bold, those tied with it underlined.

    Reasons for cells without a number stand below as notes. It needs `\usepackage{booktabs,graphicx}`.

    Args:
        table: What a function of `tables` returns.
        columns: The columns whose values together head a column.
        title: The first sentence of the caption.
        label: For `\ref`, after `tab:`.
        cell: The column with the text of cells that have a number; by default a short form of it is made.
    """
    pieces = parts(table, columns, WIDE)
    shown = pd.concat([part for _, part, _ in pieces])
    notes = {text: number for number, text in enumerate(dict.fromkeys(shown.loc[shown["n"] == 0, "text"]), start=1)}
    cells = [
        _latex_number(text) if row.n else f"--\\textsuperscript{{{notes[row.text]}}}"
        for row, text in zip(named_rows(shown), shown[cell] if cell else brief(shown))
    ]
    shown = shown.assign(cell=cells)
    tabulars = [_tabular(shown.loc[part.index], heads, name) for name, part, heads in pieces]
    body = "\n\\par\\medskip\n".join(tabulars)
    said = latex_text(f"{title} {caption(table, tied='underlined')}")
    below = [f"\\par\\footnotesize\\textsuperscript{{{number}}} {latex_text(text)}" for text, number in notes.items()]
    lines = ["\\begin{table}[tbp]", "\\centering", f"\\caption{{{said}}}", f"\\label{{tab:{label}}}", body, *below]
    return "\n".join([*lines, "\\end{table}", ""])


def _tabular(table: pd.DataFrame, columns: Sequence[str], corner: str = "") -> str:
    """The `tabular` of cells whose text is LaTeX in the column `cell`."""
    frame = wide(table, columns, "cell")
    styles = {"best": "textbf:--rwrap;", "tied": "underline:--rwrap;", "": ""}
    css = marks(table, columns).replace(styles).to_numpy()
    # Behind the end of a row a bracket or a star would be taken for an argument of that end.
    frame.index = pd.Index([re.sub(r"^(?=[\[*])", "{}", latex_text(name)) for name in frame.index])
    frame.columns = pd.Index([latex_text(name) for name in frame.columns], name=latex_text(corner))
    style_of = frame.style.apply(lambda _: css, axis=None)
    text = style_of.to_latex(hrules=True, column_format="l" * (len(frame.columns) + 1)).strip()
    return f"{NO_WIDER}\n{text}%\n}}"


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is."""
    escaped = "".join(ESCAPED.get(letter, letter) for letter in str(text)).replace("\n", " ")
    return re.sub(r"-(?=-)", "-{}", escaped)


def _latex_number(text: str) -> str:
    """The text of a cell with true minus signs and an n in italics."""
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", latex_text(text)).replace("n = ", "$n$ = ")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """A frame as CSV with ten significant digits, the same bytes on every machine.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    held = frame.copy(deep=False)
    for column in held.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in held.dtypes]]:
        held[column] = [
            f"'{v}" if isinstance(v, str) and re.match(r"[=+@\t\r]|-(?!\d)", v) else v for v in held[column]
        ]
    held.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")


def cell_text(estimate: Estimate, declared: int, missing: str) -> str:
    """What a cell says: the number with its interval and n, and what is missing; or the reason alone."""
    if estimate.n == 0:
        return missing or "no number"
    n = f"n = {estimate.n}" if estimate.n == declared else f"n = {estimate.n} of {declared}"
    text = f"{style.interval(estimate.mean, estimate.low, estimate.high)}, {n}"
    if estimate.n == 1:
        text += ", no interval"
    return f"{text} ({missing})" if missing else text


def file_name(text: str) -> str:
    """A label as part of a file name; one that had to be changed gets a few digits of its hash to stay distinct."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
