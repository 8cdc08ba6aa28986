"""What VariBAD on-policy and off-policy share: a belief over the task, how it is trained, and the agent that keeps one.

Zintgraf et al., "VariBAD: A Very Good Method for Bayes-Adaptive Deep RL via Meta-Learning", 2020. A recurrent encoder
turns what happened in a trial, (a, r, s') step by step, into a belief q_t(m) over a latent task m
(`kit/context/belief.py`); decoders of rewards or of next observations (`kit/context/decoders.py`) and the evidence
lower bound over all beliefs and all transitions of a trial (`kit/context/task_vae.py`) train it, and nothing else does.
The policy reads the observation and the belief's mean and log variance, never a sample. Adapting is running the
encoder: no gradient is taken in a test task, and the belief goes on being updated in the evaluated episode.

Where this leaves the public code, in both: trials are transitions, as many as a meta-test has or as the preset says,
in which episodes restart and nothing is padded; the encoder reads the last transition of an episode as any other, and
the policy acts on the real start state of the next one (the code acts on the old episode's last state, and marks that
by a flag in observations, which there is none of here); a trial starts from the prior (in the code from a state that
has read the last transition of another task); tasks come from the training list; encoder and decoders read
observations and rewards as they are (code), but through the `view`. Weighting of the bound: `kit/context/task_vae.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from algorithms.base import Adaptation, Before, Transition, ViewConfig, as_arrays
from algorithms.kit.context.belief import Belief, BeliefEncoder, Embeddings, EncoderSizes
from algorithms.kit.context.decoders import Decoder, DecoderSizes, Target
from algorithms.kit.context.task_vae import TaskVae, VaeSettings
from algorithms.kit.views import View
from algorithms.memory import MemoryAdapt, MemoryAgent, TrialLearner, trial_problem
from tasks.spec import SpaceSpec, TaskSource

DECODED: dict[str, tuple[Target, ...]] = {"reward": ("reward",), "state": ("state",), "both": ("reward", "state")}


class BeliefTrain(ViewConfig):
    """How a belief is trained. Defaults: VariBAD's code for cheetah-velocity ("code")."""

    trial_transitions: PositiveInt = Field(
        default=400, description="steps in one task with one belief, at least one episode (code: 2 x 200)"
    )
    trials_per_iteration: PositiveInt = Field(default=16, description="trials side by side (code: 16 processes)")
    latent_dim: PositiveInt = Field(default=5, description="size of m (code: 5 or 10)")
    encoder_hidden: PositiveInt = Field(default=128, description="units of the GRU (code)")
    observation_embedding: PositiveInt = Field(default=32, description="of encoder and decoders (code)")
    action_embedding: PositiveInt = Field(default=16, description="of encoder and decoders (code; walker 32)")
    reward_embedding: PositiveInt = Field(default=16, description="of the encoder (code; walker 32)")
    decodes: Literal["reward", "state", "both"] = Field(
        default="reward", description="what a belief has to explain: rewards (code), next observations where dynamics "
        "vary (code: walker), or both, equally weighted")  # fmt: skip
    reward_decoder: tuple[PositiveInt, ...] = Field(default=(64, 32), description="its hidden layers (code)")
    state_decoder: tuple[PositiveInt, ...] = Field(default=(256, 128), description="its hidden layers (code: walker)")
    kl_weight: float = Field(
        default=8.0, ge=0, description="w of the bound, for sums over whole trials (code: 0.1, times the 10 trials "
        "that it sums the KL of, times 400 / 50 for the transitions that it does not decode)")  # fmt: skip
    vae_updates: PositiveInt = Field(default=1, description="steps of encoder and decoders per iteration (code)")
    vae_batch: PositiveInt = Field(default=10, description="trials in each (code)")
    beliefs_per_trial: PositiveInt | None = Field(
        default=50, description="of each trial in each update, drawn anew (code); None: all"
    )
    decoded_transitions: PositiveInt | None = Field(
        default=50, description="of its trial, for each of these beliefs (code); None: all"
    )
    vae_learning_rate: float = Field(default=1e-3, gt=0, description="Adam of encoder and decoders (code)")
    vae_gradient_clip: float | None = Field(
        default=1.0, gt=0, description="norm, of the encoder and of each decoder by itself (code)"
    )
    backpropagation: PositiveInt | None = Field(
        default=50, description="steps that gradients go back in the encoder (code); None: the whole trial"
    )
    trial_memory: PositiveInt = Field(
        default=10_000, description="newest trials that the belief is trained on (code), on-policy kept in memory whole"
    )
    across_episodes: bool = Field(
        default=False, description="whether what an action is worth counts the later episodes of its trial (paper), or "
        "its own alone (code, MuJoCo: returns end at every time limit)")  # fmt: skip

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A trial has to hold an episode."""
        return trial_problem(self.trial_transitions, spaces) or super().problem(spaces, num_tasks)


class BeliefAdapt(MemoryAdapt):
    """Adaptation by a belief: there is nothing to do but to act."""

    online: bool = Field(
        default=True, description="update the belief; without: the prior at every step, as an agent that cannot learn "
        "of its task (ours)")  # fmt: skip
    explore_stochastic: bool = Field(
        default=False, description="sampled actions in the adaptation episodes (code: the mean)"
    )

    @property
    def before(self) -> Before:
        """A belief that starts as the prior, and sharpens."""
        if not self.online:
            return Before("unadapted", "the policy given the prior at every step")
        return Before("adapts within the episode", "a belief that is the prior at the episode's start, and sharpens")


class BeliefMemory(NamedTuple):
    """What is carried through the trials of a batch of rows: the encoder's state, (row, hidden)."""

    state: Tensor

    def repeated(self, times: int) -> BeliefMemory:
        """Row-major copies."""
        return BeliefMemory(self.state.repeat_interleave(times, dim=0))


