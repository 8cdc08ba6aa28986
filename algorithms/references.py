"""The reference rows that need no training: the zero action, and uniform actions.

Every table needs them: a result near theirs has learnt nothing, whatever it beats. They are meta-tested like any
algorithm, under the same protocol and on the same tasks; the adaptation data are collected, and ignored.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from pydantic import Field

from algorithms.base import Adaptation, AdaptConfig, Agent, Algorithm, TrainConfig, Transition
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry

ALGORITHMS = (
    AlgorithmEntry(
        name="null", algorithm="Null", train="UntrainedTrain", adapt="UntrainedAdapt",
        summary="reference: the zero action",
        source="this benchmark", trains_on=(),
        colour="#8F9499", marker="+", dashes=":",
    ),
    AlgorithmEntry(
        name="random", algorithm="Random", train="UntrainedTrain", adapt="UntrainedAdapt",
        summary="reference: uniform actions",
        source="this benchmark", trains_on=(),
        colour="#8F9499", marker="x", dashes=":",
    ),
)  # fmt: skip


class UntrainedTrain(TrainConfig):
    """No meta-training: it costs no environment step, whatever the budget."""

    precision: Literal["fp32"] = Field(default="fp32", description="nothing is computed; the same on every machine")

    def first_steps(self, num_tasks: int) -> int:
        """None."""
        del num_tasks
        return 0


class UntrainedAdapt(AdaptConfig):
    """No adaptation."""


class Untrained(Algorithm, ABC):
    """An algorithm that is tested as it is built."""

    config: UntrainedTrain

    def steps_of_next_iteration(self) -> float:
        """Infinity: there is no next iteration."""
        return math.inf

    def iterate(self) -> dict[str, float]:
        """Never called by the suite.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"{type(self).__name__} has nothing to train")

    def parts(self) -> dict[str, Part]:
        """Nothing but the generators that every algorithm has."""
        return {}


class Null(Untrained):
    """The zero action."""

    def agent(self, config: UntrainedAdapt, seed: int) -> NullAgent:
        """An agent that does nothing."""
        del config
        return NullAgent(self.source.spaces.action_dim, seed)


class Random(Untrained):
    """Uniform actions."""

    def agent(self, config: UntrainedAdapt, seed: int) -> RandomAgent:
        """An agent that draws every action."""
        del config
        return RandomAgent(self.source.spaces.action_dim, seed)


class UntrainedAgent(Agent, ABC):
    """What does not depend on what was seen."""

    def __init__(self, action_dim: int, seed: int) -> None:
        self.action_dim = action_dim
        self.seed = seed
        self.generator = np.random.default_rng(seed)

    def begin(self, num_tasks: int) -> None:
        """Nothing is kept per task."""

    @abstractmethod
    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Actions (row, action), the same kind for exploration and evaluation."""

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Ignore."""

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One point, without updates."""
        yield Adaptation(0, {})

    def fork(self, episodes: int) -> Self:
        """A copy that starts from the seed again: every evaluation draws the same actions."""
        del episodes
        return type(self)(self.action_dim, self.seed)


class NullAgent(UntrainedAgent):
    """Always the zero action."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Zeros."""
        return np.zeros((len(observations), self.action_dim), np.float32)


class RandomAgent(UntrainedAgent):
    """Uniform actions in [-1, 1]."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Draws from the agent's own generator."""
        return self.generator.uniform(-1.0, 1.0, (len(observations), self.action_dim)).astype(np.float32)
