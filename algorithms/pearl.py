"""PEARL: probabilistic embeddings for actor-critic meta-RL.

Rakelly, Zhou, Quillen, Finn, Levine, "Efficient Off-Policy Meta-Reinforcement Learning via Probabilistic Context
Variables", 2019. An encoder turns transitions into a posterior over a latent task embedding z; SAC is conditioned
on z; only the critics' loss and the KL to the prior train the encoder:

    q(z | c) ~ product over transitions c_n of N(m_n, s_n),    (m_n, s_n) = encoder(c_n),    z ~ q(z | c),
    minimise over encoder and critics   mean (Q(s, z, a) - y)^2 + w sum_i KL(q(z | c_i) || N(0, I)),
    y = scale r + gamma (1 - d) V'(s', z).

In a test task z is drawn from the prior while exploring, then from the posterior.

`pearl+relabeling` puts experience relabeling (Mendonca et al. 2020) on the same meta-training: they say that it serves
any method (end of section 4) and never try it. A model without context is fitted on the adaptation data alone, z stays
the posterior's mean, and actor, critics and value continue on meta-training experience relabeled by that model.

Where this leaves the released code: the tasks of one iteration collect side by side, so that a task drawn twice in
one iteration contributes both collections to the same encoder data.
"""

from __future__ import annotations

import functools
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
from algorithms.kit.context.posterior import gaussian_factors, kl_to_standard_normal, product_of_gaussians
from algorithms.kit.model_based.relabeling import Relabeling, RelabelSettings, StoredExperience, with_embedding
from algorithms.kit.model_based.task_model import TaskModelSettings, fit_task_models
from algorithms.kit.networks import (
    Parameters,
    adam,
    as_leaves,
    fan_out_uniform,
    frozen,
    mlp,
    repeat_ensemble,
    resolve_precision,
)
from algorithms.kit.off_policy.fine_tuning import FineTuning, StopSettings, fine_tuned
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.off_policy.sac_value import ValueSacSettings, ValueSoftActorCritic
from algorithms.kit.off_policy.twin_critics import Also
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="pearl", algorithm="Pearl", train="PearlTrain", adapt="PearlAdapt",
        summary="posterior over a latent task embedding, off-policy actor-critic conditioned on it",
        source="Rakelly, Zhou, Quillen, Finn, Levine 2019", cites=("rakelly2019pearl",),
        title="PEARL", colour="#1F6FD0", marker="D", hatch="||",
        tiny_train={"initial_transitions": 20, "prior_transitions": 20, "posterior_transitions": 40,
                    "steps_per_iteration": 3, "policy_hidden": [16, 16, 16], "encoder_hidden": [16, 16, 16],
                    "meta_batch": 4, "batch": 8, "context_batch": 10},
    ),
    AlgorithmEntry(
        name="pearl+relabeling", algorithm="Pearl", train="PearlTrain", adapt="PearlRelabelingAdapt", training="pearl",
        summary="PEARL, then fine-tuning on experience relabeled by a model fitted on the adaptation data",
        source="Rakelly et al. 2019; Mendonca et al. 2020, end of section 4",
        cites=("rakelly2019pearl", "mendonca2020mier"), title="PEARL+relabeling", colour="#6796E5", marker="d",
        dashes="--", hatch="||//",
        tiny_adapt={"model_hidden": [16, 16], "model_steps": 4, "model_look_every": 2, "relabel_updates": 6,
                    "relabel_transitions": 200, "relabel_interval": 4, "batch": 32},
    ),
)  # fmt: skip


EVALUATION = 1  # tells the noise of evaluations from that of exploration, which has the same seed


