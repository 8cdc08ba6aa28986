"""What a training and its meta-tests will cost on this machine, from timing small pieces of each.

`estimate` looks into a cache of this user first, and otherwise times the pieces in a process set up as a worker.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from suite.experiment.specs import MetatestSpec, TrainingSpec
from suite.results.json_files import read_json, write_json
from suite.run.processes import worker_environment
from tasks.spec import Frozen, fingerprint

FEW_STEPS, MORE_STEPS = 2, 12  # gradient steps per outer iteration: two points of a line
FEW_UPDATES, MORE_UPDATES = 1, 11  # adaptation updates, likewise


class TrainingCost(Frozen):
    """Seconds and environment steps of the initial exploration and of one outer iteration after it."""

    first_env_steps: int
    first_seconds: float
    iteration_env_steps: int
    iteration_seconds: float

    def seconds(self, budget: int, done: int = 0) -> float:
        """Seconds from `done` environment steps until the budget ends."""
        first = self.first_seconds if done == 0 else 0.0
        start = max(done, self.first_env_steps)
        return first + max(budget - start, 0) // self.iteration_env_steps * self.iteration_seconds


class TrialCost(Frozen):
    """Seconds of adapting to some test tasks side by side; `repeated` is paid every `repeat_every` updates."""

    tasks: int
    fixed: float
    per_update: float
    repeated: float
    repeat_every: int
    updates: int
    per_evaluation: float
    evaluations: int

    @property
    def seconds(self) -> float:
        """Seconds of the whole trial."""
        times = -(-self.updates // self.repeat_every) if self.updates else 0
        adapting = self.updates * self.per_update + times * self.repeated
        return self.fixed + adapting + self.evaluations * self.per_evaluation


class Cost(Frozen):
    """What was timed for one training and one meta-test of it."""

    training: TrainingCost
    trial: TrialCost

    def metatest_seconds(self, spec: MetatestSpec) -> float:
        """Seconds of a whole meta-test, every task whose fine-tuning is gated counted as open."""
        lists = [spec.split.tasks(name)[: spec.protocol.max_tasks] for name in spec.protocol.task_lists]
        return self.trial.seconds * sum(map(len, lists)) / self.trial.tasks


def estimate(
    training: TrainingSpec, metatest: MetatestSpec, device: str, on_timing: Callable[[], None] = lambda: None
) -> Cost:
    """The cost of a training and a meta-test of it on this machine; `on_timing` is called where none is known yet.

    Raises:
        RuntimeError: timing failed; the message holds what the process printed.
    """
    training = training.model_copy(update={"seed": 0})  # costs the same with every seed
    metatest = metatest.model_copy(update={"training": training.hash, "env_steps": 1, "is_final": True})
    request = {
        "training": training.model_dump(mode="json"),
        "metatest": metatest.model_dump(mode="json"),
        "device": device,
        "versions": [version("torch"), version("mujoco")],
    }
    cached = cache_folder() / f"{socket.gethostname()}-{fingerprint(request)}.json"
    try:
        return Cost.model_validate(read_json(cached))
    except (OSError, ValueError):
        on_timing()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "suite.calibration"],
        input=json.dumps(request), capture_output=True, text=True, env=worker_environment(), check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"timing {metatest.algorithm} on {metatest.split.full_name} failed:\n{done.stderr}")
    cost = Cost.model_validate_json(done.stdout.splitlines()[-1])
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_json(cached, cost.model_dump(mode="json"))
    return cost


def cache_folder() -> Path:
    """Where timings are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "offmap" / "calibration"


# --- in the process that times ---


