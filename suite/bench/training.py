"""Figures of `offmap bench`: gradient steps of meta-training and adaptation, at the sizes the papers ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from algorithms.kit.context.recurrent_context import TrialWindows
from algorithms.kit.model_based.relabeling import AdaptedModel, Relabeling, RelabelSettings, StoredExperience
from algorithms.kit.networks import frozen, native_precision, repeat_ensemble
from algorithms.kit.off_policy.fine_tuning import FineTuning
from algorithms.mier import Mier, MierTrain
from algorithms.mql import FineTuning as MqlFineTuning
from algorithms.mql import Mql, MqlAdapt, MqlTrain
from algorithms.pearl import Pearl, PearlTrain
from suite.bench.measurement import PRODUCT_GFLOP, PRODUCT_SIZE, Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.run.compute import REFERENCE_RATE
from tasks.registry import get_family

FAMILY, NUM_TASKS, TRANSITIONS = "cheetah-velocity", 100, 2000  # initial exploration of its splits, per task
ROUNDS = 6
PEARL_GFLOP = 30.7  # of a gradient step, counted as the public code does them
PEARL_LIMIT = 0.35  # of the time that so many float32 operations take
MIER_LIMIT, MIER_BF16_MODEL_LIMIT = 0.130, 0.075  # s
ADAPTATION_LIMIT = 0.008  # s per task
FP32_LIMIT = 1.15  # of the time that a step's own float32 operations take, where bfloat16 is not native
ADAPTED_TASKS = 10  # at once
SEVERAL = f"adaptation step, {ADAPTED_TASKS} tasks"
MQL_LIMIT = 0.020  # s, every second step with the policy's
MQL_ADAPTATION_LIMIT = 0.080  # s per task; the public code's takes 130 to 600 ms on one core
MQL_TASKS, MQL_STEPS = 4, 2  # tasks adapted at once; steps timed together, one of them with the policy's
MQL_SEVERAL = f"MQL adaptation step, {MQL_TASKS} tasks"
SHARED = {SEVERAL: ADAPTED_TASKS, "MQL step": MQL_STEPS, MQL_SEVERAL: MQL_TASKS * MQL_STEPS}
"""How many steps or tasks one timed call does."""

MIER_SIZES: dict[str, Any] = {
    "predicts": "reward", "policy_hidden": (300, 300, 300), "meta_batch": 10, "task_batch": 200,
    "initial_transitions": TRANSITIONS,
}  # fmt: skip


def training_figures(device: str = "cpu", rounds: int = ROUNDS) -> list[Figure]:
    """Seconds per gradient step against the limits; on another device than the processor without limits."""
    where = torch.device(device)
    native = native_precision(where.type)
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE, device=where)
    work: dict[str, Callable[[], Any]] = {"product": lambda: torch.mm(left, right)} | _steps(where, native)
    flop = {name: gflop(function) for name, function in work.items()}
    waiting = {name: _waited(function, where) for name, function in work.items()}
    seconds = least_seconds(waiting, rounds, time.process_time if where.type == "cpu" else time.perf_counter)
    rate = PRODUCT_GFLOP / seconds["product"]
    figures = [Figure("fp32 product rate", rate, "GFLOP/s", note=f"{PRODUCT_SIZE}^3, {where.type}, one thread")]
    limits = _limits(rate, native, flop) if where.type == "cpu" else {}
    for name in list(work)[1:]:
        share = SHARED.get(name, 1)
        limit = limits.get(name)
        note = f"{flop[name] / share:.1f} GFLOP" + (", per task" if "tasks" in name else "")
        value = 1000 * seconds[name] / share
        figures.append(Figure(name, value, "ms", None if limit is None else 1000 * limit, note=note))
    return figures


def _limits(rate: float, native: str, flop: dict[str, float]) -> dict[str, float]:
    """The most seconds that each step may take, per task, where float32 products run at `rate` GFLOP/s."""
    scale = REFERENCE_RATE / rate
    mql = {"MQL step": MQL_LIMIT * scale, MQL_SEVERAL: MQL_ADAPTATION_LIMIT * scale}
    if native == "fp32":
        own = {name: FP32_LIMIT * gflop / rate for name, gflop in flop.items()}
        return own | mql | {"PEARL step": FP32_LIMIT * PEARL_GFLOP / rate, SEVERAL: own[SEVERAL] / ADAPTED_TASKS}
    return mql | {
        "PEARL step": PEARL_LIMIT * PEARL_GFLOP / rate,
        "MIER step": MIER_LIMIT * scale,
        "MIER step, bf16 model": MIER_BF16_MODEL_LIMIT * scale,
        "adaptation step, 1 task": ADAPTATION_LIMIT * scale,
        SEVERAL: ADAPTATION_LIMIT * scale,
    }


def _steps(device: torch.device, native: str) -> dict[str, Callable[[], Any]]:
    """Every gradient step that is timed, by name."""
    pearl = _explored(Pearl, PearlTrain(precision="auto", initial_transitions=TRANSITIONS), device)
    mier = _explored(Mier, MierTrain(**MIER_SIZES), device)
    tasks = np.arange(mier.config.meta_batch)
    steps = {"PEARL step": pearl.gradient_step, "MIER step": lambda: mier._gradient_step(tasks)}
    if native == "bf16":
        other = _explored(Mier, MierTrain(**MIER_SIZES, model_precision="bf16"), device)
        steps["MIER step, bf16 model"] = lambda: other._gradient_step(tasks)
    steps["adaptation step, 1 task"] = adaptation_step(mier, 1)
    steps[SEVERAL] = adaptation_step(mier, ADAPTED_TASKS)
    return steps | _mql_steps(device)


def _mql_steps(device: torch.device) -> dict[str, Callable[[], Any]]:
    """Steps of MQL's meta-training and of its adaptation on the weighted replay, at its defaults."""
    mql = _explored(Mql, MqlTrain(initial_transitions=TRANSITIONS), device)
    far = 1_000_000  # no step that is timed is one on the new data
    data = mql.store.gather(torch.arange(200, device=device).expand(MQL_TASKS, -1))
    new = TrialWindows(data, torch.arange(200, device=device).expand(MQL_TASKS, -1), mql.config.history_length)
    tuning = MqlFineTuning(mql, MqlAdapt(new_data_updates=0, replay_updates=far), new, mql.generator)
    return {
        "MQL step": lambda: [mql.gradient_step(number) for number in range(MQL_STEPS)],
        MQL_SEVERAL: lambda: [tuning.update() for _ in range(MQL_STEPS)],
    }


