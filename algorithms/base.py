"""The two interfaces everything hangs on: `Algorithm`, the meta-learner, and `Agent`, what acts in test tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.kit.replay import EpisodeStore
from algorithms.kit.state import Part, load_state_of, state_of
from tasks.frozen import Frozen
from tasks.spec import FULL, EpisodeBatch, SpaceSpec, TaskSource, Transition

State = dict[str, Any]
"""Nested dictionaries and lists whose leaves are tensors, arrays, numbers, strings or None."""


class Diverged(Exception):
    """A loss or an action is not finite; the run stops as `failed: diverged`."""


class Config(Frozen):
    """Base of every `train` and `adapt` block: frozen, typed, and an undeclared key is an error."""


class TrainConfig(Config, ABC):
    """What every meta-training has."""

    of_seed: ClassVar[tuple[str, ...]] = ()
    """Fields in which runs of one variant differ as they do by their seed; records name no configuration by them."""

    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="hidden-layer products of policies and critics: bfloat16 where the processor has it (auto), "
        "resolved once and stored with the run (ours)",
    )

    @abstractmethod
    def first_steps(self, num_tasks: int) -> int:
        """Environment steps of the first outer iteration: a smaller budget trains nothing."""

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """Why these values cannot train on so many tasks of a family of these sizes, and the remedy; None: they can."""
        del spaces, num_tasks
        return None

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Environment steps of every outer iteration after the first; here: as many."""
        del horizon
        return self.first_steps(num_tasks)

    @property
    def gradient_steps(self) -> int | None:
        """Gradient steps of an outer iteration after the first, all of the same cost: what plans time iterations by.

        None, as here, where nothing is said of them: plans then time whole iterations.
        """
        return None

    def shortened(self, gradient_steps: int, transitions: int) -> Self:
        """A copy whose every iteration takes so many gradient steps, after an exploration that is no longer than asked.

        It collects as much in every iteration after the first, and costs the same for everything else. To be defined
        wherever `gradient_steps` is.

        Args:
            gradient_steps: Per iteration.
            transitions: Per training task, at most, in the first iteration.
        """
        raise NotImplementedError(f"{type(self).__name__} declares gradient_steps, but does not say how to have fewer")


class ReplayTrainConfig(TrainConfig):
    """A meta-training on a replay: it explores every training task, then collects and takes gradient steps in turn."""

    initial_transitions: PositiveInt  # of the exploration, per training task
    steps_per_iteration: PositiveInt  # gradient steps

    def exploration(self, num_tasks: int) -> int:
        """Transitions of each training task in the first iteration."""
        del num_tasks
        return self.initial_transitions

    def first_steps(self, num_tasks: int) -> int:
        """The initial exploration."""
        return num_tasks * self.exploration(num_tasks)

    @property
    def gradient_steps(self) -> int:
        """Each on a batch of the replay."""
        return self.steps_per_iteration

    def shortened(self, gradient_steps: int, transitions: int) -> Self:
        """With a shorter exploration, and fewer or more gradient steps."""
        initial = min(self.initial_transitions, transitions)
        return self.model_copy(update={"steps_per_iteration": gradient_steps, "initial_transitions": initial})


class ViewConfig(TrainConfig):
    """A meta-training that can be given a view: its algorithm reads observations through `kit.views.View` alone."""

    view: str = Field(
        default=FULL,
        exclude_if=lambda view: view == FULL,  # so that a training that observes everything is what it always was
        description="which numbers of the state are observed, by the name of a view of the family (`offmap tasks "
        "show FAMILY`); full: all of them",
    )

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """The family has to have the view."""
        try:
            spaces.columns(self.view)
        except ValueError as error:
            return str(error)
        return super().problem(spaces, num_tasks)


class Before(NamedTuple):
    """What an algorithm's returns before adaptation are of, since that is not the same for all.

    kind: `unadapted`: an agent that has learnt nothing of its task, action for action its unadapted twin; `explores`:
    it has learnt nothing either, but acts so as to find out; `adapts within the episode`: it learns while it is
    evaluated; `does not adapt`: it never learns of its task, after no more than before. sentence: the same in words.
    """

    kind: Literal["unadapted", "explores", "adapts within the episode", "does not adapt"]
    sentence: str