class PearlTrain(ReplayTrainConfig):
    """Meta-training of PEARL (paper, Algorithm 1). Defaults are the released code's for cheetah-velocity."""

    latent_dim: PositiveInt = Field(default=5, description="size of z (code)")
    encoder_hidden: tuple[PositiveInt, ...] = Field(default=(200, 200, 200), description="context encoder (code)")
    policy_hidden: tuple[PositiveInt, ...] = Field(default=(300, 300, 300), description="all other networks (code)")
    next_observation_in_context: bool = Field(
        default=False, description="(s, a, r, s') as context: needed where dynamics vary (code: walker only)"
    )
    sac_variant: Literal["value", "twin_q"] = Field(
        default="value",
        description="`value`: V-network, temperature 1 (as published); `twin_q`: target critics and tuned temperature "
        "(what MIER's authors ran)",
    )
    meta_batch: PositiveInt = Field(default=16, description="tasks per gradient step, with replacement (code)")
    batch: PositiveInt = Field(default=256, description="RL transitions per task and gradient step (code)")
    context_batch: PositiveInt = Field(default=100, description="context transitions per task (code)")
    kl_weight: float = Field(default=0.1, ge=0, description="of the KL summed over tasks (code; ant-goal 1.0)")
    initial_transitions: PositiveInt = Field(default=2000, description="per training task, untrained policy (code)")
    tasks_per_iteration: PositiveInt = Field(default=5, description="tasks that collect per iteration (code)")
    prior_transitions: PositiveInt = Field(default=400, description="collected with z from the prior (code)")
    posterior_transitions: PositiveInt = Field(
        default=600, description="for the RL data alone: the first episode with z from the prior, then posterior (code)"
    )
    steps_per_iteration: PositiveInt = Field(default=2000, description="gradient steps (code: 2000 or 4000)")
    learning_rate: float = Field(default=3e-4, gt=0, description="every Adam (code)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (code)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate (code)")
    reward_scale: float = Field(default=5.0, gt=0, description="in the Bellman target alone (code)")
    mean_weight: float = Field(default=1e-3, ge=0, description="policy mean regulariser, `value` variant (code)")
    log_std_weight: float = Field(default=1e-3, ge=0, description="policy log std regulariser (code)")
    pre_tanh_weight: float = Field(default=0.0, ge=0, description="policy pre-tanh regulariser (code)")
    target_entropy: float | None = Field(
        default=None, description="`twin_q` variant; None: minus the action dimension (MIER authors' fork)"
    )
    replay_capacity: PositiveInt = Field(default=1_000_000, description="transitions per task (code)")

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Prior and posterior data of a few tasks."""
        return self.tasks_per_iteration * (self.prior_transitions + self.posterior_transitions)


class PearlAdapt(AdaptConfig):
    """Posterior inference in a test task."""

    prior_episodes: PositiveInt = Field(
        default=2, description="exploration episodes with z from the prior before the posterior is used (code)"
    )
    explore_stochastic: bool = Field(default=False, description="sampled actions while exploring (code: tanh(mean))")
    evaluation_embedding: Literal["sample", "mean"] = Field(
        default="sample", description="z of an evaluation episode: drawn from the belief (code) or its mean"
    )
    belief: Literal["posterior", "prior"] = Field(
        default="posterior", exclude_if=lambda belief: belief == "posterior",  # identities from before it was a choice
        description="`prior`: what is observed changes nothing, and z is the prior's mean (ours)")  # fmt: skip

    twin: ClassVar[dict[str, Any]] = {"belief": "prior"}

    @property
    def before(self) -> Before:
        """A belief that is the prior."""
        if self.belief == "prior":
            return Before("unadapted", "z is the prior's mean")
        if self.evaluation_embedding == "mean":
            return Before("unadapted", "z is the prior's mean until something is inferred")
        return Before("explores", "a z per episode, drawn from the prior")


class PearlRelabelingAdapt(RelabelSettings, StopSettings, TaskModelSettings, PearlAdapt):
    """Posterior inference, then fine-tuning on relabeled experience (Mendonca et al. 2020, section 4.3)."""

    evaluation_embedding: Literal["mean"] = Field(
        default="mean", description="the z that is fine-tuned at is the one that is evaluated (ours)"
    )
    fit_fraction: float = Field(
        default=0.8, gt=0, lt=1, description="share of the adaptation data that is fitted, the rest held out (MIER)"
    )

    twin: ClassVar[dict[str, Any]] = {"belief": "prior", "relabel_updates": 0}

    def costliest(self) -> Self:
        """Every task is fine-tuned to the end."""
        return self.model_copy(update={"stop_patience": None})


class Pearl(Algorithm):
    """Meta-training of PEARL, shared by PEARL with and without relabeling."""

    config: PearlTrain
    store: EpisodeStore

    def __init__(self, config: PearlTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces = source.spaces
        context_dim = spaces.observation_dim + spaces.action_dim + 1
        context_dim += spaces.observation_dim if config.next_observation_in_context else 0
        sizes = [context_dim, *config.encoder_hidden, 2 * config.latent_dim]
        self.encoder = as_leaves(fan_out_uniform(sizes, self.generator))
        self.encoder_optimiser = adam(self.encoder, config.learning_rate)
        self.precision = resolve_precision(config.precision, self.device.type)
        self.sac = self._learner(spaces.observation_dim + config.latent_dim, spaces.action_dim)
        self.store = EpisodeStore(spaces, kwargs["capacity"], self.device)
        self.replay = TaskIndex(source.num_tasks, self.device, config.replay_capacity)
        self.context = TaskIndex(source.num_tasks, self.device, config.replay_capacity)

    def _learner(self, input_dim: int, action_dim: int) -> ValueSoftActorCritic | SoftActorCritic:
        config = self.config
        if config.sac_variant == "value":
            settings = ValueSacSettings(
                config.discount, config.target_rate, config.learning_rate, config.reward_scale, config.mean_weight,
                config.log_std_weight, config.pre_tanh_weight, self.precision,
            )  # fmt: skip
            return ValueSoftActorCritic.initial(settings, input_dim, action_dim, config.policy_hidden, self.generator)
        entropy = -float(action_dim) if config.target_entropy is None else config.target_entropy
        twin = SacSettings(
            config.discount, config.target_rate, config.learning_rate, config.reward_scale, "auto", entropy,
            self.precision,
        )  # fmt: skip
        return SoftActorCritic.initial(twin, input_dim, action_dim, config.policy_hidden, self.generator)

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Initial exploration, or one iteration of Algorithm 1: collect, then gradient steps."""
        if not self.store.size:
            return self.initial_exploration(
                functools.partial(self._collect, posterior=False), self.config.initial_transitions
            )
        tasks = self.choices.integers(self.source.num_tasks, size=self.config.tasks_per_iteration)
        for task in tasks:
            self.context.clear(int(task))
        prior = self._collect(tasks, self.config.prior_transitions, posterior=False)
        posterior = self._collect(tasks, self.config.posterior_transitions, posterior=True)
        metrics = {"return": self.mean_return(posterior), "return_before_adaptation": self.mean_return(prior)}
        return require_finite(metrics | self._train())

    def _collect(self, tasks: np.ndarray, transitions: int, posterior: bool) -> EpisodeBatch:
        """Collect and store; with `posterior`, z is redrawn from it after each row's first episode (code)."""
        latents = torch.zeros((len(tasks), self.config.latent_dim), device=self.device)
        episodes = np.zeros(len(tasks), np.int64)

        def draw_latents(rows: np.ndarray) -> None:
            noise = torch.randn((len(rows), self.config.latent_dim), generator=self.generator, device=self.device)
            if posterior and (episodes[rows] > 0).all():
                mean, variance = self._posterior_from_context(tasks[rows])
                noise = mean + variance.sqrt() * noise
            latents[torch.as_tensor(rows, device=self.device)] = noise
            episodes[rows] += 1

        def explore(observations: np.ndarray) -> np.ndarray:
            return self.actions(self.sac.policy, observations, latents, True, self.generator)

        batch = self.source.collect(explore, tasks.tolist(), transitions, draw_latents)
        self.store.remember(batch, (self.replay,) if posterior else (self.replay, self.context))
        return batch

    def actions(
        self, policy: Parameters, observations: np.ndarray, latents: Tensor, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """Actions (row, action) of policies (ensemble, ...) given z (row, latent), rows in ensemble-major order."""
        inputs = torch.cat([torch.as_tensor(observations, device=self.device), latents], dim=-1)
        return act(frozen(policy), inputs, explore=explore, generator=generator)

    # Training --------------------------------------------------------------------------------------------------

    def _train(self) -> dict[str, float]:
        return averaged(self.gradient_step, self.config.steps_per_iteration)

    def gradient_step(self) -> dict[str, Tensor]:
        """Infer z, then one step of encoder, critics, value and policy (paper, Algorithm 1, lines 10-20)."""
        config = self.config
        tasks = self.choices.integers(self.source.num_tasks, size=config.meta_batch)
        context = self.store.gather(self.context.sample(tasks, config.context_batch, self.generator))
        mean, variance = self.posterior(context)
        noise = torch.randn(mean.shape, generator=self.generator, device=self.device)
        latents = mean + variance.sqrt() * noise
        kl = kl_to_standard_normal(mean, variance).sum()
        data = self.store.gather(self.replay.sample(tasks, config.batch, self.generator))
        also = Also(self.encoder, self.encoder_optimiser, config.kl_weight * kl)
        losses = self.sac.update(with_embedding(data, latents).pooled(), self.generator, also)
        return {name: value[0] for name, value in losses.items()} | {"kl": kl.detach() / config.meta_batch}

    def posterior(self, context: Transitions) -> tuple[Tensor, Tensor]:
        """Mean and variance (task, latent) of q(z | context), context fields (task, row, ...)."""
        parts = [context.observations, context.actions, context.rewards.unsqueeze(-1)]
        if self.config.next_observation_in_context:
            parts.append(context.next_observations)
        inputs = torch.cat(parts, dim=-1)
        outputs = mlp(self.encoder, inputs.flatten(0, 1).unsqueeze(0), self.precision)[0]
        return product_of_gaussians(*gaussian_factors(outputs.unflatten(0, inputs.shape[:2])))

    @torch.no_grad()
    def _posterior_from_context(self, tasks: np.ndarray) -> tuple[Tensor, Tensor]:
        slots = self.context.sample(tasks, self.config.context_batch, self.generator)
        return self.posterior(self.store.gather(slots))

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights, moments and views."""
        return {
            "encoder": self.encoder, "encoder_optimiser": self.encoder_optimiser, "sac": self.sac.parts(),
            "replay": self.replay, "context": self.context,
        }  # fmt: skip

    def agent(self, config: PearlAdapt, seed: int) -> PearlAgent:
        """An agent that infers z, and relabels if its config says how."""
        if isinstance(config, PearlRelabelingAdapt):
            return PearlRelabelingAgent(self, config, seed)
        return PearlAgent(self, config, seed)


class PearlAgent(Agent):
    """Believes in the prior while exploring, then in the posterior of all it has seen, for many tasks at once."""

    def __init__(self, pearl: Pearl, config: PearlAdapt, seed: int) -> None:
        self.pearl = pearl
        self.config = config
        self.seed = seed
        self.generator = torch.Generator(pearl.device).manual_seed(seed)
        self.begin(0)

    def begin(self, num_tasks: int) -> None:
        """Belief N(0, I) in every task, and z drawn from it."""
        self.policy = frozen(self.pearl.sac.policy)
        shape = (num_tasks, self.pearl.config.latent_dim)
        self.mean = torch.zeros(shape, device=self.pearl.device)
        self.variance = torch.ones(shape, device=self.pearl.device)
        self.latents = self._drawn(torch.randn(shape, generator=self.generator, device=self.pearl.device))
        self.episodes = np.zeros(num_tasks, np.int64)
        self.data = TrialData(num_tasks)

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The policy given z, deterministic unless exploration is declared stochastic."""
        sampled = explore and self.config.explore_stochastic
        return self.pearl.actions(self.policy, observations, self.latents, sampled, self.generator)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Store; after an episode draw a new z, from the posterior once enough episodes have been seen."""
        if self.config.belief == "prior":
            return
        self.data.add(transition, active)
        self.episodes += episode_end
        over = np.flatnonzero(episode_end)
        if not len(over):
            return
        for task in over[self.episodes[over] >= self.config.prior_episodes]:
            mean, variance = self._posterior_of(self.data.of_task(task, self.pearl.device))
            self.mean[task], self.variance[task] = mean[0], variance[0]
        noise = torch.randn(self.latents.shape, generator=self.generator, device=self.pearl.device)
        rows = torch.as_tensor(over, device=self.pearl.device)
        self.latents = self.latents.clone()
        self.latents[rows] = self._drawn(noise)[rows]

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """One posterior from all transitions; no gradient updates."""
        yield Adaptation(0, as_arrays(self._infer()))

    def _infer(self) -> dict[str, Tensor]:
        """Take over the posterior of all transitions, unless the belief is to stay the prior; diagnostics, (task,)."""
        if self.config.belief == "posterior":
            self.mean, self.variance = self._posterior_of(self.data.everything(self.pearl.device))
        return {"embedding_norm": self.mean.norm(dim=1), "embedding_std": self.variance.sqrt().mean(dim=1)}

    def fork(self, episodes: int) -> PearlAgent:
        """A copy with one z per task and episode; an episode's z does not depend on how many there are."""
        copy = PearlAgent(self.pearl, self.config, self.seed)
        copy.policy = self.policy
        own = int(np.random.SeedSequence([self.seed, EVALUATION]).generate_state(1, np.uint64)[0])
        generator = torch.Generator(self.pearl.device).manual_seed(own)
        # One draw per episode: the first numbers of a longer draw are not those of a shorter one.
        draws = [torch.randn(self.mean.shape, generator=generator, device=self.pearl.device) for _ in range(episodes)]
        noise = torch.stack(draws)
        latents = self.mean if self.config.evaluation_embedding == "mean" else self._drawn(noise)
        copy.latents = latents.expand(noise.shape).transpose(0, 1).flatten(0, 1)
        return copy

    def _drawn(self, noise: Tensor) -> Tensor:
        if self.config.belief == "prior":
            return self.mean.expand_as(noise)
        return self.mean + self.variance.sqrt() * noise

    @torch.no_grad()
    def _posterior_of(self, data: Transitions) -> tuple[Tensor, Tensor]:
        return self.pearl.posterior(data)


class PearlRelabelingAgent(PearlAgent):
    """Infers z as PEARL does, then fine-tunes one actor-critic per task, at that z, on relabeled experience."""

    config: PearlRelabelingAdapt

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """The posterior and the model, then updates; the encoder is left as it is, and z never inferred again."""
        config, pearl = self.config, self.pearl
        if config.is_twin:  # it has not even kept the data
            yield from super().adapt(every, limit)
            return
        posterior = self._infer()
        fit, held_out = self.data.split(config.fit_fraction, self.generator, pearl.device)
        models = fit_task_models(config, pearl.store, pearl.replay, fit, held_out, self.generator)
        yield Adaptation(0, as_arrays(posterior | models.diagnostics))
        updates, number = config.capped_updates(limit), len(self.mean)
        relabeling = Relabeling(
            config, StoredExperience(pearl.store, pearl.replay, pearl.source.terminated), models.adapted, self.mean,
            self.data.everything(pearl.device) if config.stop_patience is None else fit, updates,
        )  # fmt: skip
        tuning = FineTuning(pearl.sac.copies(number), relabeling, config.rule(with_embedding(held_out, self.mean)))
        self.policy, everyone = repeat_ensemble(self.policy, number), torch.arange(number, device=pearl.device)
        points = evaluation_points(every, updates)
        for point, diagnostics in fine_tuned(tuning, self.policy, everyone, points, self.generator):
            yield Adaptation(point, as_arrays(diagnostics))
