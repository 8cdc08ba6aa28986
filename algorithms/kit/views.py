"""A view: which numbers of the state an algorithm observes. The environment and all that is stored stay as they are."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

from tasks.spec import FULL, SpaceSpec

Array = TypeVar("Array", np.ndarray, Tensor)


class View:
    """Takes a family's observations (..., observation) to the numbers that one of its views shows, (..., shown)."""

    def __init__(self, spaces: SpaceSpec, name: str = FULL) -> None:
        """Raises ValueError: the family has no such view; the message lists those it has."""
        columns = spaces.columns(name)
        self.dim = len(columns)
        self._columns = None if name == FULL else list(columns)

    def __call__(self, observations: Array) -> Array:
        """The numbers shown, in their order; the very observations where everything is."""
        return observations if self._columns is None else observations[..., self._columns]
