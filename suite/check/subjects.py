"""Algorithms as checks build them: small, on the point families, and agents that are told what checks invent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from algorithms.base import Agent, Algorithm, Transition
from algorithms.registry import AlgorithmEntry, training_entry
from suite.experiment.expansion import training_tasks
from suite.experiment.specs import TrainingSpec
from suite.run.rollout import Meter
from suite.run.saving.state_tree import flattened
from suite.run.training import training_source
from tasks.registry import get_family, get_split
from tasks.spec import TaskFamily, TaskSplit

SPLITS = ("point-goal.ood", "point-dynamics.ood")
TASKS, STEPS, EPISODE = 2, 20, 10


@dataclass(frozen=True)
class Subject:
    """An algorithm that is checked, by its entry."""

    entry: AlgorithmEntry

    @cached_property
    def split(self) -> TaskSplit:
        """A point family's split on which it runs.

        Raises:
            ValueError: it runs on neither.
        """
        for split in map(get_split, SPLITS):
            if self.entry.unsupported(get_family(split.family)) is None:
                return split
        raise ValueError(f"{self.entry.name} runs on neither point family, where checks take seconds")

    @property
    def family(self) -> TaskFamily:
        """The family of that split."""
        return get_family(self.split.family)

    def train(self) -> Any:
        """Its smallest `train` block."""
        tiny = training_entry(self.entry.training).tiny_train  # of the first that share it
        return self.entry.load("train").model_validate(dict(tiny))

    def adapt(self) -> Any:
        """Its smallest `adapt` block."""
        return self.entry.load("adapt").model_validate(dict(self.entry.tiny_adapt))

    def built(
        self, seed: int = 0, meter: Meter | None = None, config: Any = None, split: TaskSplit | None = None
    ) -> Algorithm:
        """A fresh algorithm on the training tasks of a split."""
        split, config = split or self.split, config or self.train()
        spec = TrainingSpec(
            algorithm=self.entry.training, family=split.family, family_version=get_family(split.family).version,
            train_tasks=training_tasks(self.entry, split), config=config.model_dump(mode="json"), seed=seed,
        )  # fmt: skip
        source = training_source(spec, meter or Meter())
        made: Algorithm = self.entry.load("algorithm")(
            config, source, seed=seed, device=torch.device("cpu"), capacity=5000
        )
        return made

    def trained(self, iterations: int = 2, **arguments: Any) -> Algorithm:
        """After some iterations, if it trains at all."""
        algorithm = self.built(**arguments)
        for _ in range(iterations if self.entry.trains_on else 0):
            algorithm.iterate()
        return algorithm

    def begin(self, agent: Agent, tasks: int = TASKS) -> None:
        """Start a trial, of whose tasks a privileged agent is told the parameters."""
        agent.begin(tasks)
        if self.entry.privileged:
            agent.reveal(np.array([task.values for task in self.split.tasks("test")[:tasks]]))

    def probe(self, rows: int) -> np.ndarray:
        """Observations (row, observation), each row another one, the same for every call."""
        draw = np.random.default_rng(1)
        return draw.standard_normal((rows, self.family.observation_dim)).astype(np.float32)

    def live(
        self,
        agent: Agent,
        garbage: int = 0,
        ends_at: tuple[int, ...] = (STEPS, STEPS),
        explore: bool = True,
        first: int | None = None,
    ) -> None:
        """Have a begun agent collect made-up transitions, `ends_at` in each task.

        Afterwards a task's row is not active; what it is told then depends on `garbage` alone. What the first task
        shows depends on `first`, if that is given.
        """
        draw, foul, other = (np.random.default_rng(seed) for seed in (0, garbage, first))
        size = self.family.observation_dim
        for step in range(STEPS + EPISODE // 2):
            observations, following = draw.standard_normal((2, TASKS, size)).astype(np.float32)
            rewards = draw.standard_normal(TASKS).astype(np.float32)
            if first is not None:
                observations[0], following[0] = other.standard_normal((2, size))
                rewards[0] = other.standard_normal()
            actions = np.array(agent.act(observations, explore=explore))
            active = step < np.array(ends_at)
            off = ~active
            told = Transition(observations.copy(), actions.copy(), rewards, following, np.zeros(TASKS, bool))
            for part in told[:-1]:
                part[off] = foul.standard_normal(part[off].shape)
            agent.observe(told, active, active & (step % EPISODE == EPISODE - 1))


def reached(start: object) -> Iterator[object]:
    """What attributes, items and elements lead to from an object, itself first, each once."""
    seen, queue = set(), [start]
    while queue:
        thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, dict):
            queue += list(thing.values())
        elif isinstance(thing, list | tuple):
            queue += list(thing)
        elif hasattr(thing, "__dict__"):
            queue += list(vars(thing).values())


def parameters_of_tests(split: TaskSplit) -> set[float]:
    """The numbers that tell test tasks of a split, and no training task of it."""
    return {value for row in (*split.test, *split.test_id) for value in row} - {
        value for row in split.train for value in row
    }


def is_among(thing: object, numbers: set[float]) -> bool:
    """Whether an object is one of some numbers, or an array of as many digits that holds one."""
    if isinstance(thing, np.ndarray) and thing.dtype == np.float64:
        return bool(np.isin(thing, list(numbers)).any())
    return isinstance(thing, float) and thing in numbers


def tensors(algorithm: Algorithm) -> dict[str, torch.Tensor]:
    """All tensors of an algorithm's state by path, as copies."""
    return {name: tensor.detach().clone() for name, tensor in flattened(algorithm.state())[0].items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
