"""Model-predictive control: random shooting, the cross-entropy method and MPPI, batched over task x candidate.

A planner proposes sequences of actions in [-1, 1], asks for their returns under a model, and gives back the first
action of the sequence that it settles on, and that sequence, from which the next plan starts. All tasks see the same
random numbers, so that a task's plan does not depend on which others are planned for next to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

PlannerName = Literal["mppi", "cem", "random_shooting"]
Returns = Callable[[Tensor], Tensor]
"""Sequences of actions (task, candidate, step, action) -> their predicted returns (task, candidate)."""


class PlannerSettings(NamedTuple):
    """Which planner, and what it may spend: `candidates` sequences of `horizon` actions in all, per action taken."""

    planner: PlannerName
    candidates: int
    horizon: int
    iterations: int  # CEM and MPPI share the candidates out among so many
    noise: float  # standard deviation of the first iteration's sequences around the mean
    smoothing: float  # MPPI: share of the noise that is carried on to the next step
    temperature: float  # MPPI, in standard deviations of the candidates' returns
    elites: float  # CEM: share of the candidates that the next mean is taken of


def plan(settings: PlannerSettings, returns_of: Returns, start: Tensor, generator: torch.Generator) -> Tensor:
    """The sequences settled on, (task, step, action), starting from `start` of that shape where a planner does."""
    if settings.planner == "random_shooting":
        return random_shooting(settings, returns_of, start, generator)
    planner = cem if settings.planner == "cem" else mppi
    return planner(settings, returns_of, start, generator)


def advanced(plans: Tensor) -> Tensor:
    """Plans (task, step, action) without the first action, which has been taken, and with a zero action at the end."""
    return torch.cat([plans[:, 1:], torch.zeros_like(plans[:, :1])], dim=1)


def random_shooting(
    settings: PlannerSettings, returns_of: Returns, start: Tensor, generator: torch.Generator
) -> Tensor:
    """The best of `candidates` uniformly random sequences; nothing of `start` but its shape is used."""
    shape = (1, settings.candidates, *start.shape[1:])
    drawn = torch.rand(shape, generator=generator, device=start.device) * 2 - 1
    sequences = drawn.expand(len(start), -1, -1, -1)
    return _taken(sequences, returns_of(sequences).argmax(1, keepdim=True)).squeeze(1)


def cem(settings: PlannerSettings, returns_of: Returns, start: Tensor, generator: torch.Generator) -> Tensor:
    """The cross-entropy method: a normal distribution per task, step and action, fitted to the best candidates.

    Candidates are clipped to the actions' range before they are judged, and it is what was judged that counts.
    """
    mean, deviation = start, torch.full_like(start, settings.noise)
    number = max(settings.candidates // settings.iterations, 1)
    kept = max(round(settings.elites * number), 1)
    for _ in range(settings.iterations):
        drawn = _standard_normal((1, number, *start.shape[1:]), generator)
        sequences = (mean.unsqueeze(1) + deviation.unsqueeze(1) * drawn).clamp(-1, 1)
        best = _taken(sequences, returns_of(sequences).topk(kept, dim=1).indices)
        mean, deviation = best.mean(1), best.std(1, correction=0)
    return mean


def mppi(settings: PlannerSettings, returns_of: Returns, start: Tensor, generator: torch.Generator) -> Tensor:
    """Model-predictive path integral control: the mean of all candidates, weighted by the softmax of their returns.

    Noise is smoothed over steps, n_t = smoothing n_{t-1} + sqrt(1 - smoothing^2) u_t, which keeps its standard
    deviation (Williams et al. 2017; smoothed as in Nagabandi et al. 2019, but for the scale).
    """
    mean = start
    number = max(settings.candidates // settings.iterations, 1)
    for _ in range(settings.iterations):
        drawn = _standard_normal((1, number, *start.shape[1:]), generator)
        noise = settings.noise * _smoothed(drawn, settings.smoothing)
        sequences = (mean.unsqueeze(1) + noise).clamp(-1, 1)
        returns = returns_of(sequences)
        spread = returns.std(1, keepdim=True, correction=0).clamp_min(1e-8)
        weights = torch.softmax(returns / (settings.temperature * spread), dim=1)
        mean = torch.einsum("nc,ncsa->nsa", weights, sequences)
    return mean


def _smoothed(drawn: Tensor, smoothing: float) -> Tensor:
    """Standard normal draws (task, candidate, step, action), each step's correlated with the one before."""
    if not smoothing:
        return drawn
    steps, fresh = [drawn[:, :, 0]], (1 - smoothing**2) ** 0.5
    for step in range(1, drawn.shape[2]):
        steps.append(smoothing * steps[-1] + fresh * drawn[:, :, step])
    return torch.stack(steps, dim=2)


def _standard_normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _taken(sequences: Tensor, chosen: Tensor) -> Tensor:
    """The chosen candidates of each task, (task, choice, step, action), by their indices (task, choice)."""
    tasks = torch.arange(len(chosen), device=chosen.device).unsqueeze(1)
    return sequences[tasks, chosen]


def predicted_returns(
    predict: Callable[[Tensor, Tensor], Tensor],
    reward: Callable[[Tensor, Tensor, Tensor], Tensor],
    terminated: Callable[[Tensor], Tensor],
    observations: Tensor,
    sequences: Tensor,
) -> Tensor:
    """Sums of rewards (task, candidate) of action sequences (task, candidate, step, action) under a model.

    All start at their task's observation, (task, observation). The reward of the step that ends an episode counts, as
    the environments' does; later ones do not. No discount.
    """
    number = sequences.shape[1]
    states = observations.unsqueeze(1).expand(-1, number, -1)
    total = torch.zeros(sequences.shape[:2], device=observations.device)
    running = torch.ones_like(total)
    for step in range(sequences.shape[2]):
        actions = sequences[:, :, step]
        following = predict(states, actions)
        total = total + running * reward(states, actions, following)
        running = running * ~terminated(following)
        states = following
    return total
