"""The one primitive that makes simulator steps, and the meter that counts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from algorithms.base import Diverged
from suite.errors import UserError, shortened
from tasks.registry import make_batch, reward_rule, termination_rule
from tasks.spec import (
    Act,
    AfterStep,
    BatchedEnvironment,
    EpisodeBatch,
    RewardRule,
    SpaceSpec,
    TaskFamily,
    Transition,
)

TRAINING, ADAPTATION, EVALUATION = 1, 2, 3
"""Streams of episode seeds: an episode of one never shares its noise with an episode of another."""

LEEWAY = 1e-5  # of rounding, beyond which an action is not in [-1, 1]


class Meter:
    """Simulator steps, counted where they are made."""

    def __init__(self) -> None:
        self.steps = 0

    def add(self, number: int) -> None:
        """Count `number` steps."""
        self.steps += number


class Watch(NamedTuple):
    """Whoever wants to see the steps of a collection as they are made."""

    before_episode: Callable[[np.ndarray], None] | None = None
    after_step: AfterStep | None = None


NOBODY = Watch()


def collect(
    environment: BatchedEnvironment,
    act: Act,
    generator_of: Callable[[int, int], np.random.Generator],
    meter: Meter,
    *,
    transitions: int | None,
    watch: Watch = NOBODY,
) -> EpisodeBatch:
    """Episodes of every row of `environment`, whose tasks have been set.

    `transitions`: exactly so many steps per row, episodes restarting in it and the last one cut; None: one episode
    per row. `generator_of(row, n)` gives the noise of a row's n-th episode. `tasks` of the result equals `rows`.

    Raises:
        Diverged: an action, an observation or a reward is not finite.
        UserError: the policy's actions are not one per row, of the family's size, in [-1, 1].
    """
    family, rows = environment.family, environment.num_rows
    recorder = _Recorder(family, rows)
    started = np.zeros(rows, np.int64)
    left = np.full(rows, family.horizon if transitions is None else transitions)

    def restart(which: np.ndarray) -> np.ndarray:
        if watch.before_episode is not None:
            watch.before_episode(which)
        observations = environment.reset(which, [generator_of(int(row), int(started[row])) for row in which])
        started[which] += 1
        recorder.begin(which, observations)
        return observations

    observations = restart(np.arange(rows))
    active = np.ones(rows, bool)
    while active.any():
        actions = _of_shape(act(observations), (rows, family.action_dim))
        _require_bounds(actions[active], observations[active])
        result = environment.step(actions, active)
        if not np.isfinite(result.rewards[active]).all():
            raise Diverged("the simulator gave a reward that is not finite")
        meter.add(int(active.sum()))
        left[active] -= 1
        over = active & (result.terminated | (recorder.steps + 1 == family.horizon) | (left == 0))
        recorder.add(observations, actions, result, active)
        if watch.after_step is not None:
            step = Transition(observations, actions, result.rewards, result.observations, result.terminated)
            watch.after_step(step, active, over)
        recorder.end(np.flatnonzero(over), result.terminated)
        observations = result.observations
        active = active & ~over if transitions is None else left > 0
        again = np.flatnonzero(over & active)
        if len(again):
            observations = restart(again)
    return recorder.batch()


def _of_shape(given: Any, shape: tuple[int, int]) -> np.ndarray:
    """The actions as float32, if they are one per row.

    Raises:
        UserError: they are not, or are no numbers.
    """
    try:
        actions = np.asarray(given, np.float32)
    except (TypeError, ValueError):
        raise UserError(f"the policy gave {shortened(given)}; an array (row, action) = {shape} is needed") from None
    if actions.shape != shape:
        raise UserError(f"the policy gave actions of shape {actions.shape}; (row, action) = {shape} is needed")
    return actions


def _require_bounds(actions: np.ndarray, observations: np.ndarray) -> None:
    """Nothing, if all of the actions (row, action) for some observations are in [-1, 1], but for rounding.

    Raises:
        Diverged: one is not finite.
        UserError: one is beyond.
    """
    sizes = np.abs(actions)
    if (sizes <= 1 + LEEWAY).all():
        return
    if not np.isfinite(observations).all():
        raise Diverged("the simulator gave an observation that is not finite")
    if not np.isfinite(actions).all():
        raise Diverged("the policy gave an action that is not finite")
    raise UserError(
        f"the policy gave an action of {actions.flat[sizes.argmax()]:.4g}; whatever the body, which scales them "
        "itself, they have to lie in [-1, 1]: clip or squash them in `act`"
    )


class _Recorder:
    """Gathers the episodes of all rows while they run."""

    def __init__(self, family: TaskFamily, rows: int) -> None:
        self.steps = np.zeros(rows, np.int64)
        self._observations = np.zeros((rows, family.horizon + 1, family.observation_dim), np.float32)
        self._actions = np.zeros((rows, family.horizon, family.action_dim), np.float32)
        self._rewards = np.zeros((rows, family.horizon), np.float32)
        self._episodes: list[tuple[np.ndarray, np.ndarray, np.ndarray, bool, int]] = []

    def begin(self, rows: np.ndarray, observations: np.ndarray) -> None:
        self.steps[rows] = 0
        self._observations[rows, 0] = observations[rows]

    def add(self, observations: np.ndarray, actions: np.ndarray, result: Any, active: np.ndarray) -> None:
        rows = np.flatnonzero(active)
        at = self.steps[rows]
        self._actions[rows, at] = actions[rows]
        self._rewards[rows, at] = result.rewards[rows]
        self._observations[rows, at + 1] = result.observations[rows]
        self.steps[rows] += 1

    def end(self, rows: np.ndarray, terminated: np.ndarray) -> None:
        for row in rows:
            length = self.steps[row]
            self._episodes.append((
                self._observations[row, : length + 1].copy(), self._actions[row, :length].copy(),
                self._rewards[row, :length].copy(), bool(terminated[row]), int(row),
            ))  # fmt: skip

    def batch(self) -> EpisodeBatch:
        lengths = np.array([len(episode[2]) for episode in self._episodes])
        number, longest = len(lengths), int(lengths.max())
        observations = np.zeros((number, longest + 1, self._observations.shape[2]), np.float32)
        actions = np.zeros((number, longest, self._actions.shape[2]), np.float32)
        rewards = np.zeros((number, longest), np.float32)
        for index, (length, episode) in enumerate(zip(lengths, self._episodes)):
            observations[index, : length + 1], actions[index, :length], rewards[index, :length] = episode[:3]
        terminated = np.array([episode[3] for episode in self._episodes])
        rows = np.array([episode[4] for episode in self._episodes])
        return EpisodeBatch(observations, actions, rewards, lengths, terminated, rows, rows)


class TrainingSource:
    """What an algorithm sees of the benchmark in meta-training: the training tasks of one split, metered.

    Implements `tasks.spec.TaskSource`. Holds no test task. Simulators are made at the first collection, so that a
    finished agent can be loaded without one.
    """

    def __init__(self, family: TaskFamily, train: Sequence[Sequence[float]], seed: int, meter: Meter) -> None:
        self.num_tasks = len(train)
        self.spaces: SpaceSpec = family.spaces
        self.episodes = 0  # started so far: names the noise of the next one
        self._family = family
        self._train = np.asarray(train, np.float64)
        self._seed = seed
        self._meter = meter
        self._environments: dict[int, BatchedEnvironment] = {}

    def collect(
        self,
        act: Act,
        tasks: Sequence[int],
        transitions: int,
        before_episode: Callable[[np.ndarray], None] | None = None,
        after_step: AfterStep | None = None,
    ) -> EpisodeBatch:
        """Exactly `transitions` steps in each of the rows; see `tasks.spec.TaskSource`."""
        rows = np.asarray(tasks)
        outside = rows[(rows < 0) | (rows >= self.num_tasks)]
        if len(outside):
            raise IndexError(f"{outside[0]} is no training task: there are {self.num_tasks}, numbered from 0")
        if len(rows) not in self._environments:
            self._environments[len(rows)] = make_batch(self._family, len(rows))
        environment = self._environments[len(rows)]
        environment.set_tasks(self._train[rows])

        def next_generator(row: int, number: int) -> np.random.Generator:
            self.episodes += 1
            return np.random.default_rng([TRAINING, self._seed, self.episodes])

        watch = Watch(before_episode, after_step)
        batch = collect(environment, act, next_generator, self._meter, transitions=transitions, watch=watch)
        return batch._replace(tasks=rows[batch.rows])

    def terminated(self, next_observations: Any) -> Any:
        """The family's termination rule."""
        return termination_rule(self._family)(next_observations)

    @property
    def reward(self) -> RewardRule | None:
        """The family's analytic reward, or None."""
        return reward_rule(self._family)


class RevealingTrainingSource(TrainingSource):
    """A source that also tells the true parameters of its tasks; for algorithms registered as privileged alone.

    Implements `tasks.spec.RevealingSource`.
    """

    @property
    def task_values(self) -> np.ndarray:
        """The parameters of every task, (task, parameter)."""
        return self._train.copy()

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """The parameters (task, parameter) of tasks, each angle as its cosine and sine: (task, coordinate)."""
        values, columns = np.asarray(values, np.float64), []
        circular = [parameter.is_circular for parameter in self._family.parameters for _ in range(parameter.size)]
        for number, is_circular in enumerate(circular):
            column = values[:, number]
            columns += [np.cos(column), np.sin(column)] if is_circular else [column]
        return np.stack(columns, axis=1)
