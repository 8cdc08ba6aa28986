"""Replay of whole trials: several episodes in one task, one after the other, as the sequences that memories learn from.

What a memory reads at a step is the observation, the action and reward before it, and whether an episode has just
ended. Trials all have the same number of steps; episodes restart within them, and the end of a trial may cut the last.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.kit.replay import EpisodeStore, TaskIndex
from tasks.spec import EpisodeBatch


class Trials(NamedTuple):
    """Trials of equal length: fields (step, trial, ...), the first two with one step more, which was not acted in.

    observations; previous (..., action + 2): the action and the reward before, and 1 where an episode has just ended,
    all 0 at a trial's start; actions, rewards and terminated (float 0 or 1, by the family's rule) of each step.
    """

    observations: Tensor
    previous: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor


class TrialReplay:
    """The newest `capacity` transitions of a store, in trials of `length` transitions."""

    def __init__(self, store: EpisodeStore, length: int, capacity: int, device: torch.device) -> None:
        self.store = store
        self.length = length
        self._slots = TaskIndex(1, device, capacity // length * length)  # trial after trial, so that none is torn

    def __len__(self) -> int:
        """How many trials there are."""
        return int(self._slots.lengths[0]) // self.length

    def add(self, batch: EpisodeBatch) -> None:
        """Store the episodes of a collection whose every row is a trial."""
        for slots in self.store.remember(batch, ()):
            self._slots.add(0, slots)

    def sample(self, number: int, generator: torch.Generator) -> Trials:
        """So many trials, uniformly and with replacement."""
        drawn = torch.rand(number, generator=generator, device=generator.device, dtype=torch.float64)
        slots = self._slots.held(0).unflatten(0, (-1, self.length))
        return self.gather(slots.index_select(0, (drawn * len(self)).long()).T)

    def gather(self, slots: Tensor) -> Trials:
        """The trials whose transitions are at `slots` (step, trial).

        What is observed after the last step is where it led, or, if that ended an episode, the trial's first
        observation: as a start to go on from.
        """
        data = self.store.gather(slots)
        ends = self._ends(slots, data.terminated)
        behind = torch.where(ends[-1:].unsqueeze(-1), data.observations[:1], data.next_observations[-1:])
        step = torch.cat([data.actions, data.rewards.unsqueeze(-1), ends.unsqueeze(-1)], dim=-1)
        previous = torch.cat([torch.zeros_like(step[:1]), step])
        observations = torch.cat([data.observations, behind])
        return Trials(observations, previous, data.actions, data.rewards, data.terminated)

    def _ends(self, slots: Tensor, terminated: Tensor) -> Tensor:
        """Whether an episode ended with each step (step, trial), by its rule or at the horizon, not by being cut.

        Behind an episode's last transition lies the frame of its last observation, so that slots jump there.
        """
        jumps = slots[1:] != slots[:-1] + 1
        starts = torch.arange(1, len(slots), device=slots.device).unsqueeze(1) * jumps
        length_of_last = len(slots) - (starts.amax(0) if len(starts) else 0)
        last = terminated[-1].bool() | (length_of_last == self.store.spaces.horizon)
        return torch.cat([jumps, last.unsqueeze(0)])

    def state(self) -> dict[str, Tensor]:
        """Which slots are in it; the frames are the store's."""
        return self._slots.state()  # type: ignore[return-value]

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` returned."""
        self._slots.load_state(state)  # type: ignore[arg-type]
