"""A user's own split of an existing family, as it is written in an experiment file."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, model_validator

from tasks.registry import InvalidDeclaration, UnknownName, check_lists, get_family, get_split, splits
from tasks.sampling import spread
from tasks.spec import Frozen, Interval, References, Shift, TaskSplit

FiniteInterval = tuple[FiniteFloat, FiniteFloat]


def _kind_of_range(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value) else "tuple"


Range = Annotated[
    Annotated[FiniteInterval, Tag("tuple")] | Annotated[tuple[FiniteInterval, ...], Tag("list")],
    Discriminator(_kind_of_range),
]
"""Low and high of one interval, or of each of several."""

MOST_TASKS = 10_000  # in a list


class TaskList(Frozen):
    """One list of tasks: given value by value, drawn uniformly, or taken from another split."""

    values: tuple[tuple[FiniteFloat, ...] | FiniteFloat, ...] | None = Field(
        default=None, max_length=MOST_TASKS, description="one row per task"
    )
    uniform: Range | None = Field(
        default=None,
        description="low and high, or several such pairs, over which tasks are spread evenly; one-parameter families",
    )
    number: PositiveInt | None = Field(default=None, le=MOST_TASKS, description="how many are drawn")
    seed: int | None = Field(default=None, ge=0, lt=2**32, description="of the private RandomState that draws them")
    same_as: str | None = Field(default=None, description="`family.split.list`, such as cheetah-velocity.hard.train")

    @model_validator(mode="after")
    def _one_way(self) -> TaskList:
        ways = [name for name in ("values", "uniform", "same_as") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"give exactly one of values, uniform and same_as, not {' and '.join(ways) or 'none'}")
        if self.uniform is not None and (self.number is None or self.seed is None):
            raise ValueError("a uniform draw needs number and seed")
        ends = [end for interval in self.intervals for end in interval]
        if any(low >= high for low, high in self.intervals):
            raise ValueError("a uniform draw needs its low end below its high end")
        if ends != sorted(ends):
            raise ValueError("the intervals of a uniform draw must be apart and in order, the lowest first")
        if self.uniform is None and (self.number is not None or self.seed is not None):
            raise ValueError("number and seed belong to a uniform draw")
        return self

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """What a uniform draw is from; nothing for another list."""
        if self.uniform is None:
            return ()
        return self.uniform if isinstance(self.uniform[0], tuple) else (self.uniform,)

    @property
    def support(self) -> tuple[tuple[Interval, ...], ...] | None:
        """Where tasks are drawn from, as far as it is declared: by the draw, or by the split whose train list it is."""
        if self.same_as is not None and self.same_as.endswith(".train"):
            return get_split(self.same_as.removesuffix(".train")).support
        return (self.intervals,) if self.intervals else None

    def rows(self) -> tuple[tuple[float, ...], ...]:
        """The tasks, (task, parameter).

        Raises:
            UnknownName: `same_as` names no list of a split.
        """
        if self.same_as is not None:
            name, _, list_name = self.same_as.rpartition(".")
            split = get_split(name)
            if list_name not in split.lists:
                raise UnknownName("task list", self.same_as, [f"{name}.{known}" for known in split.lists], "")
            return tuple(task.values for task in split.tasks(list_name))
        if self.number is not None:
            draws = spread(np.random.RandomState(self.seed), self.intervals, self.number)
            return tuple((float(value),) for value in draws)
        return tuple(row if isinstance(row, tuple) else (row,) for row in self.values or ())


class SplitDeclaration(Frozen):
    """What a user says of a split; the rest follows from the family."""

    family: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    description: str = ""
    shift: Shift
    train: TaskList
    test: TaskList
    test_id: TaskList | None = Field(default=None, description="None: the training tasks themselves, and it says so")
    tunes: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda names: (
            not names
        ),  # so that experiments that declare no tuning split are what they always were
        description="makes it a tuning split: names of the family's splits for which values may be chosen on it",
    )
    adaptation_transitions: PositiveInt
    null_return: FiniteFloat = Field(default=0.0, description="expected return of the zero action on the test list")
    ceiling: FiniteFloat | None = None

    def split(self) -> TaskSplit:
        """The split.

        Raises:
            UnknownName: there is no such family, split or list.
            InvalidDeclaration: the name is a built-in split's, a list is empty, a task has the wrong number of
                parameters or one out of range, or train and test share tasks unannounced.
        """
        family = get_family(self.family)
        train, test = self.train.rows(), self.test.rows()
        split = TaskSplit(
            family=family.name, name=self.name, shift=self.shift,
            description=self.description or "declared by the user", train=train, test=test,
            test_id=self.test_id.rows() if self.test_id else train, test_id_is_train=self.test_id is None,
            adaptation_transitions=self.adaptation_transitions, drawn="declared by the user",
            references=References(null=self.null_return, ceiling=self.ceiling, source="declared by the user"),
            axis=family.parameters[0].name if family.parameter_dim == 1 else "",
            support=self.train.support, tunes=self.tunes,
        )  # fmt: skip
        check_lists(split, family)
        shared = sorted(set(train) & set(test))
        if shared and self.shift != "same_tasks":
            raise InvalidDeclaration(
                f"split {split.full_name!r}: {len(shared)} tasks are both in train and in test, such as {shared[0]}; "
                "take them out, or declare shift: same_tasks"
            )
        if split.full_name in {known.full_name for known in splits()}:
            raise InvalidDeclaration(f"split {split.full_name!r} exists already; give yours a name of its own")
        return split
