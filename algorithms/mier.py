"""MIER and MIER-wR: meta-RL by model identification and experience relabeling.

Mendonca, Geng, Finn, Levine, "Meta-Reinforcement Learning Robust to Distributional Shift via Model Identification
and Experience Relabeling", 2020. A model p(r, s'|s, a; phi) is meta-trained so that a few gradient steps on phi
identify a task; a policy conditioned on the adapted phi is trained by SAC. In a test task phi is adapted
(MIER-wR stops here), the model too, and if the model then explains held-out adaptation data well enough, the policy
is fine-tuned on meta-training experience relabeled by it.

Where this leaves the released code: target critics start as copies (there: fresh random weights); the relabeling
gate, absent there, judges held-out likelihood without the variance-bound term; in reward-varying families no
separate state model is trained (the code's is never used, the paper has none).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
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
from algorithms.kit.model_based.context_model import ContextModel, adapt_context, adapt_model, clipped
from algorithms.kit.model_based.relabeling import FineTuning, RelabelSettings, with_embedding
from algorithms.kit.networks import Parameters, adam, as_leaves, frozen, repeat_ensemble, resolve_precision
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="mier", algorithm="Mier", train="MierTrain", adapt="MierAdapt",
        summary="model identification, then fine-tuning on experience relabeled by the adapted model",
        source="Mendonca, Geng, Finn, Levine 2020",
        title="MIER", colour="#D94801", marker="o",
        tiny_train={"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20,
                    "steps_per_iteration": 3, "policy_hidden": [16, 16, 16], "model_hidden": [16, 16, 16],
                    "task_batch": 10, "meta_batch": 4},
        tiny_adapt={"context_steps": 3, "model_steps": 4, "gate": None, "relabel_updates": 6,
                    "relabel_transitions": 200, "relabel_interval": 4, "batch": 32},
    ),
    AlgorithmEntry(
        name="mier-wr", training="mier", algorithm="Mier", train="MierTrain", adapt="MierWithoutRelabelingAdapt",
        summary="MIER without relabeling: the context variable alone is adapted",
        source="Mendonca, Geng, Finn, Levine 2020",
        title="MIER-wR", colour="#DDA000", marker="s", dashes="--", hatch="//",
        tiny_adapt={"context_steps": 3},
    ),
)  # fmt: skip


class MierTrain(ReplayTrainConfig):
    """Meta-training of MIER (paper, Algorithm 1). Defaults are the released code's; `paper` is a preset."""

    predicts: Literal["reward", "dynamics"] = Field(
        default="dynamics", description="`reward`: reward-only model for reward-varying tasks; `dynamics`: the joint "
        "model of reward and next observation (paper, appendix)")  # fmt: skip
    context_dim: PositiveInt = Field(default=5, description="size of phi (paper 5; code 10 on negated cheetah joints)")
    learn_initial_context: bool = Field(default=False, description="whether phi_0 is trained (paper) or 0 (code)")
    model_hidden: tuple[PositiveInt, ...] = Field(default=(200,) * 4, description="model layers (code)")
    model_negative_slope: float = Field(default=0.2, ge=0, description="leaky ReLU of the model (code)")
    model_learning_rate: float = Field(default=1e-3, gt=0, description="Adam, outer (code; not in the paper)")
    model_precision: Literal["auto", "fp32", "bf16"] = Field(
        default="fp32", description="hidden-layer products of the model (ours; see docs/precision.md)")  # fmt: skip
    inner_learning_rate: float = Field(default=0.01, gt=0, description="step on phi (paper, table 2)")
    inner_steps: PositiveInt = Field(default=2, description="steps on phi in meta-training (paper, table 2)")
    gradient_clip: float = Field(default=10.0, gt=0, description="norm, inner and outer (paper, table 3)")
    meta_batch: PositiveInt = Field(default=10, description="tasks per gradient step (code), fixed per iteration")
    task_batch: PositiveInt = Field(
        default=400, description="transitions per task to adapt on, and as many to judge on (paper, table 1)"
    )
    policy_batch: PositiveInt | None = Field(
        default=None, description="SAC batch per step: None takes all judged transitions (code); paper 256"
    )
    initial_transitions: PositiveInt = Field(default=2000, description="per training task, untrained policy (code)")
    tasks_per_iteration: PositiveInt = Field(default=5, description="tasks that collect per iteration (code)")
    prior_transitions: PositiveInt = Field(default=400, description="collected with phi_0, per task (code)")
    adapted_transitions: PositiveInt = Field(default=600, description="collected with adapted phi, per task (code)")
    steps_per_iteration: PositiveInt = Field(default=1000, description="model and SAC steps (paper, table 3)")
    policy_hidden: tuple[PositiveInt, ...] = Field(
        default=(256, 256), description="policy and critics (code 256x2 on most, 300x3 on velocity; paper 300x3)"
    )
    policy_learning_rate: float = Field(default=3e-4, gt=0, description="Adam of SAC (paper, table 2)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (paper, table 2)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate of the critics (paper, table 2)")
    reward_scale: float = Field(default=1.0, gt=0, description="(code)")
    temperature: float | Literal["auto"] = Field(default="auto", description="tuned from 1 (code); paper 1.0 fixed")
    target_entropy: float = Field(default=-1.0, description="for every family (code)")
    replay_capacity: PositiveInt = Field(default=1_000_000, description="transitions per task (code)")

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """Prior and adapted data of a few tasks."""
        return self.tasks_per_iteration * (self.prior_transitions + self.adapted_transitions)


