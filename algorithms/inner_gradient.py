"""What MAML and ProMP share: sampling with adapted policies, the inner step, and the agent. They differ outside.

A meta-iteration draws tasks, collects with the meta-trained policy theta, takes a policy-gradient step per task,

    theta'_i = theta - alpha grad L_i(theta),    L_i = -mean_t [pi_theta(a_t|s_t) / pi_old(a_t|s_t)] A_t,

collects with the adapted policies theta'_i, and hands all data to the outer step. A_t is the generalised advantage
(discount gamma, lambda) over a linear baseline, standardised per task. All tasks and rollouts act as one batch.
Experience serves one iteration; nothing is kept but the sums of a pooled baseline.

Where this leaves the ProMP code, which the published curves come from (section 4 of Rothfuss et al. 2019 is the
setting): every row collects the same number of steps, its last episode cut there, where that code discards
unfinished episodes; behind the cut the baseline's value stands for the rest of the return. Every training task is
drawn as often as any other, to one. Observations are this benchmark's, through the `view`: the code's cheetah is the
view `without_position`; its ant-direction also observes contact forces. Knobs of ours, off by default: the pooled
baseline (`kit/on_policy/baselines.py`), normalised observations, the value behind a time limit. As in the code,
nothing is behind a time limit by default: what is measured is the return of exactly so many steps, and the baseline
knows the time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

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
    Transition,
    ViewConfig,
    as_arrays,
    evaluation_points,
    require_finite,
)
from algorithms.kit.networks import Parameters, as_leaves, frozen
from algorithms.kit.on_policy.advantages import generalised_advantages, standardised
from algorithms.kit.on_policy.baselines import PooledBaseline, fit_linear_baseline, linear_values, values_behind
from algorithms.kit.on_policy.policy_gradient import (
    Drawn,
    InnerLoss,
    PolicyData,
    distribution,
    draw,
    initial_policy,
    inner_step,
    kl_divergence,
    policy_per_task,
    task_chunks,
)
from algorithms.kit.on_policy.policy_inputs import PolicyInputs
from algorithms.kit.on_policy.rollouts import Rollouts, TimeLimit, rollouts_of, rollouts_of_trial
from algorithms.kit.state import Part
from algorithms.kit.trial_data import TrialData
from algorithms.kit.views import View
from tasks.spec import EpisodeBatch


class InnerGradientTrain(ViewConfig):
    """Meta-training that MAML and ProMP share. Defaults: the ProMP code as run for the published curves ("code")."""

    precision: Literal["fp32"] = Field(
        default="fp32", description="the only one: networks this small gain nothing from bfloat16 products (ours)"
    )
    tasks_per_iteration: PositiveInt = Field(default=40, description="training tasks per outer step (code)")
    rollouts_per_task: PositiveInt = Field(default=20, description="per task, with its adapted policy (code)")
    adaptation_rollouts: PositiveInt | None = Field(
        default=None, description="per task and inner step, before it; None: as many as after (code)"
    )
    rollout_transitions: PositiveInt = Field(default=200, description="steps of a rollout: the horizon (code)")
    inner_steps: PositiveInt = Field(default=1, description="each on fresh data (code; ant-goal in paper 2)")
    inner_learning_rate: float = Field(default=0.1, gt=0, description="alpha (code; walker 0.05)")
    policy_hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), description="tanh layers (code; humanoid 128)")
    initial_std: float = Field(default=1.0, gt=0, description="of the policy's own actions (code)")
    action_scale: float = Field(
        default=10.0, gt=0, description="a policy's action of this size is full actuation (code; Finn et al. 1)"
    )
    normalise_observations: bool = Field(
        default=False, description="the policy reads them by the moments of all iterations before (ours; code no)"
    )
    discount: float = Field(default=0.99, gt=0, le=1, description="gamma (code)")
    gae_lambda: float = Field(default=1.0, ge=0, le=1, description="lambda of GAE (code)")
    bootstrap_time_limits: bool = Field(
        default=False, description="the baseline's value stands for what is behind the horizon (ours); off: nothing "
        "is, as returns are measured up to there (code)")  # fmt: skip
    baseline: Literal["per_task", "pooled"] = Field(
        default="per_task",
        description="of the meta-trained policy, linear in features of state and time: fitted to "
        "each task's returns, in a test to its adaptation data (code), or successor features pooled over all training "
        "tasks and kept for tests, with the task's rewards (ours). Adapted policies have one per task in any case",
    )
    baseline_regularisation: float = Field(default=1e-5, gt=0, description="of the linear baseline (code)")
    baseline_decay: float = Field(
        default=0.9, ge=0, le=1, description="of an iteration's data in a pooled baseline, to the next iteration (ours)"
    )
    reward_prior: float | None = Field(
        default=0.1, gt=0, description="transitions with the rewards of all tasks beside a task's own, in a pooled "
        "baseline; None: nothing of its own, for families whose rewards do not differ (ours)")  # fmt: skip

    def first_steps(self, num_tasks: int) -> int:
        """Every iteration costs the same, whatever the number of training tasks."""
        before = self.inner_steps * (self.adaptation_rollouts or self.rollouts_per_task)
        return self.tasks_per_iteration * (before + self.rollouts_per_task) * self.rollout_transitions


class InnerGradientAdapt(AdaptConfig):
    """Policy gradient in a test task, on all of its adaptation data."""

    gradient_steps: NonNegativeInt = Field(default=1, description="on the same data (code and papers: 1)")
    learning_rate: float | None = Field(default=None, gt=0, description="of the first step; None: alpha (code)")
    late_learning_rate: float | None = Field(
        default=None, gt=0, description="of further steps; None: as the first (Finn et al.: half of alpha)"
    )

    twin: ClassVar[dict[str, Any]] = {"gradient_steps": 0}

    @property
    def before(self) -> Before:
        """The policy before any gradient step."""
        return Before("unadapted", "the meta-trained policy, before any gradient step")

    @property
    def updates(self) -> int:
        """Gradient steps."""
        return self.gradient_steps


class InnerGradientLearner(Algorithm):
    """Meta-training of a policy from which one policy-gradient step per task goes far."""

    config: InnerGradientTrain
    inner_loss: InnerLoss = "likelihood_ratio"

    def __init__(self, config: InnerGradientTrain, source: Any, **kwargs: Any) -> None:
        super().__init__(config, source, **kwargs)
        view = View(source.spaces, config.view)
        self.inputs = PolicyInputs(view, config.normalise_observations, self.device)
        self.theta = as_leaves(
            initial_policy(view.dim, config.policy_hidden, source.spaces.action_dim, config.initial_std, self.generator)
        )
        self.time_limit = TimeLimit(source.spaces.horizon, config.bootstrap_time_limits)
        self.baseline: PooledBaseline | None = None
        if config.baseline == "pooled":
            self.baseline = PooledBaseline(
                view.dim, discount=config.discount, decay=config.baseline_decay, reward_prior=config.reward_prior,
                regularisation=config.baseline_regularisation, device=self.device,
            )  # fmt: skip

    def iterate(self) -> dict[str, float]:
        """Collect, adapt and collect again, as many times as there are inner steps; then the outer step."""
        config, tasks = self.config, self._tasks()
        policy, inner, batches = frozen(self.theta), list[PolicyData](), []
        for _ in range(config.inner_steps):
            rollouts = config.adaptation_rollouts or config.rollouts_per_task
            data, batch = self.collect(policy, tasks, rollouts, adapted=bool(inner))
            policy = self.adapt(policy, data, config.inner_learning_rate)
            inner.append(data)
            batches.append(batch)
        outer, batch = self.collect(policy, tasks, config.rollouts_per_task, adapted=True)
        metrics = {"return": self.mean_return(batch), "return_before_adaptation": self.mean_return(batches[0])}
        metrics |= {"std": float(self.theta[-1].detach().exp().mean())} | self.outer_step(inner, outer)
        for seen in (*batches, batch):
            self.inputs.update(seen)
        return require_finite(metrics)

    @abstractmethod
    def outer_step(self, inner: list[PolicyData], outer: PolicyData) -> dict[str, float]:
        """Improve theta on the data of each inner step and of the adapted policies. Returns metrics."""

    def _tasks(self) -> np.ndarray:
        """The tasks of an iteration: all equally often, the rest drawn without replacement."""
        whole, rest = divmod(self.config.tasks_per_iteration, self.source.num_tasks)
        drawn = self.choices.choice(self.source.num_tasks, rest, replace=False)
        return np.concatenate([np.tile(np.arange(self.source.num_tasks), whole), drawn])

    def collect(
        self, policy: Parameters, tasks: np.ndarray, rollouts: int, adapted: bool
    ) -> tuple[PolicyData, EpisodeBatch]:
        """Data of the meta-trained policy for all tasks, or of one adapted to each; and the episodes."""
        steps: list[Drawn] = []

        def explore(observations: np.ndarray) -> np.ndarray:
            steps.append(draw(policy, self.inputs(observations), self.config.action_scale, self.generator))
            return steps[-1].applied

        rows = np.repeat(tasks, rollouts)
        batch = self.source.collect(explore, rows.tolist(), self.config.rollout_transitions)
        drawn = [torch.stack([getattr(step, name) for step in steps], dim=1) for name in ("actions", "means")]
        actions, means = (field.unflatten(0, (len(tasks), rollouts)) for field in drawn)
        log_std = distribution(policy, means.new_zeros((len(policy[0]), 1, policy[0].shape[1]))).log_std
        whole = rollouts_of(batch, len(tasks), self.time_limit, self.device)
        if self.baseline is not None and not adapted:
            self.baseline.update(self.shown(whole))
        return self.judged(whole, actions, means, log_std, adapted), batch

    def shown(self, rollouts: Rollouts) -> Rollouts:
        """What the view shows of rollouts, not normalised: a baseline's features keep their scale."""
        fields = (self.inputs.shown(field) for field in (rollouts.observations, rollouts.next_observations))
        return rollouts._replace(**dict(zip(("observations", "next_observations"), fields)))

    def judged(self, rollouts: Rollouts, actions: Tensor, means: Tensor, log_std: Tensor, adapted: bool) -> PolicyData:
        """Policy data of rollouts and the actions drawn in them, (task, rollout, step, action), with advantages.

        The baseline is fit on the very rollouts that it judges (code); or pooled, where all were collected by the
        meta-trained policy. Behind the end of an episode that was not cut it is 0.
        """
        config, shown = self.config, self.shown(rollouts)
        if self.baseline is not None and not adapted:
            weights = self.baseline.weights(shown)
        else:
            weights = fit_linear_baseline(shown, config.discount, config.baseline_regularisation)
        values = linear_values(weights, shown.observations, shown.times)
        advantages = generalised_advantages(
            shown.rewards, values, shown.last, config.discount, config.gae_lambda, values_behind(weights, shown)
        )
        return PolicyData(
            observations=self.inputs(rollouts.observations).flatten(1, 2), actions=actions.flatten(1, 2),
            means=means.flatten(1, 2), log_std=log_std.expand(len(values), -1, -1),
            advantages=standardised(advantages).flatten(1),
        )  # fmt: skip

    @torch.enable_grad()
    def adapt(self, policy: Parameters, data: PolicyData, learning_rate: float) -> Parameters:
        """Each task's policy (task, ...) after a gradient step on its data, from one policy or one per task."""
        policy = policy_per_task(policy, len(data.advantages))
        adapted = []
        for chunk in task_chunks(data, max(self.config.policy_hidden)):
            own = [parameter[chunk] for parameter in policy]
            adapted.append(inner_step(own, data.of(chunk), self.inner_loss, learning_rate).policy)
        return [torch.cat(pieces) for pieces in zip(*adapted)]

    def parts(self) -> dict[str, Part]:
        """The meta-trained policy, the pooled baseline, and the moments of observations."""
        baseline = None if self.baseline is None else self.baseline.parts()
        return {"theta": self.theta, "baseline": baseline, "moments": self.inputs.parts()}

    def agent(self, config: InnerGradientAdapt, seed: int) -> InnerGradientAgent:
        """An agent that takes the inner step in test tasks."""
        return InnerGradientAgent(self, config, seed)


