"""Baselines that are linear in features of observation and time: of each task alone, or pooled over tasks.

V(s, t) = phi(s, t) w, in the features phi of Duan et al. 2016. With returns G_t up to the end of the episode, w solves
the least squares G_t = (phi_t - c_t) w. Where the episode was cut n steps on, in s', the rest of its return is
unknown, and V itself stands for it: c_t = discount^n phi(s', t + n) joins the unknown side, so that a cut episode
neither counts as one that ended nor is left out. Elsewhere c_t = 0.

**Of each task alone** (published): as many weights as features from the data that it judges: on 400 transitions of
the ant that goes to a goal, 230 weights, which explain away most of the advantages.

**Pooled** (ours). Data of one policy in many tasks: where tasks differ in their rewards alone, what is visited is the
same in all of them. So the successor features (Barreto et al. 2017) are pooled over all rollouts, and over iterations
with a decay: W solves the least squares of the discounted sums of phi' = phi(s', t + 1) over all states s' that are
reached, in phi - c as above. A task adds the weights u of its rewards, r = phi' u, from its own transitions and a
penalty as if n further ones, distributed as the pool's, had shown the rewards of all tasks; V(s, t) = phi(s, t) W u.
Rewards tell of a task at every step and have little noise, where returns are a few numbers, correlated over whole
episodes, and differ between tasks by more than within them: nothing is fitted to returns at all. On ant-goal the
advantages correlate at 0.98 with those of a baseline fitted to thirty times the data, the task's own baseline at 0.28.
Where dynamics vary, rewards are one function of what is observed and a task's own weights are only noise: n = infinity
leaves those of all tasks. Policies that were adapted, each to its task, share no successor features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.kit.on_policy.advantages import discounted_sums
from algorithms.kit.on_policy.rollouts import Rollouts
from algorithms.kit.state import Part

CLIP = 10.0  # observations in the features
TIME_SCALE = 100.0  # steps
ATTEMPTS = 5  # regularisation grows tenfold from each to the next
REGULARISATION = 1e-5  # of the published fit


def linear_features(observations: Tensor, times: Tensor) -> Tensor:
    """[s, s^2, t, t^2, t^3, 1] (..., 2 * observation + 4) float64, of s (..., observation) and t (...).

    s is clipped to +-10 before it is squared, t is in units of 100 steps (Duan et al. 2016, as in the ProMP code).
    """
    state = observations.double().clamp(-CLIP, CLIP)
    time = (times.double() / TIME_SCALE).unsqueeze(-1)
    return torch.cat([state, state.square(), time, time.square(), time**3, torch.ones_like(time)], dim=-1)


def linear_values(weights: Tensor, observations: Tensor, times: Tensor) -> Tensor:
    """What a baseline predicts, (task, ...) float32, of observations (task, ..., observation), times (task, ...)."""
    tasks = zip(weights, observations, times)
    return torch.stack([linear_features(state, time) @ weight for weight, state, time in tasks]).float()


def values_behind(weights: Tensor, rollouts: Rollouts) -> Tensor | None:
    """What a baseline predicts behind the last step of cut episodes, 0 elsewhere, (task, rollout, step)."""
    if not bool(rollouts.cut.any()):
        return None
    return linear_values(weights, rollouts.next_observations, rollouts.times + 1) * rollouts.cut


def fit_linear_baseline(rollouts: Rollouts, discount: float, regularisation: float = REGULARISATION) -> Tensor:
    """Weights (task, feature) float64 of the baseline of each task alone.

    Least squares in float64, regularised by an addition to the diagonal of the normal equations, ten times as large
    where they have no solution, five times at most. One task at a time is in memory: a humanoid's features are wide.

    Raises:
        ValueError: there is no solution, because the data are not finite.
    """
    grams, moments = [], []
    for task in map(rollouts.of, range(len(rollouts.rewards))):
        known = _regressors(task, discount)
        grams.append(known.T @ known)
        moments.append(known.T @ _ahead(task.rewards.double().unsqueeze(-1), task, discount))
    return _solve(torch.stack(grams), torch.stack(moments), regularisation).squeeze(-1)


class PooledBaseline:
    """Successor features of one policy, pooled over tasks and iterations, and the rewards of each task."""

    def __init__(
        self, observations: int, *, discount: float, decay: float, reward_prior: float | None, regularisation: float,
        device: torch.device,
    ) -> None:  # fmt: skip
        """decay: of older data, per update. reward_prior: n, in transitions; None: infinity."""
        self.discount, self.decay = discount, decay
        self.reward_prior, self.regularisation = reward_prior, regularisation
        width = linear_features(torch.zeros(observations), torch.zeros(())).shape[-1]

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._gram, self._successors = zeros(width, width), zeros(width, width)  # normal equations of W
        self._reward_gram, self._rewards = zeros(width, width), zeros(width, 1)  # and of u
        self._number = zeros()  # of transitions, decayed as the rest

    def update(self, rollouts: Rollouts) -> None:
        """Take in the rollouts of an iteration, all tasks alike."""
        for total in self._sums.values():
            total *= self.decay
        for task in map(rollouts.of, range(len(rollouts.rewards))):
            known, reached = _regressors(task, self.discount), _reached(task)
            flat = reached.flatten(0, -2)
            self._gram += known.T @ known
            self._successors += known.T @ _ahead(reached, task, self.discount)
            self._reward_gram += flat.T @ flat
            self._rewards += flat.T @ task.rewards.double().reshape(-1, 1)
            self._number += len(flat)

    def weights(self, rollouts: Rollouts) -> Tensor:
        """Weights W u (task, feature) float64 of the values in each task, whose own rewards `rollouts` tell.

        Zero before any update.
        """
        successors = self._solve(self._gram, self._successors)
        return self._reward_weights(rollouts) @ successors.T

    def _reward_weights(self, rollouts: Rollouts) -> Tensor:
        """u of each task, (task, feature)."""
        shared = self._solve(self._reward_gram, self._rewards)
        if self.reward_prior is None:
            return shared.T.expand(len(rollouts.rewards), -1)
        prior = self.reward_prior * self._reward_gram / self._number.clamp_min(1.0)
        grams, surplus = [], []
        for task in map(rollouts.of, range(len(rollouts.rewards))):
            reached = _reached(task).flatten(0, -2)
            grams.append(reached.T @ reached + prior)
            surplus.append(reached.T @ (task.rewards.double().reshape(-1, 1) - reached @ shared))
        return shared.T + _solve(torch.stack(grams), torch.stack(surplus), self.regularisation).squeeze(-1)

    def _solve(self, gram: Tensor, moments: Tensor) -> Tensor:
        return _solve(gram.unsqueeze(0), moments.unsqueeze(0), self.regularisation)[0]

    @property
    def _sums(self) -> dict[str, Tensor]:
        return {
            "gram": self._gram, "successors": self._successors, "reward_gram": self._reward_gram,
            "rewards": self._rewards, "number": self._number,
        }  # fmt: skip

    def parts(self) -> dict[str, Part]:
        """The decayed sums."""
        return dict(self._sums)


def _reached(task: Rollouts) -> Tensor:
    """phi(s_{t+1}, t + 1), (rollout, step, feature), of one task's rollouts."""
    return linear_features(task.next_observations, task.times + 1)


