"""From a results folder to one report: `report.html`, and every figure and table in files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports import page, pictures, tables
from reports.kinds import FIGURES
from reports.load import Results, load
from reports.metrics import per_seed

TABLES = {
    "main": tables.main_table,
    "gain": tables.gain_table,
    "gap": tables.gap_table,
    "score": tables.score_table,
}


def build(folder: Path | Sequence[Path], out: Path | None = None, mix: bool = False) -> Path:
    """The path of the finished `report.html`.

    Args:
        folder: One or several results folders.
        out: Where to write; by default `report` inside the (first) folder.
        mix: Show results side by side that were not measured alike, instead of refusing.

    Raises:
        UserError: there is nothing to report, or the results do not belong together.
    """
    first = Path(folder) if isinstance(folder, str | Path) else Path(folder[0])
    return write(load(folder, mix), out or first / "report")


def write(results: Results, out: Path) -> Path:
    """Write page, figures and tables below `out`; what an earlier report left there is replaced."""
    for name in ("figures", "tables"):
        _emptied(out / name)
    _write_tables(results, out / "tables")
    exhibits, absent = pictures.draw(results, FIGURES, out / "figures")
    path = out / "report.html"
    path.write_text(page.render(results, exhibits, absent), encoding="utf-8", newline="\n")
    return path


def _emptied(folder: Path) -> None:
    """Make a folder, without the files of the kinds that a report writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".pdf", ".csv", ".md"):
            path.unlink()


def _write_tables(results: Results, folder: Path) -> None:
    for name, make in TABLES.items():
        table = make(results)
        tables.write_csv(table, folder / f"{name}.csv")
        (folder / f"{name}.md").write_text(tables.markdown(tables.wide(table)), encoding="utf-8", newline="\n")
    for name, frame in (
        ("seeds", per_seed(results.records)),
        ("runs", tables.run_table(results)),
        ("gate", tables.gate_table(results)),
    ):
        tables.write_csv(frame, folder / f"{name}.csv")
        text = tables.markdown(frame.astype(object).where(frame.notna(), "–").set_index(frame.columns[0]))
        (folder / f"{name}.md").write_text(text, encoding="utf-8", newline="\n")