class _Rehearsal(NamedTuple):
    """What timing needs: a specification, where to compute, and the clock that suits the place."""

    training: TrainingSpec
    metatest: MetatestSpec
    device: str

    def timed(self, function: Callable[[], Any]) -> float:
        """Processor seconds of a call, so that other processes count little; real seconds on another device."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        started = clock()
        function()
        return clock() - started


def time_pieces(training: TrainingSpec, metatest: MetatestSpec, device: str) -> Cost:
    """The cost, timed in this process: a few short outer iterations, then short trials of the agent they leave."""
    rehearsal = _Rehearsal(training, metatest, device)
    algorithm, cost = _time_training(rehearsal)
    return Cost(training=cost, trial=_time_trial(rehearsal, algorithm))


def _time_training(rehearsal: _Rehearsal) -> tuple[Any, TrainingCost]:
    """An algorithm that has done a few short outer iterations, and the cost of whole ones."""
    import torch

    from algorithms.registry import training_entry
    from suite.run.rollout import Meter
    from suite.run.training import training_source
    from tasks.registry import get_family

    spec = rehearsal.training
    entry, family = training_entry(spec.algorithm), get_family(spec.family)
    config = entry.load("train").model_validate(spec.config)

    def build(config: Any) -> Any:
        source = training_source(spec, Meter())
        place = torch.device(rehearsal.device)
        return entry.load("algorithm")(config, source, seed=spec.seed, device=place, capacity=100_000)

    wanted = build(config).steps_of_next_iteration()
    if math.isinf(wanted):
        nothing = TrainingCost(first_env_steps=0, first_seconds=0.0, iteration_env_steps=1, iteration_seconds=0.0)
        return build(config), nothing
    short = config.model_copy(
        update=_existing(config, initial_transitions=family.horizon, steps_per_iteration=1, full_steps_from=0)
    )
    algorithm = build(short)
    short_steps = algorithm.steps_of_next_iteration()
    first = rehearsal.timed(algorithm.iterate) * wanted / short_steps
    iteration_steps = algorithm.steps_of_next_iteration()
    algorithm.iterate()  # the first gradient steps are slower than any later one
    steps = getattr(config, "steps_per_iteration", None)
    if steps is None:
        seconds = rehearsal.timed(algorithm.iterate)
    else:
        points = []
        for number in (FEW_STEPS, MORE_STEPS):
            algorithm.config = short.model_copy(update={"steps_per_iteration": number})
            points.append(rehearsal.timed(algorithm.iterate))
        per_step = max(points[1] - points[0], 0.0) / (MORE_STEPS - FEW_STEPS)
        seconds = max(points[0] - FEW_STEPS * per_step, 0.0) + steps * per_step
    return algorithm, TrainingCost(
        first_env_steps=wanted, first_seconds=first, iteration_env_steps=iteration_steps, iteration_seconds=seconds
    )


def _time_trial(rehearsal: _Rehearsal, algorithm: Any) -> TrialCost:
    """Trials with no, a single and a few updates; what is relabeled now and then counts as often as it is due."""
    from algorithms.registry import get_algorithm
    from suite.run.metatest import Meters, adaptation_transitions, run_trial, trial_of
    from suite.run.rollout import Meter
    from tasks.registry import get_family

    spec = rehearsal.metatest
    config = get_algorithm(spec.algorithm).load("adapt").model_validate(spec.config)
    config = config.model_copy(update=_existing(config, gate=None))  # every gate open: the most it can cost
    name = spec.protocol.task_lists[0]
    tasks = spec.split.tasks(name)[: min(spec.protocol.tasks_at_once, spec.protocol.max_tasks or 10**9)]
    trial = trial_of(spec, get_family(spec.split.family), name, tasks)

    def rehearse(updates: int) -> float:
        protocol = spec.protocol.model_copy(update={"max_updates": updates, "evaluate_every": MORE_UPDATES + 1})
        agent = algorithm.agent(config, trial.agent_seed)
        meters = Meters(Meter(), Meter())
        return rehearsal.timed(lambda: run_trial(trial, agent, protocol, adaptation_transitions(spec), meters))

    fixed, few, more = (rehearse(updates) for updates in (0, FEW_UPDATES, MORE_UPDATES))
    per_update = max(more - few, 0.0) / (MORE_UPDATES - FEW_UPDATES)
    updates = config.capped_updates(spec.protocol.max_updates)
    return TrialCost(
        tasks=len(tasks), fixed=fixed, per_update=per_update, repeated=max(few - fixed - per_update, 0.0),
        repeat_every=getattr(config, "relabel_interval", 10**12), updates=updates,
        per_evaluation=fixed / 3,  # without updates: an evaluation, the adaptation data, an evaluation
        evaluations=updates // spec.protocol.evaluate_every,
    )  # fmt: skip


def _existing(config: Any, **values: Any) -> dict[str, Any]:
    """Those of the values whose field the configuration has; numbers only ever become smaller."""
    fields = {name: value for name, value in values.items() if name in type(config).model_fields}
    return {
        name: min(value, getattr(config, name)) if isinstance(value, int) else value for name, value in fields.items()
    }


def _main() -> None:
    import torch

    torch.set_num_threads(1)
    request = json.load(sys.stdin)
    training = TrainingSpec.model_validate(request["training"])
    cost = time_pieces(training, MetatestSpec.model_validate(request["metatest"]), request["device"])
    print(cost.model_dump_json())


if __name__ == "__main__":
    _main()
