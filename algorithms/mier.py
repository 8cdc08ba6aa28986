"""MIER and MIER-wR: meta-RL by model identification and experience relabeling.

Mendonca, Geng, Finn, Levine, "Meta-Reinforcement Learning Robust to Distributional Shift via Model Identification
and Experience Relabeling", 2020. A model p(r, s'|s, a; phi) is meta-trained so that a few gradient steps on phi
identify a task; a policy conditioned on the adapted phi is trained by SAC:

    phi_i = phi_0 - rate grad_phi L(theta, phi_0; D_i), some steps of it,
    minimise over theta   mean_i L(theta, phi_i; D'_i),    the gradient taken through these steps;    pi(a | s, phi_i).

L is twice the Gaussian negative log likelihood of r (and of s' - s where dynamics vary), in the outer step with 0.01
times the summed distance between the bounds of the log variances. In a test task phi is adapted in N steps (MIER-wR
stops here), theta by M Adam steps, and the policy is fine-tuned by SAC on a share of real adaptation data and on
meta-training experience relabeled by the model (r alone where rewards vary):

    (s, a) of any training task,    (r, s' - s) ~ p(. | s, a; theta_i, phi_i).

The paper relabels only where the held-out loss of the adapted model is below -3, the released code always does. The
authors' loss holds a variance-bound term that falls without limit in a joint model (-58 in their released weights), so
that this gate opens always there. `gate: likelihood`, without that term and calibrated on left-out training tasks, and
`stop_patience` are ours.

Where this leaves the released code: target critics start as copies (there: fresh random weights); in reward-varying
families no separate state model is trained (the code's is never used, the paper has none).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
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
from algorithms.kit.model_based.context_model import ContextModel, adapt_context, adapt_model, clipped_gradients
from algorithms.kit.model_based.gate import GateSettings, LeftOutSettings
from algorithms.kit.model_based.meta_gradient import meta_gradient
from algorithms.kit.model_based.relabeling import (
    AdaptedModel,
    Relabeling,
    RelabelSettings,
    StoredExperience,
    with_embedding,
)  # fmt: skip
from algorithms.kit.networks import Parameters, adam, as_leaves, frozen, repeat_ensemble, resolve_precision, step_by
from algorithms.kit.off_policy.fine_tuning import FineTuning, StopSettings, fine_tuned
from algorithms.kit.off_policy.gaussian_policy import act
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData, random_split
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="mier", algorithm="Mier", train="MierTrain", adapt="MierAdapt",
        summary="model identification, then fine-tuning on experience relabeled by the adapted model",
        source="Mendonca, Geng, Finn, Levine 2020", cites=("mendonca2020mier",),
        title="MIER", colour="#D94801", marker="o",
        tiny_train={"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20,
                    "steps_per_iteration": 3, "policy_hidden": [16, 16, 16], "model_hidden": [16, 16, 16],
                    "task_batch": 10, "meta_batch": 4},
        tiny_adapt={"context_steps": 3, "model_steps": 4, "relabel_updates": 6, "relabel_transitions": 200,
                    "relabel_interval": 4, "batch": 32},
    ),
    AlgorithmEntry(
        name="mier-wr", training="mier", algorithm="Mier", train="MierTrain", adapt="MierWithoutRelabelingAdapt",
        summary="MIER without relabeling: the context variable alone is adapted",
        source="Mendonca, Geng, Finn, Levine 2020", cites=("mendonca2020mier",),
        title="MIER-wR", colour="#DDA000", marker="s", dashes="--", hatch="//",
        tiny_adapt={"context_steps": 3},
    ),
)  # fmt: skip


class MierTrain(LeftOutSettings, ReplayTrainConfig):
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

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """Too many left-out tasks."""
        return self.too_many_left_out(num_tasks)

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


class MierAdapt(GateSettings, RelabelSettings, StopSettings, MierWithoutRelabelingAdapt):
    """MIER: model adaptation and fine-tuning on relabeled experience (paper, Algorithm 2)."""

    model_steps: int = Field(default=0, ge=0, description="M, Adam steps on theta and the bounds (paper, table 1)")

    twin: ClassVar[dict[str, Any]] = {"context_steps": 0, "model_steps": 0, "relabel_updates": 0}

    def problem(self, train: MierTrain, transitions: int) -> str | None:
        """A gate that was never calibrated."""
        return self.never_calibrated(train.left_out_tasks, train.initial_transitions, transitions)

    def costliest(self) -> Self:
        """Every task is fine-tuned to the end."""
        return self.model_copy(update={"gate": "none", "stop_patience": None})


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
        settings = SacSettings(
            config.discount, config.target_rate, config.policy_learning_rate, config.reward_scale, config.temperature,
            config.target_entropy, resolve_precision(config.precision, device.type),
        )  # fmt: skip
        self.sac = SoftActorCritic.initial(
            settings, spaces.observation_dim + config.context_dim, spaces.action_dim,
            config.policy_hidden, self.generator,
        )  # fmt: skip
        self.store = EpisodeStore(spaces, kwargs["capacity"], device)
        self.everything = TaskIndex(source.num_tasks, device, config.replay_capacity)
        self.prior = TaskIndex(source.num_tasks, device, config.replay_capacity)
        self.left_out, self.fitted = config.divided(source.num_tasks, kwargs["seed"])

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
        number, few = len(self.fitted), len(self.fitted) < self.config.meta_batch
        return self.fitted[self.choices.choice(number, self.config.meta_batch, replace=few)]

    def _train(self, tasks: np.ndarray) -> dict[str, float]:
        return averaged(lambda: self._gradient_step(tasks), self.config.steps_per_iteration)

    def _gradient_step(self, tasks: np.ndarray) -> dict[str, Tensor]:
        """One model meta-step, then one SAC step with the contexts it adapted."""
        config = self.config
        adapt_data = self.store.gather(self.prior.sample(tasks, config.task_batch, self.generator))
        judge_data = self.store.gather(self.everything.sample(tasks, config.task_batch, self.generator))
        contexts, metrics = self._model_step(adapt_data, judge_data)
        return metrics | self._policy_step(tasks, judge_data, contexts)

    def _model_step(self, adapt_data: Transitions, judge_data: Transitions) -> tuple[Tensor, dict[str, Tensor]]:
        """A step on the exact second-order gradient, each variable's clipped by itself (code): contexts and metrics."""
        clip, start = self.config.gradient_clip, self._prior_contexts(len(adapt_data.rewards)).detach()
        meta = meta_gradient(self.model, self.theta, start, adapt_data, judge_data, self.inner_rates, clip)
        initial = [meta.initial.sum(0, keepdim=True)] if self.config.learn_initial_context else []
        step_by(self.model_optimiser, self.trained, clipped_gradients(meta.theta, initial, clip))
        return meta.contexts, {"model_loss": meta.likelihood}

    def _policy_step(self, tasks: np.ndarray, data: Transitions, contexts: Tensor) -> dict[str, Tensor]:
        """SAC on the judged data of all tasks as one batch, each row with its task's context."""
        if self.config.policy_batch is not None:
            share = -(-self.config.policy_batch // len(tasks))
            data = self.store.gather(self.everything.sample(tasks, share, self.generator))
        losses = self.sac.update(with_embedding(data, contexts).pooled(), self.generator)
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
        """MIER-wR or MIER, by the class of the config.

        Raises:
            ValueError: its gate was never calibrated.
        """
        if (problem := config.problem(self.config, transitions=0)) is not None:
            raise ValueError(problem)
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
        return self.mier.actions(self.policy, observations, self.contexts, explore, self.generator)

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
        self.contexts = self._adapt_contexts(fit)
        diagnostics = {
            "embedding_norm": self.contexts.norm(dim=1),
            "held_out_loss_context": self._loss(frozen(self.mier.theta), held_out, self.contexts),
        }
        if not isinstance(self.config, MierAdapt):
            yield Adaptation(0, as_arrays(diagnostics))
            return
        theta = self._adapt_model(self.config, self.contexts, fit)
        diagnostics["held_out_loss"] = self._loss(theta, held_out, self.contexts)
        diagnostics["fit_loss"] = self._loss(theta, fit, self.contexts)
        bound_term, others = self.mier.model.bound_term(theta), partial(self._left_out_losses, self.config)
        is_open, judged = self.config.judge(diagnostics["held_out_loss"], bound_term, others)
        yield Adaptation(0, as_arrays(diagnostics | judged))
        points = evaluation_points(every, self.config.capped_updates(limit))
        if is_open.any() and points:
            real = fit if self.config.stop_patience is not None else self.data.everything(self.mier.device)
            yield from self._fine_tune(self.config, theta, (real, held_out), is_open, points)
        else:
            yield from (Adaptation(point, {}) for point in points)

    def _adapt_contexts(self, fit: Transitions) -> Tensor:
        """Phi after N steps: the meta-training step size first, a smaller one later."""
        mier = self.mier
        early = mier.inner_rates[: self.config.context_steps]
        rates = early + [self.config.late_learning_rate] * (self.config.context_steps - len(early))
        start = mier.initial_context.detach().expand(len(fit.rewards), -1)
        return adapt_context(mier.model, frozen(mier.theta), start, fit, rates, clip=mier.config.gradient_clip)

    def _adapt_model(self, config: MierAdapt, contexts: Tensor, fit: Transitions) -> Parameters:
        """One model per task after M Adam steps on theta and its bounds, phi fixed (code)."""
        theta, rate = repeat_ensemble(self.mier.theta, len(contexts)), self.mier.config.model_learning_rate
        return adapt_model(self.mier.model, theta, contexts, fit, steps=config.model_steps, learning_rate=rate)

    @torch.no_grad()
    def _loss(self, theta: Parameters, data: Transitions, contexts: Tensor) -> Tensor:
        return self.mier.model.losses_on(theta, data, contexts)

    def _left_out_losses(self, config: MierAdapt) -> Tensor:
        """The held-out likelihood losses of left-out training tasks, which are adapted to just as test tasks are.

        Their data are the newest that they gave with phi_0, as many as a test task does, and the same in every trial.
        """
        mier, number = self.mier, self.data.number
        slots = torch.stack([mier.prior.newest(int(task), number) for task in mier.left_out])
        split = torch.Generator(mier.device).manual_seed(0)
        fit, held_out = random_split(mier.store.gather(slots), config.fit_fraction, split)
        contexts = self._adapt_contexts(fit)
        return self._loss(self._adapt_model(config, contexts, fit), held_out, contexts)

    def _fine_tune(
        self, config: MierAdapt, theta: Parameters, data: tuple[Transitions, Transitions], is_open: Tensor,
        points: list[int],
    ) -> Iterator[Adaptation]:  # fmt: skip
        """SAC on relabeled meta-training experience for the tasks whose gate is open; the others stay as they are.

        data: what batches draw their real rows from, and what the stop rule judges by.
        """
        mier, opened = self.mier, is_open.nonzero().squeeze(1)
        self.policy, contexts = repeat_ensemble(self.policy, len(is_open)), self.contexts[opened]
        real, held_out = (Transitions(*(field[opened] for field in part)) for part in data)
        relabeling = Relabeling(
            config, StoredExperience(mier.store, mier.everything, mier.source.terminated),
            AdaptedModel(mier.model, [parameter[opened] for parameter in theta], contexts), contexts, real, points[-1],
        )  # fmt: skip
        stop = config.rule(with_embedding(held_out, contexts))
        tuning = FineTuning(mier.sac.copies(len(opened)), relabeling, stop)
        for point, diagnostics in fine_tuned(tuning, self.policy, opened, points, self.generator):
            yield Adaptation(point, as_arrays(diagnostics))
