"""The list of figures: their names, captions, numbers, drawings and alternative texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from reports.figures import (
    alt_comparisons,
    alt_text,
    curves,
    factors,
    forest,
    outcomes,
    overall,
    per_task,
    task_lists,
)
from reports.numbers import from_best, ranks, series, split_tasks, sweeps, training_curves
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
        pooled: Whether it has a panel over all splits too, and one over those that all variants have.
        row: Inches of the row of each variant; 0 where they have none.
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
    row: float = 0.0


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
        expected=False, pooled=True, row=0.23,
    ),
    FigureKind(
        "differences", "Differences from the best",
        "The mean score (the return on a split without a scale) of each variant minus that of the best, paired where "
        "meta-trainings are shared. Thick: its own interval; thin: that for all comparisons of the panel together, the "
        "best having been picked from the same data (studentized range; where shared, Bonferroni over such pairs too).",
        "at least two variants",
        from_best.differences, forest.differences, alt_comparisons.describe_differences,
        expected=False, pooled=True, row=0.15,
    ),
    FigureKind(
        "improvement", "Probability to do better than the best",
        "How probable it is that a meta-training of each variant does better than one of the best in a test task, ties "
        "counting half (Mann-Whitney); of all pairs the numbers stand in the table.",
        "at least two variants",
        from_best.chances, forest.chances, alt_comparisons.describe_chances,
        expected=False, pooled=True, row=0.15,
    ),
    FigureKind(
        "ranks", "Average ranks",
        "The rank among all variants in a test task, averaged over seeds, tasks and splits, ties sharing theirs. Over "
        "all splits only variants that have results on each of them are ranked.",
        "at least two variants",
        ranks.average_ranks, forest.average_ranks, alt_comparisons.describe_ranks,
        expected=False, pooled=True, row=0.15,
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
        "Bars stand on the return of doing nothing, so the longer the better; dots: seeds; line: the return "
        "that ends the score: the best known one (dotted), an upper bound (dashed) or an oracle's (dash-dotted).",
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
        "variants neighbouring tasks are averaged, tasks without a parameter stand in the order of their mean over all "
        "variants, and the intervals stand in the CSV.",
        "results on test",
        series.per_task, per_task.per_task, alt_text.describe_tasks,
    ),
    FigureKind(
        "in_and_out", "The gap: in and out of distribution",
        "Result on test_id, tasks of the training distribution (hollow), and on test (filled); the line between the "
        "two is what the shift costs; ticks: seeds.",
        "results on both test and test_id",
        series.in_and_out, outcomes.in_and_out, alt_text.describe_in_and_out,
        row=0.2,
    ),
    FigureKind(
        "profile", "Performance profiles",
        "The share of test tasks and seeds with a score above each threshold; 0: doing nothing, 1: the stated best. A "
        "curve further to the right is better. Curves over common splits are of the same tasks; over all splits, the "
        "name says who lacks some.",
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
        "compute", "Return against compute",
        "Return after adaptation on the test tasks against what meta-training took, in minutes of a core of the "
        "reference speed: processor time times the machine's rate of matrix products over the reference's.",
        "meta-training core-minutes in the records",
        training_curves.compute, curves.compute, alt_text.describe_compute,
        expected=False,
    ),
    FigureKind(
        "before_and_after", "Before and after adaptation",
        "Return before any adaptation data and after adaptation, joined: nothing else was measured between the two. "
        "Hollow: the adaptation episodes themselves, collected by the exploring policy.",
        "results on test",
        series.adaptation_data, curves.before_and_after, alt_text.describe_before_and_after,
    ),
    FigureKind(
        "factors", "The sweep: effects of its factors (Table 3)",
        "Return after adaptation on the test tasks at every value, a mean over all values of the other factors, over "
        "seeds that have a result of every combination; dots: the single combinations.",
        "an experiment with axes, and a seed that has a result of every combination",
        sweeps.effects, factors.factor_plot, alt_comparisons.describe_factors,
        expected=False,
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
