"""A user's own split of an existing family, as it is written in an experiment file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, model_validator

from tasks.frozen import Frozen
from tasks.list_checks import contradictions, lies_between
from tasks.registry import InvalidDeclaration, UnknownName, check_lists, get_family, get_split, splits
from tasks.sampling import spread
from tasks.spec import Interval, References, Shift, TaskFamily, TaskSplit

FiniteInterval = tuple[FiniteFloat, FiniteFloat]


def _kind_of_range(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value) else "tuple"


Range = Annotated[
    Annotated[FiniteInterval, Tag("tuple")] | Annotated[tuple[FiniteInterval, ...], Tag("list")],
    Discriminator(_kind_of_range),
]
"""Low and high of one interval, or of each of several."""

Support = Annotated[
    Annotated[dict[str, Range], Tag("dict")] | Annotated[Literal["listed"], Tag("literal")],
    Discriminator(lambda value: "dict" if isinstance(value, dict) else "literal"),
]
"""By parameter, where the training tasks are drawn from; or that there is nothing but their list."""

MOST_TASKS = 10_000  # in a list


def _intervals(given: Any) -> tuple[Interval, ...]:
    """A `Range` as several intervals, if it is but one too."""
    return given if isinstance(given[0], tuple) else (given,)


def _require_order(intervals: tuple[Interval, ...], whose: str) -> None:
    """Refuse intervals that are empty, overlap, or are out of order."""
    if any(low >= high for low, high in intervals):
        raise ValueError(f"{whose} needs its low end below its high end")
    ends = [end for interval in intervals for end in interval]
    if ends != sorted(ends):
        raise ValueError(f"the intervals of {whose} must be apart and in order, the lowest first")


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
        _require_order(self.intervals, "a uniform draw")
        if self.uniform is None and (self.number is not None or self.seed is not None):
            raise ValueError("number and seed belong to a uniform draw")
        return self

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """What a uniform draw is from; nothing for another list."""
        return () if self.uniform is None else _intervals(self.uniform)

    @property
    def support(self) -> tuple[tuple[Interval, ...], ...] | None:
        """Where tasks are drawn from, as far as it is declared: by the draw, or by the split whose train list it is."""
        if self.same_as is not None and self.same_as.endswith(".train"):
            return get_split(self.same_as.removesuffix(".train")).support
        return (self.intervals,) if self.intervals else None

    @property
    def says_support(self) -> bool:
        """Whether it says where its tasks are from: by its draw, or by the split whose train list it is."""
        return self.uniform is not None or (self.same_as or "").endswith(".train")

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
    # What is not declared is left out, so that experiments from before these fields are what they always were.
    support: Support | None = Field(
        default=None,
        exclude_if=lambda support: support is None,
        description="where the tasks of a listed train are drawn from: for each parameter an interval, or several "
        "(of a place: of its distance from the origin), such as {angle: [0, 4]}; `listed`: its tasks are all there are",
    )
    tunes: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda names: not names,
        description="makes it a tuning split: names of the family's splits for which values may be chosen on it",
    )
    adaptation_transitions: PositiveInt = Field(le=10**9)  # more than a record can say, or anybody can collect
    null_return: FiniteFloat | None = Field(
        default=None,
        description="expected return of the zero action on the test list (score 0); None: the `null` reference that "
        "runs beside it measures it, and without one there are no scores",
    )
    ceiling: FiniteFloat | None = None

    @model_validator(mode="after")
    def _support_in_order(self) -> SplitDeclaration:
        for name, given in self.support.items() if isinstance(self.support, dict) else ():
            _require_order(_intervals(given), f"support.{name}")
        return self

    def split(self) -> TaskSplit:
        """The split.

        Raises:
            UnknownName: there is no such family, split, list or parameter.
            InvalidDeclaration: the name is a built-in split's, a list is empty, a task has the wrong number of
                parameters or one out of range, or the lists are not what their names and the shift say.
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
            support=self._support(family), tunes=self.tunes,
        )  # fmt: skip
        check_lists(split, family)
        problems = contradictions(split, family) + self._unsaid(split, family)
        if problems:
            raise InvalidDeclaration(f"split {split.full_name!r}: {'; '.join(problems)}")
        if split.full_name in {known.full_name for known in splits()}:
            raise InvalidDeclaration(f"split {split.full_name!r} exists already; give yours a name of its own")
        return split

    def _support(self, family: TaskFamily) -> tuple[tuple[Interval, ...], ...] | None:
        """The training distribution, in the order of the family's parameters; None: the training list alone."""
        if self.support is None:
            return self.train.support
        if self.train.says_support:
            raise InvalidDeclaration(
                f"split '{family.name}.{self.name}': support follows from train, as it is drawn or another split's; "
                "take it out, or list train by values"
            )
        if self.support == "listed":
            return None
        names = [parameter.name for parameter in family.parameters]
        for name in self.support:
            if name not in names:
                raise UnknownName("parameter", name, names, f"`support` is by the parameters of {family.name}.")
        if missing := [name for name in names if name not in self.support]:
            raise InvalidDeclaration(f"split '{family.name}.{self.name}': support lacks {', '.join(missing)}")
        return tuple(_intervals(self.support[name]) for name in names)

    def _unsaid(self, split: TaskSplit, family: TaskFamily) -> list[str]:
        """Why it cannot be told whether tests are out of distribution, if nothing is said of that distribution."""
        if self.shift != "out_of_distribution" or self.support is not None or self.train.says_support:
            return []
        if not lies_between(split, family):
            return []
        example = ", ".join(f"{parameter.name}: [low, high]" for parameter in family.parameters)
        return [
            "declares shift 'out_of_distribution', but every test task lies between training tasks, and nothing says "
            f"where these are drawn from: declare `support: {{{example}}}`, or `support: listed` if they are "
            "all there are"
        ]
