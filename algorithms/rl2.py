"""RL2: a recurrent policy whose hidden state is the adaptation, trained by PPO on trials of several episodes.

Duan et al., "RL2: Fast Reinforcement Learning via Slow Reinforcement Learning", 2016. A trial is several episodes in
one task; the policy reads (observation, previous action, previous reward, boundary flag) and its hidden state h lives
through the trial and starts from 0 in the next. Proximal policy optimisation (Schulman et al. 2017) over trials makes
it explore where later episodes gain by it:

    minimise   -mean_t min(rho A, clip(rho, 1 - eps, 1 + eps) A) + c Huber(V - target) - b entropy,
    rho = pi(a_t | o_t, h_t) / pi_old(a_t | o_t, h_t),    A: generalised advantages within an episode or the trial.

Defaults in code are those of the published curves (the ProMP repository's branch full_code, called "code"): trials of
400 steps, each episode credited by itself, a linear baseline, gradients through 32 steps, five Adam steps; an
episode's last reward and its end are never seen. The preset `default` makes trials as long as a meta-test is. The
preset `rl2-strong` follows VariBAD's RL2 (Zintgraf et al. 2020): credit over the whole trial with a learned critic,
gradients through the whole trial, and a boundary flag that tells.

Where this leaves the code: a trial is a number of transitions, in which episodes restart, so that nothing is padded;
an episode that the end of the trial cuts is no ended one: credited by itself, what is behind it is the baseline's
value; the environment's actions are cut to [-1, 1], and the policy reads them back as they were cut; tasks come from
the training list, each as often as any other; observations are this benchmark's, through the `view`. An episode's
time limit ends its return (code). Credited across episodes, the end of a trial is a cut to a learned critic, and the
end to a linear baseline, which knows how long trials are.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import ViewConfig, require_finite
from algorithms.kit.on_policy.policy_inputs import PolicyInputs
from algorithms.kit.on_policy.recurrent_policy import RecurrentPolicy, Sizes
from algorithms.kit.on_policy.recurrent_ppo import PpoSettings, RecurrentPpo, Trials
from algorithms.kit.on_policy.trial_recorder import TrialRecorder
from algorithms.kit.state import Part
from algorithms.kit.views import View
from algorithms.memory import Memory, MemoryAdapt, MemoryAgent, MemoryLearner, trial_problem
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="rl2", algorithm="Rl2", train="Rl2Train", adapt="Rl2Adapt",
        summary="recurrent policy whose hidden state is the adaptation, trained by PPO over trials",
        source="Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel 2016", cites=("duan2016rl2",),
        title="RL2", colour="#4FB3E8", marker="X", hatch="++",
        tiny_train={"trial_transitions": 40, "trials_per_iteration": 3, "hidden": 8, "epochs": 2,
                    "backpropagation": 16},
    ),
)  # fmt: skip


class Rl2Train(ViewConfig):
    """Meta-training of RL2. Defaults are the published curves' (code); the preset `rl2-strong` is VariBAD's."""

    precision: Literal["fp32"] = Field(default="fp32", description="float32 throughout: the cells have no other (ours)")
    trial_transitions: PositiveInt = Field(
        default=400, description="steps in one task with one hidden state, at least one episode (code: 2 x 200)"
    )
    trials_per_iteration: PositiveInt = Field(default=100, description="trials side by side (code: 100 tasks)")
    cell: Literal["lstm", "gru"] = Field(default="lstm", description="recurrent cell (code LSTM; VariBAD GRU)")
    hidden: PositiveInt = Field(default=64, description="its units (code 64; VariBAD 128)")
    head_hidden: tuple[PositiveInt, ...] = Field(
        default=(), description="tanh layers between cell and action, and cell and value (code none; VariBAD 128)"
    )
    observations_to_heads: bool = Field(
        default=False, description="the heads read the observation next to the hidden state (ours)"
    )
    normalise_observations: bool = Field(
        default=False, description="by the moments of all iterations before (code no; VariBAD yes)"
    )
    boundary_flag: bool = Field(
        default=False, description="after an episode's end the policy reads its last action and reward, and a flag "
        "of 1 (paper); off: it reads zeros (code)")  # fmt: skip
    initial_std: float = Field(default=1.0, gt=0, description="of the actions, learned from there (code)")
    across_episodes: bool = Field(
        default=False, description="returns run on over the episodes of a trial (paper); off: up to its end (code)"
    )
    baseline: Literal["linear", "learned"] = Field(
        default="linear", description="linear in features of the input, fitted to each trial (code), or a critic on "
        "the cell (VariBAD)")  # fmt: skip
    standardise: Literal["trial", "batch"] = Field(
        default="trial", description="advantages, over each trial (code: per task) or all trials (VariBAD)"
    )
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (code; VariBAD 0.97)")
    smoothing: float = Field(default=1.0, ge=0, le=1, description="lambda of GAE (code; VariBAD 0.9)")
    clip: float = Field(default=0.2, gt=0, description="of the probability ratio (code; VariBAD 0.1)")
    epochs: PositiveInt = Field(default=5, description="passes over the trials (code; VariBAD 2)")
    minibatches: PositiveInt = Field(default=1, description="Adam steps per pass, on whole trials (code; VariBAD 4)")
    backpropagation: PositiveInt | None = Field(
        default=32, description="steps that gradients go back (code); None: the whole trial (VariBAD)"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam (code; VariBAD 7e-4)")
    gradient_clip: float | None = Field(default=None, gt=0, description="norm (code none; VariBAD 0.5)")
    value_weight: float = Field(default=0.5, ge=0, description="of the critic's Huber loss (VariBAD)")
    entropy_weight: float = Field(default=0.0, ge=0, description="of the entropy bonus (code none; VariBAD 0.01)")

    def first_steps(self, num_tasks: int) -> int:
        """One iteration, whatever the number of tasks."""
        return self.trials_per_iteration * self.trial_transitions

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A trial has to hold an episode, and a minibatch a trial."""
        if self.minibatches > self.trials_per_iteration:
            return (
                f"minibatches is {self.minibatches}, more than the {self.trials_per_iteration} trials_per_iteration "
                "that they divide; lower the one or raise the other"
            )
        return trial_problem(self.trial_transitions, spaces) or super().problem(spaces, num_tasks)


