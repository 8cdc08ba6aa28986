"""How a built-in split is filed: under its name and the recorded hash of its lists; and what its scores refer to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tasks.sampling import Values
from tasks.spec import References, TaskSplit

HORIZON = 200

Fields = dict[str, Any]
"""What a function says of its split; `family` and `name` follow from where it is filed."""

_DEFAULTS: Fields = {"test_id": ()}

BUILDERS: dict[str, Callable[[], TaskSplit]] = {}
RECORDED_HASHES: dict[str, str] = {}


def built_in(full_name: str, recorded_hash: str) -> Callable[[Callable[[], Fields]], None]:
    """Decorator that files a split's fields, as the function returns them, under its name and recorded hash."""
    family, name = full_name.split(".")

    def file(fields: Callable[[], Fields]) -> None:
        BUILDERS[full_name] = cache(lambda: TaskSplit(family=family, name=name, **_DEFAULTS | fields()))
        RECORDED_HASHES[full_name] = recorded_hash

    return file


def nearness(train: Values, test: Values, null: float | None = None, remark: str = "") -> References:
    """Ends for rewards of the form -|v - g|_1, summed over `HORIZON` steps: standing still, and zero, as none is above.

    The task-blind optimum is to be at the median of the training targets from the first step to the last, which
    costs an agent more, as it has to get there. `null` is given where standing still is not what the zero action does.
    """
    targets, median = np.array(test), np.median(np.array(train), axis=0)
    still = "standing still at the start, -200 x mean |target|"
    return References(
        null=_return_at(np.zeros_like(median), targets) if null is None else null,
        ceiling=0.0,
        blind_train=_return_at(median, np.array(train)),
        blind_test=_return_at(median, targets),
        source=f"null: {still if null is None else 'measured, zero action, 100 episodes per test task'}; ceiling: an "
        f"upper bound, rewards are <= 0; blind: at the median training target, start-up and costs apart{remark}",
    )


def _return_at(place: np.ndarray, targets: np.ndarray) -> float:
    """The mean return of being at `place` (axis,) all along, when the targets are `targets` (task, axis)."""
    return round(-HORIZON * float(np.abs(targets - place).sum(axis=1).mean()), 1)


def best_known(null: float, ceiling: float, source: str) -> References:
    """Ends where nothing bounds the reward: the best return that anyone stated."""
    return References(
        null=null,
        ceiling=ceiling,
        source=f"null: measured, zero action, 20 episodes per test task or more; ceiling: {source}",
    )
