"""Figure of `offmap bench`: a pass of RL2 over its trials, with gradients through the whole of each."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from algorithms.kit.on_policy.recurrent_ppo import Trials
from algorithms.rl2 import Rl2, Rl2Train
from suite.bench.measurement import PRODUCT_GFLOP, PRODUCT_SIZE, Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.experiment.presets import presets
from suite.run.compute import REFERENCE_RATE
from tasks.registry import get_family

FAMILY, TRIALS, STEPS = "cheetah-velocity", 100, 400
PRESET = "rl2-strong"
LIMIT = 0.4  # s, where a product runs at the reference rate
ROUNDS = 2


def rl2_figures(device: str = "cpu", rounds: int = ROUNDS, trials: int = TRIALS) -> list[Figure]:
    """Seconds per epoch, all trials in one step, against the limit; on another device than the processor without."""
    where = torch.device(device)
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE, device=where)
    work = {"product": lambda: torch.mm(left, right), "epoch": epoch(where, trials)}

    def clock() -> float:
        if where.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize(where)
        return time.perf_counter()

    seconds = least_seconds(work, rounds, clock)
    limit = LIMIT * REFERENCE_RATE * seconds["product"] / PRODUCT_GFLOP if where.type == "cpu" else None
    note = f"{trials} trials x {STEPS} steps, {PRESET}, the whole sequence, one step"
    return [Figure("RL2 epoch", seconds["epoch"], "s", limit, note=note)]


def epoch(device: torch.device, trials: int) -> Callable[[], object]:
    """One pass of PPO over trials of noise: advantages, loss, gradients and an Adam step."""
    values = presets("rl2")[PRESET]["train"] | {
        "epochs": 1, "minibatches": 1, "trial_transitions": STEPS, "trials_per_iteration": trials,
    }  # fmt: skip
    source = RandomSource(get_family(FAMILY), trials)
    rl2 = Rl2(Rl2Train(**values), source, seed=0, device=device, capacity=1)
    lived = noise(rl2, trials)
    return lambda: rl2.ppo.update(lived)


def noise(rl2: Rl2, trials: int) -> Trials:
    """Trials in which nothing happens but noise, with episodes of the family's length."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rl2.generator, device=rl2.device)

    sizes, horizon = rl2.policy.sizes, rl2.source.spaces.horizon
    actions, values = draw(STEPS, trials, sizes.actions), draw(STEPS, trials)
    log_probs = rl2.policy.log_probs(torch.zeros_like(actions), actions).detach()
    ends = torch.arange(1, STEPS + 1, device=rl2.device).remainder(horizon).eq(0).unsqueeze(1).expand(-1, trials)
    inputs, rewards = draw(STEPS, trials, sizes.inputs), draw(STEPS, trials)
    return Trials(inputs, actions, log_probs, values, rewards, ends, draw(1, trials, sizes.inputs), draw(trials))
