"""The list of figures: their names, captions, numbers, drawings and alternative texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from reports.figures import alt_text, curves, outcomes, overall, per_task, task_lists
from reports.numbers import series, split_tasks, training_curves
from reports.results import Results

Series = Callable[[Results, str], pd.DataFrame]
"""(results, split) -> the numbers behind a figure."""


class FigureKind(NamedTuple):
    """One figure, a panel per split.

    Attributes:
        name: Of its files.
        title: Of its part of the page.
        caption: What its marks and lines mean.
        needs: What records have to hold for it.
        series: The numbers behind it.
        draw: Draws a panel.
        describe: The alternative text of a panel.
        expected: Whether its absence is worth a line of the report: some figures are of few algorithms or splits.
        pooled: Whether it has a panel over all splits too.
    """

    name: str
    title: str
    caption: str
    needs: str
    series: Series
    draw: Callable[..., Axes]
    describe: Callable[[Results, str], str]
    expected: bool = True
    pooled: bool = False


FIGURES = (
    FigureKind(
        "splits", "The splits (Fig. 3 of the paper)",
        "What is trained on and what is tested, as the records hold it. test_id: fresh tasks of the training "
        "distribution; not drawn where it is declared to be the training list.",
        "task lists in the records",
        split_tasks.tasks, task_lists.split_picture, alt_text.describe_split,
    ),
    FigureKind(
        "overall", "Scores over all test tasks",
        "Mean, IQM, median and optimality gap of the normalised scores with their intervals, the best mean on top; all "
        "splits weigh the same. A variant that lacks splits says how many it has, and stands below.",
        "scores, which need both ends declared with the split",
        series.overall, overall.overall, alt_text.describe_overall,
        expected=False, pooled=True,
    ),
    FigureKind(
        "sample_efficiency", "Meta-training sample efficiency, in distribution (Fig. 2)",
        "Return after adaptation of the meta-tested checkpoints on tasks of the training distribution (test_id, or "
        "test where nothing shifts), on the same tasks and after the same number of adaptation updates at each.",
        "more than one meta-tested checkpoint",
        training_curves.sample_efficiency, curves.sample_efficiency,
        partial(alt_text.describe_checkpoints, inside=True),
    ),
    FigureKind(
        "out_of_distribution", "Return on the test tasks, all algorithms (Fig. 4)",
        "Bars stand on the return of doing nothing, so the longer the better; dots: seeds; dotted line: the return "
        "that ends the score, the best known one or, where the split says so, an upper bound.",
        "results on test",
        series.outcome, outcomes.out_of_distribution, alt_text.describe_outcome,
    ),
    FigureKind(
        "shifted_samples", "Out of distribution, against meta-training samples (Fig. 5 or 6, by version)",
        "Return after adaptation of the meta-tested checkpoints on the out-of-distribution test tasks, compared alike "
        "at every checkpoint.",
        "more than one meta-tested checkpoint, and a split that shifts",
        training_curves.shifted_samples, curves.shifted_samples, partial(alt_text.describe_checkpoints, inside=False),
        expected=False,
    ),
    FigureKind(
        "adaptation_test", "Adaptation on the test tasks",
        "Before any adaptation data (left, hollow), along the adaptation updates, and after the last one (right). The "
        "title says in which share of tasks and seeds a gate let the updates through.",
        "results on test",
        partial(series.adaptation, task_list="test"), partial(curves.adaptation_curve, task_list="test"),
        partial(alt_text.describe_adaptation, task_list="test"),
    ),
    FigureKind(
        "adaptation_test_id", "Adaptation on tasks of the training distribution",
        "The same for the test_id tasks.",
        "results on test_id",
        partial(series.adaptation, task_list="test_id"), partial(curves.adaptation_curve, task_list="test_id"),
        partial(alt_text.describe_adaptation, task_list="test_id"),
        expected=False,
    ),
    FigureKind(
        "per_task", "Task by task (Fig. 5 or 6, by version)",
        "The result in every single task against its parameter; shaded: the range of the training tasks. Of many "
        "variants neighbouring tasks are averaged, and the intervals stand in the CSV.",
        "results on test",
        series.per_task, per_task.per_task, alt_text.describe_tasks,
    ),
    FigureKind(
        "in_and_out", "The gap: in and out of distribution",
        "Result on test_id, tasks of the training distribution (hollow), and on test (filled); the line between the "
        "two is what the shift costs; ticks: seeds.",
        "results on both test and test_id",
        series.in_and_out, outcomes.in_and_out, alt_text.describe_in_and_out,
    ),
    FigureKind(
        "profile", "Performance profiles",
        "The share of test tasks and seeds with a score above each threshold; 0: doing nothing, 1: the stated best. A "
        "curve further to the right is better.",
        "scores, which need both ends declared with the split",
        series.profile, outcomes.profile, alt_text.describe_profile,
        expected=False, pooled=True,
    ),
    FigureKind(
        "wall_time", "Return against wall-clock time",
        "Return after adaptation on the test tasks against the hours of meta-training on the machines named under "
        "Runs; on others the order can differ.",
        "meta-training times in the records",
        training_curves.wall_time, curves.wall_time, alt_text.describe_wall_time,
    ),
    FigureKind(
        "adaptation_data", "Return against adaptation data",
        "Filled: evaluated before and after adaptation; hollow: the adaptation episodes themselves, collected by the "
        "exploring policy.",
        "results on test",
        series.adaptation_data, curves.adaptation_data, alt_text.describe_adaptation_data,
    ),
    FigureKind(
        "gate", "When relabeling helps",
        "Return after the last adaptation update minus that before the first, in each test task, against the adapted "
        "model's loss on held-out adaptation data.",
        "diagnostics with held_out_loss",
        series.gate, outcomes.gate, alt_text.describe_gate,
        expected=False,
    ),
    FigureKind(
        "training_curve", "Meta-training",
        "Return of the training episodes (exploring policy, training tasks), averaged in windows.",
        "a metrics.parquet of the training with returns of training episodes",
        training_curves.training, curves.training_curve, alt_text.describe_training,
    ),
)  # fmt: skip


def has_numbers(numbers: pd.DataFrame) -> bool:
    """Whether the numbers behind a panel hold any number."""
    columns = [name for name in ("mean", "gain", "value") if name in numbers]
    return bool(numbers[columns].notna().any(axis=None))
