"""From a results folder to one report: `report.html`, and every figure and table in files of their own."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from reports import figures, formats, page, series, tables, words
from reports.formats import file_name
from reports.load import Results, load
from suite.errors import UserError

Series = Callable[[Results, str], pd.DataFrame]
"""(results, split) -> the numbers behind a figure."""


class FigureKind(NamedTuple):
    """One figure per split: its numbers, its picture, the words that stand for it, and what it needs to exist."""

    name: str
    title: str
    caption: str
    needs: str
    series: Series
    draw: Callable[..., Axes]
    describe: Callable[[Results, str], str]


FIGURES = (
    FigureKind(
        "in_and_out", "In and out of distribution",
        "Result on test_id, tasks of the training distribution (hollow), and on test (filled); ticks: seeds.",
        "results on both test and test_id",
        series.in_and_out, figures.in_and_out, words.describe_in_and_out,
    ),
    FigureKind(
        "adaptation_test", "Adaptation on the test tasks",
        "Before any adaptation data (left, hollow), along the adaptation updates, and after the last one (right).",
        "results on test",
        partial(series.adaptation, task_list="test"), partial(figures.adaptation_curve, task_list="test"),
        partial(words.describe_adaptation, task_list="test"),
    ),
    FigureKind(
        "adaptation_test_id", "Adaptation on tasks of the training distribution",
        "The same for the test_id tasks.",
        "results on test_id",
        partial(series.adaptation, task_list="test_id"), partial(figures.adaptation_curve, task_list="test_id"),
        partial(words.describe_adaptation, task_list="test_id"),
    ),
    FigureKind(
        "per_task", "Task by task",
        "The result in every single task; shaded: the range of the training tasks.",
        "results on test",
        series.per_task, figures.per_task, words.describe_tasks,
    ),
    FigureKind(
        "training_curve", "Meta-training",
        "Return of the training episodes (exploring policy, training tasks), averaged in windows.",
        "a metrics.parquet of the training with returns of training episodes",
        series.training, figures.training_curve, words.describe_training,
    ),
    FigureKind(
        "checkpoint_curve", "Return against meta-training steps",
        "Return after adaptation of the meta-tested checkpoints, on the same test tasks and with the same number of "
        "adaptation updates at each.",
        "more than one meta-tested checkpoint",
        series.checkpoints, figures.checkpoint_curve, words.describe_checkpoints,
    ),
    FigureKind(
        "gate", "When relabeling helps",
        "Return after the last adaptation update minus that before the first, in each test task, against the model's "
        "held-out loss there.",
        "diagnostics with gate_open and held_out_loss",
        series.gate, figures.gate, words.describe_gate,
    ),
)  # fmt: skip

MAY_BE_ABSENT = ("gate",)
"""Figures that only some algorithms have; the page does not list them as missing."""


class TableKind(NamedTuple):
    """One table of cells: how it is made, what it is called, and which of its columns head the wide form."""

    make: Callable[[Results], pd.DataFrame]
    title: str
    columns: tuple[str, ...] = ("split", "task_list")


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


def write(results: Results, out: Path) -> Path:
    """Write page, figures and tables below `out`; what an earlier report left there is replaced.

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
    drawn, absent = [], []
    for split in sorted(set(results.cells["split"])):
        for kind in FIGURES:
            picture = _write_figure(results, split, kind, out / "figures")
            if picture:
                drawn.append(picture)
            elif kind.name not in MAY_BE_ABSENT:
                absent.append(f"{kind.title} on {split}: needs {kind.needs}.")
    path = out / "report.html"
    path.write_text(page.render(results, drawn, absent), encoding="utf-8", newline="\n")
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


def _write_figure(results: Results, split: str, kind: FigureKind, folder: Path) -> page.Picture | None:
    """Draw one figure and write its files; None where there is nothing to draw."""
    numbers = kind.series(results, split)
    if numbers.empty or not _has_number(numbers):
        return None
    stem = f"{kind.name}_{file_name(split)}"
    formats.write_csv(numbers, folder / f"{stem}.csv")
    with figures.house_style():
        figure = figures.new_figure()
        kind.draw(results, split=split, ax=figure.add_subplot())
        figures.settle(figure)
        figure.savefig(folder / f"{stem}.png", dpi=200, facecolor="white", metadata={"Software": None})
        figure.savefig(folder / f"{stem}.pdf", facecolor="white", metadata={"CreationDate": None})
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    alt = kind.describe(results, split)
    return page.Picture(split, kind.title, kind.caption, alt, page.themed(svg.getvalue()), f"figures/{stem}")


def _has_number(numbers: pd.DataFrame) -> bool:
    columns = [name for name in ("mean", "gain") if name in numbers]
    return bool(numbers[columns].notna().any(axis=None))
