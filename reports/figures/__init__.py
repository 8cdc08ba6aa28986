"""Pictures of the series: each function takes results and draws one split on the axes it is given.

All of them are called alike, `figure(results, split=..., metric=..., ax=...)`, know nothing but records and their
metadata, and give the axes the entries of a legend (`ax.legend()`). A split is one panel: `canvas.sheet` puts several
on one page, `kinds.FIGURES` lists them all.
"""

from reports.figures.canvas import house_style, new_figure, sheet
from reports.figures.curves import (
    adaptation_curve,
    adaptation_data,
    sample_efficiency,
    shifted_samples,
    training_curve,
    wall_time,
)
from reports.figures.outcomes import gate, in_and_out, out_of_distribution, per_task, profile
from reports.figures.task_lists import split_picture

__all__ = [
    "adaptation_curve", "adaptation_data", "gate", "house_style", "in_and_out", "new_figure", "out_of_distribution",
    "per_task", "profile", "sample_efficiency", "sheet", "shifted_samples", "split_picture", "training_curve",
    "wall_time",
]  # fmt: skip