class MierWithoutRelabelingAdapt(AdaptConfig):
    """MIER-wR: phi alone is adapted (paper, section 5.1)."""

    context_steps: NonNegativeInt = Field(default=10, description="N (paper, table 1)")
    late_learning_rate: float = Field(
        default=1e-3, gt=0, description="step on phi after `inner_steps` (code; the paper keeps 0.01)"
    )
    fit_fraction: float = Field(
        default=0.8, gt=0, lt=1, description="share of the adaptation data that is fitted, the rest held out (code)"
    )

    twin: ClassVar[dict[str, Any]] = {"context_steps": 0}

    @property
    def before(self) -> Before:
        """The context before any step."""
        return Before("unadapted", "the meta-trained policy given the meta-learned initial context")


class MierAdapt(MierWithoutRelabelingAdapt):
    """MIER: model adaptation and fine-tuning on relabeled experience (paper, Algorithm 2)."""

    model_steps: int = Field(default=0, ge=0, description="M, Adam steps on theta and the bounds (paper, table 1)")
    gate: float | None = Field(
        default=-3.0, description="relabel only where the held-out likelihood loss, without the bound term, is below "
        "this (paper, appendix); a closed task keeps the MIER-wR policy. None: no gate (code)")  # fmt: skip
    relabel_updates: int = Field(default=20_000, ge=0, description="SAC updates per task (code; ant-direction 1000)")
    relabel_interval: PositiveInt = Field(
        default=500, description="SAC updates between relabelings (code 500, paper 250)")  # fmt: skip
    relabel_transitions: PositiveInt = Field(default=100_000, description="transitions per relabeling (code)")
    relabel_tasks: PositiveInt = Field(default=20, description="training tasks drawn per relabeling (code)")
    relabel_capacity: PositiveInt = Field(default=1_000_000, description="relabeled transitions kept (code)")
    batch: PositiveInt = Field(default=256, description="SAC batch while fine-tuning (paper, table 2)")
    real_fraction: float = Field(default=0.05, ge=0, le=1, description="real adaptation data in that batch (code)")

    twin: ClassVar[dict[str, Any]] = {"context_steps": 0, "model_steps": 0, "relabel_updates": 0}

    @property
    def updates(self) -> int:
        """SAC updates per task."""
        return self.relabel_updates

    @property
    def updates_per_round(self) -> int:
        """Each round begins with a relabeling."""
        return self.relabel_interval

    def costliest(self) -> Self:
        """The gate is open in every task."""
        return self.model_copy(update={"gate": None})


