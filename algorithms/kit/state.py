"""What a checkpoint holds of a learner: taken out as plain tensors, and put back in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


class Stateful(Protocol):
    """Something that knows its own state."""

    def state(self) -> Any:
        """Everything needed to go on, as tensors, arrays, numbers, strings or None."""

    def load_state(self, state: Any) -> None:
        """Put back what `state` returned, in place."""


Part = Tensor | list[Tensor] | Stateful | Mapping[str, Any] | None
"""Weights, one or many; an object with a state of its own, such as an optimiser; parts of a part; or nothing."""


def state_of(parts: Mapping[str, Part]) -> dict[str, Any]:
    """The state of each part. Weights share their storage with the learner."""
    return {name: _state(part) for name, part in parts.items()}


@torch.no_grad()
def load_state_of(parts: Mapping[str, Part], state: Mapping[str, Any]) -> None:
    """Put back what `state_of` returned, in place.

    Raises:
        ValueError: a part has another number of tensors, or another shape, than its state.
    """
    for name, part in parts.items():
        if isinstance(part, Mapping):
            load_state_of(part, state[name])
        elif isinstance(part, Tensor):
            _load_tensors(name, [part], [state[name]])
        elif isinstance(part, list):
            _load_tensors(name, part, state[name])
        elif part is not None:
            part.load_state(state[name])


def _state(part: Part) -> Any:
    if part is None:
        return []
    if isinstance(part, Mapping):
        return state_of(part)
    if isinstance(part, Tensor):
        return part.detach()
    if isinstance(part, list):
        return [tensor.detach() for tensor in part]
    return part.state()


def _load_tensors(name: str, targets: list[Tensor], sources: list[Tensor]) -> None:
    held, given = [list(tensor.shape) for tensor in targets], [list(tensor.shape) for tensor in sources]
    if held != given:
        raise ValueError(f"{name} has tensors of shapes {held}, its state {given}")
    for target, source in zip(targets, sources):
        target.copy_(source)
