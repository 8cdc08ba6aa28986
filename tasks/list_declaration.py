"""Task lists as users write them: value by value, drawn, evenly spaced, parameter by parameter, or another split's.

A list is drawn by a private generator of its own, so that none depends on another; of several parameters each has one.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tasks.registry import InvalidDeclaration, UnknownName, get_split
from tasks.sampling import Values
from tasks.schemes import Scheme, require_few
from tasks.spec import Interval, TaskFamily

Support = dict[str, tuple[Interval, ...]]
"""By parameter the intervals that its elements (of a place: its distance from the origin) are drawn from."""

WAYS = ("values", "uniform", "grid", "normal", "parameters", "same_as")


class TaskList(Scheme):
    """One list of tasks, in exactly one of six ways; `uniform`, `grid` and `normal` where there is one parameter."""

    seed: int | None = Field(default=None, ge=0, lt=2**32, description="of the private RandomState that draws them")
    same_as: str | None = Field(default=None, description="`family.split.list`, such as cheetah-velocity.hard.train")
    parameters: dict[str, Scheme] | None = Field(
        default=None,
        exclude_if=lambda parameters: parameters is None,
        description="for families of several: each with a way of its own. All combinations of those that are listed or "
        "a grid, and of those that are drawn `number` draws for each combination",
    )

    @model_validator(mode="after")
    def _one_way(self) -> TaskList:
        ways = [name for name in WAYS if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(WAYS[:-1])} and {WAYS[-1]}, not {' and '.join(ways) or 'none'}"
            )
        for name, scheme in (self.parameters or {}).items():
            _require_one_way(name, scheme)
        drawn = any(scheme.is_drawn for scheme in (self, *(self.parameters or {}).values()))
        if drawn and (self.number is None or self.seed is None):
            which = f"a {ways[0]} draw" if self.is_drawn else "what draws parameters"
            raise ValueError(f"{which} needs number and seed")
        if not drawn and (self.seed is not None or (self.number is not None and self.grid is None)):
            raise ValueError("number and seed belong to a uniform or normal draw, number to a grid too")
        return self

    def support(self, family: TaskFamily) -> Support | Literal["listed"]:
        """Where its tasks are from, of those parameters of which it says so; `listed`: there is nothing but the list.

        Of a parameter that is listed nothing is said, unless others are drawn or a grid, and it has but one value.
        """
        if (self.same_as or "").endswith(".train"):
            intervals = get_split(str(self.same_as).removesuffix(".train")).support
            return "listed" if intervals is None else dict(zip((p.name for p in family.parameters), intervals))
        if self.parameters is None:
            return {family.parameters[0].name: self.intervals} if self.intervals else {}
        said = {name: scheme.intervals for name, scheme in self.parameters.items() if scheme.intervals}
        for parameter in family.parameters if said else ():
            values = {*itertools.chain(*self.parameters[parameter.name].choices(parameter))}
            if parameter.name not in said and len(values) == 1 and not parameter.is_place:
                said[parameter.name] = tuple((value, value) for value in values)
        return said

    def rows(self, family: TaskFamily) -> Values:
        """The tasks, (task, parameter).

        Raises:
            UnknownName: `same_as` names no list of a split, or `parameters` one that the family has not.
            InvalidDeclaration: a parameter is not given, or cannot be given so; or there are too many tasks.
        """
        if self.same_as is not None:
            return _rows_of(self.same_as)
        if self.values is not None:
            return tuple(row if isinstance(row, tuple) else (row,) for row in self.values)
        if self.parameters is not None:
            return self._combined(self.parameters, family)
        if len(family.parameters) != 1:
            names = [parameter.name for parameter in family.parameters]
            raise InvalidDeclaration(
                f"{family.name} has several parameters: give each its own way, `parameters: {{{names[0]}: "
                f"{{uniform: [low, high]}}, ...}}` with {', '.join(names)}"
            )
        (parameter,) = family.parameters
        if self.grid is not None:
            return self.choices(parameter)
        return _nested(self.draws(parameter, np.random.RandomState(self.seed), self.number or 0))

    def _combined(self, schemes: dict[str, Scheme], family: TaskFamily) -> Values:
        """All combinations of what is listed, each with `number` draws of the rest."""
        names = [parameter.name for parameter in family.parameters]
        for name in schemes:
            if name not in names:
                raise UnknownName("parameter", name, names, f"`parameters` are those of {family.name}.")
        if missing := [name for name in names if name not in schemes]:
            raise InvalidDeclaration(
                f"parameters lacks {', '.join(missing)}; what does not vary has one value, such as {{values: [1]}}"
            )
        given = [(parameter, schemes[parameter.name]) for parameter in family.parameters]
        listed = [scheme.choices(parameter) for parameter, scheme in given if not scheme.is_drawn]
        each = self.number or 1
        total = each * math.prod(map(len, listed))
        require_few(total)
        columns = iter(zip(*itertools.product(*listed))) if total else iter([()] * len(listed))
        blocks = []
        for place, (parameter, scheme) in enumerate(given):
            if scheme.is_drawn:  # by a generator of its own, so that its draws depend on no other parameter
                blocks.append(scheme.draws(parameter, np.random.RandomState([self.seed or 0, place]), total))
            else:
                rows = np.array(next(columns), float).reshape(-1, parameter.size)
                blocks.append(np.repeat(rows, each, axis=0))
        return _nested(np.concatenate(blocks, axis=1))

    @property
    def words(self) -> str:
        """Where its tasks are from."""
        if self.same_as is not None:
            return self.same_as
        count = f"{self.number} " if self.is_drawn else f"{len(self.values)} " if self.values is not None else ""
        if self.parameters is None:
            text = count + super().words
        else:
            text = ", ".join(f"{name} {scheme.words}" for name, scheme in self.parameters.items())
            text += f", {self.number} draws each" if self.number else ""
        return text + (f", seed {self.seed}" if self.seed is not None else "")


def _require_one_way(name: str, scheme: Scheme) -> None:
    ways = [way for way in WAYS[:4] if getattr(scheme, way) is not None]
    if len(ways) != 1:
        raise ValueError(
            f"parameters.{name}: give exactly one of values, uniform, grid and normal, not "
            f"{' and '.join(ways) or 'none'}"
        )
    if scheme.number is not None and scheme.grid is None:
        raise ValueError(f"parameters.{name}: number is of a grid; how many are drawn stands beside `parameters`")


def _rows_of(full_name: str) -> Values:
    """The tasks of a split's list, by `family.split.list`."""
    name, _, list_name = full_name.rpartition(".")
    split = get_split(name)
    if list_name not in split.lists:
        raise UnknownName("task list", full_name, [f"{name}.{known}" for known in split.lists], "")
    return split.values(list_name)


def _nested(rows: np.ndarray) -> Values:
    return tuple(tuple(float(value) for value in row) for row in rows)