class Mier(Algorithm):
    """Meta-training shared by MIER and MIER-wR."""

    config: MierTrain
    store: EpisodeStore

    def __init__(self, config: MierTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces, device = source.spaces, self.device
        self.model = ContextModel(
            spaces.observation_dim, spaces.action_dim, config.context_dim, config.model_hidden,
            predicts_dynamics=config.predicts == "dynamics", negative_slope=config.model_negative_slope,
            precision=resolve_precision(config.model_precision, device.type),
        )  # fmt: skip
        self.inner_rates = [config.inner_learning_rate] * config.inner_steps
        self.theta = as_leaves(self.model.initial(self.generator))
        self.initial_context = torch.zeros((1, config.context_dim), device=device)
        self.initial_context.requires_grad_(config.learn_initial_context)
        self.trained = [*self.theta, *([self.initial_context] if config.learn_initial_context else [])]
        self.model_optimiser = adam(self.trained, config.model_learning_rate)
        self.sac = SoftActorCritic.initial(
            sac_settings(config, device), spaces.observation_dim + config.context_dim, spaces.action_dim,
            config.policy_hidden, self.generator,
        )  # fmt: skip
        self.store = EpisodeStore(spaces, kwargs["capacity"], device)
        self.everything = TaskIndex(source.num_tasks, device, config.replay_capacity)
        self.prior = TaskIndex(source.num_tasks, device, config.replay_capacity)

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Initial exploration, or one iteration of Algorithm 1: collect, then model and policy steps."""
        if not self.store.size:
            contexts = self._prior_contexts(self.source.num_tasks)
            return self.initial_exploration(
                lambda tasks, piece: self._collect(tasks, contexts, piece)[0], self.config.initial_transitions
            )
        tasks = self.choices.integers(self.source.num_tasks, size=self.config.tasks_per_iteration)
        prior, slots = self._collect(tasks, self._prior_contexts(len(tasks)), self.config.prior_transitions)
        contexts = adapt_context(
            self.model, frozen(self.theta), self._prior_contexts(len(tasks)).detach(), self.store.gather(slots),
            self.inner_rates, clip=self.config.gradient_clip,
        )  # fmt: skip
        adapted, _ = self._collect(tasks, contexts, self.config.adapted_transitions, is_prior=False)
        metrics = {"return": self.mean_return(adapted), "return_before_adaptation": self.mean_return(prior)}
        return require_finite(metrics | self._train(self._meta_batch_tasks()))

    def _collect(
        self, tasks: np.ndarray, contexts: Tensor, transitions: int, is_prior: bool = True
    ) -> tuple[EpisodeBatch, Tensor]:
        """Collect with fixed contexts (row, context) and store; also the slots per row, (row, transition)."""

        def explore(observations: np.ndarray) -> np.ndarray:
            return self.actions(self.sac.policy, observations, contexts, True, self.generator)

        batch = self.source.collect(explore, tasks.tolist(), transitions)
        views = (self.everything, self.prior) if is_prior else (self.everything,)
        return batch, torch.stack(self.store.remember(batch, views))

    def actions(
        self, policy: Parameters, observations: np.ndarray, contexts: Tensor, explore: bool, generator: torch.Generator
    ) -> np.ndarray:
        """Actions (row, action) of policies (ensemble, ...) for rows in ensemble-major order."""
        inputs = torch.cat([torch.as_tensor(observations, device=self.device), contexts.detach()], dim=-1)
        return act(policy, inputs, explore=explore, generator=generator)

    # Training --------------------------------------------------------------------------------------------------

    def _meta_batch_tasks(self) -> np.ndarray:
        """The tasks of this iteration's gradient steps: without replacement unless there are too few (code)."""
        few = self.source.num_tasks < self.config.meta_batch
        return self.choices.choice(self.source.num_tasks, self.config.meta_batch, replace=few)

    def _train(self, tasks: np.ndarray) -> dict[str, float]:
        return averaged(lambda: self._gradient_step(tasks), self.config.steps_per_iteration)

    def _gradient_step(self, tasks: np.ndarray) -> dict[str, Tensor]:
        """One model meta-step, then one SAC step with the contexts it adapted."""
        config = self.config
        adapt_data = self.store.gather(self.prior.sample(tasks, config.task_batch, self.generator))
        judge_data = self.store.gather(self.everything.sample(tasks, config.task_batch, self.generator))
        loss, contexts = self.meta_loss(self.theta, self._prior_contexts(len(tasks)), adapt_data, judge_data)
        likelihood = loss.detach() - self.model.bound_term(frozen(self.theta)).mean()
        for parameter, gradient in zip(self.trained, self._meta_gradient(loss)):
            parameter.grad = gradient
        self.model_optimiser.step()
        return {"model_loss": likelihood, **self._policy_step(tasks, judge_data, contexts.detach())}

    def meta_loss(
        self, theta: Parameters, contexts: Tensor, adapt_data: Transitions, judge_data: Transitions
    ) -> tuple[Tensor, Tensor]:
        """Mean over tasks of the judged loss after the inner steps, with its graph, and the adapted contexts."""
        contexts = adapt_context(
            self.model, theta, contexts, adapt_data, self.inner_rates, clip=self.config.gradient_clip,
            differentiable=True,
        )  # fmt: skip
        losses = self.model.losses_on(theta, judge_data, contexts)
        return losses.mean() + self.model.bound_term(theta).mean(), contexts

    def _meta_gradient(self, loss: Tensor) -> list[Tensor]:
        """Exact second-order gradients, the network's clipped as one vector, each bound vector by itself (code)."""
        gradients = list(torch.autograd.grad(loss, self.trained))
        number = len(self.theta) - 2
        network = torch.cat([gradient.reshape(1, -1) for gradient in gradients[:number]], dim=1)
        scale = (self.config.gradient_clip / network.norm().clamp_min(1e-12)).clamp_max(1.0)
        return [gradient * scale for gradient in gradients[:number]] + [
            clipped(gradient.reshape(1, -1), self.config.gradient_clip).reshape(gradient.shape)
            for gradient in gradients[number:]
        ]

    def _policy_step(self, tasks: np.ndarray, data: Transitions, contexts: Tensor) -> dict[str, Tensor]:
        """SAC on the judged data of all tasks as one batch, each row with its task's context."""
        if self.config.policy_batch is not None:
            share = -(-self.config.policy_batch // len(tasks))
            data = self.store.gather(self.everything.sample(tasks, share, self.generator))
        spread = contexts.unsqueeze(1).expand(-1, data.rewards.shape[1], -1)
        flat = Transitions(*(field.flatten(0, 1).unsqueeze(0) for field in with_embedding(data, spread)))
        losses = self.sac.update(flat, self.generator)
        return {name: value[0] for name, value in losses.items()}

    def _prior_contexts(self, number: int) -> Tensor:
        return self.initial_context.expand(number, -1)

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights, moments and views."""
        return {
            "theta": self.theta, "initial_context": self.initial_context, "model_optimiser": self.model_optimiser,
            "sac": self.sac.parts(), "everything": self.everything, "prior": self.prior,
        }  # fmt: skip

    def agent(self, config: MierWithoutRelabelingAdapt, seed: int) -> MierAgent:
        """MIER-wR or MIER, by the class of the config."""
        return MierAgent(self, config, seed)


class MierAgent(Agent):
    """Adapts phi and, in MIER, the model and the policy, for a batch of test tasks at once."""

    def __init__(self, mier: Mier, config: MierWithoutRelabelingAdapt, seed: int) -> None:
        self.mier = mier
        self.config = config
        self.generator = torch.Generator(mier.device).manual_seed(seed)
        self.policy = frozen(mier.sac.policy)
        self.contexts = mier.initial_context.detach()
        self.data = TrialData(0)

    def begin(self, num_tasks: int) -> None:
        """phi_0 and the meta-trained policy, shared by all tasks."""
        self.policy = frozen(self.mier.sac.policy)
        self.contexts = self.mier.initial_context.detach().expand(num_tasks, -1)
        self.data = TrialData(num_tasks)

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The policy given phi; its stochastic version explores."""
        return self.mier.actions(
            self.policy, observations, self.contexts, explore=explore, generator=self.generator
        )  # fmt: skip

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Store."""
        self.data.add(transition, active)

    def fork(self, episodes: int) -> MierAgent:
        """The same policies, with each task's phi repeated per episode."""
        copy = MierAgent(self.mier, self.config, seed=0)
        copy.policy = self.policy
        copy.contexts = self.contexts.repeat_interleave(episodes, dim=0)
        return copy

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """N context steps (MIER-wR); then M model steps, the gate, and fine-tuning on relabeled experience."""
        fit, held_out = self.data.split(self.config.fit_fraction, self.generator, self.mier.device)
        theta = frozen(self.mier.theta)
        self.contexts = self._adapt_contexts(theta, fit)
        diagnostics = {
            "embedding_norm": self.contexts.norm(dim=1),
            "held_out_loss_context": self._loss(theta, held_out),
        }
        if not isinstance(self.config, MierAdapt):
            yield Adaptation(0, as_arrays(diagnostics))
            return
        theta = self._adapt_model(self.config, repeat_ensemble(theta, len(self.contexts)), fit)
        diagnostics["held_out_loss"] = self._loss(theta, held_out)
        diagnostics["fit_loss"] = self._loss(theta, fit)
        gate = self.config.gate
        is_open = torch.ones_like(diagnostics["held_out_loss"], dtype=torch.bool)
        is_open = is_open if gate is None else diagnostics["held_out_loss"] < gate
        diagnostics["gate_open"] = is_open.float()
        yield Adaptation(0, as_arrays(diagnostics))
        updates = self.config.capped_updates(limit)
        yield from self._fine_tune(self.config, theta, is_open, every, updates)

    def _adapt_contexts(self, theta: Parameters, fit: Transitions) -> Tensor:
        """Phi after N steps: the meta-training step size first, a smaller one later."""
        early = self.mier.inner_rates[: self.config.context_steps]
        rates = early + [self.config.late_learning_rate] * (self.config.context_steps - len(early))
        start = self.mier.initial_context.detach().expand(len(fit.rewards), -1)
        return adapt_context(self.mier.model, theta, start, fit, rates, clip=self.mier.config.gradient_clip)

    def _adapt_model(self, config: MierAdapt, theta: Parameters, fit: Transitions) -> Parameters:
        """One model per task after M Adam steps on theta and its bounds, phi fixed (code)."""
        rate = self.mier.config.model_learning_rate
        return adapt_model(self.mier.model, theta, self.contexts, fit, steps=config.model_steps, learning_rate=rate)

    @torch.no_grad()
    def _loss(self, theta: Parameters, data: Transitions) -> Tensor:
        return self.mier.model.losses_on(theta, data, self.contexts)

    def _fine_tune(
        self, config: MierAdapt, theta: Parameters, is_open: Tensor, every: int, updates: int
    ) -> Iterator[Adaptation]:
        """SAC on relabeled meta-training experience for the tasks whose gate is open; the others stay as they are."""
        mier, opened = self.mier, is_open.nonzero().squeeze(1)
        if not len(opened) or not updates:
            yield from (Adaptation(update, {}) for update in evaluation_points(every, updates))
            return
        self.policy = repeat_ensemble(self.policy, len(is_open))
        tuning = FineTuning(
            relabel_settings(config, updates), mier.sac.copies(len(opened)), mier.model,
            [parameter[opened] for parameter in theta], self.contexts[opened],
            Transitions(*(field[opened] for field in self.data.everything(mier.device))),
        )  # fmt: skip
        for point in evaluation_points(every, updates):
            while tuning.updates < point:
                losses = tuning.update(mier.store, mier.everything, mier.source.terminated, self.generator)
            diagnostics = {name: torch.full((len(is_open),), float("nan"), device=mier.device) for name in losses}
            for name, value in losses.items():
                diagnostics[name][opened] = value
            for parameter, tuned in zip(self.policy, tuning.learners.policy):
                parameter[opened] = tuned.detach()
            yield Adaptation(point, as_arrays(diagnostics))


def relabel_settings(config: MierAdapt, updates: int) -> RelabelSettings:
    """What fine-tuning needs to know of the configuration."""
    return RelabelSettings(
        updates=updates, interval=config.relabel_interval, transitions=config.relabel_transitions,
        tasks=config.relabel_tasks, capacity=config.relabel_capacity, batch=config.batch,
        num_real=int(config.real_fraction * config.batch),
    )  # fmt: skip


def sac_settings(config: MierTrain, device: torch.device) -> SacSettings:
    """The policy's settings, precision resolved."""
    return SacSettings(
        config.discount, config.target_rate, config.policy_learning_rate, config.reward_scale, config.temperature,
        config.target_entropy, resolve_precision(config.precision, device.type),
    )  # fmt: skip
