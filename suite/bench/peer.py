"""Figures of `offmap bench --peer`: our soft actor-critic beside that of Stable Baselines Jax, in one process.

Both do the same gradient step, replay included: 256 transitions of 20 observed numbers and 6 of an action, a policy and
two critics, a temperature that is tuned, float32, one thread. The peer does many in one call, as its compiled loop may.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from suite.bench.measurement import Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.errors import UserError
from tasks.registry import get_family

FAMILY, NUM_TASKS, TRANSITIONS = "cheetah-velocity", 10, 2000
BATCH = 256
HIDDEN = ((256, 256), (300, 300, 300))
STEPS = 20  # that one timed call of either does
ROUNDS = 6
PACKAGES = ("sbx", "jax")


def require_peer() -> None:
    """Refuse to go on where the peer is not installed; nothing of it is imported.

    Raises:
        UserError: it is not; the message says how to install it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--peer times Stable Baselines Jax beside ours, and {' and '.join(missing)} cannot be imported: install "
            "it with `pip install 'offmap[bench]'`, or leave --peer out"
        )


def peer_figures(rounds: int = ROUNDS) -> list[Figure]:
    """The time of a gradient step of both at each size, taken in turns.

    Raises:
        UserError: the peer is not installed.
    """
    require_peer()
    work: dict[str, Callable[[], Any]] = {}
    for hidden in HIDDEN:
        work |= {f"{kind}, {_size(hidden)}": make(hidden) for kind, make in (("SAC step", _ours), ("peer's", _peers))}
    seconds = {name: value / STEPS for name, value in least_seconds(work, rounds).items()}
    figures = []
    for hidden in HIDDEN:
        ours, peers = seconds[f"SAC step, {_size(hidden)}"], seconds[f"peer's, {_size(hidden)}"]
        note = f"{ours / peers:.2f} of the peer's (sbx-rl), which takes {1000 * peers:.2f} ms"
        figures.append(Figure(f"SAC step, {_size(hidden)}", 1000 * ours, "ms", note=note))
    return figures


def _size(hidden: tuple[int, ...]) -> str:
    return f"{hidden[0]} x {len(hidden)}"


def _ours(hidden: tuple[int, ...]) -> Callable[[], Any]:
    """Gradient steps of the task-blind row after its initial exploration, which met random transitions."""
    from algorithms.multitask_sac import MultitaskSacTrain, TaskBlind

    config = MultitaskSacTrain(hidden=hidden, batch=BATCH, initial_transitions=TRANSITIONS, precision="fp32")
    source = RandomSource(get_family(FAMILY), NUM_TASKS)
    algorithm = TaskBlind(config, source, seed=0, device=torch.device("cpu"), capacity=NUM_TASKS * TRANSITIONS)
    algorithm.iterate()
    return lambda: [algorithm.gradient_step() for _ in range(STEPS)]


def _peers(hidden: tuple[int, ...]) -> Callable[[], Any]:
    """Gradient steps of the peer on a replay buffer of as many random transitions."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # read on import
    import gymnasium
    from sbx import SAC
    from stable_baselines3.common.logger import Logger

    spaces, draw, number = get_family(FAMILY).spaces, np.random.default_rng(0), NUM_TASKS * TRANSITIONS
    environment = gymnasium.Env()
    environment.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (spaces.observation_dim,), np.float32)
    environment.action_space = gymnasium.spaces.Box(-1.0, 1.0, (spaces.action_dim,), np.float32)
    agent: Any = SAC("MlpPolicy", environment, batch_size=BATCH, buffer_size=number, seed=0,
                     policy_kwargs={"net_arch": list(hidden)})  # fmt: skip
    agent.set_logger(Logger(None, []))
    buffer = agent.replay_buffer
    for name in ("observations", "next_observations", "actions", "rewards"):
        array = getattr(buffer, name)
        array[:] = np.tanh(draw.standard_normal(array.shape, np.float32))
    buffer.pos, buffer.full = 0, True
    return lambda: agent.train(gradient_steps=STEPS, batch_size=BATCH)
