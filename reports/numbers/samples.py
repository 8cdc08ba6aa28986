"""The scores of a variant as arrays, with the meta-trainings they are from and which of these belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Sample:
    """The scores of one variant: one item per meta-training, split and task.

    Attributes:
        scores: (item,).
        unit: Which meta-training an item is from, (item,); those of a stratum stand together.
        split: Which split, (item,).
        task: Which task of which split, (item,).
        sizes: Meta-trainings per stratum.
        trainings: The hash of each meta-training, in the order of `unit`.
    """

    scores: np.ndarray
    unit: np.ndarray
    split: np.ndarray
    task: np.ndarray
    sizes: tuple[int, ...]
    trainings: tuple[str, ...]

    @property
    def strata(self) -> list[tuple[str, ...]]:
        """The meta-trainings of each stratum."""
        ends = np.cumsum(self.sizes).tolist()
        return [self.trainings[end - size : end] for end, size in zip(ends, self.sizes)]


def sample_of(rows: pd.DataFrame) -> Sample:
    """The rows of one variant (`scores.task_results`) as arrays; the order of rows is of no account."""
    ordered = rows.sort_values(["split", "training", "task"])
    trainings, sizes = units({str(split): set(part) for split, part in ordered.groupby("split")["training"]})
    return Sample(
        scores=ordered["score"].to_numpy(dtype=float),
        unit=pd.Index(trainings).get_indexer(pd.Index(ordered["training"])),
        split=pd.factorize(ordered["split"])[0],
        task=ordered.groupby(["split", "task"], sort=True).ngroup().to_numpy(),
        sizes=sizes,
        trainings=trainings,
    )


def units(of_split: Mapping[str, set[str]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The meta-trainings of some splits, those of a stratum together, and how many each stratum has.

    A stratum is what splits hold that have a meta-training in common, directly or by way of others.
    """
    strata = merged(of_split[split] for split in sorted(of_split))
    return tuple(training for stratum in strata for training in sorted(stratum)), tuple(map(len, strata))


def merged(sets: Iterable[set[str]]) -> list[set[str]]:
    """The unions of sets that have a member in common, directly or by way of others; no two of them have."""
    unions: list[set[str]] = []
    for members in sets:
        touching = [union for union in unions if union & members]
        unions = [union for union in unions if not union & members]
        unions.append(members.union(*touching))
    return unions


def effective_seeds(splits: Sequence[tuple[set[str], int]]) -> float:
    """How many independent seeds are behind a mean over splits: those of splits that share none add up.

    Args:
        splits: The meta-trainings on each split, and how many of them one variant has (of several the fewest).
    """
    variance = 0.0
    for stratum in merged(trainings for trainings, _ in splits):
        numbers = [number for trainings, number in splits if trainings <= stratum]
        variance += (len(numbers) / len(splits)) ** 2 / min(numbers)
    return 1 / variance


def weights(sample: Sample, draws: np.ndarray) -> np.ndarray:
    """The weight of each item in each draw, (draw, item), which sum to one; NaN where a draw leaves a split empty.

    Args:
        sample: The items.
        draws: How often each meta-training occurs, (draw, training).
    """
    cells = sample.unit * (sample.split.max() + 1) + sample.split
    tasks = np.bincount(cells)
    present = np.zeros((len(sample.trainings), sample.split.max() + 1))
    present[sample.unit, sample.split] = 1
    with np.errstate(divide="ignore", invalid="ignore"):
        per_seed = 1 / (draws @ present) / present.shape[1]
        return draws[:, sample.unit] * per_seed[:, sample.split] / tasks[cells]
