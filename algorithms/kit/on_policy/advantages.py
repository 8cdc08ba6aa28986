"""Returns, the linear feature baseline and advantages of on-policy data, for a batch of tasks at once.

Tensors are (task, rollout, step): a rollout is a row of consecutive steps that holds one episode or several, one
after the other, as `TaskSource.collect` makes them. `last` marks the final step of each episode, for whatever reason
it ended; nothing is carried over it. Rows shorter than the longest are padded at their end: a step that is not
`inside` has reward 0 and counts for nothing. Where a row of several episodes is one trial (RL2), `last` marks the
end of the trial instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

CLIP = 10.0  # observations in the baseline's features
TIME_SCALE = 100.0  # steps
ATTEMPTS = 5  # regularisation grows tenfold from each to the next


def episode_times(last: Tensor) -> Tensor:
    """The number of steps taken before each step in its episode, (..., step) int64."""
    steps = torch.arange(last.shape[-1], device=last.device).expand(last.shape)
    begins = torch.where(last, steps + 1, 0).cummax(dim=-1).values  # of the episode after each step
    return steps - torch.cat([torch.zeros_like(begins[..., :1]), begins[..., :-1]], dim=-1)


def discounted_sums(values: Tensor, last: Tensor, discount: float) -> Tensor:
    """sum_k discount^k values_{t+k} up to the end of the episode, (..., step), of values (..., step)."""
    sums = torch.empty_like(values)
    following = torch.zeros_like(values[..., 0])
    carried = discount * ~last
    for step in reversed(range(values.shape[-1])):
        following = values[..., step] + carried[..., step] * following
        sums[..., step] = following
    return sums


def generalised_advantages(
    rewards: Tensor, values: Tensor, last: Tensor, discount: float, smoothing: float, after_last: Tensor | None = None
) -> Tensor:
    """GAE (Schulman et al. 2016, eq. 16): sums of (discount * smoothing)^k delta_{t+k}, (..., step).

    delta_t = r_t + discount * V(s_{t+1}) - V(s_t), with `values` (..., step) for V(s_t). Behind the last step of an
    episode V is 0, as the published code has it even at time limits; `after_last` (..., step) gives V there instead,
    to go on from a state in which an episode was only cut (0 where it really ended).
    """
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    following = torch.where(last, torch.zeros_like(values) if after_last is None else after_last, following)
    return discounted_sums(rewards + discount * following - values, last, discount * smoothing)


def standardised(advantages: Tensor, inside: Tensor | None = None) -> Tensor:
    """(A - mean) / (std + 1e-8) over all samples of each task, (task, ...); 0 outside.

    The population's standard deviation: dividing by the variance, as later codes do, rescales the inner step.
    """
    flat = advantages.flatten(1)
    weights = torch.ones_like(flat) if inside is None else inside.flatten(1).to(flat.dtype)
    number = weights.sum(1, keepdim=True).clamp_min(1)
    centred = weights * (flat - (weights * flat).sum(1, keepdim=True) / number)
    deviation = (centred.square().sum(1, keepdim=True) / number).sqrt()
    return (centred / (deviation + 1e-8)).view_as(advantages)


def linear_features(observations: Tensor, times: Tensor) -> Tensor:
    """[s, s^2, t, t^2, t^3, 1] (..., 2 * observation + 4) float64, of s (..., observation) and t (...).

    s is clipped to +-10 before it is squared, t is in units of 100 steps (Duan et al. 2016, as in the ProMP code).
    """
    state = observations.double().clamp(-CLIP, CLIP)
    time = (times.double() / TIME_SCALE).unsqueeze(-1)
    return torch.cat([state, state.square(), time, time.square(), time**3, torch.ones_like(time)], dim=-1)


def fit_linear_baseline(
    observations: Tensor, times: Tensor, returns: Tensor, inside: Tensor | None = None, regularisation: float = 1e-5
) -> Tensor:
    """Weights (task, feature) float64 of a linear function of each task's features that predicts its returns.

    observations (task, ..., observation), times and returns (task, ...). Least squares in float64, regularised by
    an addition to the diagonal of the normal equations, ten times as large where they have no solution, five times
    at most. Samples that are not `inside` are left out. One task at a time is in memory: a humanoid's features are
    wide.

    Raises:
        ValueError: there is no solution, because the data are not finite.
    """
    weights = torch.ones_like(returns) if inside is None else inside
    grams, moments = [], []
    for task in range(len(returns)):
        features = linear_features(observations[task], times[task]).flatten(0, -2)
        counted = (features * weights[task].flatten().unsqueeze(1)).T
        grams.append(counted @ features)
        moments.append(counted @ returns[task].flatten().unsqueeze(1).double())
    return _solve(torch.stack(grams), torch.stack(moments), regularisation)


def linear_values(weights: Tensor, observations: Tensor, times: Tensor) -> Tensor:
    """What the baseline predicts, (task, ...) float32, of observations (task, ..., observation), times (task, ...)."""
    tasks = zip(weights, observations, times)
    return torch.stack([linear_features(state, time) @ weight for weight, state, time in tasks]).float()


def _solve(grams: Tensor, moments: Tensor, regularisation: float) -> Tensor:
    """(task, feature) of the normal equations (task, feature, feature) and (task, feature, 1)."""
    ridge = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    solution = torch.full_like(moments[..., 0], float("nan"))
    for attempt in range(ATTEMPTS):
        factor, failed = torch.linalg.cholesky_ex(grams + regularisation * 10.0**attempt * ridge)
        found = torch.cholesky_solve(moments, factor).squeeze(-1)
        solved = (failed == 0) & found.isfinite().all(1)
        missing = solution.isnan().all(1)
        solution = torch.where((missing & solved).unsqueeze(1), found, solution)
        if not bool((missing & ~solved).any()):
            return solution
    raise ValueError(
        f"the baseline has no least-squares solution even with regularisation {regularisation * 10.0 ** (ATTEMPTS - 1)}"
        ": observations or rewards are not finite"
    )