def _explored(algorithm: Any, config: Any, device: torch.device) -> Any:
    """An algorithm after its initial exploration, which met random transitions."""
    source = RandomSource(get_family(FAMILY), NUM_TASKS)
    built = algorithm(config, source, seed=0, device=device, capacity=NUM_TASKS * TRANSITIONS)
    built.iterate()
    return built


def adaptation_step(mier: Mier, tasks: int) -> Callable[[], Any]:
    """A fine-tuning step of `tasks` test tasks at once, relabeling left out, at MIER's defaults."""
    far = 1_000_000  # no step that is timed comes to a relabeling
    settings = RelabelSettings(relabel_interval=far, relabel_transitions=20_000, relabel_capacity=20_000)
    contexts = torch.zeros((tasks, mier.config.context_dim), device=mier.device)
    relabeling = Relabeling(
        settings, StoredExperience(mier.store, mier.everything, mier.source.terminated),
        AdaptedModel(mier.model, repeat_ensemble(frozen(mier.theta), tasks), contexts), contexts,
        real=mier.store.gather(mier.everything.sample(np.arange(tasks), 200, mier.generator)), updates=far,
    )  # fmt: skip
    tuning = FineTuning(mier.sac.copies(tasks), relabeling)
    tuning.run_to(1, mier.generator)
    return lambda: tuning.run_to(tuning.updates + 1, mier.generator)


def gflop(function: Callable[[], Any]) -> float:
    """Operations in the matrix products of one call, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e9


def _waited(function: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """The function, returning only when the device has done its work."""
    if device.type == "cpu":
        return function

    def run() -> None:
        function()
        torch.cuda.synchronize(device)

    return run