class AdaptConfig(Config):
    """What every test-time adaptation has."""

    twin: ClassVar[Mapping[str, Any] | None] = None
    """Values of the unadapted twin: with them an agent acts, but no transition of a trial ever changes how. What
    adapting is worth is the return after it minus the twin's. None: there is no adaptation, so there is no twin."""

    @property
    def before(self) -> Before:
        """What the returns before adaptation are of, under these values."""
        return Before("does not adapt", "nothing is learnt in a trial")

    @property
    def is_twin(self) -> bool:
        """Whether an agent with these values learns nothing in a trial where another one would."""
        return self.twin is not None and all(getattr(self, name) == value for name, value in self.twin.items())

    @property
    def updates(self) -> int:
        """How many gradient updates `Agent.adapt` counts, unless capped; here: none."""
        return 0

    def problem(self, train: Any, transitions: int) -> str | None:
        """Why these values cannot adapt what `train` trained to so many transitions, and the remedy; None: they can."""
        del train, transitions
        return None

    def capped_updates(self, limit: int | None) -> int:
        """As many, or `limit` where that is fewer."""
        return self.updates if limit is None else min(limit, self.updates)

    @property
    def updates_per_round(self) -> int | None:
        """Updates that cost the same and follow on what is done once for all of them, such as relabeling, in rounds.

        None, as here, where nothing is said of them: plans then time whole adaptations.
        """
        return None

    def costliest(self) -> Self:
        """A copy under which an adaptation costs the most that it may, such as with every gate open; here: itself."""
        return self


class Adaptation(NamedTuple):
    """A point of an adaptation at which the suite may evaluate.

    `updates` gradient updates have been done; `diagnostics` holds one value per task and name, (task,).
    """

    updates: int
    diagnostics: dict[str, np.ndarray]


class Agent(ABC):
    """What acts and adapts, in a batch of test tasks at once; lives for one meta-test.

    It sees observations, rewards and terminations of its own adaptation episodes, and nothing else of the tasks.
    """

    adapts_online: ClassVar[bool] = False  # keeps learning inside the evaluated episode (GrBAL, RL2, MQL)
    trained_on: str | None = None  # the family of its tasks; None: nothing says so

    @abstractmethod
    def begin(self, num_tasks: int) -> None:
        """Start a trial in `num_tasks` tasks that it knows nothing of."""

    def reveal(self, values: np.ndarray) -> None:
        """Be told the true parameters of the trial's tasks, (task, parameter), right after `begin`.

        The suite calls it on agents of algorithms that are registered as privileged, and on no other.

        Raises:
            TypeError: the agent is not made to be told.
        """
        raise TypeError(f"{type(self).__name__} is not made to be told the true parameters of its tasks")

    @abstractmethod
    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Actions (row, action) in [-1, 1] for observations (row, observation).

        In a fork the rows are task-major: task 0's episodes first. `explore` asks for the adaptation-data policy,
        otherwise the evaluation policy, which is deterministic.
        """

    @abstractmethod
    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Take in one step of the adaptation episodes. Rows that are not `active` must change no state;
        `episode_end` marks rows whose episode has just ended, for whatever reason.
        """  # noqa: D205

    @abstractmethod
    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """Adapt to the data observed; yield at the start, after each `every` updates, and at the end.

        `limit` caps the number of updates. What the last point leaves is the result.
        """

    @abstractmethod
    def fork(self, episodes: int) -> Agent:
        """A throw-away copy widened to task x episode, on which the suite evaluates: it never feeds adaptation."""


