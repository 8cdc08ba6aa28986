"""Figures of `offmap bench`: how long GrBAL thinks before an action, and a gradient step of its model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from algorithms.base import Transition
from algorithms.grbal import Grbal, GrbalAdapt, GrbalTrain
from algorithms.kit.networks import native_precision
from suite.bench.measurement import PRODUCT_GFLOP, PRODUCT_SIZE, Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.run.compute import REFERENCE_RATE
from tasks.registry import get_family

FAMILY, NUM_TASKS, ROUNDS = "cheetah-negated-joints", 10, 4
PLANNING_LIMIT = 0.020  # s per task and environment step
FP32_LIMIT = 1.15  # of the time that its own float32 products take, where bfloat16 is not native
PLANNING = f"GrBAL planning, {NUM_TASKS} tasks"


def planning_figures(device: str = "cpu", rounds: int = ROUNDS, **sizes: Any) -> list[Figure]:
    """Milliseconds per task of adapting and planning one action, 500 candidates x 10 actions, and per gradient step.

    Without limits on another device than the processor; `sizes` changes GrBAL's configuration.
    """
    where = torch.device(device)
    grbal = Grbal(
        GrbalTrain(steps_per_iteration=1, **sizes), RandomSource(get_family(FAMILY), NUM_TASKS), seed=0, device=where,
        capacity=10_000,
    )  # fmt: skip
    grbal.iterate()
    normalisation = grbal.normalisation
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE, device=where)
    work: dict[str, Callable[[], Any]] = {
        "product": lambda: torch.mm(left, right).sum().item(),
        "planning": acting(grbal),
        "step": lambda: grbal.gradient_step(normalisation)["model_loss"].sum().item(),
    }
    seconds = least_seconds(work, rounds, time.process_time if where.type == "cpu" else time.perf_counter)
    limit = planning_limit(grbal, PRODUCT_GFLOP / seconds["product"]) if where.type == "cpu" else None
    gflop = planning_gflop(grbal)
    note = f"{gflop:.1f} GFLOP per task, the model's adaptation included"
    value, most = 1000 * seconds["planning"] / NUM_TASKS, None if limit is None else 1000 * limit
    return [
        Figure(PLANNING, value, "ms", most, note=note),
        Figure("GrBAL gradient step", 1000 * seconds["step"], "ms", note="no limit stated"),
    ]


def acting(grbal: Grbal) -> Callable[[], np.ndarray]:
    """One action of `NUM_TASKS` tasks at once, in episodes that have lasted long enough to adapt to."""
    agent, draw = grbal.agent(GrbalAdapt(), seed=0), np.random.default_rng(0)
    agent.begin(NUM_TASKS)
    spaces, everyone = grbal.source.spaces, np.ones(NUM_TASKS, bool)

    def noise(width: int) -> np.ndarray:
        return draw.standard_normal((NUM_TASKS, width), np.float32)

    for _ in range(grbal.config.past):
        step = (noise(spaces.observation_dim), np.tanh(noise(spaces.action_dim)), noise(1)[:, 0])
        agent.observe(Transition(*step, noise(spaces.observation_dim), ~everyone), everyone, ~everyone)
    observations = noise(spaces.observation_dim)
    return lambda: agent.act(observations, explore=True)


def planning_gflop(grbal: Grbal) -> float:
    """Operations in the model's products for one plan of one task."""
    weights = sum(parameter[0].numel() for parameter in grbal.theta[::2])
    return 2 * weights * grbal.config.candidates * grbal.config.plan_horizon / 1e9


def planning_limit(grbal: Grbal, rate: float) -> float:
    """The most seconds per task where float32 products run at `rate` GFLOP/s."""
    if native_precision("cpu") == "fp32":
        return FP32_LIMIT * planning_gflop(grbal) / rate
    return PLANNING_LIMIT * REFERENCE_RATE / rate
