"""The families as gymnasium environments: one task at a time, or a vector of them.

Without a task given, every episode draws one from the chosen list. Of `reset` they know one option, `task`: a task
given in `options={"task": ...}` stays until another is given; `{"task": None}` goes back to drawing.

Both can be copied and pickled in the middle of an episode (`tasks.environments.episodes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from tasks.environments.episodes import Episodes
from tasks.registry import InvalidDeclaration, get_family, get_split, refuse_out_of_range, splits
from tasks.spec import Task, TaskFamily

TaskChoice = Task | int | Sequence[float] | np.ndarray


class TaskList:
    """One list of a split, to draw a task from or to look one up in."""

    def __init__(self, family: TaskFamily, split: str | None, list_name: str) -> None:
        name = split or next(known.name for known in splits() if known.family == family.name)
        self.family, self.split = family, get_split(name if "." in name else f"{family.name}.{name}")
        if list_name not in self.split.lists:
            names = ", ".join(self.split.lists)
            raise InvalidDeclaration(f"{self.split.full_name} has no list {list_name!r}; it has {names}.")
        self.tasks = self.split.tasks(list_name)

    def draw(self, generator: np.random.Generator) -> Task:
        """A task of the list, all equally likely."""
        return self.tasks[int(generator.integers(len(self.tasks)))]

    def resolve(self, choice: TaskChoice) -> Task:
        """The task meant by a `Task`, an index into the list, or parameter values (index -1: not from the list).

        Raises:
            InvalidDeclaration: the index, the number of values or one of them is not one of this family's.
        """
        if isinstance(choice, Task):
            if choice.family == self.family.name:
                return choice
            given = f"a task of {choice.family}"
        elif isinstance(choice, int | np.integer):
            if 0 <= choice < len(self.tasks):
                return self.tasks[choice]
            given = f"index {choice}"
        else:
            try:
                values = tuple(float(value) for value in np.atleast_1d(choice))
            except (TypeError, ValueError):
                values, given = (), repr(choice)
            else:
                given = f"{len(values)} values"
            if len(values) == self.family.parameter_dim:
                refuse_out_of_range(values, self.family, f"task of {self.family.name}")
                return Task(family=self.family.name, index=-1, values=values)
        raise InvalidDeclaration(
            f"{given} given as the task of {self.family.name}; allowed are its tasks, an index from 0 to "
            f"{len(self.tasks) - 1} into the chosen list, or {self.family.parameter_dim} parameter values."
        )


def _spaces(family: TaskFamily) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Observation and action space of a family."""
    return (
        gymnasium.spaces.Box(-np.inf, np.inf, (family.observation_dim,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (family.action_dim,), np.float32),
    )


def _chosen(options: dict[str, Any] | None) -> tuple[bool, Any]:
    """Whether the options of a reset choose a task, and which.

    Raises:
        InvalidDeclaration: there is an option that is not known.
    """
    unknown = sorted(map(str, {*(options or {})} - {"task"}))
    if unknown:
        raise InvalidDeclaration(f"reset has no option {', '.join(unknown)}; the one that it has is `task`.")
    return bool(options), (options or {}).get("task")


def _info(task: Task) -> dict[str, Any]:
    return {"task": task.index, "task_values": np.array(task.values)}


class TaskEnv(gymnasium.Env):
    """One task of a family at a time: a batch of one row. `gymnasium.make` adds the time limit.

    Args:
        family: name or nickname.
        split: name of one of its splits; the family's first, if none is given.
        list_name: the list to draw tasks from: train, test, test_id, or a further list of the split.
        render_mode: `rgb_array`, for images by `render`; needs OpenGL where the family has a body.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(
        self, family: str, split: str | None = None, list_name: str = "train", render_mode: str | None = None
    ) -> None:
        self.family = get_family(family)
        self.render_mode = _known_mode(render_mode)
        self.metadata = self.metadata | {"render_fps": max(1, round(1 / self.family.dt))}
        self.task_list = TaskList(self.family, split, list_name)
        self.observation_space, self.action_space = _spaces(self.family)
        self._episodes = Episodes(self.family.name, 1)
        self._given: Task | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of an episode, and which task it is: `task` (index) and `task_values`."""
        super().reset(seed=seed)
        is_chosen, given = _chosen(options)
        if is_chosen:
            self._given = None if given is None else self.task_list.resolve(given)
        task = self._given or self.task_list.draw(self.np_random)
        return self._episodes.start(np.arange(1), np.array([task.values]), [self.np_random])[0], _info(task)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated (never) and an empty info, after one control step."""
        observations, rewards, terminated = self._episodes.step(np.asarray(action, dtype=np.float32)[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), False, {}

    def render(self) -> np.ndarray | None:
        """What it looks like now, (height, width, 3) bytes; None without a render mode.

        Raises:
            RenderingUnavailable: OpenGL does not work here, or the family does not say what it looks like.
        """
        if self.render_mode is None:
            return None
        batch: Any = self._episodes.batch
        if not hasattr(batch, "image"):
            from tasks.environments.rendering import RenderingUnavailable

            raise RenderingUnavailable(f"{self.family.name} does not say what it looks like (`image(row)`).")
        return np.asarray(batch.image(0))


def _known_mode(render_mode: str | None) -> str | None:
    """The render mode, if there is such a one; before the simulator is imported, which then knows how to draw."""
    if render_mode is not None:
        import tasks.environments.rendering  # noqa: F401 - chooses OpenGL's way to draw

    if render_mode not in (None, "rgb_array"):
        raise InvalidDeclaration(f"render_mode {render_mode!r} is not known; give rgb_array, or leave it out.")
    return render_mode


class TaskVectorEnv(VectorEnv):
    """Many tasks of a family side by side, each row reset in the step after its episode ended.

    Arguments as `TaskEnv`; rows are truncated after `max_episode_steps`, or at the family's horizon.
    `reset(options={"task": ...})` takes one task for all rows, or a list with one per row.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        num_envs: int,
        family: str,
        split: str | None = None,
        list_name: str = "train",
        max_episode_steps: int | None = None,
        threads: int = 1,
    ) -> None:
        given = {"num_envs": num_envs, "threads": threads}
        if max_episode_steps is not None:
            given["max_episode_steps"] = max_episode_steps
        for name, number in given.items():
            if number < 1:
                raise InvalidDeclaration(f"{name} is {number}; it has to be 1 or more.")
        self.num_envs, self.family = num_envs, get_family(family)
        self.task_list = TaskList(self.family, split, list_name)
        self.single_observation_space, self.single_action_space = _spaces(self.family)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.max_episode_steps = max_episode_steps or self.family.horizon
        self._episodes = Episodes(self.family.name, num_envs, threads)
        self._generators = [seeding.np_random()[0] for _ in range(num_envs)]
        self._given: list[Task | None] = [None] * num_envs
        self._values = np.zeros((num_envs, self.family.parameter_dim))
        self._indices = np.full(num_envs, -1)
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations of all rows, (row, observation), and their tasks; `seed` as in gymnasium's vectors."""
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        for row, row_seed in enumerate(seeds or ()):
            if row_seed is not None:
                self._generators[row] = seeding.np_random(row_seed)[0]
        is_chosen, given = _chosen(options)
        if is_chosen:
            choices = given if isinstance(given, list) else [given] * self.num_envs
            if len(choices) != self.num_envs:
                raise InvalidDeclaration(f"a list of {len(choices)} tasks given for {self.num_envs} rows.")
            self._given = [None if choice is None else self.task_list.resolve(choice) for choice in choices]
        return self._start(np.arange(self.num_envs)), self._infos()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations, rewards, terminated and truncated, each with one entry per row, and the rows' tasks."""
        resting = self._ended
        observations, rewards, terminated = self._episodes.step(np.asarray(actions, dtype=np.float32), ~resting)
        self._steps += 1
        if resting.any():
            observations = self._start(np.flatnonzero(resting))
        truncated = self._steps >= self.max_episode_steps
        self._ended = terminated | truncated
        return observations, rewards, terminated, truncated, self._infos()

    def _start(self, rows: np.ndarray) -> np.ndarray:
        """Observations of all rows, after a new episode in these."""
        for row in rows:
            task = self._given[row] or self.task_list.draw(self._generators[row])
            self._values[row], self._indices[row] = task.values, task.index
        self._steps[rows], self._ended = 0, self._ended & ~np.isin(np.arange(self.num_envs), rows)
        return self._episodes.start(rows, self._values[rows], [self._generators[row] for row in rows])

    def _infos(self) -> dict[str, Any]:
        return {"task": self._indices.copy(), "task_values": self._values.copy()}
