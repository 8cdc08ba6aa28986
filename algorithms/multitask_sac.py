"""One soft actor-critic for many tasks, and what it is told of them: nothing, or their true parameters.

Haarnoja et al. 2018b ("Soft Actor-Critic Algorithms and Applications") on the pooled replay of all training tasks,
every transition with what is told of its task, g, appended to both observations:

    y = r + gamma (1 - d) (min Q'(s', g, a') - alpha log pi(a' | s', g)),    a' ~ pi.

There is no meta-learner here: these are the rows that say what a meta-learner has to beat.

- `domain-randomised` is told nothing and never adapts (domain randomisation: Tobin et al. 2017, Peng et al. 2018): the
  best compromise over the training tasks, max_pi E_task[return], which adaptation has to beat.
- `multitask-finetune` is the same training, continued in the test task (Mandi, Abbeel, James 2022: multi-task
  pre-training and fine-tuning) exactly as MIER fine-tunes, on a few real transitions and many of the meta-training
  replay, but these keep their rewards and next observations: what MIER gains beyond this row is relabeling and
  identification, not test-time compute. Nothing tells it which task a stored transition is of, or which one it is in.
- `told` is told the true parameters of every task and trains on the training tasks: what extrapolation alone loses.
- `identified` is that agent, told the parameters of the training task nearest to the test task: perfect identification
  without any extrapolation.
- `oracle` is told the true parameters too and trains on the test tasks themselves: what knowing the task is worth with
  these networks and this budget, the upper end of a split's normalised score. If it does not learn a split, no result
  on that split says anything about adaptation.

The last three are references: their sources tell the parameters of their training tasks, and in a meta-test the suite
reveals each task's to their agents. Nothing else can see either. Told parameters are in standard deviations from the
mean of the training tasks; where an angle goes round the circle, `told` and `identified` have its cosine and sine, so
that 2 pi lies next to 0 (the oracle, which never extrapolates, has the angle).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import (
    Adaptation,
    AdaptConfig,
    Agent,
    Algorithm,
    Before,
    ReplayTrainConfig,
    Transition,
    as_arrays,
    averaged,
    evaluation_points,
    require_finite,
)  # fmt: skip
from algorithms.kit.model_based.relabeling import with_embedding
from algorithms.kit.networks import Parameters, frozen, repeat_ensemble, resolve_precision
from algorithms.kit.off_policy.fine_tuning import FineTuning, StopSettings, StoredAsItWas, fine_tuned
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, on_device
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, RevealingSource, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="domain-randomised", algorithm="TaskBlind", train="MultitaskSacTrain", adapt="TaskBlindAdapt",
        summary="task-blind SAC over all training tasks, no adaptation: the best compromise",
        source="Haarnoja et al. 2018b; Tobin et al. 2017", cites=("haarnoja2018sac", "tobin2017domain"),
        title="domain-randomised", colour="#BF9D7C", marker="<", dashes="--", hatch="/-",
        tiny_train={"initial_transitions": 20, "transitions_per_task": 20, "steps_per_iteration": 3, "hidden": [16,
                    16], "batch": 16},
    ),
    AlgorithmEntry(
        name="multitask-finetune", algorithm="TaskBlind", train="MultitaskSacTrain", adapt="FineTuneAdapt",
        training="domain-randomised",
        summary="domain-randomised SAC, fine-tuned on adaptation data and the replay as it is",
        source="Mandi, Abbeel, James 2022; this benchmark", cites=("mandi2022finetuning", "haarnoja2018sac"),
        title="multitask-finetune", colour="#BF0909", marker=">", hatch="-x",
        tiny_adapt={"fine_tune_updates": 6, "batch": 32},
    ),
    AlgorithmEntry(
        name="identified", algorithm="Told", train="MultitaskSacTrain", adapt="IdentifiedAdapt", training="told",
        summary="reference: multi-task SAC told which training task is nearest: identification without extrapolation",
        source="this benchmark", cites=("haarnoja2018sac",), privileged=True,
        colour="#8F9499", marker="1", dashes=":",
        tiny_train={"initial_transitions": 20, "transitions_per_task": 20, "steps_per_iteration": 3, "hidden": [16,
                    16], "batch": 16},
    ),
    AlgorithmEntry(
        name="told", algorithm="Told", train="MultitaskSacTrain", adapt="ToldAdapt",
        summary="reference: multi-task SAC told the true task parameters, trained on the training tasks",
        source="this benchmark", cites=("haarnoja2018sac",), privileged=True,
        colour="#8F9499", marker="2", dashes=":",
    ),
    AlgorithmEntry(
        name="oracle", algorithm="Oracle", train="MultitaskSacTrain", adapt="ToldAdapt",
        summary="reference: SAC told the true task parameters, trained on the test tasks",
        source="this benchmark", cites=("haarnoja2018sac",), trains_on=("test", "test_id"), privileged=True,
        colour="#8F9499", marker="*", dashes=":",
        tiny_train={"initial_transitions": 20, "transitions_per_task": 20, "steps_per_iteration": 3, "hidden": [16,
                    16], "batch": 16},
    ),
)  # fmt: skip


class MultitaskSacTrain(ReplayTrainConfig):
    """Training of one soft actor-critic over many tasks (Haarnoja et al. 2018b)."""

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
        available = self.first_steps(num_tasks)
        if self.batch <= available:
            return None
        return (
            f"batch is {self.batch}, more than the {available} transitions of the initial exploration of {num_tasks} "
            "tasks; lower it or raise initial_transitions"
        )


class TaskBlindAdapt(AdaptConfig):
    """No adaptation."""


class FineTuneAdapt(StopSettings, AdaptConfig):
    """Fine-tuning on adaptation data and on stored transitions of training tasks, as they are."""

    fine_tune_updates: int = Field(default=20_000, ge=0, description="updates per task: as many as MIER (MIER code)")
    batch: PositiveInt = Field(default=256, description="transitions per update (MIER paper, table 2)")
    real_fraction: float = Field(
        default=0.05, ge=0, le=1, description="real adaptation data in that, rounded down (MIER code); 1: they alone"
    )
    fit_fraction: float = Field(
        default=0.8, gt=0, lt=1, description="share of the adaptation data that batches draw from where a stop rule "
        "judges by the rest (MIER code)")  # fmt: skip

    twin: ClassVar[dict[str, Any]] = {"fine_tune_updates": 0}

    @property
    def before(self) -> Before:
        """The policy that was trained on all tasks."""
        return Before("unadapted", "the policy trained on all training tasks, before any update")

    @property
    def updates(self) -> int:
        """Updates per task."""
        return self.fine_tune_updates

    @property
    def updates_per_round(self) -> int:
        """One after the other."""
        return self.fine_tune_updates

    def costliest(self) -> Self:
        """Every task is fine-tuned to the end."""
        return self.model_copy(update={"stop_patience": None})


class ToldAdapt(AdaptConfig):
    """No adaptation: the task is known."""


class IdentifiedAdapt(AdaptConfig):
    """No adaptation: the nearest training task is known."""


class MultitaskSac(Algorithm):
    """Training on all tasks at once. `conditions`, (task, condition), is what is told of each training task."""

    config: MultitaskSacTrain
    store: EpisodeStore

    def __init__(self, config: MultitaskSacTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces, device = source.spaces, self.device
        self.conditions = self.training_conditions()
        entropy = -float(spaces.action_dim) if config.target_entropy is None else config.target_entropy
        settings = SacSettings(
            config.discount, config.target_rate, config.learning_rate, config.reward_scale, config.temperature,
            entropy, resolve_precision(config.precision, device.type),
        )  # fmt: skip
        inputs = spaces.observation_dim + self.conditions.shape[1]
        self.sac = SoftActorCritic.initial(settings, inputs, spaces.action_dim, config.hidden, self.generator)
        self.store = EpisodeStore(spaces, kwargs["capacity"], device)
        self.replay = TaskIndex(source.num_tasks, device, config.replay_capacity)

    def training_conditions(self) -> Tensor:
        """What is told of each training task, (task, condition); here: nothing."""
        return torch.zeros((self.source.num_tasks, 0), device=self.device)

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
            lambda observations: self.actions(self.sac.policy, observations, conditions, True, self.generator),
            tasks.tolist(), transitions,
        )  # fmt: skip
        self.store.remember(batch, (self.replay,))
        return batch

    def actions(
        self, policy: Parameters, observations: np.ndarray, conditions: Tensor, explore: bool,
        generator: torch.Generator,
    ) -> np.ndarray:  # fmt: skip
        """Actions (row, action) of policies (ensemble, ...) given conditions (row, condition), ensemble-major rows."""
        inputs = torch.cat([torch.as_tensor(observations, device=self.device), conditions], dim=-1)
        return act(frozen(policy), inputs, explore=explore, generator=generator)

    def gradient_step(self) -> dict[str, Tensor]:
        """One step of soft actor-critic on transitions of tasks drawn uniformly."""
        tasks = self.choices.integers(self.source.num_tasks, size=self.config.batch)
        data = self.store.gather(self.replay.sample(tasks, 1, self.generator))
        conditioned = with_embedding(data, self.conditions[on_device(tasks, self.device)].unsqueeze(1))
        return {name: value[0] for name, value in self.sac.update(conditioned.pooled(), self.generator).items()}

    def parts(self) -> dict[str, Part]:
        """Weights, moments and the replay; conditions follow from the tasks."""
        return {"sac": self.sac.parts(), "replay": self.replay}


class TaskBlind(MultitaskSac):
    """Told nothing: domain randomisation, with or without fine-tuning."""

    def agent(self, config: TaskBlindAdapt | FineTuneAdapt, seed: int) -> TaskBlindAgent:
        """An agent that never adapts, or one that fine-tunes, by the class of the config."""
        return FineTuneAgent(self, config, seed) if isinstance(config, FineTuneAdapt) else TaskBlindAgent(self, seed)


class Oracle(MultitaskSac):
    """Told the true parameters, as they are declared."""

    source: RevealingSource

    def training_conditions(self) -> Tensor:
        """Of the training tasks, in their own standard deviations."""
        described = self.described(self.source.task_values)
        spread = described.std(axis=0)
        self.centre, self.spread = described.mean(axis=0), np.where(spread > 0, spread, 1.0)
        return self.scaled(self.source.task_values)

    def described(self, values: np.ndarray) -> np.ndarray:
        """What is told of tasks with parameters (task, parameter), before scaling: these parameters."""
        return values

    def scaled(self, values: np.ndarray) -> Tensor:
        """Conditions (task, condition) of parameters (task, parameter)."""
        scaled = (self.described(values) - self.centre) / self.spread
        return torch.as_tensor(scaled, dtype=torch.float32, device=self.device)

    def agent(self, config: ToldAdapt | IdentifiedAdapt, seed: int) -> ToldAgent:
        """An agent that has to be told its tasks."""
        return ToldAgent(self, seed, identified=isinstance(config, IdentifiedAdapt))


class Told(Oracle):
    """Told the true parameters, angles as cosine and sine; also told those of the nearest training task."""

    def described(self, values: np.ndarray) -> np.ndarray:
        """The coordinates of tasks with parameters (task, parameter), before scaling."""
        return self.source.coordinates(values)


class MultitaskAgent(Agent):
    """Acts given what it was told of each task, for many of them at once; learns nothing."""

    def __init__(self, multitask: MultitaskSac, seed: int) -> None:
        self.multitask = multitask
        self.policy = frozen(multitask.sac.policy)
        self.generator = torch.Generator(multitask.device).manual_seed(seed)
        self.conditions: Tensor | None = None

    def begin(self, num_tasks: int) -> None:
        """The trained policy; nothing is known of the tasks."""
        del num_tasks
        self.policy = frozen(self.multitask.sac.policy)
        self.conditions = None

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The policy given the conditions; its stochastic version explores.

        Raises:
            RuntimeError: the agent has to be told its tasks, and has not been.
        """
        if self.conditions is None:
            raise RuntimeError("this reference acts on the true task parameters: call agent.reveal(values) after begin")
        return self.multitask.actions(self.policy, observations, self.conditions, explore, self.generator)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Ignore."""

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One point, without updates."""
        yield Adaptation(0, {})

    def fork(self, episodes: int) -> MultitaskAgent:
        """A copy with each task's condition repeated per episode."""
        copy = MultitaskAgent(self.multitask, seed=0)
        copy.policy = self.policy
        if self.conditions is not None:
            copy.conditions = self.conditions.repeat_interleave(episodes, dim=0)
        return copy


