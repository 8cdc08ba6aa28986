"""How the values of one parameter come about: listed, drawn from a distribution, or evenly spaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Field, FiniteFloat, PositiveInt, Tag, model_validator

from tasks import sampling
from tasks.frozen import Frozen
from tasks.registry import InvalidDeclaration
from tasks.sampling import Values
from tasks.spec import Interval, Parameter

FiniteInterval = tuple[FiniteFloat, FiniteFloat]


def kind_of_range(value: Any) -> str:
    """Which branch of `Range` a value is meant for."""
    return "list" if isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value) else "tuple"


Range = Annotated[
    Annotated[FiniteInterval, Tag("tuple")] | Annotated[tuple[FiniteInterval, ...], Tag("list")],
    Discriminator(kind_of_range),
]
"""Low and high of one interval, or of each of several."""

MOST_TASKS = 10_000  # in a list
LEAST_SHARE = 1e-6  # of a normal distribution that has to lie where it is drawn from


def intervals_of(given: Any) -> tuple[Interval, ...]:
    """A `Range` as several intervals, if it is but one too."""
    return given if isinstance(given[0], tuple) else (given,)


def require_order(intervals: Sequence[Interval], whose: str) -> None:
    """Nothing, if no interval is empty, overlaps another or is out of order.

    Raises:
        ValueError: one is.
    """
    if any(low >= high for low, high in intervals):
        raise ValueError(f"{whose} needs its low end below its high end")
    ends = [end for interval in intervals for end in interval]
    if ends != sorted(ends):
        raise ValueError(f"the intervals of {whose} must be apart and in order, the lowest first")


class Normal(Frozen):
    """A normal distribution, cut off where it is to end: without ends nothing would be outside of it."""

    mean: FiniteFloat
    std: float = Field(gt=0, allow_inf_nan=False, description="standard deviation, before it is cut off")
    within: Range = Field(description="low and high, or several such pairs, between which it is drawn from")

    @model_validator(mode="after")
    def _has_values(self) -> Normal:
        intervals = intervals_of(self.within)
        require_order(intervals, "`within` of a normal draw")
        share = sampling.normal_share(self.mean, self.std, intervals)
        if share < LEAST_SHARE:
            raise ValueError(
                f"next to nothing ({share:.1g}) of N({self.mean:g}, {self.std:g}) lies within {_words(intervals)}; "
                "move mean or within"
            )
        return self


class Scheme(Frozen):
    """Where the values of a parameter are from: exactly one of four ways."""

    values: tuple[tuple[FiniteFloat, ...] | FiniteFloat, ...] | None = Field(
        default=None, max_length=MOST_TASKS, description="one row per task, or a number where that is all there is"
    )
    uniform: Range | None = Field(
        default=None,
        description="low and high, or several such pairs, over which tasks are spread evenly (of a place: of its "
        "distance from the origin)",
    )
    grid: Range | None = Field(
        default=None,
        exclude_if=lambda grid: grid is None,
        description="low and high, or several such pairs: in each `number` values, evenly spaced, both ends among them",
    )
    normal: Normal | None = Field(
        default=None, exclude_if=lambda normal: normal is None, description="drawn from a normal distribution"
    )
    number: PositiveInt | None = Field(
        default=None, le=MOST_TASKS, description="how many are drawn; of a grid: how many in each interval"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Scheme:
        for way in ("uniform", "grid"):
            given = getattr(self, way)
            if given is not None:
                require_order(intervals_of(given), f"a {way}{' draw' if way == 'uniform' else ''}")
        if self.grid is not None and (self.number is None or self.number < 2):
            raise ValueError("a grid needs number, at least 2: it has both of its ends")
        return self

    @property
    def is_drawn(self) -> bool:
        """Whether chance decides its values."""
        return self.uniform is not None or self.normal is not None

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """What it is spread over; nothing where values are listed, which say nothing of what is between them."""
        given = self.uniform or self.grid or (self.normal and self.normal.within)
        return intervals_of(given) if given else ()

    def draws(self, parameter: Parameter, generator: np.random.RandomState, number: int) -> np.ndarray:
        """So many draws of a parameter, (task, element).

        Raises:
            InvalidDeclaration: it is a place, and not to be drawn so.
        """
        if parameter.is_place:
            if self.uniform is None or self.intervals[0][0] < 0:
                raise InvalidDeclaration(
                    f"{parameter.name} is a place: it is drawn by `uniform` of its distance from the origin, which is "
                    "never negative, or listed by values"
                )
            return np.array(sampling.ring_points(generator, self.intervals, number)).reshape(number, 2)
        size = (number, parameter.size)
        if self.normal is None:
            return sampling.spread(generator, self.intervals, number * parameter.size).reshape(size)
        normal = self.normal.mean, self.normal.std
        return sampling.normal(generator, *normal, self.intervals, number * parameter.size).reshape(size)

    def choices(self, parameter: Parameter) -> Values:
        """The values of a parameter that chance does not decide, (value, element); a number stands for all elements.

        Raises:
            InvalidDeclaration: a row is not one of the parameter, or it is a grid of more than one element.
        """
        if self.grid is not None:
            if parameter.size != 1:
                raise InvalidDeclaration(
                    f"{parameter.name} has {parameter.size} elements, and a grid is of one: list it"
                )
            number = self.number or 0
            require_few(number * len(self.intervals))
            return tuple(row for low, high in self.intervals for row in sampling.evenly_spaced(low, high, number))
        rows = [
            row if isinstance(row, tuple) else (row,) * (1 if parameter.is_place else parameter.size)
            for row in self.values or ()
        ]
        if wrong := [row for row in rows if len(row) != parameter.size]:
            raise InvalidDeclaration(f"{len(wrong[0])} values given, {parameter.name} takes {parameter.size}")
        return tuple(rows)

    @property
    def words(self) -> str:
        """Where the values are from."""
        if self.normal is not None:
            return f"of N({self.normal.mean:g}, {self.normal.std:g}) within {_words(self.intervals)}"
        if self.uniform is not None:
            return "of " + " or ".join(f"U({low:g}, {high:g})" for low, high in self.intervals)
        return f"evenly spaced, {_words(self.intervals)}" if self.grid is not None else "listed"


def require_few(tasks: int) -> None:
    """Nothing, if a list may have so many tasks.

    Raises:
        InvalidDeclaration: it may not.
    """
    if tasks > MOST_TASKS:
        raise InvalidDeclaration(f"{tasks:,} tasks in a list; at most {MOST_TASKS:,} are allowed: take fewer")


def _words(intervals: Sequence[Interval]) -> str:
    return " or ".join(f"{low:g} to {high:g}" for low, high in intervals)
