"""What algorithms share whose adaptation is a memory: RL2 and recurrent SAC, and VariBAD, whose memory is a belief.

A recurrent network reads what was done and what came of it. Its hidden state lives through all episodes of a trial and
starts from 0 in the next; there is nothing else to adapt, in training as in a test.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from algorithms.base import Adaptation, AdaptConfig, Agent, Algorithm, Before, Transition, as_arrays
from tasks.spec import EpisodeBatch, SpaceSpec


class MemoryAdapt(AdaptConfig):
    """Adaptation by remembering: there is nothing to do but to act."""

    online: bool = Field(
        default=True, description="remember what happens; without: a blank memory at every step, as an agent that "
        "cannot learn of its task (ours)")  # fmt: skip
    explore_stochastic: bool = Field(default=True, description="sampled actions in the adaptation episodes (ours)")

    twin: ClassVar[dict[str, Any]] = {"online": False}

    @property
    def before(self) -> Before:
        """A memory that starts blank, and fills."""
        if not self.online:
            return Before("unadapted", "a memory that is blank at every step")
        return Before("adapts within the episode", "a memory that is blank at the episode's start, and fills in it")


class Memory(NamedTuple):
    """What a policy carries through the trials of a batch of rows; never changed in place.

    state (row, state) of the cell; previous (row, action + 2): previous action, previous reward, boundary flag.
    """

    state: Tensor
    previous: Tensor

    def repeated(self, times: int) -> Memory:
        """Row-major copies."""
        return Memory(*(field.repeat_interleave(times, dim=0) for field in self))


def trial_problem(trial_transitions: int, spaces: SpaceSpec) -> str | None:
    """Why trials of so many transitions teach nothing of a family, and the remedy; None: they hold an episode."""
    if trial_transitions >= spaces.horizon:
        return None
    return (
        f"trial_transitions is {trial_transitions}, less than one episode of {spaces.horizon}; a trial "
        f"holds at least one, and two or more to learn from the first: set it to {2 * spaces.horizon} or more"
    )


class TrialLearner(Algorithm):
    """A meta-training on trials: several episodes in one task, with one memory, which is never changed in place.

    A memory has the cell's `state` (row, state), and row-major copies of itself, `repeated(times)`.
    """

    @abstractmethod
    def blank(self, rows: int) -> Any:
        """The memory at the start of a trial."""

    @abstractmethod
    def remembering(self, memory: Any, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> Any:
        """The memory after a step; rows that are not active keep theirs."""

    @abstractmethod
    def actions(self, memory: Any, observations: np.ndarray, explore: bool, generator: torch.Generator) -> np.ndarray:
        """Actions (row, action) in [-1, 1]: sampled to explore, else deterministic; the memory stays as it is."""

    @abstractmethod
    def agent(self, config: Any, seed: int) -> MemoryAgent:
        """An agent that adapts by its memory."""

    def live(
        self,
        tasks: np.ndarray,
        transitions: int,
        act: Callable[[Any, np.ndarray], np.ndarray],
        watch: Callable[[Transition, np.ndarray], None] = lambda transition, over: None,
    ) -> tuple[EpisodeBatch, Any]:
        """A trial of so many steps in each of `tasks`, from a blank memory, and the memory that it leaves.

        `act` is given the memory and observations; `watch` every step, and in which rows an episode ended with it, by
        its rule or at the horizon, and not because the trial is over.
        """
        memory, age = self.blank(len(tasks)), np.zeros(len(tasks), np.int64)

        def after_step(transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
            nonlocal memory, age
            age = age + 1
            over = transition.terminated | (age == self.source.spaces.horizon)
            age = np.where(over, 0, age)
            memory = self.remembering(memory, transition, active, over)
            watch(transition, over)

        batch = self.source.collect(
            lambda observations: act(memory, observations), tasks.tolist(), transitions, after_step=after_step
        )
        return batch, memory

    def trial_tasks(self, number: int) -> np.ndarray:
        """The task of each of so many trials: every training task before any comes again."""
        tasks = self.source.num_tasks
        return np.concatenate([self.choices.permutation(tasks) for _ in range(-(-number // tasks))])[:number]

    def trial_returns(self, batch: EpisodeBatch) -> dict[str, float]:
        """Mean returns of the trials' last and first whole episodes; episodes are listed in the order they ended."""
        returns = self.episode_returns(batch)
        rows = batch.rows[batch.terminated | (batch.lengths == self.source.spaces.horizon)]
        first = np.unique(rows, return_index=True)[1]
        last = len(rows) - 1 - np.unique(rows[::-1], return_index=True)[1]
        return {"return": float(returns[last].mean()), "return_before_adaptation": float(returns[first].mean())}


class MemoryLearner(TrialLearner):
    """One whose cell reads observations with the action, the reward and the end of an episode before them."""

    boundary_flag = True  # whether the policy reads an episode's last step and, with a flag of 1, that it has ended

    @abstractmethod
    def blank_state(self, rows: int) -> Tensor:
        """The cell's state at the start of a trial, (row, state)."""

    @abstractmethod
    def next_state(self, memory: Memory, observations: np.ndarray) -> Tensor:
        """The cell's state once it has read observations (row, observation), (row, state)."""

    def blank(self, rows: int) -> Memory:
        """The memory at the start of a trial."""
        previous = torch.zeros((rows, self.source.spaces.action_dim + 2), device=self.device)
        return Memory(self.blank_state(rows), previous)

    @torch.no_grad()
    def remembering(
        self, memory: Memory, transition: Transition, active: np.ndarray, episode_end: np.ndarray
    ) -> Memory:
        """The memory after a step; rows that are not active keep theirs."""
        state = self.next_state(memory, transition.observations)
        step = np.column_stack([transition.actions, transition.rewards, episode_end]).astype(np.float32)
        previous = torch.as_tensor(step, device=self.device)
        if not self.boundary_flag:
            previous = previous * ~torch.as_tensor(episode_end, device=self.device).unsqueeze(1)
        which = torch.as_tensor(active, device=self.device).unsqueeze(1)
        return Memory(torch.where(which, state, memory.state), torch.where(which, previous, memory.previous))


class MemoryAgent(Agent):
    """Carries a memory through the trials of a batch of test tasks, evaluated episodes included."""

    adapts_online = True

    def __init__(self, learner: TrialLearner, config: MemoryAdapt, seed: int) -> None:
        self.learner = learner
        self.config = config
        self.generator = torch.Generator(learner.device).manual_seed(seed)
        self.memory = learner.blank(0)

    def begin(self, num_tasks: int) -> None:
        """A blank memory in every task."""
        self.memory = self.learner.blank(num_tasks)

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The deterministic action, or a sample to explore; the memory changes by `observe` alone."""
        sampled = explore and self.config.explore_stochastic
        return self.learner.actions(self.memory, observations, sampled, self.generator)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Read one step."""
        if self.config.online:
            self.memory = self.learner.remembering(self.memory, transition, active, episode_end)

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """Nothing is left to do: all that was observed is in the hidden state."""
        yield Adaptation(0, as_arrays({"embedding_norm": self.memory.state.norm(dim=1)}))

    def fork(self, episodes: int) -> MemoryAgent:
        """A copy whose memory goes on from here, one per task and episode."""
        copy = MemoryAgent(self.learner, self.config, seed=0)
        copy.memory = self.memory.repeated(episodes)
        return copy
