"""Figures of `offmap bench`: how much of the raw simulator's rate is left to the batched environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mujoco import rollout

from suite.bench.measurement import Figure, least_seconds
from tasks.registry import get_split, make_batch

ROWS, STEPS, ROUNDS = 40, 200, 3
LIMITS = {"cheetah-velocity.standard": 0.65, "ant-direction.standard": 0.70}  # the ant's with its contact forces
CHUNK = 10  # rows that the raw simulator steps at once


def simulation_figures() -> list[Figure]:
    """Environment steps per second of each body, and their share of the raw `mj_step` rate."""
    figures = []
    for split, limit in LIMITS.items():
        batched, raw = rates(split)
        body = split.partition("-")[0]
        figures.append(Figure(f"{body} simulation", raw, "steps/s", note="raw mj_step, no Python between the steps"))
        note = f"observation, reward, bookkeeping; at least {limit:.0%} of the raw rate"
        figures.append(Figure(f"{body} environment", batched, "steps/s", limit * raw, at_least=True, note=note))
    return figures


def rates(split_name: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Environment steps per second, batched and raw, of the same episodes: same first states, same actions."""
    split = get_split(split_name)
    environment: Any = make_batch(split.family, ROWS)
    environment.set_tasks(np.resize(np.array(split.train), (ROWS, len(split.train[0]))))
    generator = np.random.default_rng(0)
    actions = generator.uniform(-1, 1, (STEPS, ROWS, environment.family.action_dim)).astype(np.float32)
    started = _start(environment)
    work = {"batched": _batched(environment, actions), "raw": _raw(environment, started, actions)}
    seconds = least_seconds(work, rounds)
    return ROWS * STEPS / seconds["batched"], ROWS * STEPS / seconds["raw"]


def _start(environment: Any) -> np.ndarray:
    """The full physics state of every row, (row, state), after a reset that is always the same."""
    environment.reset(np.arange(ROWS), [np.random.default_rng([1, row]) for row in range(ROWS)])
    time = np.zeros((ROWS, 1))
    return np.concatenate([time, environment.qpos, environment.qvel], axis=1)


def _batched(environment: Any, actions: np.ndarray) -> Callable[[], None]:
    def run() -> None:
        _start(environment)
        for step in actions:
            environment.step(step)

    return run


def _raw(environment: Any, started: np.ndarray, actions: np.ndarray) -> Callable[[], None]:
    """The bare simulator on the same controls: MuJoCo's own loop in C."""
    import mujoco

    model = environment.model
    low, high = model.actuator_ctrlrange.T
    control = np.clip(((high + low) / 2 + (high - low) / 2 * actions.astype(np.float64)), low, high)
    control = np.repeat(control.transpose(1, 0, 2), environment.frame_skip, axis=1)
    data = mujoco.MjData(model)

    def run() -> None:
        for first in range(0, ROWS, CHUNK):
            rollout.rollout(model, data, started[first : first + CHUNK], control[first : first + CHUNK])

    return run
