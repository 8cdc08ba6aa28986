"""Fitting with early stopping: gradient steps until what is held out is no longer predicted better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

HELD_OUT_LOSS = "held_out_loss"
"""The metric whose least value is the best."""


class Limits(NamedTuple):
    """When fitting ends."""

    most: int  # gradient steps at most
    every: int  # gradient steps between two looks at what is held out
    patience: int  # looks without a better loss that end it


def fit(
    parameters: Sequence[Tensor],
    train: Callable[[int], dict[str, float]],
    judge: Callable[[], dict[str, float]] | None,
    limits: Limits,
) -> dict[str, float]:
    """Train `parameters` in place and leave them as they were at the best look, or after the last step without looks.

    train(number) takes gradient steps and returns their mean metrics; judge() returns metrics with `held_out_loss`.
    Returns the means over all steps, the metrics of the best look, and `gradient_steps`.
    """
    done, stale = 0, 0
    totals: dict[str, float] = {}
    best: dict[str, float] = {}
    kept: list[Tensor] = []
    while done < limits.most and stale < limits.patience:
        number = min(limits.every, limits.most - done)
        for name, value in train(number).items():
            totals[name] = totals.get(name, 0.0) + number * value
        done += number
        if judge is None:
            continue
        look, stale = judge(), stale + 1
        if not best or look[HELD_OUT_LOSS] < best[HELD_OUT_LOSS]:
            best, stale, kept = look, 0, [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, value_at_best in zip(parameters, kept):
            parameter.copy_(value_at_best)
    return {name: total / done for name, total in totals.items()} | best | {"gradient_steps": float(done)}
