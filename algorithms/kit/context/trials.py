"""Trials as they were lived, to learn a belief from: a ring of the newest, or an index of those in a replay.

A trial is a row of a collection: consecutive steps in one task, in which episodes end and start again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.context.belief import Histories
from algorithms.kit.replay import EpisodeStore
from algorithms.kit.views import View
from tasks.spec import EpisodeBatch


def histories_of(batch: EpisodeBatch, view: View, device: torch.device) -> Histories:
    """The rows of a collection, each of which filled the same quota of steps."""
    order = np.argsort(batch.rows, kind="stable")  # a row's episodes ended one after the other
    inside = np.arange(batch.rewards.shape[1]) < batch.lengths[order, None]
    rows = int(batch.rows.max()) + 1

    def by_row(steps: np.ndarray) -> Tensor:
        return torch.from_numpy(steps[order][inside]).to(device).unflatten(0, (rows, -1))

    seen = view(batch.observations)
    rewards = by_row(batch.rewards)
    lengths = torch.full((rows,), rewards.shape[1], device=device)
    return Histories(by_row(seen[:, :-1]), by_row(batch.actions), rewards, by_row(seen[:, 1:]), lengths)


class TrialRing:
    """The newest `capacity` trials, all equally long; memory grows with them up to that many."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0  # ever added
        self._fields: Histories | None = None

    def __len__(self) -> int:
        """How many trials it holds."""
        return min(self.count, self.capacity)

    def add(self, histories: Histories) -> None:
        """Add trials, in the place of the oldest once it is full."""
        number = len(histories.lengths)
        self._grow(min(self.count + number, self.capacity), histories)
        assert self._fields is not None
        newest = min(number, self.capacity)
        end = self.count + number
        places = torch.arange(end - newest, end, device=histories.lengths.device) % self.capacity
        for field, values in zip(self._fields, histories):
            field[places] = values[number - newest :]
        self.count = end

    def sample(self, number: int, generator: torch.Generator) -> Histories:
        """`number` different trials, or all if there are fewer (code)."""
        order = torch.rand(len(self), generator=generator, device=generator.device).argsort()
        return Histories(*(field[order[:number]] for field in self._held()))

    def _held(self) -> Histories:
        if self._fields is None:
            raise ValueError("no trial was added yet")
        return Histories(*(field[: len(self)] for field in self._fields))

    def _grow(self, needed: int, like: Histories) -> None:
        room = 0 if self._fields is None else len(self._fields.lengths)
        if needed <= room:
            return
        room = min(max(needed, 2 * room), self.capacity)
        larger = Histories(*(field.new_zeros((room, *field.shape[1:])) for field in like))
        if self._fields is not None:
            for field, values in zip(larger, self._fields):
                field[: len(values)] = values
        self._fields = larger

    def state(self) -> dict[str, Any]:
        """How many were ever added, and those that it holds."""
        return {"count": self.count} | (self._held()._asdict() if self.count else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.count, self._fields = int(state["count"]), None
        if self.count:
            self._fields = Histories(*(state[name].clone() for name in Histories._fields))


class TrialIndex:
    """A view of an episode store: the slots of each trial's steps, padded at the end by slot 0."""

    def __init__(self, device: torch.device) -> None:
        self._slots = torch.zeros((0, 0), dtype=torch.int32, device=device)
        self._lengths = torch.zeros(0, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        """How many trials it knows."""
        return len(self._lengths)

    def add(self, trials: Sequence[Tensor]) -> None:
        """Add trials by their slots (step,), as `EpisodeStore.remember` gives them, row by row."""
        width = max(self._slots.shape[1], *(len(slots) for slots in trials))
        wider = self._slots.new_zeros((len(self) + len(trials), width))
        wider[: len(self), : self._slots.shape[1]] = self._slots
        for row, slots in enumerate(trials, len(self)):
            wider[row, : len(slots)] = slots
        lengths = torch.tensor([len(slots) for slots in trials], device=self._lengths.device)
        self._slots, self._lengths = wider, torch.cat([self._lengths, lengths])

    def lengths(self, trials: Tensor) -> Tensor:
        """How many steps trials have, shape of `trials`."""
        return self._lengths[trials]

    def slots(self, trials: Tensor, steps: Tensor) -> Tensor:
        """The slots of steps of trials, int32, alike in shape."""
        return self._slots[trials, steps]

    def histories(self, trials: Tensor, store: EpisodeStore, view: View) -> Histories:
        """Whole trials (trial,), up to the longest of them."""
        lengths = self._lengths[trials]
        data = store.gather(self._slots[trials, : int(lengths.max())])
        return Histories(view(data.observations), data.actions, data.rewards, view(data.next_observations), lengths)

    def state(self) -> dict[str, Tensor]:
        """Slots and lengths."""
        return {"slots": self._slots, "lengths": self._lengths}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` returned."""
        self._slots = state["slots"].to(self._slots.device, torch.int32)
        self._lengths = state["lengths"].to(self._lengths.device, torch.int64)
