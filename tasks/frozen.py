"""The base of all declared data: immutable, without unknown keys, and in which `true` is never a number."""

from __future__ import annotations

import functools
import typing
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


def _has_truth(value: Any) -> bool:
    """Whether a value is a truth, or a list or mapping with one in it."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, bool) or any(map(_has_truth, parts))


@functools.cache
def _admits_truth(annotation: Any) -> bool:
    """Whether a type is made to hold `True` or `False`, or says nothing of it, or is declared data that judges itself.

    Of what is `Annotated` the type counts, and not what it is annotated with.
    """
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return _admits_truth(inner[0])
    if typing.get_origin(annotation) is Literal:
        return any(isinstance(value, bool) for value in inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return annotation in (bool, Any, dict) or any(map(_admits_truth, inner))


class Frozen(BaseModel):
    """Base of all declared data: immutable, and a key that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Values in which `true` does not stand for 1, as it would for Pydantic."""
        if _has_truth(value) and not _admits_truth(cast(Any, cls.model_fields[str(info.field_name)].annotation)):
            raise ValueError("true and false are no values for this")
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled: by its values, which are checked again when it is made anew."""
        return type(self).model_validate, (self.model_dump(),)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself: nothing of it can be changed."""
        del memo
        return self

    def __copy__(self) -> Self:
        """A copy, which `model_copy` may change, so that it forgets what was worked out of the original's fields."""
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied
