"""A base for first algorithms: of an agent only how it acts, and what it makes of a task's data, have to be said.

It is slow beside the others, since every task is adapted to on its own and in NumPy, and in return there is no batch of
tasks to think of. `offmap new algorithm NAME` writes an algorithm that stands on it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from algorithms.base import Adaptation, AdaptConfig, Agent, Algorithm, Before, Transition
from tasks.spec import SpaceSpec


class TaskData(NamedTuple):
    """What was observed in one task, in order.

    observations: (step, observation), actions: (step, action), rewards: (step,), next_observations: (step,
    observation), terminated: (step,) whether the family's rule ended the episode, ends: (step,) whether anything did.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray
    ends: np.ndarray


class SimpleAgent(ABC):
    """An agent of one task. What it has learnt of the task is its state, any value, which nothing changes in place."""

    def __init__(self, spaces: SpaceSpec) -> None:
        """`spaces` has the sizes of observations and actions."""
        self.spaces = spaces

    @abstractmethod
    def policy(self, observations: np.ndarray, state: Any) -> np.ndarray:
        """Actions (row, action) in [-1, 1] for observations (row, observation): the same ones for the same state."""

    @abstractmethod
    def adapt(self, data: TaskData) -> Any:
        """The state after the data of a task; without any data, what is expected of a task before it is seen."""

    def explore(self, observations: np.ndarray, state: Any, generator: np.random.Generator) -> np.ndarray:
        """Actions (row, action) for collecting the data of a task; here: uniform ones."""
        del state
        return generator.uniform(-1.0, 1.0, (len(observations), self.spaces.action_dim))


class SimpleAdapt(AdaptConfig):
    """The state is worked out once, from all of the adaptation data."""

    twin: ClassVar[dict[str, Any]] = {"adapts": False}

    adapts: bool = Field(default=True, description="whether the data of a task are used: not, in the unadapted twin")

    @property
    def before(self) -> Before:
        """Nothing is known of the task yet."""
        return Before("unadapted", "the state that follows from no data")


class OneByOne(Agent):
    """Many tasks at once, to the suite: to a `SimpleAgent` one after the other."""

    def __init__(self, simple: SimpleAgent, config: SimpleAdapt, seed: int) -> None:
        self.simple, self.config, self.seed = simple, config, seed

    def begin(self, num_tasks: int) -> None:
        """A trial in tasks of which nothing is known."""
        self.episodes = 1
        self.generator = np.random.default_rng(self.seed)
        self.seen: list[list[tuple[Any, ...]]] = [[] for _ in range(num_tasks)]
        self.states = [self.simple.adapt(self._data(rows)) for rows in self.seen]

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Actions (row, action), task by task."""
        parts = zip(np.split(observations, len(self.states)), self.states)
        if explore:
            actions = [self.simple.explore(part, state, self.generator) for part, state in parts]
        else:
            actions = [self.simple.policy(part, state) for part, state in parts]
        return np.concatenate(actions).astype(np.float32).clip(-1.0, 1.0)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Keep the transitions of active rows."""
        for row in np.flatnonzero(active):
            self.seen[row].append((*(np.array(part[row]) for part in transition), bool(episode_end[row])))

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One point, without gradient updates."""
        if self.config.adapts:
            self.states = [self.simple.adapt(self._data(rows)) for rows in self.seen]
        yield Adaptation(0, {})

    def fork(self, episodes: int) -> OneByOne:
        """A copy, whose draws are its own."""
        fork = copy.copy(self)
        fork.generator, fork.seen = copy.deepcopy(self.generator), [list(rows) for rows in self.seen]
        return fork

    def _data(self, rows: list[tuple[Any, ...]]) -> TaskData:
        spaces = self.simple.spaces
        shapes = ((spaces.observation_dim,), (spaces.action_dim,), (), (spaces.observation_dim,), (), ())
        columns = zip(*rows) if rows else [()] * len(shapes)
        kinds = (np.float64,) * 4 + (bool, bool)
        return TaskData(
            *(np.array(column, kind).reshape(-1, *shape) for column, shape, kind in zip(columns, shapes, kinds))
        )


class SimpleAlgorithm(Algorithm, ABC):
    """A meta-training whose agents are simple. What is left to be said of it: `iterate`, `parts`, `simple_agent`."""

    @abstractmethod
    def simple_agent(self) -> SimpleAgent:
        """An agent with what has been meta-trained so far."""

    def agent(self, config: Any, seed: int) -> Agent:
        """Such an agent for many tasks."""
        return OneByOne(self.simple_agent(), config, seed)
