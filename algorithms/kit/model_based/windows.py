"""Windows of an episode: the transitions just before a step, and those from it on.

`WindowIndex` cuts them out of a replay, whatever task the episodes came from (Nagabandi, Clavera et al. 2018, section
4: a task is a stretch of a trajectory); `RecentTransitions` holds the past window of episodes that are still running.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.replay import Transitions, on_device
from tasks.spec import SpaceSpec


class Windows(NamedTuple):
    """Replay slots of windows, and what each weighs in its window's mean: weights sum to 1, 0 where there is none.

    past, past_weights: (window, past); future, future_weights: (window, future).
    """

    past: Tensor
    past_weights: Tensor
    future: Tensor
    future_weights: Tensor


class WindowIndex:
    """All windows of the episodes of a store: one around every step that has `least_past` steps before it.

    Near an episode's ends a window is shorter; no window spans two episodes.
    """

    def __init__(self, past: int, future: int, least_past: int, device: torch.device) -> None:
        self.past, self.future, self.least_past = past, future, least_past
        self.device = device
        self.starts: list[int] = []  # slot of the first transition of each episode
        self.lengths: list[int] = []  # transitions of each episode
        self._tables: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def number(self) -> int:
        """How many windows there are."""
        return sum(max(length - self.least_past, 0) for length in self.lengths)

    def add(self, slots: Tensor) -> None:
        """Enter an episode by its consecutive slots, (step,)."""
        self.starts.append(int(slots[0]))
        self.lengths.append(len(slots))
        self._tables = None

    def sample(self, number: int, generator: torch.Generator) -> Windows:
        """`number` windows, drawn uniformly with replacement.

        Raises:
            ValueError: there are none.
        """
        if not self.number:
            raise ValueError(f"no episode has more than {self.least_past} steps, so there is no window to sample")
        starts, lengths, ends = self._on_device()
        drawn = torch.randint(self.number, (number,), generator=generator, device=self.device)
        episodes = torch.searchsorted(ends, drawn, right=True)
        counts = (lengths[episodes] - self.least_past).clamp_min(0)
        steps = self.least_past + drawn - (ends[episodes] - counts)  # of the first future transition
        past = steps.unsqueeze(1) - torch.arange(self.past, 0, -1, device=self.device)
        future = steps.unsqueeze(1) + torch.arange(self.future, device=self.device)
        last = lengths[episodes].unsqueeze(1) - 1
        first_slots = starts[episodes].unsqueeze(1)
        return Windows(
            first_slots + past.clamp_min(0), _shares(past >= 0),
            first_slots + torch.minimum(future, last), _shares(future <= last),
        )  # fmt: skip

    def _on_device(self) -> tuple[Tensor, Tensor, Tensor]:
        """Starts and lengths of the episodes, and the running total of their windows."""
        if self._tables is None:
            starts, lengths = np.array(self.starts, np.int64), np.array(self.lengths, np.int64)
            ends = np.maximum(lengths - self.least_past, 0).cumsum()
            tables = [on_device(values, self.device) for values in (starts, lengths, ends)]
            self._tables = tables[0], tables[1], tables[2]
        return self._tables

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to build the same index again."""
        return {"starts": np.array(self.starts, np.int64), "lengths": np.array(self.lengths, np.int64)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self.starts = np.asarray(state["starts"]).tolist()
        self.lengths = np.asarray(state["lengths"]).tolist()
        self._tables = None


def _shares(counts: Tensor) -> Tensor:
    """Equal weights of the transitions that count (boolean), summing to 1 in each row; zeros where none does."""
    weights = counts.float()
    return weights / weights.sum(1, keepdim=True).clamp_min(1)


class RecentTransitions:
    """The last `past` transitions of each row: of its running episode, if each is cleared at its end."""

    def __init__(self, rows: int, past: int, spaces: SpaceSpec) -> None:
        self.counts = np.zeros(rows, np.int64)  # transitions since the row was cleared, (row,)
        self._observations = np.zeros((rows, past, spaces.observation_dim), np.float32)
        self._actions = np.zeros((rows, past, spaces.action_dim), np.float32)
        self._next_observations = np.zeros((rows, past, spaces.observation_dim), np.float32)

    def add(
        self, observations: np.ndarray, actions: np.ndarray, next_observations: np.ndarray, active: np.ndarray
    ) -> None:
        """Take in one step (fields with a leading row axis) of the active rows."""
        rows = np.flatnonzero(active)
        at = self.counts[rows] % self._actions.shape[1]  # a ring: the gradient does not see the order
        self._observations[rows, at] = observations[rows]
        self._actions[rows, at] = actions[rows]
        self._next_observations[rows, at] = next_observations[rows]
        self.counts[rows] += 1

    def clear(self, ended: np.ndarray) -> None:
        """Forget the transitions of the rows (boolean mask) whose episode has ended."""
        self.counts[ended] = 0

    def repeated(self, times: int) -> RecentTransitions:
        """Row-major copies: row 0's first."""
        repeat = copy.copy(self)
        for name in ("counts", "_observations", "_actions", "_next_observations"):
            setattr(repeat, name, getattr(self, name).repeat(times, axis=0))
        return repeat

    def held(self, device: torch.device) -> tuple[Transitions, Tensor]:
        """Transitions, fields (row, past, ...), and their weights (row, past): zeros where a row has none.

        Rewards and terminations are zeros: a model of the dynamics asks for neither.
        """
        past = self._actions.shape[1]
        weights = _shares(torch.as_tensor(np.arange(past) < self.counts[:, None], device=device))
        fields = (self._observations, self._actions, self._next_observations)
        before, actions, after = (torch.as_tensor(field, device=device) for field in fields)
        return Transitions(before, actions, torch.zeros_like(weights), after, torch.zeros_like(weights)), weights
