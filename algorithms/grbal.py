"""GrBAL: a meta-learned model of the dynamics, adapted before every action, and planning with it.

Nagabandi, Clavera, Liu, Fearing, Abbeel, Levine, Finn, "Learning to Adapt in Dynamic, Real-World Environments through
Meta-Reinforcement Learning", 2018. A model of the dynamics is meta-trained so that one gradient step on the last M
transitions makes it predict the next K well, whatever happened to the body. In a test task that step is taken before
each action, from the meta-trained parameters, and the action is planned under the adapted model with a reward that is
known. There is no other adaptation: beyond an episode at most its last M transitions are kept.

    theta'_t = theta - alpha grad L(theta; last M),    minimise over theta   mean_t L(theta'_t; next K),
    L: squared error of the normalised s' - s,    a_t: first of the actions with the best return under theta'_t.

Where this leaves the released code, which does not reproduce the paper: all data are normalised by statistics of all
data (there: each by those of the batch it came with); fitting keeps the model of the least loss *after* the inner step
on held-out episodes, the same windows throughout (there: stops by the loss before it, on random ones); the past ends
with the newest transition, row by row (there: one step late, by the first row's count); meta-trained parameters are
used until an episode has enough transitions (there: an earlier episode's); planners treat every row by itself; episodes
may end early. As in the paper, MPPI is the default planner (the code has none).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

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
    average,
    averaged,
    require_finite,
)  # fmt: skip
from algorithms.kit.model_based import dynamics
from algorithms.kit.model_based.fitting import Limits, fit
from algorithms.kit.model_based.online_model import OnlineModel
from algorithms.kit.model_based.planning import PlannerName, PlannerSettings, advanced, plan, predicted_returns
from algorithms.kit.model_based.windows import RecentTransitions, WindowIndex, Windows
from algorithms.kit.networks import adam, as_leaves, frozen, glorot_uniform, resolve_precision, step
from algorithms.kit.replay import EpisodeStore, Transitions
from algorithms.kit.state import Part
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskFamily, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="grbal", algorithm="Grbal", train="GrbalTrain", adapt="GrbalAdapt",
        summary="meta-learned dynamics model, adapted before every action; planning under a known reward",
        source="Nagabandi, Clavera, Liu, Fearing, Abbeel, Levine, Finn 2018", cites=("nagabandi2019grbal",),
        title="GrBAL", colour="#85837A", marker="p", dashes="-.", hatch="|-",
        tiny_train={"initial_transitions": 20, "tasks_per_iteration": 4, "transitions": 20, "steps_per_iteration": 3,
                    "model_hidden": [16, 16, 16], "past": 4, "future": 4, "meta_batch": 4, "validation_windows": 8,
                    "candidates": 20, "plan_horizon": 3},
    ),
)  # fmt: skip


PLANNED_AT_ONCE = 500  # candidates on the CPU: more do not stay in its cache


class GrbalTrain(ReplayTrainConfig):
    """Meta-training of GrBAL. Defaults are the released code's but where they say so."""

    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="hidden-layer products while planning: bfloat16 where the processor has it (auto), "
        "resolved once and stored with the run; the model is fitted and adapted in fp32 (ours)")  # fmt: skip
    past: PositiveInt = Field(default=16, description="M, transitions that the inner step is taken on (code; paper 32)")
    future: PositiveInt = Field(default=16, description="K, transitions that judge the step (code: K = M)")
    least_past: PositiveInt | None = Field(
        default=None, description="transitions of an episode before its first adaptation; None: `past` (paper)"
    )
    model_hidden: tuple[PositiveInt, ...] = Field(default=(512,) * 3, description="model layers (paper; sweep 512x2)")
    inner_learning_rate: float = Field(
        default=0.01, gt=0, description="alpha, on the mean over dimensions (sweep 0.01; run script 0.001; the paper's "
        "equation sums over them, so that 0.01 there is 0.01 x dimensions here)")  # fmt: skip
    inner_gradient_clip: float | None = Field(
        default=None, gt=0, description="norm of the inner gradient, as a whole (ours); None: no limit (code)"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam, outer (code)")
    meta_batch: PositiveInt = Field(default=10, description="windows per gradient step (code; sweep 20)")
    steps_per_iteration: PositiveInt = Field(
        default=2000, description="gradient steps per iteration at most (ours; code: 100 epochs)"
    )
    epochs: PositiveInt | None = Field(
        default=None, exclude_if=lambda epochs: epochs is None,  # identities from before it was a choice
        description="passes over the data per iteration at most, where a gradient step takes in all transitions of its "
        "windows (code 100, paper 50); None: `steps_per_iteration` alone limits (ours)")  # fmt: skip
    validation_fraction: float = Field(default=0.1, ge=0, lt=1, description="episodes held out of fitting (code)")
    validation_windows: PositiveInt = Field(default=200, description="held-out windows that are judged (ours)")
    validate_every: PositiveInt = Field(default=100, description="gradient steps between two looks at them (ours)")
    patience: PositiveInt = Field(
        default=5, description="looks without a better loss that end an iteration's fitting, whose best model "
        "is kept (ours; code: a rising rolling average, persistence 0.99, and the last model)")  # fmt: skip
    initial_transitions: PositiveInt = Field(
        default=400, description="per training task, random actions (ours; code: 5000 in all)"
    )
    tasks_per_iteration: PositiveInt = Field(default=25, description="tasks that collect per iteration (ours)")
    transitions: PositiveInt = Field(
        default=200, description="collected per task and iteration: 5000 with the default tasks, as in the code"
    )
    planner: PlannerName = Field(default="mppi", description="(paper MPPI; code random shooting)")
    candidates: PositiveInt = Field(default=500, description="sequences judged per action, over all iterations (code)")
    plan_horizon: PositiveInt = Field(default=10, description="actions per sequence (code)")
    plan_iterations: PositiveInt = Field(default=1, description="of CEM and MPPI, sharing the candidates (ours)")
    plan_noise: float = Field(default=0.6, gt=0, description="deviation around the last plan, CEM and MPPI (ours)")
    plan_smoothing: float = Field(default=0.3, ge=0, lt=1, description="of that noise over steps, MPPI (ours)")
    plan_temperature: float = Field(
        default=0.3, gt=0, description="of MPPI's weights, in deviations of the candidates' returns (ours)"
    )
    plan_elites: float = Field(default=0.1, gt=0, le=1, description="share of CEM's candidates that are kept (ours)")

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """What the planner collects in a few tasks."""
        return self.tasks_per_iteration * self.transitions

    @property
    def adapts_after(self) -> int:
        """Transitions of an episode before its first adaptation."""
        return self.past if self.least_past is None else min(self.least_past, self.past)

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """An episode, and what is collected of one, has to be longer than what the first adaptation needs."""
        collected = ("initial_transitions", self.initial_transitions), ("transitions", self.transitions)
        for name, steps in (("an episode", spaces.horizon), *collected):
            if steps <= self.adapts_after:
                needed = f"past: {self.adapts_after} transitions are needed before the first adaptation"
                return f"{needed}, but {name} has only {steps} steps; lower `past` or `least_past`"
        return None


class GrbalAdapt(AdaptConfig):
    """What is done while acting in a test task: the model's step, and planning."""

    online: bool = Field(
        default=True, description="adapt before every action; without: planning on the meta-trained model (ours)"
    )
    carry_over: bool = Field(
        default=False, exclude_if=lambda carry_over: not carry_over,  # identities from before it was a choice
        description="an episode starts with the last M transitions of the trial, of whatever episode, so that what was "
        "seen before serves from the first step (ours); without: an episode starts with none (code)")  # fmt: skip
    planner: PlannerName | None = Field(default=None, description="None: as in meta-training (code)")
    candidates: PositiveInt | None = Field(default=None, description="None: as in meta-training (code)")
    plan_horizon: PositiveInt | None = Field(default=None, description="None: as in meta-training (code)")

    twin: ClassVar[dict[str, Any]] = {"online": False}

    @property
    def before(self) -> Before:
        """A model that is adapted once an episode is long enough."""
        if not self.online:
            return Before("unadapted", "planning on the meta-trained model")
        return Before("adapts within the episode", "the model is adapted as soon as the episode is M steps old")


def unsupported(name: str, family: TaskFamily) -> str | None:
    """Why GrBAL cannot run on a family: it plans, so it has to know the reward; None where it does."""
    del name
    if family.analytic_reward is not None:
        return None
    if family.varies == "reward":
        return (
            "GrBAL plans under a reward that is known beforehand; here the reward is what varies between tasks, and "
            "knowing it would give the task away"
        )
    return (
        f"GrBAL plans under an analytic reward of observations, which {family.name} does not declare: give its "
        "environment class `reward_of` and the family `analytic_reward`"
    )


class Grbal(Algorithm):
    """Meta-training of the model, on data that its own planner collects."""

    config: GrbalTrain
    store: EpisodeStore

    def __init__(self, config: GrbalTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces, device = source.spaces, self.device
        if source.reward is None:
            raise ValueError("GrBAL plans under an analytic reward of observations, and this family declares none")
        self.reward = source.reward
        self.input_dim = spaces.observation_dim + spaces.action_dim
        sizes = [self.input_dim, *config.model_hidden, spaces.observation_dim]
        self.theta = as_leaves(glorot_uniform(sizes, self.generator))
        self.optimiser = adam(self.theta, config.learning_rate)
        self.sums = dynamics.empty_sums(spaces.observation_dim, spaces.action_dim, device)
        self.store = EpisodeStore(spaces, kwargs["capacity"], device)
        self.windows, self.held_out = (
            WindowIndex(config.past, config.future, config.adapts_after, device) for _ in range(2)
        )

    @property
    def normalisation(self) -> dynamics.Normalisation:
        """Of all data collected so far."""
        return dynamics.normalisation_of(self.sums, self.input_dim)

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Collect, with random actions at first and by planning from then on; then fit the model."""
        config = self.config
        if not self.store.size:
            metrics = self.initial_exploration(self._collect_randomly, config.initial_transitions)
        else:
            few = self.source.num_tasks < config.tasks_per_iteration
            tasks = self.choices.choice(self.source.num_tasks, config.tasks_per_iteration, replace=few)
            metrics = self._collect_by_planning(tasks)
        return require_finite(metrics | self._fit())

    def _collect_randomly(self, tasks: np.ndarray, transitions: int) -> EpisodeBatch:
        shape = (len(tasks), self.source.spaces.action_dim)

        def act(observations: np.ndarray) -> np.ndarray:
            del observations
            return self.choices.uniform(-1, 1, shape).astype(np.float32)

        batch = self.source.collect(act, tasks.tolist(), transitions)
        self._remember(batch)
        return batch

    def _collect_by_planning(self, tasks: np.ndarray) -> dict[str, float]:
        """Data of the agent itself, as it acts in test tasks."""
        agent = GrbalAgent(self, GrbalAdapt(), seed=int(self.choices.integers(2**31)))
        agent.begin(len(tasks))
        batches = [
            self.source.collect(
                lambda observations: agent.act(observations, explore=True), tasks.tolist(), piece,
                after_step=agent.observe,
            )
            for piece in self.pieces(self.config.transitions)
        ]  # fmt: skip
        returns = average(np.concatenate([self.episode_returns(batch) for batch in batches]))
        judged = {name: average(values[np.isfinite(values)]) for name, values in agent.model.errors().items()}
        for batch in batches:
            self._remember(batch)
        return {"return": returns} | {name: value for name, value in judged.items() if value == value}

    def _remember(self, batch: EpisodeBatch) -> None:
        """Store episodes, in the statistics and in the windows; some are held out of fitting."""
        for slots in self.store.append(batch):
            dynamics.add_to_sums(self.sums, self.store.gather(slots))
            held_out = self.choices.random() < self.config.validation_fraction
            (self.held_out if held_out else self.windows).add(slots)

    # Training --------------------------------------------------------------------------------------------------

    def _fit(self) -> dict[str, float]:
        """Gradient steps until they are enough or the loss on held-out episodes stops falling; keeps the best model."""
        config, normalisation = self.config, self.normalisation
        if not self.windows.number:
            return {}
        judged = self.held_out.sample(config.validation_windows, self.generator) if self.held_out.number else None
        return fit(
            self.theta,
            lambda number: averaged(lambda: self.gradient_step(normalisation), number),
            None if judged is None else lambda: self._validated(judged, normalisation),
            Limits(self._most_steps(), config.validate_every, config.patience),
        )

    def _most_steps(self) -> int:
        """How many gradient steps this iteration may take."""
        config = self.config
        if config.epochs is None:
            return config.steps_per_iteration
        per_epoch = sum(self.windows.lengths) / (config.meta_batch * (config.past + config.future))
        return min(config.steps_per_iteration, max(int(config.epochs * per_epoch), 1))

    def gradient_step(self, normalisation: dynamics.Normalisation) -> dict[str, Tensor]:
        """One outer step on a batch of windows."""
        windows = self.windows.sample(self.config.meta_batch, self.generator)
        before, after = self.window_losses(windows, normalisation)
        step(self.optimiser, self.theta, after.mean())
        return {"model_loss": after.detach(), "model_loss_unadapted": before}

    def window_losses(self, windows: Windows, normalisation: dynamics.Normalisation) -> tuple[Tensor, Tensor]:
        """Losses on the futures of windows, (window,): of the meta-trained model, detached, and after the inner step
        on their pasts, with the graph through it (equation 3 of the paper).
        """  # noqa: D205
        past, future = self.store.gather(windows.past), self.store.gather(windows.future)
        gradient = dynamics.inner_step(
            self.theta, normalisation.inputs(past), normalisation.targets(past), windows.past_weights
        )
        inputs, targets = normalisation.inputs(future), normalisation.targets(future)
        outputs = dynamics.adapted_outputs(self.theta, gradient, self.step_sizes(gradient), inputs)
        with torch.no_grad():
            before = dynamics.losses(dynamics.outputs(self.theta, inputs), targets, windows.future_weights)
        return before, dynamics.losses(outputs, targets, windows.future_weights)

    def step_sizes(self, gradient: dynamics.InnerStep) -> Tensor:
        """The size of each task's inner step, (task, 1, 1), the clip included."""
        config = self.config
        return dynamics.step_sizes(gradient, config.inner_learning_rate, config.inner_gradient_clip)

    @torch.no_grad()
    def _validated(self, windows: Windows, normalisation: dynamics.Normalisation) -> dict[str, float]:
        """Mean losses on held-out windows, after and before the inner step."""
        before, after = self.window_losses(windows, normalisation)
        return {"held_out_loss": float(after.mean()), "held_out_loss_unadapted": float(before.mean())}

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights, moments, statistics and windows."""
        return {
            "theta": self.theta, "optimiser": self.optimiser, "sums": self.sums, "windows": self.windows,
            "held_out": self.held_out,
        }  # fmt: skip

    def agent(self, config: GrbalAdapt, seed: int) -> GrbalAgent:
        """An agent that adapts the model to the running episode and plans."""
        return GrbalAgent(self, config, seed)


class GrbalAgent(Agent):
    """Adapts the model to each row's running episode before every action, and plans with it."""

    adapts_online: ClassVar[bool] = True

    def __init__(self, grbal: Grbal, config: GrbalAdapt, seed: int) -> None:
        self.grbal = grbal
        self.config = config
        self.seed = seed
        self.precision = resolve_precision(grbal.config.precision, grbal.device.type)
        self.settings = planner_settings(grbal.config, config)
        self.begin(0)

    def begin(self, num_tasks: int) -> None:
        """The meta-trained model, no transitions, no plan."""
        grbal, spaces = self.grbal, self.grbal.source.spaces
        self.generator = torch.Generator(grbal.device).manual_seed(self.seed)
        self.model = OnlineModel(frozen(grbal.theta), grbal.normalisation, grbal.step_sizes, num_tasks)
        self.recent = RecentTransitions(num_tasks, grbal.config.past, spaces)
        self.plans = torch.zeros((num_tasks, self.settings.horizon, spaces.action_dim), device=grbal.device)
        self.next_plans = self.plans

    @torch.no_grad()
    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The first action of a plan under the model adapted to the running episode; exploring or not, the same."""
        del explore
        past, weights = self.recent.held(self.grbal.device)
        self.model.adapt(past, weights, self._enough & self.config.online)
        candidates = max(self.settings.candidates // self.settings.iterations, 1)
        at_once = max(PLANNED_AT_ONCE // candidates, 1) if self.grbal.device.type == "cpu" else max(len(self.plans), 1)
        model = self.model.predictor(at_once, self.precision)
        states = torch.as_tensor(observations, device=self.grbal.device)

        def returns_of(sequences: Tensor) -> Tensor:
            return predicted_returns(model, self.grbal.reward, self.grbal.source.terminated, states, sequences)

        self.next_plans = plan(self.settings, returns_of, self.plans, self.generator)
        return self.next_plans[:, 0].cpu().numpy()

    @property
    def _enough(self) -> np.ndarray:
        """The rows with transitions enough to adapt to, as a mask."""
        enough: np.ndarray = self.recent.counts >= self.grbal.config.adapts_after
        return enough

    @torch.no_grad()
    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Take in a step, go on in the plan; an episode's end clears the plan and what is not carried over."""
        fields = [np.asarray(field, np.float32)[:, None] for field in transition]
        step = Transitions(*(torch.as_tensor(field, device=self.grbal.device) for field in fields))
        self.model.judge(step, active & self._enough)
        self.recent.add(transition.observations, transition.actions, transition.next_observations, active)
        if not self.config.carry_over:
            self.recent.clear(episode_end)
        moved = torch.as_tensor(active, device=self.plans.device).reshape(-1, 1, 1)
        ended = torch.as_tensor(episode_end, device=self.plans.device).reshape(-1, 1, 1)
        self.plans = torch.where(moved, advanced(self.next_plans), self.plans).masked_fill(ended, 0.0)
        self.next_plans = self.plans

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """Nothing is left to do: how well the model predicted while the adaptation data were collected."""
        yield Adaptation(0, self.model.errors())

    def fork(self, episodes: int) -> GrbalAgent:
        """A copy for new episodes of each task, all with the same random numbers and what is carried over."""
        copy = GrbalAgent(self.grbal, self.config, self.seed)
        copy.begin(len(self.plans) * episodes)
        if self.config.carry_over:
            copy.recent = self.recent.repeated(episodes)
        return copy


def planner_settings(train: GrbalTrain, adapt: GrbalAdapt) -> PlannerSettings:
    """The planner of meta-training, with what the adaptation changes of it."""
    return PlannerSettings(
        adapt.planner or train.planner, adapt.candidates or train.candidates,
        adapt.plan_horizon or train.plan_horizon, train.plan_iterations, train.plan_noise, train.plan_smoothing,
        train.plan_temperature, train.plan_elites,
    )  # fmt: skip
