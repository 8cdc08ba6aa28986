"""What the lists of a split have to be to each other, so that their names and its declared shift are true.

`train` and `test` hold different tasks unless the shift says that they are the same; `test_id` holds fresh tasks of the
training distribution, or is declared to be the training list; and a shift is one only if the tested tasks lie outside
the training distribution. That is decided by what the split declares of it: `support`, a product of intervals
per parameter, or, where there is none, the training list alone, inside of which lies nothing but its own tasks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from tasks.spec import TaskFamily, TaskSplit
from tasks.tuning import TOLERANCE, outside, support_in_words

DIGITS = 9  # after the point, to which two tasks must agree to be the same, as far as lists are rounded

Identity = tuple[float, ...]
"""A task's values as far as they tell it from others: rounded, angles on the circle."""


def contradictions(split: TaskSplit, family: TaskFamily) -> list[str]:
    """Where the lists are not what their names and the declared shift say, each reason with its remedy."""
    return [
        *_repetitions(split, family),
        *_shared_tasks(split, family),
        *_untrue_support(split, family),
        *_untrue_shift(split, family),
    ]


def remarks(split: TaskSplit, family: TaskFamily) -> list[str]:
    """What is meant to be so, but a reader of results has to know."""
    times, rest = _times(split, family)
    said = []
    if times > 1 and not rest:
        said.append(f"test holds each of its {len(split.test) // times} tasks {times} times, for other adaptation data")
    if split.support is None and split.shift == "out_of_distribution" and lies_between(split, family):
        said.append(
            "the training distribution is the training list alone: tasks in test lie between its values, not beyond"
        )
    return said


def identity(values: tuple[float, ...], family: TaskFamily) -> Identity:
    """The task that these values stand for: 0 and 2 pi are one angle, and what differs in rounding is one number."""
    circle = round(2 * math.pi, DIGITS)
    rounded = [round(value, DIGITS) for value in values]
    return tuple(value % circle if unit == "rad" else value for value, unit in zip(rounded, _units(family)))


def lies_between(split: TaskSplit, family: TaskFamily, list_name: str = "test") -> bool:
    """Whether every task of a list lies within the ends of the training tasks, parameter by parameter.

    Never of signs, such as negated joints, which have nothing between them.
    """
    if all((parameter.low, parameter.high) == (-1, 1) for parameter in family.parameters):
        return False
    ends = [
        _arc(column) if unit == "rad" else (min(column), max(column))
        for column, unit in zip(zip(*split.train), _units(family))
    ]
    turns = [(0.0, 2 * math.pi) if unit == "rad" else (0.0,) for unit in _units(family)]
    return all(
        any(low <= value + turn <= high for turn in turns_of)
        for row in split.values(list_name)
        for value, (low, high), turns_of in zip(row, ends, turns)
    )


def _arc(angles: Iterable[float]) -> tuple[float, float]:
    """The ends of the shortest arc over all angles in [0, 2 pi], counter-clockwise: the second may be beyond 2 pi."""
    ordered = sorted(angles)
    nexts = [*ordered[1:], ordered[0] + 2 * math.pi]
    widest = max(range(len(ordered)), key=lambda index: nexts[index] - ordered[index])
    return nexts[widest] % (2 * math.pi), ordered[widest] + (2 * math.pi if widest < len(ordered) - 1 else 0.0)


def _units(family: TaskFamily) -> list[str]:
    """The unit of each element of a task's values."""
    return [parameter.unit for parameter in family.parameters for _ in range(parameter.size)]


def _identities(split: TaskSplit, list_name: str, family: TaskFamily) -> list[Identity]:
    return [identity(values, family) for values in split.values(list_name)]


def _times(split: TaskSplit, family: TaskFamily) -> tuple[int, list[int]]:
    """How often the first task of the test list stands on it, and which other numbers of times occur."""
    counts = list(Counter(_identities(split, "test", family)).values())
    return counts[0], [count for count in counts if count != counts[0]]


def _repetitions(split: TaskSplit, family: TaskFamily) -> list[str]:
    """Tasks that stand on a list twice; on the test list of `same_tasks` each may do so, as often as the others."""
    problems = []
    for name in split.lists:
        if name == "test" and split.shift == "same_tasks" and not _times(split, family)[1]:
            continue
        counts = Counter[Identity]()
        repeated = []
        for index, task in enumerate(_identities(split, name, family)):
            counts[task] += 1
            if counts[task] > 1:
                repeated.append(index)
        if repeated:
            problems.append(f"{name} repeats {_few(repeated)}: list each task once{_ALIKE if name == 'test' else ''}")
    return problems


_ALIKE = " (or, of shift same_tasks, each as often as the others)"


