"""Scores of invented algorithms whose truth is known, for tests of how often intervals cover it."""

from __future__ import annotations

import numpy as np

from reports.numbers import aggregates, intervals
from reports.numbers.samples import Sample


def scores(generator, trials, seeds, tasks=10, together=0.5, steps=0.0, skew=False):
    """Scores (trial, seed, task) around 0.5: a share `together` of their variance is common to the tasks of a seed.

    Tasks differ by up to `steps` in what is expected of them, symmetrically. With `skew` what a seed adds is
    exponential instead of normal, a few seeds being far better than most.
    """
    common = generator.exponential(1, (trials, seeds, 1)) - 1 if skew else generator.normal(0, 1, (trials, seeds, 1))
    own = generator.normal(0, 1, (trials, seeds, tasks))
    level = 0.5 + steps * (np.arange(tasks) / max(tasks - 1, 1) - 0.5)
    return level + 0.2 * (np.sqrt(together) * common + np.sqrt(1 - together) * own)


def sample(*splits, name="t"):
    """Scores (seed, task) on each split, by meta-trainings of its own, as `samples.sample_of` makes them."""
    shape_of = [part.shape for part in splits]
    sizes = tuple(seeds for seeds, _ in shape_of)
    first_unit = np.concatenate([[0], np.cumsum(sizes)])
    first_task = np.concatenate([[0], np.cumsum([tasks for _, tasks in shape_of])])
    places = [np.indices(shape).reshape(2, -1) for shape in shape_of]
    return Sample(
        scores=np.concatenate([part.ravel() for part in splits]),
        unit=np.concatenate([seed + start for (seed, _), start in zip(places, first_unit)]),
        split=np.concatenate([np.full(part.size, number) for number, part in enumerate(splits)]),
        task=np.concatenate([task + start for (_, task), start in zip(places, first_task)]),
        sizes=sizes,
        trainings=tuple(f"{name}{number}" for number in range(first_unit[-1])),
    )


def set_off(generator, trials, number, seeds, statistic, shared=0):
    """In how many trials the best of so many identical algorithms is shown to differ from any other.

    Of differences taken "alone", and "together" with all others; of meta-trainings of their own, or the same ones in
    the first `shared`.
    """
    rivals = intervals.Rivals(number, shared * (shared - 1) // 2)
    wrong = {"alone": 0, "together": 0}
    drawn = scores(generator, trials * number, seeds).reshape(trials, number, seeds, -1)
    for trial in drawn:
        samples = [sample(part, name="v" if place < shared else f"v{place}-") for place, part in enumerate(trial)]
        samples.sort(key=lambda held: -aggregates.estimate(held, statistic).mean)
        for kind, among in (("alone", intervals.TWO), ("together", rivals)):
            found = (aggregates.difference(samples[0], other, statistic, among) for other in samples[1:])
            wrong[kind] += any(map(intervals.shows_difference, found))
    return wrong
