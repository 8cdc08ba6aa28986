"""Costs of a training and a meta-test on this machine, from timing small pieces of each in this process.

Which pieces, an algorithm's configurations declare: the gradient steps of an outer iteration, the updates of an
adaptation. Of one that declares nothing whole iterations and adaptations are timed, which takes as long as they take.

`python -P -m suite.run.timing` reads what to time from standard input, and prints the cost as JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from suite.experiment.plugins import use_plugins
from suite.experiment.specs import MetatestSpec, TrainingSpec
from tasks.frozen import Frozen
from tasks.registry import get_family
from tasks.spec import SpaceSpec

FEW_STEPS, MORE_STEPS = 2, 12  # gradient steps per outer iteration: two points of a line
FEW_UPDATES, MORE_UPDATES = 1, 11  # adaptation updates, likewise
WITHIN_REACH = 10**12  # transitions: more than any exploration


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
    """Seconds of adapting to some test tasks side by side; `per_round` is paid every `round_updates` updates."""

    tasks: int
    fixed: float
    per_update: float
    per_round: float
    round_updates: int
    updates: int
    per_evaluation: float
    evaluations: int

    @property
    def seconds(self) -> float:
        """Seconds of the whole trial."""
        rounds = -(-self.updates // self.round_updates)
        adapting = self.updates * self.per_update + rounds * self.per_round
        return self.fixed + adapting + self.evaluations * self.per_evaluation


class Cost(Frozen):
    """What was timed for one training and one meta-test of it."""

    training: TrainingCost
    trial: TrialCost

    def metatest_seconds(self, spec: MetatestSpec) -> float:
        """Seconds of a whole meta-test, every task whose fine-tuning is gated counted as open."""
        lists = [spec.split.tasks(name)[: spec.protocol.max_tasks] for name in spec.protocol.task_lists]
        return self.trial.seconds * sum(map(len, lists)) / self.trial.tasks


def configs(training: TrainingSpec, metatest: MetatestSpec) -> tuple[Any, Any]:
    """The `TrainConfig` of a training, and the `AdaptConfig` of a meta-test of it."""
    from algorithms.registry import get_algorithm, training_entry

    train = training_entry(training.algorithm).load("train").model_validate(training.config)
    return train, get_algorithm(metatest.algorithm).load("adapt").model_validate(metatest.config)


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
    """An algorithm that has done a few outer iterations, short ones where it says how, and the cost of whole ones."""
    spec, (config, _) = rehearsal.training, configs(rehearsal.training, rehearsal.metatest)
    algorithm = _build(rehearsal, config)
    wanted = algorithm.steps_of_next_iteration()
    if math.isinf(wanted):
        nothing = TrainingCost(first_env_steps=0, first_seconds=0.0, iteration_env_steps=1, iteration_seconds=0.0)
        return algorithm, nothing
    steps = config.gradient_steps
    if steps is not None:
        short = _shortened(config, get_family(spec.family).spaces, len(spec.train_tasks))
        algorithm = _build(rehearsal, short(1))
    share = wanted / algorithm.steps_of_next_iteration()
    first = rehearsal.timed(algorithm.iterate) * share
    iteration_steps = algorithm.steps_of_next_iteration()
    if steps is None:
        seconds = rehearsal.timed(algorithm.iterate)
    else:
        algorithm.iterate()  # the first gradient steps are slower than any later one
        per_step, others = _line(lambda number: rehearsal.timed(_with(algorithm, short(number)).iterate), steps)
        seconds = others + steps * per_step
    return algorithm, TrainingCost(
        first_env_steps=wanted, first_seconds=first, iteration_env_steps=iteration_steps, iteration_seconds=seconds
    )


def _line(seconds_of: Callable[[int], float], steps: int) -> tuple[float, float]:
    """Seconds of a gradient step, and of everything else in an outer iteration, from iterations with few and with more.

    Steps that take less than half of what an iteration with few does are lost in its noise, of which each would be
    charged a share: then there are ten times as many, up to as many as there really are.
    """
    few, number = seconds_of(FEW_STEPS), MORE_STEPS
    more = seconds_of(number)
    while more - few < few / 2 and number < steps:
        number = min(10 * number, steps)
        more = seconds_of(number)
    per_step = max(more - few, 0.0) / (number - FEW_STEPS)
    return per_step, max(few - FEW_STEPS * per_step, 0.0)


def _with(algorithm: Any, config: Any) -> Any:
    """The algorithm, with other values of the same knobs."""
    algorithm.config = config
    return algorithm


def _build(rehearsal: _Rehearsal, config: Any) -> Any:
    """An algorithm that has not trained."""
    import torch

    from algorithms.registry import training_entry
    from suite.run.rollout import Meter
    from suite.run.training import training_source

    spec, place = rehearsal.training, torch.device(rehearsal.device)
    source = training_source(spec, Meter())
    build = training_entry(spec.algorithm).load("algorithm")
    return build(config, source, seed=spec.seed, device=place, capacity=100_000)


def _shortened(config: Any, spaces: SpaceSpec, num_tasks: int) -> Callable[[int], Any]:
    """Copies of a configuration with so many gradient steps, by that number.

    Their exploration is a horizon per task, or all of it where a batch would not find enough in that.
    """
    is_enough = config.shortened(1, spaces.horizon).problem(spaces, num_tasks) is None
    exploration = spaces.horizon if is_enough else WITHIN_REACH
    return lambda steps: config.shortened(steps, exploration)


def _time_trial(rehearsal: _Rehearsal, algorithm: Any) -> TrialCost:
    """Trials with no, a single and a few updates, or whole ones where they are as short or their updates not declared.

    What is done once for a round of updates counts as often as there are rounds.
    """
    from suite.run.metatest import Meters, adaptation_transitions, run_trial, trial_of
    from suite.run.rollout import Meter

    spec, (_, config) = rehearsal.metatest, configs(rehearsal.training, rehearsal.metatest)
    config = config.costliest()
    name = spec.protocol.task_lists[0]
    tasks = spec.split.tasks(name)[: min(spec.protocol.tasks_at_once, spec.protocol.max_tasks or 10**9)]
    trial = trial_of(spec, get_family(spec.split.family), name, tasks)

    def rehearse(updates: int) -> float:
        protocol = spec.protocol.model_copy(update={"max_updates": updates, "evaluate_every": updates + 1})
        agent = algorithm.agent(config, trial.agent_seed)
        meters = Meters(Meter(), Meter())
        return rehearsal.timed(lambda: run_trial(trial, agent, protocol, adaptation_transitions(spec), meters))

    updates = config.capped_updates(spec.protocol.max_updates)
    fixed, per_update, per_round, round_updates = rehearse(0), 0.0, 0.0, max(updates, 1)
    if updates and (config.updates_per_round is None or updates <= MORE_UPDATES):
        per_round = max(rehearse(updates) - fixed, 0.0)
    elif updates:
        few, more = rehearse(FEW_UPDATES) - fixed, rehearse(MORE_UPDATES) - fixed
        round_updates = config.updates_per_round
        per_update, per_round = _parts(few, more, -(-MORE_UPDATES // round_updates))
    return TrialCost(
        tasks=len(tasks), fixed=fixed, per_update=per_update, per_round=per_round, round_updates=round_updates,
        updates=updates, per_evaluation=fixed / 3,  # without updates: an evaluation, the adaptation data, an evaluation
        evaluations=updates // spec.protocol.evaluate_every,
    )  # fmt: skip


def _parts(first: float, more: float, rounds: int) -> tuple[float, float]:
    """Seconds of an update and of the start of a round, from those of one update and of `MORE_UPDATES` in `rounds`.

    Where every update is a round of its own, nothing tells the two apart, and all is counted as the update's.
    """
    if rounds == MORE_UPDATES:
        return max(more, 0.0) / MORE_UPDATES, 0.0
    update = max(more - rounds * first, 0.0) / (MORE_UPDATES - rounds)
    return update, max(first - update, 0.0)


def _main() -> None:
    import torch

    torch.set_num_threads(1)
    request = json.load(sys.stdin)
    use_plugins([given for given, _ in request.get("plugins", [])], Path())
    training = TrainingSpec.model_validate(request["training"])
    cost = time_pieces(training, MetatestSpec.model_validate(request["metatest"]), request["device"])
    print(cost.model_dump_json())


if __name__ == "__main__":
    _main()
