"""Recurrent SAC: an off-policy recurrent actor-critic, the strong memory baseline at small budgets.

Ni, Eysenbach, Salakhutdinov, "Recurrent Model-Free RL Can Be a Strong Baseline for Many POMDPs", 2022. A trial is
several episodes in one task; actor and critic each read it with a GRU of their own, token by token

    x_t = (o_t, a_{t-1}, r_{t-1}, whether an episode has just ended),        h_t = GRU(h_{t-1}, x_t),   h_{-1} = 0,

and soft actor-critic is trained on whole trials from a replay (`kit.off_policy.recurrent_actor_critic` has the losses).
The critic's target goes on over the episodes of a trial, so that what an episode finds out is credited with what later
ones gain by it. In a test the hidden state is the adaptation, and the evaluated episode goes on from it.

Defaults in code are the authors' for cheetah-velocity ("code"). Where this leaves them:
- A trial is a number of transitions, in which episodes restart: all are of one length, and no step is masked.
- At an inner boundary the policy acts on the new episode's start (code: once more on the old one's last state), and
  reads the old one's last action and reward with it, and a flag of 1. Behind a trial that ends with an episode stands
  the trial's own first observation, as the start of another one.
- A fall ends the critic's target wherever it happens, since an evaluated episode is over then (code: only in the last
  episode of a trial; `fall_ends: false` never). Time limits and the end of a trial never do, as in the code.
- Actor and critic take their steps from the same weights, one pass over a trial for each (code: the critic first, and
  two passes).
- Tasks come from the training list, each as often as any other; there is no burst of updates after the random trials.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import ViewConfig, average, averaged, require_finite
from algorithms.kit.networks import resolve_precision
from algorithms.kit.off_policy.gaussian_policy import squashed_sample, standard_normal
from algorithms.kit.off_policy.recurrent_actor_critic import RecurrentActorCritic, Sizes, Tokens
from algorithms.kit.off_policy.sac import SacSettings
from algorithms.kit.replay import EpisodeStore
from algorithms.kit.state import Part
from algorithms.kit.trial_replay import TrialReplay
from algorithms.kit.views import View
from algorithms.memory import Memory, MemoryAdapt, MemoryAgent, MemoryLearner, trial_problem
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="recurrent-sac", algorithm="RecurrentSac", train="RecurrentSacTrain", adapt="RecurrentSacAdapt",
        summary="off-policy recurrent actor-critic: SAC on whole trials, whose hidden state is the adaptation",
        source="Ni, Eysenbach, Salakhutdinov 2022", cites=("ni2022recurrent",),
        title="recurrent SAC", colour="#90609C", marker="h", hatch="..",
        tiny_train={"trial_transitions": 40, "initial_steps": 200, "trials_per_iteration": 3, "updates_per_step": 0.025,
                    "batch": 4, "hidden": 8, "embeddings": [6, 4, 3], "head_hidden": [16, 16]},
    ),
)  # fmt: skip


class RecurrentSacTrain(ViewConfig):
    """Meta-training of recurrent SAC. Defaults are the authors' for cheetah-velocity (code)."""

    trial_transitions: PositiveInt = Field(
        default=400, description="steps in one task with one hidden state, at least one episode (code: 2 x 200)"
    )
    initial_steps: PositiveInt = Field(
        default=200_000, description="of all tasks, with uniformly random actions, first; in whole trials (code)"
    )
    trials_per_iteration: PositiveInt = Field(default=25, description="trials side by side (code)")
    updates_per_step: float = Field(
        default=0.02, gt=0, description="gradient steps per environment step (code: 200 per 25 trials)"
    )
    batch: PositiveInt = Field(default=32, description="whole trials per gradient step, of any tasks (code)")
    hidden: PositiveInt = Field(default=128, description="units of the actor's GRU, and of the critic's (code)")
    embeddings: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(32, 16, 16), description="of observation, action and reward (code; humanoid 128, 32, 16)"
    )
    head_hidden: tuple[PositiveInt, ...] = Field(
        default=(128, 128, 128), description="policy and critics, on hidden state and shortcut (code)"
    )
    learning_rate: float = Field(default=3e-4, gt=0, description="every Adam (code)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (code)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate of the critic (code)")
    reward_scale: float = Field(default=1.0, gt=0, description="in the Bellman target alone (code: none)")
    temperature: float | Literal["auto"] = Field(default="auto", description="tuned from 1 (code)")
    target_entropy: float | None = Field(default=None, description="None: minus the action dimension (code)")
    fall_ends: bool = Field(
        default=True, description="nothing is expected behind a fall (ours; code: in a trial's last episode alone); "
        "false: the next episode of the trial is")  # fmt: skip
    replay_capacity: PositiveInt = Field(default=1_000_000, description="transitions, in whole trials (code)")

    def first_steps(self, num_tasks: int) -> int:
        """The random trials, whatever the number of tasks."""
        return self.initial_trials * self.trial_transitions

    @property
    def initial_trials(self) -> int:
        """Trials with random actions, as many as take `initial_steps` or more."""
        return -(-self.initial_steps // self.trial_transitions)

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Some trials side by side."""
        return self.trials_per_iteration * self.trial_transitions

    @property
    def gradient_steps(self) -> int:
        """Each on a batch of trials; at least one."""
        return max(1, round(self.updates_per_step * self.trials_per_iteration * self.trial_transitions))

    def shortened(self, gradient_steps: int, transitions: int) -> Self:
        """With fewer random trials, at least one, and fewer or more gradient steps."""
        steps = self.trials_per_iteration * self.trial_transitions
        initial = min(self.initial_steps, transitions)
        return self.model_copy(update={"updates_per_step": gradient_steps / steps, "initial_steps": initial})

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A trial has to hold an episode, and the replay a trial."""
        if self.replay_capacity < self.trial_transitions:
            return (
                f"replay_capacity is {self.replay_capacity}, less than one trial of {self.trial_transitions} "
                "transitions; raise it, or lower trial_transitions"
            )
        return trial_problem(self.trial_transitions, spaces) or super().problem(spaces, num_tasks)


class RecurrentSacAdapt(MemoryAdapt):
    """Adaptation of recurrent SAC."""

    explore_stochastic: bool = Field(
        default=False, description="sampled actions in the adaptation episodes (code: tanh of the mean)"
    )


class RecurrentSac(MemoryLearner):
    """Meta-training of recurrent SAC."""

    config: RecurrentSacTrain
    store: EpisodeStore

    def __init__(self, config: RecurrentSacTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        self.view, actions = View(source.spaces, config.view), source.spaces.action_dim
        entropy = -float(actions) if config.target_entropy is None else config.target_entropy
        settings = SacSettings(
            config.discount, config.target_rate, config.learning_rate, config.reward_scale, config.temperature,
            entropy, resolve_precision(config.precision, self.device.type),
        )  # fmt: skip
        sizes = Sizes(self.view.dim + 1, actions, config.hidden, config.embeddings, config.head_hidden)
        self.learner = RecurrentActorCritic(settings, sizes, self.generator)
        self.store = EpisodeStore(source.spaces, kwargs["capacity"], self.device)
        self.replay = TrialReplay(self.store, config.trial_transitions, config.replay_capacity, self.device)

    # Acting ----------------------------------------------------------------------------------------------------

    def blank_state(self, rows: int) -> Tensor:
        """0."""
        return torch.zeros((rows, self.config.hidden), device=self.device)

    def tokens(self, memory: Memory, observations: np.ndarray) -> Tokens:
        """What the actor reads, (row, ...)."""
        return Tokens.of(self.view(torch.as_tensor(observations, device=self.device)), memory.previous)

    @torch.no_grad()
    def next_state(self, memory: Memory, observations: np.ndarray) -> Tensor:
        """One step of the actor's GRU."""
        return self.learner.next_states(self.tokens(memory, observations), memory.state)

    @torch.no_grad()
    def actions(
        self, memory: Memory, observations: np.ndarray, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """tanh of the mean, or a sample; always in float32."""
        read = self.tokens(memory, observations)
        state = self.learner.next_states(read, memory.state)
        mean, log_std = self.learner.distribution(state, read.observations, "fp32")
        if not explore:
            return torch.tanh(mean).cpu().numpy()
        return squashed_sample(mean, log_std, standard_normal(mean, generator))[0].cpu().numpy()

    # Training --------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Random trials, or: live through trials of some tasks, then gradient steps on the trials of all."""
        config = self.config
        if not self.store.size:
            return self._explore()
        tasks = self.trial_tasks(config.trials_per_iteration)
        batch, _ = self.live(
            tasks, config.trial_transitions,
            lambda memory, observations: self.actions(memory, observations, True, self.generator),
        )  # fmt: skip
        self.replay.add(batch)
        return require_finite(self.trial_returns(batch) | averaged(self.gradient_step, config.gradient_steps))

    def _explore(self) -> dict[str, float]:
        """The initial trials, no more side by side than later ones."""
        tasks = self.trial_tasks(self.config.initial_trials)
        number, returns = self.config.trials_per_iteration, []
        for first in range(0, len(tasks), number):
            batch = self._random_trials(tasks[first : first + number])
            self.replay.add(batch)
            returns.append(self.episode_returns(batch))
        return {"return": average(np.concatenate(returns))}

    def _random_trials(self, tasks: np.ndarray) -> EpisodeBatch:
        shape = (len(tasks), self.source.spaces.action_dim)
        return self.source.collect(
            lambda observations: self.choices.uniform(-1, 1, shape).astype(np.float32),
            tasks.tolist(), self.config.trial_transitions,
        )  # fmt: skip

    def gradient_step(self) -> dict[str, Tensor]:
        """One step of soft actor-critic on whole trials."""
        trials = self.replay.sample(self.config.batch, self.generator)
        ended = trials.terminated if self.config.fall_ends else torch.zeros_like(trials.terminated)
        trials = trials._replace(observations=self.view(trials.observations), terminated=ended)
        return self.learner.update(trials, self.generator)

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights, moments and the replay."""
        return {"learner": self.learner.parts(), "replay": self.replay}

    def agent(self, config: RecurrentSacAdapt, seed: int) -> MemoryAgent:
        """An agent that adapts by the actor's hidden state."""
        return MemoryAgent(self, config, seed)