class ToldAgent(MultitaskAgent):
    """Knows its tasks, or of each the training task that is nearest."""

    def __init__(self, oracle: Oracle, seed: int, identified: bool) -> None:
        super().__init__(oracle, seed)
        self.oracle = oracle
        self.identified = identified

    def reveal(self, values: np.ndarray) -> None:
        """Take in the true parameters of the tasks, (task, parameter).

        The nearest training task is that at the least Euclidean distance between conditions, the first of several.
        """
        told = self.oracle.scaled(values)
        if self.identified:
            told = self.oracle.conditions[torch.cdist(told, self.oracle.conditions).argmin(dim=1)]
        self.conditions = told


class TaskBlindAgent(MultitaskAgent):
    """Told nothing."""

    def begin(self, num_tasks: int) -> None:
        """The trained policy; there is nothing to be told."""
        super().begin(num_tasks)
        self.conditions = self.multitask.conditions.new_zeros((num_tasks, 0))


class FineTuneAgent(TaskBlindAgent):
    """Continues one soft actor-critic per task on its adaptation data and on the meta-training replay as it is."""

    def __init__(self, multitask: TaskBlind, config: FineTuneAdapt, seed: int) -> None:
        super().__init__(multitask, seed)
        self.config = config

    def begin(self, num_tasks: int) -> None:
        """The trained policy, and no adaptation data."""
        super().begin(num_tasks)
        self.data = TrialData(num_tasks)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Store."""
        self.data.add(transition, active)

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """Updates of critics, policy and temperature with fresh moments, as MIER's, but on nothing relabeled."""
        config, multitask = self.config, self.multitask
        yield Adaptation(0, {})
        fit, held_out = self.data.split(config.fit_fraction, self.generator, multitask.device)
        real = self.data.everything(multitask.device) if config.stop_patience is None else fit
        experience = StoredAsItWas(
            multitask.store, multitask.replay, real, int(config.real_fraction * config.batch), config.batch
        )
        number = len(real.rewards)
        tuning = FineTuning(multitask.sac.copies(number), experience, config.rule(held_out))
        self.policy, everyone = repeat_ensemble(self.policy, number), torch.arange(number, device=multitask.device)
        points = evaluation_points(every, config.capped_updates(limit))
        for point, diagnostics in fine_tuned(tuning, self.policy, everyone, points, self.generator):
            yield Adaptation(point, as_arrays(diagnostics))
