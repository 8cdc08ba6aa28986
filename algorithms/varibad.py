"""VariBAD: a policy conditioned on a belief over the task, trained by PPO over trials of several episodes.

Zintgraf, Shiarlis, Igl, Schulze, Gal, Hofmann, Whiteson, "VariBAD: A Very Good Method for Bayes-Adaptive Deep RL via
Meta-Learning", 2020. The belief q_t over a latent task, how it is trained, and how an agent adapts by it are in
`algorithms/belief.py`. The policy reads (s_t, mu_t, log sigma_t^2), which makes it one of the Bayes-adaptive MDP whose
states are (s, belief):

    maximise   E[sum_t gamma^t r_t] over trials,    a_t ~ N(f(s_t, mu_t, log sigma_t^2), diag sigma_a^2),

by proximal policy optimisation (Schulman et al. 2017) on single steps, in which the belief is data: no gradient of the
policy's loss enters the encoder. An iteration lives through one trial in each of some tasks, makes its passes of PPO
over their steps, then some steps on the ELBO of trials from a ring of the newest ones.

Credit is a declared choice (`across_episodes`): by default every episode is credited by itself, as the code's MuJoCo
runs are, so that nothing rewards finding out in one episode for the next; `true` is the paper's objective. Rewards are
normalised as the code does, by the standard deviation of discounted returns so far, observations and beliefs by
running moments (not the encoder's and the decoders' inputs).

Where this leaves the code, besides what `algorithms/belief.py` says: actions are cut to [-1, 1] where they act, and
the encoder reads them as they were cut (the code neither squashes nor cuts, so that the control cost counts what the
simulator does not do, but for tanh of the mean on cheetah-direction and of the sample on humanoid); an iteration is
whole trials (the code: 200 steps of each on ants and walkers); an episode credited by itself ends with what its last
step gave, and one that the end of a trial cuts goes on by the critic's value (the code lets the last step of an episode
teach nothing); moments change after the passes of PPO and not before, so that old log-probabilities stay what they
were; normalised rewards are not cut at 10, the critic's loss is not clipped; rates are not annealed over a budget,
which is no part of a training here; the first iteration trains the policy too.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import averaged, require_finite
from algorithms.belief import BeliefAdapt, BeliefLearner, BeliefMemory, BeliefTrain
from algorithms.kit.context.trials import TrialRing, histories_of
from algorithms.kit.on_policy.embedded_policy import EmbeddedPolicy, Sizes
from algorithms.kit.on_policy.policy_inputs import PolicyInputs
from algorithms.kit.on_policy.recurrent_ppo import PpoSettings, RecurrentPpo, Trials
from algorithms.kit.on_policy.running_moments import RunningMoments
from algorithms.kit.on_policy.trial_recorder import TrialRecorder
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="varibad", algorithm="Varibad", train="VaribadTrain", adapt="VaribadAdapt",
        summary="recurrent belief over a latent task, trained to explain rewards or states; PPO on state and belief",
        source="Zintgraf, Shiarlis, Igl, Schulze, Gal, Hofmann, Whiteson 2020", cites=("zintgraf2020varibad",),
        title="VariBAD", colour="#2D6172", marker="8", hatch="oo",
        tiny_train={"trial_transitions": 40, "trials_per_iteration": 3, "encoder_hidden": 8, "policy_hidden": [8],
                    "policy_embedding": 8, "minibatches": 2, "vae_updates": 2, "vae_batch": 2, "beliefs_per_trial": 5,
                    "decoded_transitions": 5, "backpropagation": 16, "decodes": "both", "state_decoder": [8],
                    "trial_memory": 5},
    ),
)  # fmt: skip


class VaribadTrain(BeliefTrain):
    """Meta-training of VariBAD. Defaults: the code's for cheetah-velocity ("code")."""

    precision: Literal["fp32"] = Field(default="fp32", description="float32 throughout: the cells have no other (ours)")
    policy_embedding: PositiveInt | None = Field(
        default=64, description="tanh layer of the observation, and of the belief, that actor and critic share (code); "
        "None: they read both as they are (code: humanoid)")  # fmt: skip
    policy_hidden: tuple[PositiveInt, ...] = Field(default=(128, 128), description="tanh layers of each (code)")
    initial_std: float = Field(default=1.0, gt=0, description="of the actions, learned from there (code)")
    normalise_observations: bool = Field(default=True, description="for the policy, by running moments (code)")
    normalise_beliefs: bool = Field(default=True, description="for the policy, by running moments (code; ant-goal not)")
    discount: float = Field(default=0.97, gt=0, le=1, description="gamma (code; humanoid 0.99)")
    smoothing: float = Field(default=0.9, ge=0, le=1, description="lambda of GAE (code)")
    clip: float = Field(default=0.1, gt=0, description="of the probability ratio (code; ant-goal, walker 0.05)")
    epochs: PositiveInt = Field(default=2, description="passes over the steps (code)")
    minibatches: PositiveInt = Field(default=8, description="Adam steps per pass, on steps of all trials (code)")
    learning_rate: float = Field(default=7e-4, gt=0, description="Adam of the policy (code; ant-goal 1e-3)")
    gradient_clip: float | None = Field(default=0.5, gt=0, description="norm (code)")
    value_weight: float = Field(default=0.25, ge=0, description="of the critic's Huber loss (code: a half of a half)")
    entropy_weight: float = Field(default=0.01, ge=0, description="of the entropy bonus (code)")

    def first_steps(self, num_tasks: int) -> int:
        """One iteration, whatever the number of tasks."""
        return self.trials_per_iteration * self.trial_transitions

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A minibatch has to hold a step."""
        steps = self.trials_per_iteration * self.trial_transitions
        if self.minibatches > steps:
            return f"minibatches is {self.minibatches}, more than the {steps} steps of an iteration; lower it"
        return super().problem(spaces, num_tasks)


class VaribadAdapt(BeliefAdapt):
    """Adaptation of VariBAD."""


class Varibad(BeliefLearner):
    """Meta-training of VariBAD."""

    config: VaribadTrain

    def __init__(self, config: VaribadTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        beliefs = 2 * config.latent_dim
        sizes = Sizes(
            self.view.dim, beliefs, source.spaces.action_dim, config.policy_embedding, config.policy_hidden,
            config.initial_std,
        )  # fmt: skip
        settings = PpoSettings(
            config.across_episodes, "learned", "batch", config.discount, config.smoothing, config.clip, config.epochs,
            config.minibatches, None, config.learning_rate, config.gradient_clip, config.value_weight,
            config.entropy_weight,
        )  # fmt: skip
        self.policy = EmbeddedPolicy(sizes, self.generator)
        self.ppo = RecurrentPpo(settings, self.policy, self.generator)
        self.observed = PolicyInputs(self.view, config.normalise_observations, self.device)
        self.belief_moments = RunningMoments(beliefs, self.device) if config.normalise_beliefs else None
        self.ring = TrialRing(config.trial_memory)

    # Acting ----------------------------------------------------------------------------------------------------

    def inputs(self, memory: BeliefMemory, observations: np.ndarray) -> Tensor:
        """What the policy reads, (row, input): observation and belief."""
        belief = self.believed(memory).vector
        belief = belief if self.belief_moments is None else self.belief_moments.normalised(belief)
        return torch.cat([self.observed(observations), belief], dim=-1)

    @torch.no_grad()
    def actions(
        self, memory: BeliefMemory, observations: np.ndarray, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """The mean action or a sample, cut to [-1, 1]."""
        inputs = self.inputs(memory, observations).unsqueeze(0)
        actions = self.policy.unroll(inputs, self.policy.blank(len(observations))).mean[0]
        actions = self.policy.drawn(actions, generator) if explore else actions
        return actions.clamp(-1, 1).cpu().numpy()

    # Training --------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Live through trials of many tasks side by side; PPO on their steps, then the ELBO of stored trials."""
        trials, batch = self.collect(self.trial_tasks(self.config.trials_per_iteration))
        histories = histories_of(batch, self.view, self.device)
        self.ring.add(histories)
        metrics = self.ppo.update(trials)
        metrics |= averaged(self._vae_step, self.config.vae_updates)
        self.observed.update(batch)
        if self.belief_moments is not None:
            with torch.no_grad():
                hidden = self.encoder.unrolled(histories)[:, :-1]
                self.belief_moments.update(self.encoder.belief(hidden).vector)
        return require_finite(self.trial_returns(batch) | metrics)

    def collect(self, tasks: np.ndarray) -> tuple[Trials, EpisodeBatch]:
        """A trial in each of `tasks`, from the prior."""
        recorder, nothing = TrialRecorder(self.ppo, self.generator), self.policy.blank(len(tasks))

        def act(memory: BeliefMemory, observations: np.ndarray) -> np.ndarray:
            return recorder.act(observations, self.inputs(memory, observations), nothing)

        batch, memory = self.live(tasks, self.config.trial_transitions, act, recorder.watch)
        return recorder.trials(lambda following: self.inputs(memory, following), nothing), batch

    def _vae_step(self) -> dict[str, Tensor]:
        return self.vae.update(self.ring.sample(self.config.vae_batch, self.generator), self.generator)

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights and moments of policy and belief, and the trials that the belief is trained on."""
        moments = None if self.belief_moments is None else self.belief_moments.parts()
        return {
            "vae": self.vae.parts(), "ppo": self.ppo.parts(), "observations": self.observed.parts(),
            "beliefs": moments, "ring": self.ring,
        }  # fmt: skip
