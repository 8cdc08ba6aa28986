"""A user's own split of an existing family, as it is written in an experiment file."""

from __future__ import annotations

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from tasks.registry import InvalidDeclaration, get_family, get_split
from tasks.spec import Frozen, References, Shift, TaskSplit


class TaskList(Frozen):
    """One list of tasks: given value by value, drawn uniformly, or taken from another split."""

    values: tuple[tuple[float, ...] | float, ...] | None = Field(default=None, description="one row per task")
    uniform: tuple[float, float] | None = Field(default=None, description="low and high, one-parameter families")
    number: PositiveInt | None = Field(default=None, description="how many are drawn")
    seed: int | None = Field(default=None, description="of the private RandomState that draws them")
    same_as: str | None = Field(default=None, description="`family.split.list`, such as cheetah-velocity.hard.train")

    @model_validator(mode="after")
    def _one_way(self) -> TaskList:
        ways = [name for name in ("values", "uniform", "same_as") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"give exactly one of values, uniform and same_as, not {ways or 'none'}")
        if self.uniform is not None and (self.number is None or self.seed is None):
            raise ValueError("a uniform draw needs number and seed")
        return self

    def rows(self) -> tuple[tuple[float, ...], ...]:
        """The tasks, (task, parameter)."""
        if self.same_as is not None:
            split, _, name = self.same_as.rpartition(".")
            return tuple(task.values for task in get_split(split).tasks(name))
        if self.uniform is not None:
            low, high = self.uniform
            draws = np.random.RandomState(self.seed).uniform(low, high, self.number)
            return tuple((float(value),) for value in draws)
        return tuple(row if isinstance(row, tuple) else (row,) for row in self.values or ())


class SplitDeclaration(Frozen):
    """What a user says of a split; the rest follows from the family."""

    family: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str = ""
    shift: Shift
    train: TaskList
    test: TaskList
    test_id: TaskList | None = Field(default=None, description="None: the training tasks themselves, and it says so")
    adaptation_transitions: PositiveInt
    null_return: float = Field(default=0.0, description="expected return of the zero action on the test list")
    ceiling: float | None = None

    def split(self) -> TaskSplit:
        """The split.

        Raises:
            UnknownName: there is no such family or list.
            InvalidDeclaration: a task has the wrong number of parameters, or train and test share tasks unannounced.
        """
        family = get_family(self.family)
        lists = {"train": self.train.rows(), "test": self.test.rows()}
        lists["test_id"] = self.test_id.rows() if self.test_id else lists["train"]
        for list_name, rows in lists.items():
            for row in rows:
                if len(row) != family.parameter_dim:
                    raise InvalidDeclaration(
                        f"{self.family}.{self.name}: {list_name} has a task of {len(row)} values, {family.name} takes "
                        f"{family.parameter_dim}"
                    )
        shared = set(lists["train"]) & set(lists["test"])
        if shared and self.shift != "same_tasks":
            raise InvalidDeclaration(
                f"{self.family}.{self.name}: {len(shared)} tasks are both in train and in test, such as "
                f"{sorted(shared)[0]}; take them out, or declare shift: same_tasks"
            )
        return TaskSplit(
            family=family.name, name=self.name, shift=self.shift, description=self.description or "declared by the user",
            **lists, test_id_is_train=self.test_id is None, adaptation_transitions=self.adaptation_transitions,
            references=References(null=self.null_return, ceiling=self.ceiling, source="declared by the user"),
            drawn="declared by the user", axis=family.parameters[0].name if family.parameter_dim == 1 else "",
        )  # fmt: skip
