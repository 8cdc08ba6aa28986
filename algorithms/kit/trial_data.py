"""What an agent has seen in a trial: the adaptation data of a batch of tasks."""

from __future__ import annotations

import numpy as np
import torch

from algorithms.kit.replay import Transitions


class TrialData:
    """Transitions of `num_tasks` tasks, appended step by step; every task ends up with the same number."""

    def __init__(self, num_tasks: int) -> None:
        self._rows: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(num_tasks)]

    def add(self, transition: tuple[np.ndarray, ...], active: np.ndarray) -> None:
        """Append one step (fields with a leading task axis) for the active tasks."""
        for task in np.flatnonzero(active):
            self._rows[task].append(tuple(np.array(field[task]) for field in transition))

    @property
    def number(self) -> int:
        """Transitions of each task so far."""
        return len(self._rows[0])

    def everything(self, device: torch.device) -> Transitions:
        """All transitions, fields (task, row, ...) in the order they were seen.

        Raises:
            ValueError: the tasks have different amounts of data, or none.
        """
        numbers = {len(rows) for rows in self._rows}
        if len(numbers) != 1 or numbers == {0}:
            raise ValueError(f"adaptation needs the same amount of data in every task, got {sorted(numbers)}")
        tasks = [self.of_task(task, device) for task in range(len(self._rows))]
        return Transitions(*(torch.cat(fields) for fields in zip(*tasks)))

    def of_task(self, task: int, device: torch.device) -> Transitions:
        """One task's transitions, fields (1, row, ...)."""
        fields = (np.stack(steps).astype(np.float32)[None] for steps in zip(*self._rows[task]))
        return Transitions(*(torch.as_tensor(field, device=device) for field in fields))

    def split(
        self, fraction: float, generator: torch.Generator, device: torch.device
    ) -> tuple[Transitions, Transitions]:
        """A random `fraction` of each task's transitions to fit, and the rest to judge on."""
        return random_split(self.everything(device), fraction, generator)


def random_split(data: Transitions, fraction: float, generator: torch.Generator) -> tuple[Transitions, Transitions]:
    """A random `fraction` of each task's transitions (task, row, ...), and the rest."""
    num_tasks, number = data.rewards.shape
    order = torch.rand((num_tasks, number), generator=generator, device=data.rewards.device).argsort(dim=1)
    kept = round(fraction * number)
    return rows_of(data, order[:, :kept]), rows_of(data, order[:, kept:])


def rows_of(data: Transitions, rows: torch.Tensor) -> Transitions:
    """The transitions of each task at `rows` (task, number)."""
    tasks = torch.arange(len(rows), device=rows.device).unsqueeze(1)
    return Transitions(*(field[tasks, rows] for field in data))
