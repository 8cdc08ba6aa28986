"""Figures of `offmap bench`: gradient steps of meta-training and adaptation, at the sizes the papers ran."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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
STEP_LIMIT = 2.0
"""Times what a step's own products take at the rates of large ones: at least half of it is arithmetic.

Of all but MQL's small steps. Not a number of seconds or of float32 products: bfloat16 is four times as fast as float32
on some processors and twice on others, and a step that is fast on the one would break such a limit on the other.
"""

ADAPTED_TASKS = 10  # at once
SEVERAL = f"adaptation step, {ADAPTED_TASKS} tasks"
MQL_TASKS, MQL_STEPS = 4, 2  # tasks adapted at once; steps timed together, one of them with the policy's
MQL_SEVERAL = f"MQL adaptation step, {MQL_TASKS} tasks"
MQL_LIMITS = {"MQL step": 0.020, MQL_SEVERAL: 0.080}
"""Seconds on the reference core: every second step with the policy's; per task (the public code's: 0.13 to 0.6)."""
PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16}  # large ones, by whose rates limits are stated
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
    precisions = ("fp32", "bf16") if native == "bf16" else ("fp32",)
    steps = _steps(where, native)
    products = {f"{name} product rate": _product(PRODUCTS[name], where) for name in precisions}
    waiting = {name: _waited(function, where) for name, function in (products | steps).items()}
    seconds = least_seconds(waiting, rounds, time.process_time if where.type == "cpu" else time.perf_counter)
    rates = {name: PRODUCT_GFLOP / seconds[f"{name} product rate"] for name in precisions}
    note = f"{PRODUCT_SIZE}^3, {where.type}, one thread"
    figures = [Figure(f"{name} product rate", rate, "GFLOP/s", note=note) for name, rate in rates.items()]
    for name, step in steps.items():
        flop, share = gflop_by_precision(step), SHARED.get(name, 1)
        limit = 1000 * step_limit(name, flop, rates) / share if where.type == "cpu" else None
        words = " and ".join(f"{number / share:.1f} {precision}" for precision, number in flop.items())
        note = f"{words} GFLOP" + (", per task" if "tasks" in name else "")
        figures.append(Figure(name, 1000 * seconds[name] / share, "ms", limit, note=note))
    return figures


def step_limit(name: str, flop: Mapping[str, float], rates: Mapping[str, float]) -> float:
    """The most seconds that a step, or the several that are timed together, may take.

    Args:
        name: Of the step.
        flop: GFLOP of its products, by precision.
        rates: GFLOP/s of large products, by precision.
    """
    if name in MQL_LIMITS:
        return MQL_LIMITS[name] * SHARED[name] * REFERENCE_RATE / rates["fp32"]
    return STEP_LIMIT * sum(number / rates[precision] for precision, number in flop.items())


def _product(dtype: torch.dtype, device: torch.device) -> Callable[[], Any]:
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE, device=device).to(dtype)
    return lambda: torch.mm(left, right)


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
    return sum(gflop_by_precision(function).values())


def gflop_by_precision(function: Callable[[], Any]) -> dict[str, float]:
    """The same by the precision of what the products give."""
    with _Products() as products:
        function()
    return {name: products.count[dtype] / 1e9 for name, dtype in PRODUCTS.items() if products.count[dtype]}


class _Products(TorchDispatchMode):
    """Counts the operations of products, by the type of their outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[torch.dtype] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outcome = func(*args, **(kwargs or {}))
        operations = flop_registry.get(func._overloadpacket)
        if operations is not None:
            self.count[outcome.dtype] += operations(*args, **(kwargs or {}), out_val=outcome)
        return outcome


def _waited(function: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """The function, returning only when the device has done its work."""
    if device.type == "cpu":
        return function

    def run() -> None:
        function()
        torch.cuda.synchronize(device)

    return run