def _regressors(task: Rollouts, discount: float) -> Tensor:
    """phi_t - c_t, (sample, feature), of one task's rollouts."""
    features = linear_features(task.observations, task.times).flatten(0, -2)
    if bool(task.cut.any()):
        features = features - discount * _ahead(_reached(task) * task.cut.unsqueeze(-1), task, discount)
    return features


def _ahead(values: Tensor, task: Rollouts, discount: float) -> Tensor:
    """Discounted sums up to the end of the episode, (sample, value), of values (rollout, step, value)."""
    return discounted_sums(values.movedim(-1, 0), task.last, discount).movedim(0, -1).flatten(0, -2)


def _solve(grams: Tensor, moments: Tensor, regularisation: float) -> Tensor:
    """(task, feature, column) of the normal equations (task, feature, feature) and (task, feature, column)."""
    ridge = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    solution = torch.full_like(moments, float("nan"))
    for attempt in range(ATTEMPTS):
        factor, failed = torch.linalg.cholesky_ex(grams + regularisation * 10.0**attempt * ridge)
        candidate = torch.cholesky_solve(moments, factor)
        solved = (failed == 0) & candidate.isfinite().flatten(1).all(1)
        missing = solution.isnan().flatten(1).all(1)
        solution = torch.where((missing & solved).view(-1, 1, 1), candidate, solution)
        if not bool((missing & ~solved).any()):
            return solution
    raise ValueError(
        f"the baseline has no least-squares solution even with regularisation {regularisation * 10.0 ** (ATTEMPTS - 1)}"
        ": observations or rewards are not finite"
    )