class Algorithm(ABC):
    """The meta-learner, outer loop; lives for one meta-training.

    It never sees test tasks (but for a reference registered as privileged), never evaluates itself, never counts its
    own steps, and knows no experiment.
    """

    store: EpisodeStore | None = None  # set where experience is kept
    steps_elsewhere: int = 0  # environment steps of a training that was made before, and not here

    def __init__(self, config: Any, source: TaskSource, *, seed: int, device: torch.device, capacity: int) -> None:
        """`capacity`: transitions worth reserving memory for; it changes no result.

        Raises:
            ValueError: the configuration cannot train here; the message says why.
        """
        problem = config.problem(source.spaces, source.num_tasks)
        if problem is not None:
            raise ValueError(problem)
        self.config = config
        self.source = source
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.choices = np.random.default_rng(seed)

    def steps_of_next_iteration(self) -> float:
        """Environment steps that the next `iterate` will take, so that the suite need not start one too many.

        Infinity where there is nothing to train: no budget then suffices, and the agent is tested as it is built.
        """
        if self.store is not None and self.store.size:
            return self.config.later_steps(self.source.num_tasks, self.source.spaces.horizon)
        return self.config.first_steps(self.source.num_tasks)

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """One outer iteration: collect, update. Returns metrics; `return` is that of whole training episodes."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """What the next iteration depends on, besides the two generators and the frames of `store`."""

    def state(self) -> State:
        """Everything that the next iteration depends on, but for `log`."""
        drawn = {"torch": self.generator.get_state(), "numpy": self.choices.bit_generator.state}
        return {**state_of(self.parts()), "random": drawn}

    def log(self) -> Tensor | None:
        """The append-only part of the state, rows that never change once written (replay frames), or None."""
        return None if self.store is None else self.store.frames

    def load_state(self, state: State, log: Iterable[Tensor]) -> None:
        """Continue from what `state` and `log` gave, the log in consecutive pieces."""
        load_state_of(self.parts(), state)
        self.generator.set_state(state["random"]["torch"].cpu())  # a CPU tensor, whatever the device
        self.choices.bit_generator.state = state["random"]["numpy"]
        for frames in log:
            if self.store is None:
                raise ValueError(f"{type(self).__name__} keeps no replay, but its checkpoint has one")
            self.store.extend(frames)

    @abstractmethod
    def agent(self, config: Any, seed: int) -> Agent:
        """A fresh agent with the current meta-parameters and an `adapt` block of this algorithm."""

    def episode_returns(self, batch: EpisodeBatch) -> np.ndarray:
        """Undiscounted returns of the whole episodes of a collection, (episode,)."""
        whole = batch.terminated | (batch.lengths == self.source.spaces.horizon)
        inside = np.arange(batch.rewards.shape[1]) < batch.lengths[:, None]
        return np.where(inside, batch.rewards, 0.0).sum(1, dtype=np.float64)[whole]

    def mean_return(self, batch: EpisodeBatch) -> float:
        """Their mean; NaN if there is no whole episode."""
        return average(self.episode_returns(batch))

    def initial_exploration(
        self, collect: Callable[[np.ndarray, int], EpisodeBatch], transitions: int
    ) -> dict[str, float]:
        """The first iteration of algorithms with a replay: `collect(tasks, transitions)` in every training task."""
        everyone = np.arange(self.source.num_tasks)
        returns = [self.episode_returns(collect(everyone, piece)) for piece in self.pieces(transitions)]
        return {"return": average(np.concatenate(returns))}

    def pieces(self, transitions: int) -> list[int]:
        """`transitions` in pieces of a horizon: what is collected for all tasks at once stays small in memory."""
        whole, rest = divmod(transitions, self.source.spaces.horizon)
        return [self.source.spaces.horizon] * whole + [rest] * bool(rest)


def averaged(step: Callable[[], dict[str, Tensor]], number: int) -> dict[str, float]:
    """Mean of each metric over `number` gradient steps, read from the device once, after the last."""
    totals: dict[str, Tensor] = {}
    for _ in range(number):
        for name, value in step().items():
            totals[name] = totals.get(name, 0) + value.mean()
    return {name: float(total) / number for name, total in totals.items()}


def evaluation_points(every: int, updates: int) -> list[int]:
    """Numbers of updates after which `adapt` yields: each multiple of `every`, and the last."""
    return sorted({*range(every, updates + 1, every), updates} - {0})


def as_arrays(values: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Diagnostics as detached numpy copies."""
    return {name: value.detach().float().cpu().numpy() for name, value in values.items()}


def require_finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics, if all are finite.

    Raises:
        Diverged: one is not; the message names it.
    """
    bad = [name for name, value in metrics.items() if not np.isfinite(value) and not name.startswith("return")]
    if bad:
        raise Diverged(f"{', '.join(bad)} became {metrics[bad[0]]}")
    return metrics


def average(values: np.ndarray) -> float:
    """Mean of values; NaN, without a warning, if there are none."""
    return float(values.mean()) if len(values) else float("nan")
