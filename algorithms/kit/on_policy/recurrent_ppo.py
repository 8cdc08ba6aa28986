"""Proximal policy optimisation (Schulman et al. 2017) on whole trials, or on steps of them if the policy forgets."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from algorithms.kit.networks import adam, norm_clipped
from algorithms.kit.on_policy.advantages import discounted_sums, generalised_advantages, standardised
from algorithms.kit.on_policy.baselines import fit_linear_baseline, linear_values, values_behind
from algorithms.kit.on_policy.recurrent_policy import ActorCritic
from algorithms.kit.on_policy.rollouts import Rollouts
from algorithms.kit.on_policy.running_moments import RunningMoments
from algorithms.kit.state import Part


class PpoSettings(NamedTuple):
    """What PPO needs to know of an algorithm's configuration; the fields are described there."""

    across_episodes: bool
    baseline: Literal["linear", "learned"]
    standardise: Literal["trial", "batch"]
    discount: float
    smoothing: float
    clip: float
    epochs: int
    minibatches: int
    backpropagation: int | None
    learning_rate: float
    gradient_clip: float | None
    value_weight: float
    entropy_weight: float


class Trials(NamedTuple):
    """Trials of equal length as they were lived: fields (step, trial, ...).

    inputs (step, trial, input) of the policy; actions as it drew them; log_probs of them; values (in units of reward)
    that the critic gave before each step; rewards; ends: whether an episode ended with the step, by its rule or at
    the horizon; final_inputs (1, trial, input) of the policy behind the last step, and final_values (trial,) of the
    critic there.
    """

    inputs: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    ends: Tensor
    final_inputs: Tensor
    final_values: Tensor

    def of(self, rows: Tensor) -> Trials:
        """Some of the trials."""
        return Trials(*(field.index_select(min(field.dim() - 1, 1), rows) for field in self))

    def single_steps(self) -> Trials:
        """Every step as a trial of its own, step-major."""
        inputs = torch.cat([self.inputs, self.final_inputs])[1:]
        values = torch.cat([self.values, self.final_values.unsqueeze(0)])[1:]
        fields = (*self[:6], inputs, values)
        steps = Trials(*(field.flatten(0, 1).unsqueeze(0) for field in fields))
        return steps._replace(final_values=steps.final_values[0])


class RecurrentPpo:
    """A policy, recurrent or not, its optimiser, and the unit in which its critic predicts."""

    def __init__(self, settings: PpoSettings, policy: ActorCritic, generator: torch.Generator) -> None:
        self.settings = settings
        self.policy = policy
        self.optimiser = adam(policy.parameters, settings.learning_rate)
        self._returns = RunningMoments(1, generator.device)
        self._generator = generator

    @property
    def unit(self) -> Tensor:
        """How much reward a value of 1 stands for: the standard deviation of the discounted returns so far, (1,)."""
        return self._returns.std

    def update(self, trials: Trials) -> dict[str, float]:
        """All passes over the trials, or over their steps if nothing ties these together; means of what is reported."""
        advantages, targets = self.advantages(trials)
        if not self.policy.recurrent:
            trials, advantages, targets = trials.single_steps(), advantages.view(1, -1), targets.view(1, -1)
        reports: list[dict[str, Tensor]] = []
        for _ in range(self.settings.epochs):
            for rows in self._minibatches(trials.rewards.shape[1]):
                reports.append(self.gradient_step(trials.of(rows), advantages[:, rows], targets[:, rows]))
        return {name: float(torch.stack([report[name] for report in reports]).mean()) for name in reports[0]}

    def _minibatches(self, trials: int) -> tuple[Tensor, ...]:
        """The trials of each step of a pass, drawn anew, without repetition."""
        device = self._generator.device
        order = torch.rand(trials, generator=self._generator, device=device).argsort()
        return order.tensor_split(self.settings.minibatches)

    def advantages(self, trials: Trials) -> tuple[Tensor, Tensor]:
        """Standardised advantages (step, trial), and what the critic should have said, in its own unit.

        Credited by episode, a trial's last episode may be cut: what is behind it is what the baseline says there.
        Credited across episodes, the end of a trial is the end of all returns to a linear baseline, which knows how
        long trials are (garage), and a cut to a critic, which does not (VariBAD).
        """
        settings = self.settings
        rewards, ends = trials.rewards.T, trials.ends.T
        trial_end = torch.zeros_like(ends)
        trial_end[:, -1] = True
        last, cut = (trial_end, trial_end) if settings.across_episodes else (ends | trial_end, trial_end & ~ends)
        if settings.baseline == "linear":
            inputs = torch.cat([trials.inputs, trials.final_inputs]).transpose(0, 1)
            cut = cut & (not settings.across_episodes)
            rollouts = Rollouts(inputs[:, :-1], rewards, inputs[:, 1:], last, cut)
            weights = fit_linear_baseline(rollouts, settings.discount)
            values = linear_values(weights, rollouts.observations, rollouts.times)
            behind = values_behind(weights, rollouts)
        else:
            self._returns.update(discounted_sums(rewards, last, settings.discount))
            values, behind = trials.values.T, cut * trials.final_values.unsqueeze(1)
        raw = generalised_advantages(rewards, values, last, settings.discount, settings.smoothing, behind)
        whole = standardised(raw) if settings.standardise == "trial" else standardised(raw.unsqueeze(0))[0]
        return whole.T.contiguous(), ((raw + values) / self.unit).T.contiguous()

    def gradient_step(self, trials: Trials, advantages: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """One Adam step on the loss; what it reports are scalars on the device."""
        parameters, settings = self.policy.parameters, self.settings
        loss, report = self.loss(trials, advantages, targets)
        gradients = norm_clipped(torch.autograd.grad(loss, parameters), settings.gradient_clip)
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient
        self.optimiser.step()
        return report

    def loss(self, trials: Trials, advantages: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Clipped surrogate (Schulman et al. 2017, eq. 7 and 9), the critic's Huber loss and the entropy bonus."""
        settings, policy = self.settings, self.policy
        start = policy.blank(trials.rewards.shape[1])
        output = policy.unroll(trials.inputs, start, settings.backpropagation)
        log_ratio = policy.log_probs(output.mean, trials.actions) - trials.log_probs
        ratio = log_ratio.exp()
        kept = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        policy_loss = -self._mean(torch.minimum(ratio * advantages, kept * advantages))
        loss = policy_loss - settings.entropy_weight * policy.entropy()
        report = {"policy_loss": policy_loss, "entropy": policy.entropy(), "kl": (ratio - 1 - log_ratio).mean(),
                  "clipped": (kept != ratio).float().mean()}  # fmt: skip
        if settings.baseline == "learned":
            report["critic_loss"] = functional.huber_loss(output.values, targets)
            loss = loss + settings.value_weight * report["critic_loss"]
        return loss, {name: value.detach() for name, value in report.items()}

    def _mean(self, values: Tensor) -> Tensor:
        """Over steps and trials, (step, trial); where gradients are truncated every chunk counts as much (code)."""
        if self.settings.backpropagation is None:
            return values.mean()
        return torch.stack([chunk.mean() for chunk in values.split(self.settings.backpropagation)]).mean()

    def parts(self) -> dict[str, Part]:
        """Weights, Adam's moments, and the moments of returns."""
        return {"policy": self.policy.parts(), "optimiser": self.optimiser, "returns": self._returns.parts()}
