"""What a run asks of the algorithm that it carries out, where a breach would show late, as something else, or never.

Each is one sentence that says what was given and what to do: `offmap check algorithm` looks for all of them beforehand.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import torch

from algorithms.base import Adaptation, Agent, Algorithm, require_finite
from algorithms.registry import SCORED, get_algorithm
from suite.errors import UserError, shortened
from suite.run.rollout import Meter
from tasks.registry import MODULES


def iterated(algorithm: Algorithm, meter: Meter, budget: int) -> dict[str, float]:
    """The metrics of an outer iteration, which is carried out.

    Raises:
        Diverged: a metric is not finite.
        UserError: it gives no metrics, or took no steps, or more than it had announced.
    """
    before, announced, name = meter.steps, algorithm.steps_of_next_iteration(), f"{type(algorithm).__name__}.iterate"
    metrics: Any = algorithm.iterate()
    if not isinstance(metrics, Mapping) or not all(isinstance(value, Real) for value in metrics.values()):
        raise UserError(f"{name} gave {shortened(metrics)}: it has to return metrics by name, each of them a number")
    if "return" not in metrics:
        raise UserError(
            f"{name} gave the metrics {shortened(list(metrics))}: `return`, that of whole training episodes, has to be "
            "among them; self.mean_return(batch) is it"
        )
    if not before < meter.steps <= budget:
        raise UserError(
            f"{name} took {meter.steps - before} env steps and had announced {announced}: let first_steps and "
            "later_steps of the train block return what an iteration collects, at least 1"
        )
    return require_finite({name: value if isinstance(value, int) else float(value) for name, value in metrics.items()})


def require_agent(agent: Any, algorithm: Algorithm) -> Agent:
    """The agent that an algorithm made.

    Raises:
        UserError: it is none.
    """
    if not isinstance(agent, Agent):
        raise UserError(
            f"{type(algorithm).__name__}.agent gave {shortened(agent)}: it has to return an Agent (algorithms/base.py)"
        )
    return agent


def require_point(point: Any, agent: Agent, tasks: int) -> Adaptation:
    """What an agent yielded while it adapts to some tasks.

    Raises:
        UserError: it is no point of an adaptation, or its diagnostics are not one number per task.
    """
    where = f"{type(agent).__name__}.adapt"
    if not isinstance(point, Adaptation):
        raise UserError(f"{where} yielded {shortened(point)}: it has to yield Adaptation(updates, diagnostics)")
    for name, values in point.diagnostics.items():
        if np.shape(values) != (tasks,):
            raise UserError(
                f"{where}: the diagnostics {name!r} have the shape {np.shape(values)}; one number per task, "
                f"{(tasks,)}, is needed"
            )
    return point


@contextmanager
def no_global_randomness(algorithm: str, family: str) -> Iterator[None]:
    """Within, neither an algorithm nor a family may draw from, or seed, what all of the process shares.

    Of ours, tests hold them to it; those of plugins are watched. A policy from elsewhere may, as code that was written
    for no such rule does: there all are seeded, so that it answers and adapts the same again.

    Raises:
        UserError: one of them did.
    """
    if algorithm in SCORED:
        with _global_states_restored():
            np.random.seed(0), torch.manual_seed(0), random.seed(0)  # noqa: NPY002
            yield
        return
    plugins = [algorithm] * get_algorithm(algorithm).is_plugin + [family] * (family in MODULES)
    if not plugins:
        yield
        return
    with _global_states_restored():
        np.random.random_sample(), torch.rand(()), random.random()  # noqa: NPY002 - to see if all are seeded alike
        before = random_states()
        yield
        after = random_states()
    if changed := [name for name, state in after.items() if state != before[name]]:
        raise UserError(
            f"{' or '.join(plugins)} seeds or draws from the global random state of {' and '.join(changed)}, so that a "
            "run's seed does not decide its results: draw from self.choices (numpy) and self.generator (torch) alone, "
            "an agent from its own seed, a family from the generators of its resets; and build torch modules within "
            "torch.random.fork_rng()"
        )


@contextmanager
def _global_states_restored() -> Iterator[None]:
    """Afterwards the global random states are what they were."""
    original = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(original[0])  # noqa: NPY002
        torch.set_rng_state(original[1])
        random.setstate(original[2])


def random_states() -> dict[str, Any]:
    """The global random states that nothing here may touch, as values that can be compared, by whose they are."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - to see that nobody uses it
    return {
        "numpy": (state["state"]["key"].tobytes(), state["state"]["pos"]),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python's random": random.getstate(),
    }
