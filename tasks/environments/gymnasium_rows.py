"""Anyone's gymnasium environment as a family of tasks: an environment per row, stepped one after the other.

That is slow, by an order of magnitude or two beside the batched environments of this package, and asks for no more than
a function that puts a task's parameters into an environment. Episodes do not depend on what a row did before: each is
seeded anew by its own generator. So nothing of an environment has to be saved to continue a killed run bit for bit, or
to copy an episode: playing it again is enough. An environment that does not play the same again is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import flatten

from tasks.errors import UserError, in_words
from tasks.spec import Step, TaskFamily

Make = Callable[[], gymnasium.Env]
SetParameter = Callable[..., object]
Rule = Callable[[Any], Any]

PROBE_STEPS = 10  # that two environments have to play alike before any row is stepped


def never(next_observations: Any) -> Any:
    """Whether an episode ends with these observations, (..., observation) -> (...): never."""
    return next_observations[..., 0] < -math.inf


class GymnasiumRows:
    """An environment per row; `from_gymnasium` makes a class per family. Implements `tasks.spec.BatchedEnvironment`.

    Attributes:
        make: What makes an environment, without a time limit.
        called: What the environment is called in messages.
        set_parameter: `(environment, *values)`, before every reset.
        terminated: The family's rule, observations (..., observation) -> booleans (...).
        plays_again: Whether it has been looked at, in this process, that an episode can be played again.
    """

    make: ClassVar[Make]
    called: ClassVar[str]
    set_parameter: ClassVar[SetParameter]
    terminated: ClassVar[Rule]
    plays_again: ClassVar[bool] = False

    def __init__(self, family: TaskFamily, num_rows: int, threads: int = 1) -> None:
        del threads  # one environment after the other
        self.family, self.num_rows = family, num_rows
        self._environments: list[gymnasium.Env | None] = [None] * num_rows  # made when a row is first reset
        self._values = np.zeros((num_rows, family.parameter_dim))
        self._observations = np.zeros((num_rows, family.observation_dim), np.float32)

    def set_tasks(self, values: np.ndarray) -> None:
        """Give every row its task, `values: (row, parameter)`; takes effect at the row's next reset."""
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self._values.shape:
            raise ValueError(
                f"{self.family.name}: task values of shape {values.shape} given, (row, parameter) = "
                f"{self._values.shape} needed."
            )
        self._values = values.copy()

    def reset(self, rows: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Observations of all rows, (row, observation), after an episode was started in the named rows.

        Raises:
            UserError: the environment fails, gives what is no observation, or does not play the same again.
        """
        for row, generator in zip(rows, generators, strict=True):
            seed = int(generator.integers(2**31))
            if not type(self).plays_again:
                self._refuse_unrepeatable(self._values[row], seed)
            environment = self._environments[row] or self._made()
            self._environments[row] = environment
            self._observations[row] = self._started(environment, self._values[row], seed)
        return self._observations.copy()

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Advance the active rows (boolean mask; None: all) by one step. actions: (row, action) in [-1, 1].

        Raises:
            UserError: the environment fails, gives what is no step, or ends an episode that it was said never to end.
        """
        if actions.shape != (self.num_rows, self.family.action_dim):
            raise ValueError(
                f"actions of shape {actions.shape} given, (row, action) = {(self.num_rows, self.family.action_dim)} "
                "needed."
            )
        rewards, ends = np.zeros(self.num_rows, np.float32), np.zeros(self.num_rows, bool)
        for row in range(self.num_rows) if active is None else np.flatnonzero(active):
            environment = self._environments[row]
            if environment is None:
                raise RuntimeError(f"row {row} has not been reset: call reset before step.")
            self._observations[row], rewards[row], ends[row] = self._advanced(environment, actions[row])
        return Step(self._observations.copy(), rewards, ends)

    # --- a single environment ---

    def _made(self) -> gymnasium.Env:
        with in_words(f"{self.family.name}: {self.called} cannot be made"):
            return type(self).make()

    def _started(self, environment: gymnasium.Env, values: np.ndarray, seed: int) -> np.ndarray:
        """The first observation of an episode in a task, (observation,)."""
        with in_words(f"{self.family.name}: set_parameter failed at {values.tolist()}"):
            type(self).set_parameter(environment, *self._arguments(values))
        with in_words(f"{self.family.name}: {self.called} failed at reset"):
            observation, _ = environment.reset(seed=seed)
        return self._flat(environment, observation)

    def _arguments(self, values: np.ndarray) -> Iterator[Any]:
        """A task's values by parameter: numbers, and arrays where a parameter has several elements."""
        start = 0
        for parameter in self.family.parameters:
            part = values[start : start + parameter.size]
            yield float(part[0]) if parameter.size == 1 else part.copy()
            start += parameter.size

    def _advanced(self, environment: gymnasium.Env, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Next observation (observation,), reward, and whether the episode has ended by the environment's rule."""
        space: Any = environment.action_space
        where = f"{self.family.name}: {self.called}"
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        within = np.clip(action.astype(np.float64), -1.0, 1.0).reshape(space.shape)
        scaled = np.clip((high + low) / 2 + (high - low) / 2 * within, low, high).astype(space.dtype)
        with in_words(f"{where} failed in a step"):
            observation, reward, terminated, truncated, _ = environment.step(scaled)
            number = float(reward)
        if not math.isfinite(number):
            raise UserError(f"{where} gave the reward {number}; rewards have to be finite numbers")
        if truncated and not terminated:
            raise UserError(
                f"{where} cut an episode by itself; a family's horizon does that ({self.family.horizon} steps): make "
                "the environment without a time limit (max_episode_steps=-1)"
            )
        if terminated and not self.family.terminates:
            raise UserError(
                f"{where} ended an episode, and nothing says when it does: give `terminated`, its rule as a function "
                "of next observations, which algorithms that relabel or plan ask too"
            )
        return self._flat(environment, observation), number, bool(terminated)

    def _flat(self, environment: gymnasium.Env, observation: Any) -> np.ndarray:
        """An observation as float32 (observation,)."""
        what = f"{self.family.name}: {self.called} gave an observation that is not of its observation_space"
        with in_words(what), np.errstate(over="ignore"):
            flat = np.asarray(flatten(environment.observation_space, observation), np.float32).reshape(-1)
        if flat.shape != (self.family.observation_dim,):
            raise UserError(
                f"{self.family.name}: {self.called} gave {flat.size} numbers as an observation, and its "
                f"observation_space has {self.family.observation_dim}"
            )
        if not np.isfinite(flat).all():
            raise UserError(f"{self.family.name}: {self.called} gave an observation that is not finite: {flat}")
        return flat

    def _refuse_unrepeatable(self, values: np.ndarray, seed: int) -> None:
        """Nothing, if two environments play an episode alike, one of them after another episode.

        Raises:
            UserError: they do not, so that no run on them could be continued, copied or made again.
        """
        used = self._made()
        self._played(used, values, seed + 1)
        fresh, other = (self._played(environment, values, seed) for environment in (self._made(), used))
        if not np.array_equal(fresh, other):
            raise UserError(
                f"{self.family.name}: {self.called} does not play an episode the same again, so no run could be "
                "continued or made again: let it draw from `self.np_random` alone, which `reset(seed=...)` seeds, and "
                "keep nothing from one episode to the next"
            )
        type(self).plays_again = True

    def _played(self, environment: gymnasium.Env, values: np.ndarray, seed: int) -> np.ndarray:
        """Observations and rewards of a short episode of drawn actions, end to end."""
        draw, numbers = np.random.default_rng(seed), [self._started(environment, values, seed)]
        for _ in range(min(PROBE_STEPS, self.family.horizon)):
            action = draw.uniform(-1.0, 1.0, self.family.action_dim).astype(np.float32)
            observation, reward, ended = self._advanced(environment, action)
            numbers += [observation, np.array([reward])]
            if ended:
                break
        return np.concatenate(numbers)
