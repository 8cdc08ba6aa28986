"""Returns and advantages of on-policy data, for a batch of tasks at once.

Tensors are (task, rollout, step): a rollout is a row of consecutive steps that holds one episode or several, one
after the other, as `TaskSource.collect` makes them. `last` marks the final step of each episode, for whatever reason
it ended; nothing is carried over it. Rows shorter than the longest are padded at their end: a step that is not
`inside` has reward 0 and counts for nothing. Where a row of several episodes is one trial (RL2), `last` marks the
end of the trial instead.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    episode V is 0; `after_last` (..., step) gives V there instead, to go on from a state in which an episode was only
    cut (0 where it really ended).
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
