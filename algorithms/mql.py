"""MQL: meta-Q-learning.

Fakoor, Chaudhari, Soatto, Smola, "Meta-Q-Learning", 2020. Meta-training is multi-task TD3 on one replay, with a
recurrent context of the running episode for actor and critics. In a test task the learners first train on the new
data alone, then on the meta-training replay weighted by propensity scores (how much a transition looks like the new
task's), held near the meta-trained parameters the more firmly the fewer transitions count:

    beta(x) = exp(-f(x)),    f: log odds of replay against new data, of a logistic regression on the features x,
    minimise over theta   mean_n beta_n TD3_n(theta) + lambda |theta - theta_meta|^2,    lambda = 1 - ESS,
    ESS = (sum_n beta_n)^2 / (N sum_n beta_n^2).

Where this leaves the released code: lambda is 1 - ESS as in the paper (there: the constant 0.1); histories are padded
with zeros everywhere, without a dummy first token (there: unpadded in evaluation); the classifier judges features of
the meta-trained actor, on which it was fitted (there: of the adapted one), its prior is corrected for the sizes of
the two sets and the new data are not resampled for it; a row of a collection is a horizon of transitions, so that an
episode that ends early is followed by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

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
    average,
    averaged,
    evaluation_points,
    require_finite,
)  # fmt: skip
from algorithms.kit.context import propensity
from algorithms.kit.context.recurrent_context import EpisodeWindows, RunningHistory, TrialWindows, Windowed, contexts_of
from algorithms.kit.networks import frozen, resolve_precision
from algorithms.kit.off_policy.td3 import Network, Sizes, Td3Settings, TwinDelayed, Weighting, policy_actions
from algorithms.kit.replay import EpisodeStore, TaskIndex
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData
from algorithms.registry import AlgorithmEntry
from tasks.spec import EpisodeBatch, SpaceSpec, TaskSource

ALGORITHMS = (
    AlgorithmEntry(
        name="mql", algorithm="Mql", train="MqlTrain", adapt="MqlAdapt",
        summary="multi-task TD3 with a recurrent context, continued per task on propensity-weighted replay",
        source="Fakoor, Chaudhari, Soatto, Smola 2020", cites=("fakoor2020mql",),
        title="MQL", colour="#00734F", marker="^", hatch="\\\\",
        tiny_train={"initial_transitions": 20, "burn_in": 0, "initial_episode": 1.0, "steps_per_iteration": 3,
                    "full_steps_from": 0, "hidden": [16, 16], "context_hidden": 4, "history_length": 5, "batch": 16},
        tiny_adapt={"new_data_updates": 2, "replay_updates": 4, "replay_batch": 32},
    ),
)  # fmt: skip


class MqlTrain(ReplayTrainConfig):
    """Meta-training of MQL: multi-task TD3. Defaults are the released code's for cheetah-velocity."""

    history_length: PositiveInt = Field(default=20, description="transitions of the context's window (code)")
    context_hidden: PositiveInt = Field(default=15, description="size of the context, the GRU's hidden state (code)")
    hidden: tuple[PositiveInt, ...] = Field(default=(300, 300), description="actor and critics (code)")
    learning_rate: float = Field(default=1e-3, gt=0, description="both Adams (code)")
    batch: PositiveInt = Field(default=256, description="transitions per gradient step, from all tasks (code)")
    policy_delay: PositiveInt = Field(default=2, description="critic steps per step of actor and targets (code)")
    policy_noise: float = Field(default=0.3, ge=0, description="std of the target policy's smoothing noise (code)")
    noise_clip: float = Field(default=0.5, ge=0, description="largest smoothing noise (code)")
    exploration_noise: float = Field(default=0.3, ge=0, description="std, added to actions that collect (code)")
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (code)")
    target_rate: float = Field(default=0.005, gt=0, le=1, description="Polyak rate of actor and critics (code)")
    initial_transitions: PositiveInt = Field(default=500, description="per training task, random actions (code)")
    burn_in: NonNegativeInt = Field(default=10_000, description="random transitions of all tasks at least (code)")
    initial_episode: float = Field(
        default=0.25, gt=0, le=1, description="share of the horizon after which random episodes are cut (code)"
    )
    episodes_per_iteration: PositiveInt = Field(
        default=1, description="training tasks drawn per iteration, each for a horizon of transitions (code)"
    )
    steps_per_iteration: PositiveInt = Field(default=200, description="gradient steps (code)")
    full_steps_from: NonNegativeInt = Field(
        default=100_000, description="transitions held; while there are fewer, gradient steps number a horizon (code)"
    )
    replay_capacity: PositiveInt = Field(default=1_000_000, description="transitions, of all tasks together (code)")
    snapshot: PositiveInt = Field(
        default=2000, description="newest transitions per task against which the classifier is fitted (code)"
    )

    def later_steps(self, num_tasks: int, horizon: int) -> int:
        """A horizon of transitions in a few tasks."""
        return self.episodes_per_iteration * horizon

    def problem(self, spaces: SpaceSpec, num_tasks: int) -> str | None:
        """A batch has to find as many transitions as it draws."""
        held = min(self.first_steps(num_tasks), self.replay_capacity)
        if self.batch <= held:
            return None
        return (
            f"batch is {self.batch}, more than the {held} transitions that the replay holds after the initial "
            f"exploration of {num_tasks} tasks; lower it, or raise initial_transitions, burn_in or replay_capacity"
        )

    def shortened(self, gradient_steps: int, transitions: int) -> Self:
        """In full number from the second iteration on."""
        return super().shortened(gradient_steps, transitions).model_copy(update={"full_steps_from": 0})

    def exploration(self, num_tasks: int) -> int:
        """Enough for the burn-in of all tasks together."""
        return max(self.initial_transitions, -(-self.burn_in // num_tasks))


class MqlAdapt(AdaptConfig):
    """Adaptation in a test task (paper, section 3.3). Defaults are the released code's for cheetah-velocity."""

    collection_noise: float = Field(
        default=0.0, ge=0, description="std, added to the actions that collect the new data (code: deterministic); "
        "actions that never vary tell a critic little (ours, on the point families)")  # fmt: skip
    new_data_updates: NonNegativeInt = Field(default=10, description="TD3 steps on the new data alone (code)")
    replay_updates: NonNegativeInt = Field(default=100, description="then on the weighted replay (code)")
    replay_batch: PositiveInt = Field(default=1280, description="transitions per step on the replay (code: 5 x 256)")
    learning_rate: float = Field(default=1e-3, gt=0, description="fresh Adams (code: not the meta-training's rate)")
    inverse_penalty: float = Field(default=0.1, gt=0, description="C of the logistic regression (code)")
    classify_observations: bool = Field(
        default=False, description="the classifier sees the observation besides the actor's context (code, some)"
    )
    classify_with: Literal["meta-trained", "adapted"] = Field(
        default="meta-trained", description="whose context the weights are computed from; the classifier is always "
        "fitted on the meta-trained actor's (ours); `adapted`: as the code does")  # fmt: skip
    correct_prior: bool = Field(
        default=True, description="a ratio of densities, whatever the sizes of the two sets (paper); False: code"
    )
    beta_clip: float = Field(default=1.0, ge=0, description="beta is at most the exponential of this (code)")
    beta_floor: float = Field(default=0.1, ge=0, description="smaller beta is 0 (code)")
    proximal: Literal["ess"] | Annotated[float, Field(ge=0)] = Field(
        default="ess", description="lambda: `ess` is 1 - normalised effective sample size of the batch (paper); "
        "0.1 is what the released code runs with")  # fmt: skip
    evaluation_history: Literal["padded", "unpadded", "unbounded"] = Field(
        default="padded", description="of evaluation episodes: as in training (ours), without the padding, or "
        "unpadded and as long as the episode (code, by environment)")  # fmt: skip
    online: bool = Field(
        default=True, exclude_if=lambda online: online,  # identities from before it was a choice
        description="read the running episode; without: an empty context at every step, so that only gradient steps "
        "adapt (ours)")  # fmt: skip

    twin: ClassVar[dict[str, Any]] = {"online": False, "new_data_updates": 0, "replay_updates": 0}

    @property
    def before(self) -> Before:
        """A context that starts empty, and fills."""
        if not self.online:
            return Before("unadapted", "the meta-trained policy given a context that is empty at every step")
        return Before("adapts within the episode", "a context that is empty at the episode's start, and fills in it")

    @property
    def updates(self) -> int:
        """TD3 steps on the new data, then on the replay."""
        return self.new_data_updates + self.replay_updates

    @property
    def updates_per_round(self) -> int:
        """All follow on the one fit of the classifier."""
        return self.updates

    def costliest(self) -> Self:
        """Every step on the replay, whose batches are larger and weighted."""
        return self.model_copy(update={"new_data_updates": 0, "replay_updates": self.updates})


class Mql(Algorithm):
    """Meta-training of MQL."""

    config: MqlTrain
    store: EpisodeStore

    def __init__(self, config: MqlTrain, source: TaskSource, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        spaces = source.spaces
        settings = Td3Settings(
            config.discount, config.target_rate, config.learning_rate, config.policy_noise, config.noise_clip,
            resolve_precision(config.precision, self.device.type),
        )  # fmt: skip
        sizes = Sizes(spaces.observation_dim, spaces.action_dim, config.context_hidden, config.hidden)
        self.learner = TwinDelayed.initial(settings, sizes, self.generator)
        self.store = EpisodeStore(spaces, kwargs["capacity"], self.device)
        self.windows = EpisodeWindows(config.history_length, self.device)
        self.everything = TaskIndex(1, self.device, config.replay_capacity)  # one replay for all tasks (code)
        self.snapshots = TaskIndex(source.num_tasks, self.device, config.snapshot)

    # Collecting ------------------------------------------------------------------------------------------------

    def iterate(self) -> dict[str, float]:
        """Initial exploration, or one iteration: collect in randomly drawn tasks, then gradient steps."""
        horizon, number = self.source.spaces.horizon, self.source.num_tasks
        if not self.store.size:
            piece = max(1, round(self.config.initial_episode * horizon))
            whole, rest = divmod(self.config.exploration(number), piece)
            batches = [self._collect(np.arange(number), size, True) for size in [piece] * whole + [rest] * bool(rest)]
            return {"return": average(np.concatenate([self.episode_returns(batch) for batch in batches]))}
        tasks = self.choices.integers(number, size=self.config.episodes_per_iteration)
        metrics = {"return": self.mean_return(self._collect(tasks, horizon, False))}
        full = int(self.everything.lengths[0]) >= self.config.full_steps_from
        return require_finite(metrics | self._train(self.config.steps_per_iteration if full else horizon))

    def _collect(self, tasks: np.ndarray, transitions: int, randomly: bool) -> EpisodeBatch:
        """Collect with random actions or the noisy policy, and store."""
        spaces = self.source.spaces
        history = RunningHistory(len(tasks), self.config.history_length, spaces)

        def explore(observations: np.ndarray) -> np.ndarray:
            shape = (len(tasks), spaces.action_dim)
            if randomly:
                return self.choices.uniform(-1, 1, shape).astype(np.float32)
            actions = self.actions(self.learner.actor, observations, history)
            noise = self.config.exploration_noise * self.choices.standard_normal(shape)
            return (actions + noise).clip(-1, 1).astype(np.float32)

        batch = self.source.collect(explore, tasks.tolist(), transitions, after_step=history.observe)
        for episode, slots in enumerate(self.store.append(batch)):
            self.windows.add(int(slots[0]))
            self.everything.add(0, slots)
            self.snapshots.add(int(batch.tasks[episode]), slots)
        return batch

    @torch.no_grad()
    def actions(
        self, actor: Network, observations: np.ndarray, history: RunningHistory, padded: bool = True
    ) -> np.ndarray:
        """Deterministic actions (row, action) of actors (learner, ...) for rows in learner-major order."""
        learners = len(actor.gru[0])
        rows = torch.as_tensor(observations, device=self.device).unflatten(0, (learners, -1))
        tokens = torch.as_tensor(history.tokens, device=self.device).unflatten(0, (learners, -1))
        present = None if padded else torch.as_tensor(history.present.T, device=self.device)
        return policy_actions(actor, rows, tokens.permute(2, 0, 1, 3), present).flatten(0, 1).cpu().numpy()

    # Training --------------------------------------------------------------------------------------------------

    def _train(self, updates: int) -> dict[str, float]:
        numbers = iter(range(updates))
        return averaged(lambda: self.gradient_step(next(numbers)), updates)

    def gradient_step(self, number: int) -> dict[str, Tensor]:
        """One TD3 step on transitions of all tasks; the first of an iteration, number 0, moves the actor (code)."""
        batch = self.sample(1, self.config.batch, self.generator)
        losses = self.learner.update(batch, self.generator, number % self.config.policy_delay == 0)
        return {name: value[0] for name, value in losses.items()}

    def sample(self, learners: int, number: int, generator: torch.Generator) -> Windowed:
        """Meta-training transitions (learner, number) of all tasks, uniformly, with their histories."""
        slots = self.everything.sample(np.zeros(learners, np.int64), number, generator)
        return self.windows.gather(self.store, slots)

    # State -----------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """Weights, moments and views."""
        return {
            "learner": self.learner.parts(), "windows": self.windows, "everything": self.everything,
            "snapshots": self.snapshots,
        }  # fmt: skip

    def agent(self, config: MqlAdapt, seed: int) -> MqlAgent:
        """An agent that continues TD3 per test task."""
        return MqlAgent(self, config, seed)


class MqlAgent(Agent):
    """Reads the running episode with the actor's GRU; adapts one learner per test task, all side by side."""

    adapts_online = True  # an evaluated episode has a history too: it is observed, and forgotten at its end

    def __init__(self, mql: Mql, config: MqlAdapt, seed: int) -> None:
        self.mql = mql
        self.config = config
        self.generator = torch.Generator(mql.device).manual_seed(seed)
        self.padded = True
        self.begin(0)

    def begin(self, num_tasks: int) -> None:
        """The meta-trained actor, shared by all tasks, and empty histories."""
        self.actor = self.mql.learner.actor.map(frozen)
        self._start_histories(num_tasks, self.mql.config.history_length)
        self.data: TrialData | None = TrialData(num_tasks)
        self.steps: list[list[int]] = [[] for _ in range(num_tasks)]  # of each stored transition in its episode

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """The deterministic policy, with noise where the new data are collected with some."""
        history = self.history if self.config.online else self.empty
        actions = self.mql.actions(self.actor, observations, history, self.padded)
        if not explore or not self.config.collection_noise:
            return actions
        noise = torch.randn(actions.shape, generator=self.generator, device=self.mql.device).cpu().numpy()
        return (actions + self.config.collection_noise * noise).clip(-1, 1).astype(np.float32)

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Move the histories on; store, unless this is a fork."""
        if self.data is not None:
            self.data.add(transition, active)
            for task in np.flatnonzero(active):
                self.steps[task].append(int(self.history.steps[task]))
        self.history.observe(transition, active, episode_end)

    def fork(self, episodes: int) -> MqlAgent:
        """The same actors with empty histories of their own; it stores nothing."""
        copy = MqlAgent(self.mql, self.config, seed=0)
        copy.actor, copy.data = self.actor, None
        spaces, asked = self.mql.source.spaces, self.config.evaluation_history
        length = spaces.horizon if asked == "unbounded" else self.mql.config.history_length
        copy._start_histories(len(self.steps) * episodes, length)
        copy.padded = asked == "padded"
        return copy

    def _start_histories(self, rows: int, length: int) -> None:
        """The running episodes' transitions, and what is read in their place where the context is kept empty."""
        self.history, self.empty = (RunningHistory(rows, length, self.mql.source.spaces) for _ in range(2))

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """TD3 on the new data alone, then on the weighted meta-training replay."""
        if self.data is None:
            raise RuntimeError("a fork has no data to adapt to")
        device, length = self.mql.device, self.mql.config.history_length
        new = TrialWindows(self.data.everything(device), torch.tensor(self.steps, device=device), length)
        tuning = FineTuning(self.mql, self.config, new, self.generator)
        yield Adaptation(0, as_arrays(tuning.fitted()))
        losses: dict[str, Tensor] = {}
        for point in evaluation_points(every, self.config.capped_updates(limit)):
            while tuning.updates < point:
                losses = tuning.update()
            self.actor = tuning.learners.actor.map(lambda trained: [tensor.detach().clone() for tensor in trained])
            yield Adaptation(point, as_arrays(losses))


class FineTuning:
    """TD3 learners, one per test task, that continue from the meta-trained one (paper, section 3.3)."""

    def __init__(self, mql: Mql, config: MqlAdapt, new: TrialWindows, generator: torch.Generator) -> None:
        self.mql, self.config, self.new, self.generator = mql, config, new, generator
        self.updates = 0
        tasks, number = new.steps.shape
        self.learners = mql.learner.copies(tasks, config.learning_rate)
        self.anchors = mql.learner.actor.map(frozen), mql.learner.critics.map(frozen)
        self._replay = self._snapshot(tasks, number)
        of_new, of_replay = self._features(new.everything()), self._features(self._replay)
        self.classifier = propensity.logistic_regression(
            of_new, of_replay, config.inverse_penalty, config.correct_prior
        )

    def fitted(self) -> dict[str, Tensor]:
        """Effective sample size, mean and largest weight of the replay that the classifier was fitted on, (task,)."""
        weights = self._weights(self._replay)
        return {
            "effective_sample_size": propensity.effective_sample_size(weights), "weight_mean": weights.mean(1),
            "weight_max": weights.amax(1),
            "proximal_weight": propensity.proximal_strength(weights, self.config.proximal),
        }  # fmt: skip

    def update(self) -> dict[str, Tensor]:
        """One step of every learner; losses and the state of the weighting, each (task,)."""
        mql, config, number = self.mql, self.config, self.updates
        self.updates += 1
        if number < config.new_data_updates:
            return self.learners.update(self.new.sample(self.generator), self.generator, self._moves_actor(number))
        batch = mql.sample(len(self.new.steps), config.replay_batch, self.generator)
        weights = self._weights(batch)
        weighting = Weighting(weights, propensity.proximal_strength(weights, self.config.proximal), *self.anchors)
        moves_actor = self._moves_actor(number - config.new_data_updates)
        losses = self.learners.update(batch, self.generator, moves_actor, weighting)
        size = propensity.effective_sample_size(weights)
        return losses | {"effective_sample_size": size, "proximal_weight": weighting.strength}

    def _moves_actor(self, number: int) -> bool:
        return number % self.mql.config.policy_delay == 0

    def _snapshot(self, tasks: int, number: int) -> Windowed:
        """For each test task as many recent transitions of all training tasks as it has new ones, or a few more."""
        trained = self.mql.source.num_tasks
        asked = np.tile(np.arange(trained), tasks)
        slots = self.mql.snapshots.sample(asked, number // trained + 2, self.generator)
        return self.mql.windows.gather(self.mql.store, slots.reshape(tasks, -1))

    def _weights(self, batch: Windowed) -> Tensor:
        """beta of each transition, (task, row)."""
        adapted = self.config.classify_with == "adapted"
        log_odds = self.classifier.log_odds(self._features(batch, self.learners.actor if adapted else None))
        return propensity.propensity_weights(log_odds, self.config.beta_clip, self.config.beta_floor)

    @torch.no_grad()
    def _features(self, batch: Windowed, actor: Network | None = None) -> Tensor:
        """What the classifier sees, (task, row, feature): the context before a transition, of the meta-trained actor
        unless another is given, and perhaps the observation.
        """  # noqa: D205
        context = contexts_of((actor or self.anchors[0]).gru, batch.history)
        if not self.config.classify_observations:
            return context
        return torch.cat([context, batch.transitions.observations], dim=-1)
