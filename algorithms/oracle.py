"""The oracle: soft actor-critic told the true parameters of every task, trained on the test tasks themselves.

Haarnoja et al. 2018b, with the task's parameters appended to the observation. It is no competitor: what it returns
is what knowing the task is worth with these networks and this budget, the upper end of a split's normalised score.
If the oracle does not learn a split, no result on that split says anything about adaptation.

It is registered as privileged: its training tasks are the split's test tasks, its source tells their parameters, and
in a meta-test the suite reveals each task's to its agent. Nothing else can see either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import (
    Adaptation,
    AdaptConfig,
    Agent,
    Algorithm,
    ReplayTrainConfig,
    Transition,
    averaged,
    require_finite,
)  # fmt: skip
from algorithms.kit.model_based.relabeling import with_embedding
from algorithms.kit.networks import frozen, resolve_precision
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions, on_device
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, RevealingSource, SpaceSpec

ALGORITHMS = (
    AlgorithmEntry(
        name="oracle", algorithm="Oracle", train="OracleTrain", adapt="OracleAdapt",
        summary="reference: SAC told the true task parameters, trained on the test tasks",
        source="this benchmark", trains_on=("test", "test_id"),
        colour="#8F9499", marker="*", dashes=":",
        tiny_train={"initial_transitions": 20, "transitions_per_task": 20, "steps_per_iteration": 3, "hidden": [16,
                    16], "batch": 16},
    ),
)  # fmt: skip


class OracleTrain(ReplayTrainConfig):
    """Training of the oracle (soft actor-critic, Haarnoja et al. 2018b, over many tasks)."""

    hidden: tuple[PositiveInt, ...] = Field(default=(256, 256), description="policy and critics (SAC paper)")
    batch: PositiveInt = Field(default=256, description="transitions per gradient step, of all tasks (SAC paper)")
    initial_transitions: PositiveInt = Field(default=200, description="per task, untrained policy (ours)")
    tasks_per_iteration: PositiveInt = Field(default=5, description="tasks that collect per iteration (ours)")
    transitions_per_task: PositiveInt = Field(default=200, description="collected in each of them (ours)")
    steps_per_iteration: PositiveInt = Field(default=1000, description="gradient steps: one per env step (SAC paper)")
    learning_rate: float = Field(default=3e-4, gt=0, description="every Adam (SAC paper)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (SAC paper)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate of the critics (SAC paper)")
    reward_scale: float = Field(default=1.0, gt=0, description="in the Bellman target alone (SAC paper)")
    temperature: float | Literal["auto"] = Field(default="auto", description="tuned from 1 (SAC paper)")
    target_entropy: float | None = Field(default=None, description="None: minus the action dimension (SAC paper)")
    replay_capacity: PositiveInt = Field(default=1_000_000, description="transitions per task (SAC paper)")

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Data of a few tasks."""
        del num_tasks, horizon
        return self.tasks_per_iteration * self.transitions_per_task

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A batch has to find as many transitions as it draws."""
        held = self.first_steps(num_tasks)
        if self.batch <= held:
            return None
        return (
            f"batch is {self.batch}, more than the {held} transitions of the initial exploration of {num_tasks} tasks; "
            "lower it or raise initial_transitions"
        )


class OracleAdapt(AdaptConfig):
    """No adaptation: the task is known."""


class Oracle(Algorithm):
    """Training of the oracle."""

    config: OracleTrain
    source: RevealingSource
    store: EpisodeStore

    def __init__(self, config: OracleTrain, source: RevealingSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces, device = source.spaces, self.device
        values = source.task_values
        spread = values.std(axis=0)
        self.centre, self.spread = values.mean(axis=0), np.where(spread > 0, spread, 1.0)
        self.conditions = self.scaled(values)
        entropy = -float(spaces.action_dim) if config.target_entropy is None else config.target_entropy
        settings = SacSettings(
            config.discount, config.target_rate, config.learning_rate, config.reward_scale, config.temperature,
            entropy, resolve_precision(config.precision, device.type),
        )  # fmt: skip
        inputs = spaces.observation_dim + self.conditions.shape[1]
        self.sac = SoftActorCritic.initial(settings, inputs, spaces.action_dim, config.hidden, self.generator)
        self.store = EpisodeStore(spaces, kwargs["capacity"], device)
        self.replay = TaskIndex(source.num_tasks, device, config.replay_capacity)

    def scaled(self, values: np.ndarray) -> Tensor:
        """Parameters (task, parameter) in standard deviations from the mean of the training tasks, as conditions."""
        return torch.as_tensor((values - self.centre) / self.spread, dtype=torch.float32, device=self.device)

    def iterate(self) -> dict[str, float]:
        """Initial exploration, or: collect in a few tasks, then gradient steps on the data of all."""
        if not self.store.size:
            return self.initial_exploration(self._collect, self.config.initial_transitions)
        tasks = self.choices.integers(self.source.num_tasks, size=self.config.tasks_per_iteration)
        batch = self._collect(tasks, self.config.transitions_per_task)
        return require_finite(
            {"return": self.mean_return(batch)} | averaged(self.gradient_step, self.config.steps_per_iteration)
        )

    def _collect(self, tasks: np.ndarray, transitions: int) -> EpisodeBatch:
        conditions = self.conditions[torch.as_tensor(tasks, device=self.device)]
        batch = self.source.collect(
            lambda observations: self.actions(observations, conditions, True, self.generator),
            tasks.tolist(), transitions,
        )  # fmt: skip
        self.store.remember(batch, (self.replay,))
        return batch

    def actions(
        self, observations: np.ndarray, conditions: Tensor, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """Actions (row, action) given conditions (row, parameter)."""
        inputs = torch.cat([torch.as_tensor(observations, device=self.device), conditions], dim=-1)
        return act(frozen(self.sac.policy), inputs, explore=explore, generator=generator)

    def gradient_step(self) -> dict[str, Tensor]:
        """One step of soft actor-critic on transitions of tasks drawn uniformly."""
        tasks = self.choices.integers(self.source.num_tasks, size=self.config.batch)
        data = self.store.gather(self.replay.sample(tasks, 1, self.generator))
        conditioned = with_embedding(data, self.conditions[on_device(tasks, self.device)].unsqueeze(1))
        flat = Transitions(*(field.flatten(0, 1).unsqueeze(0) for field in conditioned))
        return {name: value[0] for name, value in self.sac.update(flat, self.generator).items()}

    def parts(self) -> dict[str, Part]:
        """Weights, moments and the replay; the scale follows from the tasks."""
        return {"sac": self.sac.parts(), "replay": self.replay}

    def agent(self, config: OracleAdapt, seed: int) -> OracleAgent:
        """An agent that has to be told its tasks."""
        del config
        return OracleAgent(self, seed)


class OracleAgent(Agent):
    """Knows its tasks, for many of them at once."""

    def __init__(self, oracle: Oracle, seed: int) -> None:
        self.oracle = oracle
        self.generator = torch.Generator(oracle.device).manual_seed(seed)
        self.conditions: Tensor | None = None

    def begin(self, num_tasks: int) -> None:
        """Nothing is known until it is revealed."""
        del num_tasks
        self.conditions = None

    def reveal(self, values: np.ndarray) -> None:
        """Take in the true parameters of the tasks, (task, parameter)."""
        self.conditions = self.oracle.scaled(values)

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The policy given the task; its stochastic version explores.

        Raises:
            RuntimeError: the tasks have not been revealed.
        """
        if self.conditions is None:
            raise RuntimeError("an oracle acts on the true task parameters: call agent.reveal(values) after begin")
        return self.oracle.actions(observations, self.conditions, explore, self.generator)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Ignore: there is nothing to find out."""

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One point, without updates."""
        yield Adaptation(0, {})

    def fork(self, episodes: int) -> OracleAgent:
        """A copy with each task's condition repeated per episode."""
        copy = OracleAgent(self.oracle, seed=0)
        if self.conditions is not None:
            copy.conditions = self.conditions.repeat_interleave(episodes, dim=0)
        return copy
