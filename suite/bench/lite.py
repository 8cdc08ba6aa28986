"""Figures of `offmap bench`: what the lite budget costs.

Per off-policy method the time of a gradient step at its lite sizes, how much of that its float32 operations would take
at the product rate (more than all of it where bfloat16 is faster), the time of a whole training, and that of the
fine-tuning of a test task; then what these make of the table in `configs/experiments/lite.yaml`. The simulator is in
the trainings of the methods with a memory alone, whose steps are not all of one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from algorithms.kit.off_policy.fine_tuning import FineTuning, StoredAsItWas
from algorithms.mier import Mier
from algorithms.mql import Mql
from algorithms.registry import ALGORITHMS
from algorithms.varibad_off_policy import VaribadOffPolicy
from suite.bench.measurement import PRODUCT_GFLOP, PRODUCT_SIZE, Figure, least_seconds
from suite.bench.random_source import RandomSource
from suite.bench.training import adaptation_step, gflop
from suite.experiment.declaration import Choice, Experiment
from suite.experiment.expansion import expand
from suite.experiment.presets import resolve_blocks
from suite.run.timing import time_pieces
from tasks.registry import get_family, get_split

SPLIT = get_split("cheetah-velocity.hard")
METHODS = ("mier", "pearl", "mql", "multitask-finetune", "recurrent-sac", "varibad-off-policy")
"""Those with gradient steps of one kind; multitask-finetune has domain-randomised's."""

TIMED_WHOLE = ("recurrent-sac", "varibad-off-policy", "varibad")  # whose outer iterations are timed too
FINE_TUNED = ("mier", "multitask-finetune")  # by soft actor-critic
SHARED = {"mql": 2}  # steps that are timed together
TRAININGS, METATESTS = 9, 12  # of the table, per method: hard and graded share theirs; three seeds
TESTED, TESTED_AT_ONCE = 20, 10  # test tasks of a meta-test: test and test_id
ENV_STEPS = 300_000
ROUNDS = 6


def lite_figures(rounds: int = ROUNDS) -> list[Figure]:
    """The figures of every method, and the sum."""
    algorithms = {name: _built(name) for name in METHODS}
    steps = {name: _step_of(algorithm) for name, algorithm in algorithms.items()}
    updates = {name: _update_of(algorithm) for name, algorithm in algorithms.items() if name in FINE_TUNED}
    flop = {name: gflop(step) / SHARED.get(name, 1) for name, step in steps.items()}
    left, right = torch.rand(2, PRODUCT_SIZE, PRODUCT_SIZE)
    work = {f"{name}, lite step": step for name, step in steps.items()}
    work |= {f"{name}, lite fine-tuning": update for name, update in updates.items()}
    seconds = least_seconds({"product": lambda: torch.mm(left, right)} | work, rounds)
    rate = PRODUCT_GFLOP / seconds["product"]
    figures, hours = [], 0.0
    for name in METHODS:
        config, adapt = _configs(name)
        step, number = seconds[f"{name}, lite step"] / SHARED.get(name, 1), training_steps(config)
        note = f"{flop[name]:.2f} GFLOP: {flop[name] / rate / step:.0%} of the time at the fp32 product rate"
        figures.append(Figure(f"{name}, lite step", 1000 * step, "ms", note=note))
        if name not in TIMED_WHOLE:
            figures.append(Figure(f"{name}, lite training", number * step / 60, "core-min", note=f"{number:,} steps"))
            hours += TRAININGS * number * step / 3600
        if name in updates:
            update = seconds[f"{name}, lite fine-tuning"] / TESTED_AT_ONCE
            note = f"an update of a test task, {TESTED_AT_ONCE} at once; {adapt.updates:,} of them each"
            figures.append(Figure(f"{name}, lite fine-tuning", 1000 * update, "ms", note=note))
            hours += METATESTS * TESTED * adapt.updates * update / 3600
    for name in TIMED_WHOLE:
        minutes = _training_minutes(name)
        figures.append(
            Figure(f"{name}, lite training", minutes, "core-min", note="by outer iterations, simulator included")
        )
        hours += TRAININGS * minutes / 60
    number = len({*METHODS, *TIMED_WHOLE})
    note = f"{TRAININGS} trainings and {METATESTS} meta-tests of each of {number} methods, as they are timed above"
    return [*figures, Figure("lite table", hours, "core-h", note=note)]


def _training_minutes(name: str) -> float:
    """Core-minutes of a training on the lite budget, from timing outer iterations of it (`suite.run.timing`)."""
    experiment = Experiment(name="lite", splits=(SPLIT.full_name,), algorithms=(Choice(name=name),), budget="lite")
    (cell,) = expand(experiment)
    assert cell.training is not None
    return time_pieces(cell.training, cell.metatests[-1], "cpu").training.seconds(ENV_STEPS) / 60


def _configs(name: str) -> tuple[Any, Any]:
    return resolve_blocks(ALGORITHMS[name], SPLIT, "lite", {}, {}, "cpu")


def training_steps(config: Any) -> int:
    """Gradient steps of a training on as many environment steps as the lite budget has."""
    tasks, horizon = len(SPLIT.train), get_family(SPLIT.family).spaces.horizon
    left = ENV_STEPS - config.first_steps(tasks)
    return max(left, 0) // config.later_steps(tasks, horizon) * config.gradient_steps


def _built(name: str) -> Any:
    """A method after its initial exploration, which met random transitions."""
    source, (config, _) = RandomSource(get_family(SPLIT.family), len(SPLIT.train)), _configs(name)
    capacity = config.first_steps(source.num_tasks)
    algorithm = ALGORITHMS[name].load("algorithm")(
        config, source, seed=0, device=torch.device("cpu"), capacity=capacity
    )
    algorithm.iterate()
    return algorithm


def _step_of(algorithm: Any) -> Callable[[], Any]:
    """A gradient step; of MQL two, one of which moves the actor."""
    if isinstance(algorithm, Mql):
        return lambda: [algorithm.gradient_step(number) for number in range(SHARED["mql"])]
    if isinstance(algorithm, VaribadOffPolicy):
        beliefs = algorithm.beliefs()
        return lambda: algorithm.gradient_step(beliefs)
    if isinstance(algorithm, Mier):
        tasks = np.arange(algorithm.config.meta_batch)
        return lambda: algorithm._gradient_step(tasks)
    return algorithm.gradient_step


def _update_of(algorithm: Any) -> Callable[[], Any]:
    """An update of several test tasks at once."""
    if isinstance(algorithm, Mier):
        return adaptation_step(algorithm, TESTED_AT_ONCE)
    _, adapt = _configs("multitask-finetune")
    slots = algorithm.replay.sample(np.arange(TESTED_AT_ONCE), 200, algorithm.generator)
    experience = StoredAsItWas(
        algorithm.store, algorithm.replay, algorithm.store.gather(slots), int(adapt.real_fraction * adapt.batch),
        adapt.batch,
    )  # fmt: skip
    tuning = FineTuning(algorithm.sac.copies(TESTED_AT_ONCE), experience)
    return lambda: tuning.run_to(tuning.updates + 1, algorithm.generator)
