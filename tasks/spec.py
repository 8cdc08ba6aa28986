"""The words of the benchmark as frozen data, and the protocols that the floors above rely on.

Nothing here imports a simulator, so listing, planning and reporting stay fast.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, Self

from pydantic import AfterValidator, Field, PlainSerializer, PositiveInt, model_validator

from tasks.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np

Shift = Literal["in_distribution", "out_of_distribution", "same_tasks"]
"""How a split's test tasks relate to its training tasks; `same_tasks` is declared, never silent."""


Role = Literal["benchmark", "tuning"]
"""What a split is for: reporting results, or choosing values of ours."""

Interval = tuple[float, float]
"""A low and a high end, both included."""


class Parameter(Frozen):
    """One varied quantity of a family; `size` elements that stand next to each other in a task's values."""

    name: str
    unit: str
    low: float | None = None
    high: float | None = None
    size: int = 1
    description: str = ""

    @property
    def is_place(self) -> bool:
        """Whether it is a point of the plane: lists of such are drawn by their distance from the origin."""
        return self.size == 2 and self.unit == "m"

    @property
    def is_circular(self) -> bool:
        """Whether it is an angle that goes once round, so that its two ends are one task."""
        if self.unit != "rad" or self.low is None or self.high is None:
            return False
        return math.isclose(self.high - self.low, 2 * math.pi)


FULL = "full"  # the view of everything, which every family has

Views = Annotated[
    Mapping[str, tuple[int, ...]],
    AfterValidator(lambda views: MappingProxyType(dict(views))),  # frozen, as everything around it
    PlainSerializer(dict, return_type=dict[str, tuple[int, ...]]),
]
"""Views besides `full`: name -> positions, in the observation, of the numbers that an algorithm observes."""


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
"""Of a family, which splits, files and gymnasium's environments are named by."""


