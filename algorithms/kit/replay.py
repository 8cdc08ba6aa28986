"""One append-only store of episodes, and index views on it.

An episode of T steps takes T + 1 consecutive frames (the last holds only the final observation), so the next
observation of slot i is the observation of slot i + 1 and nothing is stored twice. MIER's prior data, PEARL's
encoder data and MQL's windows are `TaskIndex` views of the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.spec import EpisodeBatch, SpaceSpec


class Transitions(NamedTuple):
    """Rows of (s, a, r, s', terminated); leading axes are whatever was asked for, terminated is float 0 or 1."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor

    def pooled(self) -> Transitions:
        """The rows of all tasks, fields (task, row, ...), as the batch of one learner, (1, task * row, ...)."""
        return Transitions(*(field.flatten(0, 1).unsqueeze(0) for field in self))


class EpisodeStore:
    """Append-only frames (slot, observation + action + reward + terminated), float32 on the learner's device."""

    def __init__(self, spaces: SpaceSpec, capacity: int, device: torch.device) -> None:
        self.spaces = spaces
        self.size = 0
        self._width = spaces.observation_dim + spaces.action_dim + 2
        # On the CPU the pages of an empty tensor are taken only when written, so a generous size costs nothing.
        self._frames = torch.empty((capacity + capacity // 50 + 2, self._width), device=device)

    @property
    def frames(self) -> Tensor:
        """All frames written so far; a prefix of it never changes again."""
        return self._frames[: self.size]

    def append(self, batch: EpisodeBatch) -> list[Tensor]:
        """Store episodes; returns the transition slots of each, (step,) int32."""
        return [self._append_episode(batch, episode) for episode in range(len(batch.lengths))]

    def remember(self, batch: EpisodeBatch, views: Sequence[TaskIndex]) -> list[Tensor]:
        """Store episodes and enter them in views; returns the slots of each row of the request, in order."""
        rows: list[list[Tensor]] = [[] for _ in range(int(batch.rows.max()) + 1)]
        for episode, slots in enumerate(self.append(batch)):
            rows[batch.rows[episode]].append(slots)
            for view in views:
                view.add(int(batch.tasks[episode]), slots)
        return [torch.cat(slots) for slots in rows]

    def _append_episode(self, batch: EpisodeBatch, episode: int) -> Tensor:
        length = int(batch.lengths[episode])
        block = np.zeros((length + 1, self._width), np.float32)
        observation_dim, action_end = self.spaces.observation_dim, self.spaces.observation_dim + self.spaces.action_dim
        block[:, :observation_dim] = batch.observations[episode, : length + 1]
        block[:length, observation_dim:action_end] = batch.actions[episode, :length]
        block[:length, action_end] = batch.rewards[episode, :length]
        block[length - 1, action_end + 1] = batch.terminated[episode]
        start = self.size
        self.extend(torch.from_numpy(block))
        return torch.arange(start, start + length, dtype=torch.int32, device=self._frames.device)

    def extend(self, frames: Tensor) -> None:
        """Append raw frames (slot, width), as a checkpoint gives them back."""
        end = self.size + len(frames)
        if end > len(self._frames):
            larger = torch.empty((max(end, 2 * len(self._frames)), self._width), device=self._frames.device)
            larger[: self.size] = self.frames
            self._frames = larger
        self._frames[self.size : end] = frames.to(self._frames.device)
        self.size = end

    def gather(self, slots: Tensor) -> Transitions:
        """The transitions at `slots`, any shape; fields have the slots' shape plus their own axis."""
        observation_dim, action_end = self.spaces.observation_dim, self.spaces.observation_dim + self.spaces.action_dim
        flat = slots.reshape(-1)
        rows = self._frames.index_select(0, flat).reshape(*slots.shape, self._width)
        following = self._frames[:, :observation_dim].index_select(0, flat + 1)
        return Transitions(
            observations=rows[..., :observation_dim],
            actions=rows[..., observation_dim:action_end],
            rewards=rows[..., action_end],
            next_observations=following.reshape(*slots.shape, observation_dim),
            terminated=rows[..., action_end + 1],
        )


class TaskIndex:
    """A view of the store: for each task the slots that belong to it, the newest `capacity` of them."""

    def __init__(self, num_tasks: int, device: torch.device, capacity: int = 1_000_000) -> None:
        self.capacity = capacity
        self.counts = np.zeros(num_tasks, np.int64)  # ever added since the last clear, per task
        self._slots = torch.zeros((num_tasks, 1024), dtype=torch.int32, device=device)

    @property
    def lengths(self) -> np.ndarray:
        """Number of slots held per task, (task,)."""
        return np.minimum(self.counts, self.capacity)

    def add(self, task: int, slots: Tensor) -> None:
        """Add slots to a task's view; beyond `capacity` the oldest are forgotten."""
        needed = min(int(self.counts[task]) + len(slots), self.capacity)
        if needed > self._slots.shape[1]:
            width = min(max(needed, 2 * self._slots.shape[1]), self.capacity)
            wider = self._slots.new_zeros((len(self.counts), width))
            wider[:, : self._slots.shape[1]] = self._slots
            self._slots = wider
        end = int(self.counts[task]) + len(slots)
        newest = slots[-self.capacity :]
        positions = torch.arange(end - len(newest), end, device=self._slots.device) % self.capacity
        self._slots[task, positions] = newest.to(self._slots.device, torch.int32)
        self.counts[task] = end

    def clear(self, task: int) -> None:
        """Forget a task's slots (the store keeps the frames)."""
        self.counts[task] = 0

    def sample(self, tasks: np.ndarray, number: int, generator: torch.Generator, oldest: int | None = None) -> Tensor:
        """Slots (task, number) int32, drawn uniformly with replacement from each named task's view.

        With `oldest`, from the so many slots alone that have been in it longest.

        Raises:
            ValueError: a named task has no data yet.
        """
        lengths = self.lengths[tasks]
        if (lengths == 0).any():
            raise ValueError(f"task {int(np.asarray(tasks)[lengths == 0][0])} has no transitions to sample from")
        device = self._slots.device
        counts = on_device(lengths, device).unsqueeze(1)
        eligible = counts if oldest is None else counts.clamp_max(oldest)
        uniforms = torch.rand((len(tasks), number), generator=generator, device=device, dtype=torch.float64)
        positions = (uniforms * eligible).long()
        if oldest is not None:  # the ring begins with its oldest slot until it has wrapped round
            positions = (positions + on_device(self.counts[tasks] - lengths, device).unsqueeze(1)) % counts
        return self._slots[on_device(tasks, device).unsqueeze(1), positions]

    def newest(self, task: int, number: int) -> Tensor:
        """The `number` slots that a task's view was given last, (number,) int32, oldest first.

        Raises:
            ValueError: it holds fewer.
        """
        if number > self.lengths[task]:
            raise ValueError(
                f"task {task} has {self.lengths[task]} transitions, and the newest {number} were asked for"
            )
        end = int(self.counts[task])
        return self._slots[task, torch.arange(end - number, end, device=self._slots.device) % self.capacity]

    def held(self, task: int) -> Tensor:
        """The slots a task's view holds, (number,), in the order of the ring."""
        return self._slots[task, : int(self.lengths[task])]

    def state(self) -> dict[str, Tensor | np.ndarray]:
        """Everything needed to build the same view again."""
        held = [self.held(task) for task in range(len(self.counts))]
        return {"counts": self.counts.copy(), "slots": torch.cat(held).cpu()}

    def load_state(self, state: dict[str, Tensor | np.ndarray]) -> None:
        """Restore what `state` returned."""
        counts = np.asarray(state["counts"], np.int64)
        lengths = np.minimum(counts, self.capacity)
        width = max(int(lengths.max(initial=0)), 1024)
        self._slots = self._slots.new_zeros((len(counts), width))
        flat = torch.as_tensor(state["slots"]).to(self._slots.device)
        for task, slots in enumerate(flat.split(lengths.tolist())):
            self._slots[task, : len(slots)] = slots
        self.counts = counts.copy()


def on_device(values: np.ndarray, device: torch.device) -> Tensor:
    """The values as a tensor on the device; a GPU is not waited for, so that a gradient step never stalls on it."""
    held = torch.as_tensor(np.asarray(values))
    return held.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else held