class InnerGradientAgent(Agent):
    """Explores with the meta-trained policy, then takes the inner step, for a batch of test tasks at once."""

    def __init__(self, learner: InnerGradientLearner, config: InnerGradientAdapt, seed: int) -> None:
        self.learner = learner
        self.config = config
        self.generator = torch.Generator(learner.device).manual_seed(seed)
        self.policy = frozen(learner.theta)
        self.data = TrialData(0)
        self.drawn: Drawn | None = None

    def begin(self, num_tasks: int) -> None:
        """The meta-trained policy, shared by all tasks."""
        self.policy = frozen(self.learner.theta)
        self.data = TrialData(num_tasks)

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """A draw to explore, else the mean."""
        inputs, scale = self.learner.inputs(observations), self.learner.config.action_scale
        if not explore:
            return draw(self.policy, inputs, scale, None).applied
        self.drawn = draw(self.policy, inputs, scale, self.generator)
        return self.drawn.applied

    def observe(self, transition: Transition, active: np.ndarray, episode_end: np.ndarray) -> None:
        """Store, with the action as the policy drew it; where episodes end follows from their termination and age."""
        assert self.drawn is not None, "a transition was observed before any action was drawn"
        self.data.add(transition._replace(actions=self.drawn.actions.cpu().numpy()), active)

    def fork(self, episodes: int) -> InnerGradientAgent:
        """The same policies, each for its task's episodes."""
        copy = InnerGradientAgent(self.learner, self.config, seed=0)
        copy.policy = self.policy
        return copy

    def adapt(self, every: int, limit: int | None = None) -> Iterator[Adaptation]:
        """The policy before any update; then gradient steps on all of the data."""
        updates = self.config.capped_updates(limit)
        data, done = self._judged_data(), 0
        yield Adaptation(0, {})
        for point in evaluation_points(every, updates):
            while done < point:
                before, done = self.policy, done + 1
                self.policy = self.learner.adapt(self.policy, data, self._rate(done))
            moved = [(new - old).flatten(1) for new, old in zip(self.policy, before)]
            kl = kl_divergence(data.behaviour, distribution(self.policy, data.observations))
            norm = torch.cat(moved, dim=1).norm(dim=1) / self._rate(done)
            yield Adaptation(point, as_arrays({"gradient_norm": norm, "kl": kl}))

    def _rate(self, step: int) -> float:
        first = self.config.learning_rate or self.learner.config.inner_learning_rate
        return first if step == 1 else self.config.late_learning_rate or first

    def _judged_data(self) -> PolicyData:
        """All adaptation data of every task as one rollout each, which the meta-trained policy collected."""
        learner = self.learner
        seen = self.data.everything(learner.device)
        means, log_std = distribution(self.policy, learner.inputs(seen.observations).flatten(0, 1).unsqueeze(0))
        means = means.view_as(seen.actions).unsqueeze(1)
        return learner.judged(
            rollouts_of_trial(seen, learner.time_limit), seen.actions.unsqueeze(1), means, log_std, adapted=False
        )