class TaskFamily(Frozen):
    """A parametric set of MDPs with equal observation and action spaces.

    Policy actions always live in [-1, 1] per dimension. `entry_point` names the environment class lazily
    (`module:Class`), so that the registry can be read without a simulator.
    """

    name: Name
    version: int = 1
    nickname: Name
    body: str
    varies: Literal["reward", "dynamics"]
    parameters: tuple[Parameter, ...] = Field(min_length=1)
    observation_dim: PositiveInt
    action_dim: PositiveInt
    horizon: PositiveInt = 200
    dt: float = Field(gt=0, description="seconds of simulated time per environment step")
    terminates: bool = Field(description="whether an episode can end before the horizon")
    analytic_reward: str | None = Field(
        default=None,
        description="declared where `reward_of` computes rewards from observations and actions, knowing nothing of the "
        "task: how it differs from the simulator's reward; None: there is none",
    )
    views: Views = Field(
        default_factory=lambda: MappingProxyType({}),
        description="what an algorithm may observe instead of everything, by name; a changed view is a new version of "
        "the family",
    )
    row_by_row: bool = Field(
        default=False,
        exclude_if=lambda row_by_row: not row_by_row,
        description="whether rows are environments of their own, stepped one after the other, which is slow",
    )
    entry_point: str
    description: str
    source: str

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        for name, columns in self.views.items():
            if name == FULL:
                raise ValueError(f"{self.name}: the view {FULL!r} is every family's own; give yours another name")
            if sorted(set(columns) & set(range(self.observation_dim))) != list(columns) or not columns:
                raise ValueError(
                    f"{self.name}: the view {name!r} needs positions from 0 to {self.observation_dim - 1}, ascending "
                    f"and each once, given {list(columns)}"
                )
        return self

    @property
    def parameter_dim(self) -> int:
        """Length of a task's values vector."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def spaces(self) -> SpaceSpec:
        """The sizes an algorithm is built for."""
        return SpaceSpec(
            observation_dim=self.observation_dim, action_dim=self.action_dim, horizon=self.horizon, views=self.views
        )


class SpaceSpec(Frozen):
    """What an algorithm may know of a family before it has seen a transition."""

    observation_dim: int
    action_dim: int
    horizon: int
    views: Views = Field(default_factory=lambda: MappingProxyType({}), description="besides `full`, as the family's")

    def columns(self, view: str) -> tuple[int, ...]:
        """Positions in the observation of the numbers that a view shows, ascending.

        Raises:
            ValueError: the family has no such view; the message lists those it has.
        """
        if view == FULL:
            return tuple(range(self.observation_dim))
        if view not in self.views:
            names = [FULL, *self.views]
            near = difflib.get_close_matches(view, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"set `view` to {' or '.join(map(repr, names))}."
            raise ValueError(f"the family has no view {view!r}: {hint} `offmap tasks show FAMILY` lists its views")
        return self.views[view]


class Task(Frozen):
    """One MDP: a family, concrete parameter values, and the position in its list."""

    family: str
    index: int
    values: tuple[float, ...]


class References(Frozen):
    """Declared ends of the normalised score of a split: returns of one episode."""

    null: float | None = Field(
        description="expected return of the zero action, mean over the test list, or None where unknown"
    )
    ceiling: float | None = Field(default=None, description="stated best return, or None where unknown")
    blind_train: float | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="return on the training tasks of the behaviour that serves them best without knowing which it is "
        "in; None where it cannot be computed. An adapting agent below it is not at its strength",
    )
    blind_test: float | None = Field(
        default=None, exclude_if=lambda value: value is None, description="the same behaviour's return on the test list"
    )
    source: str = ""


NamedLists = Annotated[
    Mapping[str, tuple[tuple[float, ...], ...]],
    AfterValidator(lambda lists: MappingProxyType(dict(lists))),  # frozen, as everything around it
    PlainSerializer(dict, return_type=dict[str, tuple[tuple[float, ...], ...]]),
]


class TaskSplit(Frozen):
    """The frozen task lists of a family: what is trained on, what is tested, and what shifts between the two.

    Lists hold parameter values, shape (task, parameter). `test_id` holds fresh tasks of the training
    distribution (or, declared in `test_id_is_train`, the training tasks themselves where no fresh one exists).
    """

    family: str
    name: str
    version: int = 1
    shift: Shift
    description: str
    train: tuple[tuple[float, ...], ...]
    test: tuple[tuple[float, ...], ...]
    test_id: tuple[tuple[float, ...], ...]
    test_id_is_train: bool = False
    extra: NamedLists = Field(
        default_factory=lambda: MappingProxyType({}), description="further named test lists, such as test_random"
    )
    adaptation_transitions: int = Field(description="adaptation data per test task, for every algorithm")
    references: References
    drawn: str = Field(description="how the lists were drawn, in words")
    axis: str = Field(default="", description="the parameter that per-task figures use as x axis")
    support: tuple[tuple[Interval, ...], ...] | None = Field(
        default=None,
        exclude_if=lambda support: support is None,
        description="the training distribution's support: for each parameter of the family the intervals that its "
        "elements (of a place: its distance from the origin) are drawn from; None: nothing but the training list",
    )
    tunes: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda names: not names,
        description="declares a tuning split: the family's benchmark splits for which values may be chosen on this one",
    )

    @property
    def full_name(self) -> str:
        """`family.split`, the name used in experiment files and records."""
        return f"{self.family}.{self.name}"

    @property
    def role(self) -> Role:
        """Whether it is one that results are reported on, or one that values are chosen on."""
        return "tuning" if self.tunes else "benchmark"

    @property
    def lists(self) -> tuple[str, ...]:
        """The names of all its lists that hold tasks."""
        return tuple(name for name in ("train", "test", "test_id", *self.extra) if self.values(name))

    def tasks(self, list_name: str) -> tuple[Task, ...]:
        """The tasks of one list (`train`, `test`, `test_id` or a name in `extra`)."""
        values = self.values(list_name)
        return tuple(Task(family=self.family, index=index, values=row) for index, row in enumerate(values))

    def values(self, list_name: str) -> tuple[tuple[float, ...], ...]:
        """The parameter values of one list, (task, parameter)."""
        listed: tuple[tuple[float, ...], ...] = (
            self.extra[list_name] if list_name in self.extra else getattr(self, list_name)
        )
        return listed

    @cached_property
    def hash(self) -> str:
        """Identity of the lists and of what they belong to; a change of any value changes it."""
        return fingerprint(self.model_dump(include=_HASHED_FIELDS))


_HASHED_FIELDS = {
    "family", "name", "version", "train", "test", "test_id", "extra", "adaptation_transitions",
}  # fmt: skip


def fingerprint(data: Any) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of `data` as canonical JSON (floats by shortest repr)."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Step(NamedTuple):
    """What one call of `BatchedEnvironment.step` returns; every array has one row per simulation.

    `observations: (row, observation)` are the observations *after* the step (float32); rows that were not
    active keep their old observation, reward 0 and terminated False.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray


