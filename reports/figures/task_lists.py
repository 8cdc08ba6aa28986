"""The picture of a split: what is trained on and what is tested, as the metadata of the records says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports import style
from reports.figures.marks import explain, finish
from reports.numbers import split_tasks
from reports.results import Results, named_rows
from tasks.pictures.task_lists import ShownParameter, draw


def split_picture(results: Results, *, split: str, ax: Axes) -> Axes:
    """The task lists of a split (the paper's Fig. 3)."""
    frame = split_tasks.tasks(results, split)
    parameters = [
        ShownParameter(style.plain(row.parameter), style.plain(str(row.unit)), row.size, row.low, row.high)
        for row in named_rows(frame.drop_duplicates("parameter"))
    ]
    lists = {
        style.plain(str(name)): [_values(part) for _, part in rows.groupby("parameter", sort=False)]
        for name, rows in frame.groupby("task_list", sort=False)
    }
    finish(ax, split, "", "")
    explain(ax, draw(parameters, lists, ax))
    return ax


def _values(rows: pd.DataFrame) -> np.ndarray:
    """The values of one parameter in one list: (task, element), or the recorded quantiles, (share,)."""
    if rows["share"].notna().any():
        return rows["value"].to_numpy(dtype=float)
    return rows.pivot(index="task", columns="element", values="value").to_numpy(dtype=float)