class BeliefLearner(TrialLearner):
    """Meta-training of a belief and of a policy that reads it."""

    config: Any

    def __init__(self, config: Any, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        self.view, actions = View(source.spaces, config.view), source.spaces.action_dim
        embeddings = Embeddings(config.observation_embedding, config.action_embedding, config.reward_embedding)
        sizes = EncoderSizes(self.view.dim, actions, config.latent_dim, config.encoder_hidden, embeddings)
        self.encoder = BeliefEncoder(sizes, self.generator)
        layers = {"reward": config.reward_decoder, "state": config.state_decoder}
        decoders = [
            DecoderSizes(target, self.view.dim, actions, config.latent_dim, embeddings, layers[target])
            for target in DECODED[config.decodes]
        ]
        settings = VaeSettings(
            config.kl_weight, config.beliefs_per_trial, config.decoded_transitions, config.backpropagation,
            config.vae_learning_rate, config.vae_gradient_clip,
        )  # fmt: skip
        self.vae = TaskVae(settings, self.encoder, [Decoder(each, self.generator) for each in decoders])

    def seen(self, observations: np.ndarray) -> Tensor:
        """What the view shows of observations (row, observation), float32 on the learner's device."""
        return self.view(torch.as_tensor(observations, dtype=torch.float32, device=self.device))

    def blank(self, rows: int) -> BeliefMemory:
        """The prior."""
        return BeliefMemory(self.encoder.blank(rows))

    @torch.no_grad()
    def believed(self, memory: BeliefMemory) -> Belief:
        """What is believed of each task, (row, latent)."""
        return self.encoder.belief(memory.state)

    @torch.no_grad()
    def remembering(
        self, memory: BeliefMemory, transition: Transition, active: np.ndarray, episode_end: np.ndarray
    ) -> BeliefMemory:
        """The encoder's state after a step; rows that are not active keep theirs."""
        del episode_end
        actions = torch.as_tensor(transition.actions, device=self.device)
        rewards = torch.as_tensor(transition.rewards, device=self.device)
        after = self.encoder.after(memory.state, actions, rewards, self.seen(transition.next_observations))
        return BeliefMemory(torch.where(torch.as_tensor(active, device=self.device).unsqueeze(1), after, memory.state))

    def agent(self, config: BeliefAdapt, seed: int) -> BeliefAgent:
        """An agent that adapts by its belief."""
        return BeliefAgent(self, config, seed)


class BeliefAgent(MemoryAgent):
    """Carries a belief through the trials of a batch of test tasks, evaluated episodes included."""

    learner: BeliefLearner

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """Nothing is left to do: all that was observed is in the belief."""
        mean, log_variance = self.learner.believed(self.memory)
        deviation = (0.5 * log_variance).exp().mean(dim=1)
        yield Adaptation(0, as_arrays({"embedding_norm": mean.norm(dim=1), "embedding_std": deviation}))