def _shared_tasks(split: TaskSplit, family: TaskFamily) -> list[str]:
    """Tasks of two lists that have to differ, or those of one that are missing on the other where they must not."""
    train, test, test_id = (set(_identities(split, name, family)) for name in ("train", "test", "test_id"))
    problems = []
    if split.shift == "same_tasks":
        if test != train:
            problems.append(
                f"declares shift 'same_tasks', but test differs from train: {len(train - test)} training tasks are "
                f"not tested, {len(test - train)} test tasks not trained on; make them one list (`protocol.max_tasks` "
                "tests fewer), or declare another shift"
            )
    elif test & train:
        problems.append(
            f"test shares {len(test & train)} tasks with train, such as {_one(test & train)}: take them out, or, if "
            "test is the training list, declare shift: same_tasks"
        )
    if split.test_id_is_train:
        if test_id != train:
            problems.append("declares test_id_is_train, but test_id differs from train")
    elif test_id & train:
        problems.append(
            f"test_id shares {len(test_id & train)} tasks with train, such as {_one(test_id & train)}: its tasks are "
            "fresh ones; take them out, or leave test_id out, which declares it to be the training list"
        )
    if test_id & test and split.shift != "same_tasks":
        problems.append(
            f"test_id shares {len(test_id & test)} tasks with test, such as {_one(test_id & test)}: take them out of "
            "either"
        )
    for name in split.extra:
        if shared := train & set(_identities(split, name, family)):
            problems.append(f"{name} shares tasks with train, such as {_one(shared)}: take them out")
    return problems


def _untrue_support(split: TaskSplit, family: TaskFamily) -> list[str]:
    """What is wrong with the training distribution that a split declares, if it declares one."""
    if split.support is None:
        if not split.test_id or split.test_id_is_train:
            return []
        return [
            f"test_id holds fresh tasks of the training distribution, but that is {support_in_words(split, family)}: "
            "declare where these are drawn from (`support`), or leave test_id out"
        ]
    if len(split.support) != len(family.parameters):
        return [f"declares the support of {len(split.support)} parameters, {family.name} has {len(family.parameters)}"]
    where = support_in_words(split, family)
    tasks = {name: [task.index for task in outside(split, name, split, family)] for name in ("train", "test_id")}
    return [
        f"{name} {_few(indices)} lie outside the declared support, {where}"
        for name, indices in tasks.items()
        if indices
    ]


def _untrue_shift(split: TaskSplit, family: TaskFamily) -> list[str]:
    """Test tasks inside the training distribution of what is said to be outside of it, and the reverse."""
    if split.shift == "same_tasks" or (split.support and len(split.support) != len(family.parameters)):
        return []
    problems = [words for name in ("test", *split.extra) for words in _untrue_list(split, family, name)]
    if split.shift == "out_of_distribution" and not split.test_id:
        problems.append("shift 'out_of_distribution' needs a test_id list: without one there is no gap to measure")
    return problems


def _untrue_list(split: TaskSplit, family: TaskFamily, name: str) -> list[str]:
    """What of a test list is not where the declared shift says."""
    where, outer = support_in_words(split, family), _outer(split, family, name)
    if split.shift == "in_distribution":
        return [
            f"declares shift 'in_distribution', but {name} {_few(outer)} lie outside the training distribution "
            f"({where}): take them out, declare where training tasks are drawn from (`support`), or declare shift: "
            "out_of_distribution"
        ] if outer else []  # fmt: skip
    beyond = _outer(split, family, name, inset=2 * TOLERANCE) if outer else []  # some may lie on the edge, not all
    inner = sorted(set(range(len(split.values(name)))) - set(beyond))
    return [
        f"declares shift 'out_of_distribution', but {name} {_few(inner)} lie inside the training distribution "
        f"({where}): take them out, or declare shift: in_distribution"
    ] if inner else []  # fmt: skip


def _outer(split: TaskSplit, family: TaskFamily, name: str, inset: float = 0.0) -> list[int]:
    """The tasks of a list outside the training distribution, if every interval of its support ends earlier by `inset`.

    A single value is no interval and has no edge.
    """
    if split.support is None or not inset:
        return [task.index for task in outside(split, name, split, family)]
    support = tuple(
        tuple((low + inset, high - inset) if high > low else (low, high) for low, high in intervals)
        for intervals in split.support
    )
    narrower = split.model_copy(update={"support": support})
    return [task.index for task in outside(split, name, narrower, family)]


def _few(indices: list[int]) -> str:
    shown = ", ".join(map(str, indices[:5]))
    return f"[{shown}{f', ... {len(indices)} in all' if len(indices) > 5 else ''}]"


def _one(tasks: set[Identity]) -> str:
    values = min(tasks)
    shown = ", ".join(f"{value:.6g}" for value in values[:8])
    return f"({shown}{', ...' if len(values) > 8 else ''})"
