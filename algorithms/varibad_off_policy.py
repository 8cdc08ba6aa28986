"""VariBAD off-policy: soft actor-critic on state and belief, for budgets at which PPO has hardly begun.

The belief of VariBAD (Zintgraf et al. 2020; `algorithms/belief.py`), and in place of PPO soft actor-critic (Haarnoja et
al. 2018b) on all that was ever collected, as BOReL (Dorfman, Shenfeld, Tamar 2021) has it online. Its state is
(s_t, mu_t, log sigma_t^2), which makes it the task-conditioned actor-critic of the other rows with a belief in the
place of the task:

    y_t = r_{t+1} + gamma (1 - d) (min Q'(s_{t+1}, q_{t+1}, a') - alpha log pi(a' | s_{t+1}, q_{t+1})).

An iteration lives through trials, takes steps on the ELBO, then encodes all stored trials by the encoder as it is now,
and takes its steps of soft actor-critic on beliefs none of which is older than that (BOReL's online code keeps the
beliefs that acted). That costs a pass of the encoder over the newest `trial_memory` trials per iteration.

Credit is a declared choice: with `across_episodes` (the default here, the paper's objective) the state that follows an
episode's end is the start of the next one in its trial, and nothing ends there; without, it is the last state itself,
which ends where the family's rule says so. In neither is a time limit, or the end of a trial, an end.

Where this leaves BOReL's code, besides what `algorithms/belief.py` says: tasks are the split's training list; batches
are drawn from all stored steps, not task by task; exploration is by the untrained policy.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import ReplayTrainConfig, averaged, require_finite
from algorithms.belief import BeliefAdapt, BeliefLearner, BeliefMemory, BeliefTrain
from algorithms.kit.context.trials import TrialIndex
from algorithms.kit.networks import frozen, resolve_precision
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, Transitions
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="varibad-off-policy", algorithm="VaribadOffPolicy", train="VaribadOffPolicyTrain",
        adapt="VaribadOffPolicyAdapt",
        summary="VariBAD's belief with off-policy SAC on state and belief, for small budgets",
        source="Zintgraf et al. 2020; Dorfman, Shenfeld, Tamar 2021",
        cites=("zintgraf2020varibad", "dorfman2021offline"),
        title="VariBAD off-policy", colour="#6519FF", marker="H", dashes="--", hatch="oo//",
        tiny_train={"initial_transitions": 20, "trial_transitions": 40, "trials_per_iteration": 3,
                    "steps_per_iteration": 3, "hidden": [16, 16], "batch": 16, "encoder_hidden": 8, "vae_updates": 2,
                    "vae_batch": 2, "beliefs_per_trial": 5, "decoded_transitions": 5, "backpropagation": 16,
                    "decodes": "both", "state_decoder": [8], "trial_memory": 42},
    ),
)  # fmt: skip

AT_ONCE = 64  # trials that are encoded together


class VaribadOffPolicyTrain(BeliefTrain, ReplayTrainConfig):
    """Meta-training. Defaults: BOReL's online runs on cheetah-velocity ("code")."""

    initial_transitions: PositiveInt = Field(
        default=2000,
        description="per training task, a trial of the untrained policy (code: 5 of 400, random)",
    )
    trials_per_iteration: PositiveInt = Field(default=25, description="trials side by side (code)")
    kl_weight: float = Field(
        default=1.0, ge=0, description="w of the bound, for sums over whole trials (code: 1.0, its sums perhaps scaled "
        "otherwise)")  # fmt: skip
    vae_updates: PositiveInt = Field(default=20, description="steps of encoder and decoders per iteration (code)")
    vae_learning_rate: float = Field(default=3e-4, gt=0, description="Adam of encoder and decoders (code)")
    across_episodes: bool = Field(
        default=True, description="whether what an action is worth counts the later episodes of its trial (paper)"
    )
    hidden: tuple[PositiveInt, ...] = Field(default=(128, 128, 128), description="policy and critics (code)")
    batch: PositiveInt = Field(default=4096, description="transitions per gradient step (code: 16 tasks x 256)")
    steps_per_iteration: PositiveInt = Field(default=2000, description="gradient steps of the actor-critic (code)")
    learning_rate: float = Field(default=3e-4, gt=0, description="every Adam of it (SAC paper)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (SAC paper)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate of the critics (SAC paper)")
    reward_scale: float = Field(default=1.0, gt=0, description="in the Bellman target alone (SAC paper)")
    temperature: float | Literal["auto"] = Field(default=0.2, description="alpha (code), or tuned from 1 (SAC paper)")
    target_entropy: float | None = Field(default=None, description="where tuned; None: minus the action dimension")

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Trials in a few tasks."""
        del num_tasks, horizon
        return self.trials_per_iteration * self.trial_transitions


class VaribadOffPolicyAdapt(BeliefAdapt):
    """Adaptation by a belief."""


class VaribadOffPolicy(BeliefLearner):
    """Meta-training of a belief and of soft actor-critic on it."""

    config: VaribadOffPolicyTrain
    store: EpisodeStore

    def __init__(self, config: VaribadOffPolicyTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        actions = source.spaces.action_dim
        entropy = -float(actions) if config.target_entropy is None else config.target_entropy
        settings = SacSettings(
            config.discount, config.target_rate, config.learning_rate, config.reward_scale, config.temperature,
            entropy, resolve_precision(config.precision, self.device.type),
        )  # fmt: skip
        inputs = self.view.dim + 2 * config.latent_dim
        self.sac = SoftActorCritic.initial(settings, inputs, actions, config.hidden, self.generator)
        self.store = EpisodeStore(source.spaces, kwargs["capacity"], self.device)
        self.index = TrialIndex(self.device)

    def actions(
        self, memory: BeliefMemory, observations: np.ndarray, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """tanh of the mean, or of a sample."""
        inputs = torch.cat([self.seen(observations), self.believed(memory).vector], dim=-1)
        return act(frozen(self.sac.policy), inputs, explore=explore, generator=generator)

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Initial exploration, or: trials, steps on the ELBO, all beliefs anew, and steps of soft actor-critic."""
        if not self.store.size:
            everyone = np.arange(self.source.num_tasks)
            return {"return": self.mean_return(self.collect(everyone, self.config.initial_transitions))}
        config = self.config
        batch = self.collect(self.trial_tasks(config.trials_per_iteration), config.trial_transitions)
        metrics = averaged(self._vae_step, config.vae_updates)
        beliefs = self.beliefs()
        metrics |= averaged(lambda: self.gradient_step(beliefs), config.steps_per_iteration)
        return require_finite(self.trial_returns(batch) | metrics)

    def collect(self, tasks: np.ndarray, transitions: int) -> EpisodeBatch:
        """A trial in each of `tasks`, from the prior; stored."""
        batch, _ = self.live(
            tasks, transitions, lambda memory, observations: self.actions(memory, observations, True, self.generator)
        )
        self.index.add(self.store.remember(batch, ()))
        return batch

    # Training --------------------------------------------------------------------------------------------------

    @property
    def recent(self) -> Tensor:
        """The newest `trial_memory` trials of the index, (trial,)."""
        number = len(self.index)
        return torch.arange(max(0, number - self.config.trial_memory), number, device=self.device)

    def _vae_step(self) -> dict[str, Tensor]:
        recent = self.recent
        order = torch.rand(len(recent), generator=self.generator, device=self.device).argsort()
        trials = recent[order[: self.config.vae_batch]]
        return self.vae.update(self.index.histories(trials, self.store, self.view), self.generator)

    @torch.no_grad()
    def beliefs(self) -> Tensor:
        """Before each step and after the last of the recent trials, by the encoder as it is, (trial, step + 1, ...)."""
        longest = int(self.index.lengths(self.recent).max())
        beliefs = torch.zeros((len(self.recent), longest + 1, 2 * self.config.latent_dim), device=self.device)
        for start, trials in enumerate(self.recent.split(AT_ONCE)):
            hidden = self.encoder.unrolled(self.index.histories(trials, self.store, self.view))
            rows = slice(start * AT_ONCE, start * AT_ONCE + len(trials))
            beliefs[rows, : hidden.shape[1]] = self.encoder.belief(hidden).vector
        return beliefs

    def gradient_step(self, beliefs: Tensor) -> dict[str, Tensor]:
        """One step of soft actor-critic on steps of recent trials, whose beliefs (trial, step + 1, ...) are given."""
        losses = self.sac.update(self.sample(beliefs), self.generator)
        return {name: value[0] for name, value in losses.items()}

    def sample(self, beliefs: Tensor) -> Transitions:
        """A batch (1, row, ...) of steps of recent trials, drawn uniformly, both observations with their beliefs."""
        uniforms = torch.rand((2, self.config.batch), generator=self.generator, device=self.device, dtype=torch.float64)
        rows = (uniforms[0] * len(beliefs)).long()
        trials = self.recent[rows]
        lengths = self.index.lengths(trials)
        steps = (uniforms[1] * lengths).long()
        data = self.store.gather(self.index.slots(trials, steps))
        following, terminated = data.next_observations, data.terminated
        if self.config.across_episodes:
            more = steps + 1 < lengths
            later = self.store.gather(self.index.slots(trials, torch.minimum(steps + 1, lengths - 1)))
            following = torch.where(more.unsqueeze(1), later.observations, following)
            terminated = terminated * ~more
        now = torch.cat([self.view(data.observations), beliefs[rows, steps]], dim=-1)
        then = torch.cat([self.view(following), beliefs[rows, steps + 1]], dim=-1)
        fields = (now, data.actions, data.rewards, then, terminated)
        return Transitions(*(field.unsqueeze(0) for field in fields))

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights and moments, and which stored steps make up each trial."""
        return {"vae": self.vae.parts(), "sac": self.sac.parts(), "index": self.index}
