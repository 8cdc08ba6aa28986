"""From a results folder to one report: `report.html`, and every figure and table in files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports import formats
from reports.figures import sheets
from reports.figures.catalogue import FIGURES, TableKind
from reports.numbers import tables
from reports.page import page
from reports.reading.load import Results, load
from suite.errors import UserError

TABLES = {
    "main": TableKind(tables.main_table, "Return after adaptation."),
    "gain": TableKind(tables.gain_table, "Return after adaptation minus return before."),
    "gap": TableKind(tables.gap_table, "Return on test_id minus return on test."),
    "score": TableKind(tables.score_table, "Normalised score on test: 0 the zero action, 1 the stated best return."),
    "aggregates": TableKind(
        tables.aggregate_table,
        "Statistics of the normalised scores on test (per task and seed).",
        ("split", "statistic"),
    ),
    "improvement": TableKind(
        tables.improvement_table,
        "Probability that the row's variant does better than the column's in a test task.",
        ("split", "other"),
    ),
}


def build(folder: Path | Sequence[Path], out: Path | None = None, mix: bool = False) -> Path:
    """The path of the finished `report.html`.

    Args:
        folder: One or several results folders.
        out: Where to write; by default `report` inside the (first) folder.
        mix: Show results side by side that were not measured alike, instead of leaving the fewer out.

    Raises:
        UserError: there is nothing to report.
    """
    first = Path(folder) if isinstance(folder, str | Path) else Path(folder[0])
    return write(load(folder, mix), out or first / "report")


def write(results: Results, out: Path, workers: int = 1) -> Path:
    """Write page, figures and tables below `out`; what an earlier report left there is replaced.

    With more `workers`, so many processes draw (see `pictures.draw`).

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
    _write_tables(results, out / "tables")
    exhibits, absent = sheets.draw(results, FIGURES, out / "figures", workers)
    path = out / "report.html"
    path.write_text(page.render(results, TABLES, exhibits, absent), encoding="utf-8", newline="\n")
    return path


def _emptied(folder: Path) -> None:
    """Make a folder, without the files of the kinds that a report writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".pdf", ".csv", ".md", ".tex"):
            path.unlink()


def _write_tables(results: Results, folder: Path) -> None:
    for name, kind in TABLES.items():
        table = kind.make(results)
        formats.write_csv(table, folder / f"{name}.csv")
        text = formats.markdown(formats.wide(table, kind.columns), formats.marks(table, kind.columns))
        _write(folder / f"{name}.md", f"{text}\n{kind.title} {formats.caption(table)}\n")
        _write(folder / f"{name}.tex", formats.latex(table, kind.columns, kind.title, name))
    for name, frame in (
        ("seeds", results.seeds),
        ("runs", tables.run_table(results)),
        ("gate", tables.gate_table(results)),
    ):
        formats.write_csv(frame, folder / f"{name}.csv")
        _write(
            folder / f"{name}.md",
            formats.markdown(frame.astype(object).where(frame.notna(), "–").set_index(frame.columns[0])),
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
