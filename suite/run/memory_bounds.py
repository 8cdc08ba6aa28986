"""A bound on the tensors that are made while a learner is built from a configuration that somebody else wrote."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from suite.errors import UserError
from suite.run.saving.log_segments import segments
from suite.run.saving.steady_files import require_regular

SIZED_BY_ONE = ("aten.arange", "aten.eye", "aten.linspace", "aten.randperm")
"""Operations whose size is a number rather than a list."""


def stored_elements(folder: Path) -> int:
    """Elements of the largest checkpoint of a training folder and of its log, by the heads of the files alone."""
    states = [_elements_in(path / "state.safetensors") for path in folder.glob("checkpoints/[0-9]*")]
    return max(states, default=0) + sum(_elements_in(segment.path) for segment in segments(folder / "log"))


def _elements_in(path: Path) -> int:
    """Elements of a safetensors file; 0 where it cannot be understood, which whoever loads it says."""
    with suppress(OSError, ValueError, SafetensorError), safe_open(require_regular(path), framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return 0


@contextmanager
def bounded_memory(folder: Path, most: int) -> Iterator[None]:
    """Within, new tensors have `most` elements altogether; one that goes beyond is refused before it is made.

    Raises:
        UserError: the configuration of the training in `folder` asks for more.
    """
    with _Bound(folder, most):
        yield


class _Bound(TorchDispatchMode):
    """Counts what operations that take a size are asked for (`torch.zeros`, `rand`, `arange`, `Tensor.new_zeros`)."""

    def __init__(self, folder: Path, most: int) -> None:
        super().__init__()
        self._folder, self._most, self._made = folder, most, 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation, if what it makes is within the bound."""
        if "new_" in str(func) or not any(isinstance(value, Tensor) for value in args):
            self._made += _elements_asked_for(str(func), args)
            if self._made > self._most:
                raise UserError(
                    f"{self._folder / 'config.json'} asks for a learner of {self._made:,} numbers or more, and the "
                    "checkpoints hold no such one: put a whole copy of the folder back, or train anew with another "
                    "--out"
                )
        return func(*args, **(kwargs or {}))


def _elements_asked_for(operation: str, args: Sequence[Any]) -> int:
    """Elements of a tensor of the size among the arguments: a list of numbers, or a single one as of `arange`."""
    for value in args:
        if isinstance(value, list | tuple) and all(isinstance(part, int) for part in value):
            return math.prod(value)
    if not operation.startswith(SIZED_BY_ONE):
        return 0
    return max((int(value) for value in args if isinstance(value, int | float) and math.isfinite(value)), default=0)
