"""Every family and split by name, and the environments that simulate them.

Families and splits of a user's own come from plugins (`tasks.plugin_families`); splits that are declared in an
experiment (`tasks.split_declaration`) go with it, not by name.

Reading the registry imports no simulator: an environment is imported when it is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tasks.errors import UserError
from tasks.families import FAMILIES
from tasks.plugins import imported
from tasks.spec import BatchedEnvironment, RewardRule, TaskFamily, TaskSplit
from tasks.splits import BUILDERS
from tasks.tuning import leaks


class UnknownName(UserError, LookupError):
    """A family or split that the registry does not hold; the message lists the nearest ones."""

    def __init__(self, kind: str, given: str, allowed: Iterable[str], advice: str) -> None:
        names = sorted(allowed)
        near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}."
        super().__init__(f"there is no {kind} {given!r}: {hint} {advice}")
        self.given, self.nearest = given, tuple(near)


class InvalidDeclaration(UserError, ValueError):
    """A split that cannot be declared so; the message says what is wrong with it and what would be right."""


ADDED: dict[str, TaskFamily] = {}
"""Families of plugins that are in use, by name."""

MODULES: dict[str, str] = {}
"""Their modules, by the names of the families and splits that they declare."""


def families() -> tuple[TaskFamily, ...]:
    """All families, in the order of the documentation, and behind them those of plugins."""
    return (*FAMILIES, *ADDED.values())


def splits() -> tuple[TaskSplit, ...]:
    """All splits, in the order of their file."""
    return tuple(build() for build in BUILDERS.values())


def get_family(name_or_nickname: str) -> TaskFamily:
    """The family of that name or nickname.

    Raises:
        UnknownName: there is none; the message lists the nearest names.
    """
    for family in families():
        if name_or_nickname in (family.name, family.nickname):
            return family
    names = [name for family in families() for name in (family.name, family.nickname)]
    raise UnknownName("task family", name_or_nickname, names, "`offmap tasks list` shows all.")


def get_split(full_name: str) -> TaskSplit:
    """The split called `family.split`, where the family may be given by its nickname.

    Raises:
        UnknownName: there is none; the message lists the nearest names.
    """
    family_name, dot, name = full_name.partition(".")
    if not dot:
        allowed = [split for split in BUILDERS if split.startswith(f"{family_name}.")] or BUILDERS
        raise UnknownName("split", full_name, allowed, "A split is named `family.split`.")
    family = get_family(family_name).name
    full_name = f"{family}.{name}"
    if full_name in BUILDERS:
        return BUILDERS[full_name]()
    siblings = [split for split in BUILDERS if split.startswith(f"{family}.")]
    raise UnknownName("split", full_name, siblings or BUILDERS, "`offmap tasks list` shows all.")


def refuse_leaks(split: TaskSplit, others: Iterable[TaskSplit]) -> None:
    """Return only if the split is a benchmark split, or a tuning split that touches nothing these others test.

    Raises:
        InvalidDeclaration: a task of a tuning split lies on a test list, or outside the training of a split it tunes.
    """
    problems = leaks(split, get_family(split.family), others) if split.role == "tuning" else []
    if problems:
        raise InvalidDeclaration(f"split {split.full_name!r} is declared as a tuning split, but {'; '.join(problems)}")


def check_lists(split: TaskSplit, family: TaskFamily) -> None:
    """Nothing, if every task of the split is one of the family.

    Raises:
        InvalidDeclaration: a list is empty, has rows of the wrong length, or values outside their declared range.
    """
    for list_name in ("train", "test", "test_id", *split.extra):
        tasks = split.tasks(list_name)
        if not tasks and list_name != "test_id":
            raise InvalidDeclaration(f"split {split.full_name!r}: its {list_name} list is empty.")
        for task in tasks:
            where = f"split {split.full_name!r}, {list_name} task {task.index}"
            if len(task.values) != family.parameter_dim:
                wanted = ", ".join(f"{p.name} ({p.size})" for p in family.parameters)
                raise InvalidDeclaration(
                    f"{where}: {len(task.values)} values given, {family.name} takes {family.parameter_dim}: {wanted}."
                )
            refuse_out_of_range(task.values, family, where)


def refuse_out_of_range(values: Sequence[float], family: TaskFamily, where: str) -> None:
    """Nothing, if every value of a task, (parameter,), is a number in the range that its parameter declares.

    Raises:
        InvalidDeclaration: one is not; the message begins with `where`.
    """
    parameters = [parameter for parameter in family.parameters for _ in range(parameter.size)]
    for parameter, value in zip(parameters, values):
        low = parameter.low if parameter.low is not None else float("-inf")
        high = parameter.high if parameter.high is not None else float("inf")
        if not low <= value <= high:
            raise InvalidDeclaration(f"{where}: {parameter.name} = {value}, allowed: {low} to {high} {parameter.unit}")


def make_batch(family: TaskFamily | str, num_rows: int, threads: int = 1) -> BatchedEnvironment:
    """A batched environment of `num_rows` simulations of a family, stepped on `threads` threads.

    Raises:
        UnknownName: there is no such family.
        ValueError: `num_rows` or `threads` is not positive.
    """
    family = get_family(family) if isinstance(family, str) else family
    if num_rows < 1 or threads < 1:
        raise ValueError(f"num_rows and threads must be at least 1, not {num_rows} and {threads}.")
    return _environment_class(family.entry_point)(family, num_rows, threads)


def termination_rule(family: TaskFamily | str) -> Callable[[Any], Any]:
    """The rule `terminated(next_observations)` of a family, the very function its environment uses.

    It takes observations (..., observation) as a NumPy array or a torch tensor and returns booleans (...).
    """
    family = get_family(family) if isinstance(family, str) else family
    return _environment_class(family.entry_point).terminated


def reward_rule(family: TaskFamily | str) -> RewardRule | None:
    """The analytic reward `reward_of(observations, actions, next_observations)` of a family; None if it declares none.

    It takes NumPy arrays or torch tensors (..., dimension), actions in [-1, 1], and returns rewards (...); what it
    leaves out or approximates stands in the family's `analytic_reward`. The reward of a step that ends an episode
    counts.
    """
    family = get_family(family) if isinstance(family, str) else family
    return None if family.analytic_reward is None else _environment_class(family.entry_point).reward_of


def _environment_class(entry_point: str) -> Any:
    module, _, name = entry_point.partition(":")
    return getattr(imported(module), name)
