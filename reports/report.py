"""From a results folder to one report: `report.html`, and every figure and table in files of their own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reports import formats
from reports.figures import sheets
from reports.figures.catalogue import FIGURES
from reports.layout import ANYWHERE, Layout
from reports.numbers.claims import verdicts
from reports.numbers.gain import gains
from reports.numbers.tables import TABLES, gate_table, made, run_table
from reports.numbers.variants import variant_table
from reports.page import page
from reports.paper.bibliography import references_bib
from reports.paper.protocol import protocol_tex
from reports.paper.tables import latex_tables
from reports.results import Results
from suite.errors import UserError


def write(
    results: Results,
    out: Path,
    workers: int = 1,
    tell: Callable[[str], None] = lambda _: None,
    layout: Layout = ANYWHERE,
) -> Path:
    """The path of the page, `report.html`, written with figures and tables below `out`; an older report is replaced.

    Args:
        results: What is reported.
        out: The folder.
        workers: Processes that draw (`sheets.draw`).
        tell: Called with what is being done, in a few words.
        layout: How wide figures and LaTeX tables are.

    Raises:
        UserError: a link stands where something would be written: a results folder of others may hold one.
    """
    for path in (out, out / "figures", out / "tables", out / "report.html"):
        if path.is_symlink():
            raise UserError(
                f"{path} is a link, and a report is not written through one; choose another place with --out"
            )
    for name in ("figures", "tables"):
        _emptied(out / name)
    path = out / "report.html"
    with _collecting_by_hand():
        tell("writing tables")
        _write_tables(results, out / "tables", layout)
        exhibits, absent = sheets.draw(results, FIGURES, out / "figures", workers, tell, layout)
        path.write_text(page.render(results, exhibits, absent), encoding="utf-8", newline="\n")
    return path


@contextmanager
def _collecting_by_hand() -> Iterator[None]:
    """Inside, cyclic garbage is collected where `gc.collect` says so alone, and only of what was made inside.

    Looking for it again and again among all that is read and drawn takes a tenth of the time.
    """
    was_enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def _emptied(folder: Path) -> None:
    """Make a folder, without the files of the kinds that a report writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".pdf", ".csv", ".md", ".tex", ".bib"):
            path.unlink()


def _write_tables(results: Results, folder: Path, layout: Layout) -> None:
    for name, table in made(results).items():
        kind = TABLES[name]
        formats.write_csv(table, folder / f"{name}.csv")
        text = formats.markdown(formats.wide(table, kind.columns), formats.marks(table, kind.columns))
        _write(folder / f"{name}.md", f"{text}\n{kind.title} {formats.caption(table)}\n")
        for stem, latex in latex_tables(kind, table, name, layout).items():
            _write(folder / f"{stem}.tex", latex)
    _write(folder / "protocol.tex", protocol_tex(results, layout))
    _write(folder / "references.bib", references_bib(results))
    for name, frame in (
        ("seeds", gains(results)),
        ("runs", run_table(results)),
        ("gate", gate_table(results)),
        ("verdicts", verdicts(results)),
        ("variants", variant_table(results)),
    ):
        formats.write_csv(frame, folder / f"{name}.csv")
        _write(
            folder / f"{name}.md",
            formats.markdown(frame.astype(object).where(frame.notna(), "–").set_index(frame.columns[0])),
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