class Rl2Adapt(MemoryAdapt):
    """Adaptation of RL2."""

    explore_stochastic: bool = Field(default=True, description="sampled actions in the adaptation episodes (code)")


class Rl2(MemoryLearner):
    """Meta-training of RL2."""

    config: Rl2Train

    def __init__(self, config: Rl2Train, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        view, actions = View(source.spaces, config.view), source.spaces.action_dim
        self.observed = PolicyInputs(view, config.normalise_observations, self.device)
        sizes = Sizes(
            config.cell, view.dim, view.dim + actions + 2, actions,
            config.hidden, config.head_hidden, config.baseline == "learned", config.observations_to_heads,
            config.initial_std,
        )  # fmt: skip
        self.boundary_flag = config.boundary_flag
        settings = PpoSettings(*(getattr(config, field) for field in PpoSettings._fields))
        self.policy = RecurrentPolicy(sizes, self.generator)
        self.ppo = RecurrentPpo(settings, self.policy, self.generator)

    # Acting ----------------------------------------------------------------------------------------------------

    def blank_state(self, rows: int) -> Tensor:
        """0."""
        return self.policy.blank(rows)

    def inputs(self, memory: Memory, observations: np.ndarray) -> Tensor:
        """What the policy reads, (row, input)."""
        return torch.cat([self.observed(observations), memory.previous], dim=-1)

    def next_state(self, memory: Memory, observations: np.ndarray) -> Tensor:
        """One step of the cell."""
        return self.policy.unroll(self.inputs(memory, observations).unsqueeze(0), memory.state).state

    @torch.no_grad()
    def actions(
        self, memory: Memory, observations: np.ndarray, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """The mean action, or a sample, cut to [-1, 1]."""
        actions = self.policy.unroll(self.inputs(memory, observations).unsqueeze(0), memory.state).mean[0]
        if explore:
            actions = self.policy.drawn(actions, generator)
        return actions.clamp(-1, 1).cpu().numpy()

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Live through trials of many tasks side by side, then some passes of PPO over them."""
        trials, batch = self.collect(self.trial_tasks(self.config.trials_per_iteration))
        metrics = self.ppo.update(trials)
        self.observed.update(batch)
        return require_finite(self.trial_returns(batch) | metrics)

    def collect(self, tasks: np.ndarray) -> tuple[Trials, EpisodeBatch]:
        """A trial in each of `tasks`, from a blank memory."""
        recorder = TrialRecorder(self.ppo, self.generator)

        def act(memory: Memory, observations: np.ndarray) -> np.ndarray:
            return recorder.act(observations, self.inputs(memory, observations), memory.state)

        batch, memory = self.live(tasks, self.config.trial_transitions, act, recorder.watch)
        return recorder.trials(lambda following: self.inputs(memory, following), memory.state), batch

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Policy and optimiser, and the moments of observations."""
        return {"ppo": self.ppo.parts(), "moments": self.observed.parts()}

    def agent(self, config: Rl2Adapt, seed: int) -> MemoryAgent:
        """An agent that adapts by its hidden state."""
        return MemoryAgent(self, config, seed)