class BatchedEnvironment(Protocol):
    """Many simulations of one family, each row with a task of its own.

    Knows no time limit and resets nothing by itself: whoever drives it counts steps and truncates at
    `family.horizon`.
    """

    family: TaskFamily
    num_rows: int

    def set_tasks(self, values: np.ndarray) -> None:
        """Give every row its task, `values: (row, parameter)`. Takes effect at the row's next reset."""

    def reset(self, rows: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Start an episode in the named rows (integer indices), noise from one generator per row.

        Returns the observations of *all* rows, (row, observation), float32.
        """

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> Step:
        """Advance the active rows (boolean mask; None: all) by one control step. actions: (row, action)."""


class EpisodeBatch(NamedTuple):
    """What `TaskSource.collect` returns: E episodes, padded to the longest, in the order they ended.

    observations: (episode, step + 1, observation) float32, actions: (episode, step, action) float32,
    rewards: (episode, step) float32, lengths: (episode,) int64, terminated: (episode,) bool - the episode ended
    by its family's rule (a time limit or a filled quota is not terminal), rows: (episode,) int64 - the row of
    the request that produced it, tasks: (episode,) int64 - the index of its training task.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    rows: np.ndarray
    tasks: np.ndarray


class Transition(NamedTuple):
    """One step of every row at once: (row, observation), (row, action), (row,), (row, observation), (row,)."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray


RewardRule = Callable[[Any, Any, Any], Any]
"""Observations, actions, next observations (..., dimension) -> rewards (...), NumPy or torch, knowing no task."""

Act = Callable[["np.ndarray"], "np.ndarray"]
"""Observations (row, observation) -> actions (row, action) in [-1, 1], both float32."""

AfterStep = Callable[[Transition, "np.ndarray", "np.ndarray"], None]
"""Told after every step what happened, in which rows (row,), and in which of them an episode ended with it (row,)."""


class TaskSource(Protocol):
    """All that an algorithm sees of the benchmark while it trains: its training tasks, and a metered way to act.

    It holds no test task. Every simulator step it makes is counted by the suite.
    """

    num_tasks: int
    spaces: SpaceSpec

    def collect(
        self,
        act: Act,
        tasks: Sequence[int],
        transitions: int,
        before_episode: Callable[[np.ndarray], None] | None = None,
        after_step: AfterStep | None = None,
    ) -> EpisodeBatch:
        """Run exactly `transitions` steps in each row; row i is a simulation of training task `tasks[i]`.

        Episodes restart in a row until its quota is filled, and the last one is cut there. `before_episode` is
        called with the (integer) rows that are about to start one, `after_step` with every step.
        Costs `len(tasks) * transitions` environment steps.
        """

    def terminated(self, next_observations: Any) -> Any:
        """The family's termination rule on observations (..., observation), numpy or torch, as booleans."""

    @property
    def reward(self) -> RewardRule | None:
        """The family's analytic reward of observations, for planners; None where it declares none."""


class RevealingSource(TaskSource, Protocol):
    """What an algorithm registered as privileged sees: the true parameters of its tasks too, (task, parameter)."""

    task_values: np.ndarray

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """The parameters (task, parameter) of tasks, each angle that goes round as its cosine and sine."""
