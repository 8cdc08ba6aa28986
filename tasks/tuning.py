"""What makes a tuning split one: its tasks lie where the splits that it tunes are trained, and on no test list.

Values that are ours to choose are chosen on tuning splits alone, so that no result is chosen by what it is a result
of. A tuning split is trained and tested on tasks that its family's benchmark splits would only train on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from tasks.spec import Interval, Parameter, Task, TaskFamily, TaskSplit

TOLERANCE = 1e-9  # by how much a listed value may lie outside an interval, as lists are rounded


def leaks(split: TaskSplit, family: TaskFamily, others: Iterable[TaskSplit]) -> list[str]:
    """Why a tuning split may not be used beside these others, each reason with its remedy; empty if it may.

    Every list of it has to lie inside the training support of every split that it tunes, and apart from every test list
    of every benchmark split of the family.
    """
    benchmarks = {other.name: other for other in others if other.family == split.family and other.role == "benchmark"}
    problems = [_unknown(name, split, benchmarks) for name in split.tunes if name not in benchmarks]
    for target in (benchmarks[name] for name in split.tunes if name in benchmarks):
        problems += _outside_words(split, target, family)
    for benchmark in benchmarks.values():
        problems += shared_test_tasks(split, benchmark)
    return problems


def outside(split: TaskSplit, list_name: str, support_of: TaskSplit, family: TaskFamily) -> list[Task]:
    """The tasks of a list that lie outside the training support of a split (of the same family)."""
    trained = set(support_of.train) if support_of.support is None else set()
    return [
        task for task in split.tasks(list_name)
        if task.values not in trained and not _supported(task.values, support_of.support, family)
    ]  # fmt: skip


def support_in_words(split: TaskSplit, family: TaskFamily) -> str:
    """Where the training tasks of a split lie, such as "target_speed in 0 to 1.5 m/s"."""
    if split.support is None:
        return f"one of its {len(split.train)} training tasks"
    return ", ".join(_words(*pair) for pair in zip(family.parameters, split.support))


def _supported(
    values: tuple[float, ...], support: tuple[tuple[Interval, ...], ...] | None, family: TaskFamily
) -> bool:  # fmt: skip
    """Whether a task lies inside a declared support: where there is none, it does not."""
    if support is None:
        return False
    start = 0
    for parameter, intervals in zip(family.parameters, support):
        elements = values[start : start + parameter.size]
        quantities = (sum(element**2 for element in elements) ** 0.5,) if parameter.is_place else elements
        if not all(_in_one(quantity, intervals) for quantity in quantities):
            return False
        start += parameter.size
    return True


def _in_one(quantity: float, intervals: tuple[Interval, ...]) -> bool:
    return any(low - TOLERANCE <= quantity <= high + TOLERANCE for low, high in intervals)


def _words(parameter: Parameter, intervals: tuple[Interval, ...]) -> str:
    ranges = " or ".join(f"{low:.4g} to {high:.4g}" if low < high else f"{low:.4g}" for low, high in intervals)
    quantity = f"{parameter.name}'s distance from the origin" if parameter.is_place else parameter.name
    return f"{quantity} in {ranges} {parameter.unit}".rstrip()


def _unknown(name: str, split: TaskSplit, benchmarks: Iterable[str]) -> str:
    names = sorted(benchmarks)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
    return f"tunes names {name!r}, but {split.family} has no benchmark split of that name: {hint}"


def _outside_words(split: TaskSplit, target: TaskSplit, family: TaskFamily) -> Iterator[str]:
    for name in split.lists:
        tasks = outside(split, name, target, family)
        if tasks:
            yield (
                f"{_counted(tasks)} of its {name} list, such as {_shown(tasks[0])}, outside the training distribution "
                f"of {target.full_name} ({support_in_words(target, family)}), which it tunes: take them out, or take "
                f"{target.name!r} out of tunes"
            )


def shared_test_tasks(split: TaskSplit, benchmark: TaskSplit) -> Iterator[str]:
    """For each pair of a tuning split's list and a benchmark split's test list which tasks stand on both, in words."""
    test_lists = {name for name in benchmark.lists if name != "train"} - (
        {"test_id"} if benchmark.test_id_is_train else set()
    )
    for name in split.lists:
        for test_list in sorted(test_lists):
            forbidden = set(benchmark.values(test_list))
            tasks = [task for task in split.tasks(name) if task.values in forbidden]
            if tasks:
                yield (
                    f"{_counted(tasks)} of its {name} list, such as {_shown(tasks[0])}, on the {test_list} list of "
                    f"{benchmark.full_name}: what is tuned on test tasks says nothing about them; take them out"
                )


def _counted(tasks: list[Task]) -> str:
    return f"{len(tasks)} task lies" if len(tasks) == 1 else f"{len(tasks)} tasks lie"


def _shown(task: Task) -> str:
    values = ", ".join(f"{value:.4g}" for value in task.values[:8])
    return f"number {task.index} ({values}{', ...' if len(task.values) > 8 else ''})"
