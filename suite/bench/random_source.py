"""Random transitions in place of a simulator, for timing algorithms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tasks.registry import reward_rule, termination_rule
from tasks.spec import Act, AfterStep, EpisodeBatch, RewardRule, TaskFamily


class RandomSource:
    """A `tasks.spec.TaskSource` whose episodes are noise, always of the full length; no policy is asked.

    Nobody is told of their steps either.
    """

    def __init__(self, family: TaskFamily, num_tasks: int) -> None:
        self.num_tasks = num_tasks
        self.spaces = family.spaces
        self.steps = 0
        self._family = family
        self._generator = np.random.default_rng(0)

    def collect(
        self,
        act: Act,
        tasks: Sequence[int],
        transitions: int,
        before_episode: Callable[[np.ndarray], None] | None = None,
        after_step: AfterStep | None = None,
    ) -> EpisodeBatch:
        """Noise in the form of `transitions` steps of each row; the last episode is cut at the quota."""
        horizon = self.spaces.horizon
        per_row = -(-transitions // horizon)
        rows = np.tile(np.arange(len(tasks)), per_row)
        lengths = np.full(len(rows), horizon)
        lengths[-len(tasks) :] = transitions - (per_row - 1) * horizon
        if before_episode is not None:
            for _ in range(per_row):
                before_episode(np.arange(len(tasks)))
        observations, actions, rewards = self._noise(len(rows))
        self.steps += len(tasks) * transitions
        over = np.zeros(len(rows), bool)
        return EpisodeBatch(observations, actions, rewards, lengths, over, rows, np.asarray(tasks)[rows])

    def terminated(self, next_observations: Any) -> Any:
        """The family's termination rule."""
        return termination_rule(self._family)(next_observations)

    @property
    def reward(self) -> RewardRule | None:
        """The family's analytic reward, or None."""
        return reward_rule(self._family)

    def _noise(self, episodes: int) -> tuple[np.ndarray, ...]:
        """Observations, actions and rewards of so many episodes."""
        spaces, draw = self.spaces, self._generator.standard_normal
        return (
            draw((episodes, spaces.horizon + 1, spaces.observation_dim), np.float32),
            np.tanh(draw((episodes, spaces.horizon, spaces.action_dim), np.float32)),
            draw((episodes, spaces.horizon), np.float32),
        )
