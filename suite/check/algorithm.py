"""What every algorithm has to keep, as checks that can fail; the built-in ones pass them in `tests/contract`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from algorithms.base import Algorithm
from algorithms.registry import AlgorithmEntry
from suite.check.report import Check, Finding, Skipped, carry_out, require
from suite.check.subjects import STEPS, TASKS, Subject, is_among, parameters_of_tests, reached, same, tensors
from suite.experiment.presets import presets, resolve_blocks
from suite.run.promises import random_states
from suite.run.rollout import Meter
from suite.run.saving.state_tree import flattened, nested
from tasks.registry import families, get_family, splits
from tasks.spec import TaskFamily, TaskSplit


def check_algorithm(entry: AlgorithmEntry, on: Iterable[TaskFamily] | None = None) -> list[Finding]:
    """What comes of each check of an algorithm; it is built on these families (None: on all)."""
    chosen = [family.name for family in (families() if on is None else on)]
    return list(carry_out(CHECKS, (Subject(entry), chosen), entry.path))


Given = tuple[Subject, list[str]]


def is_whole(given: Given) -> str:
    """The three classes are there, with every method that has to be."""
    classes = [given[0].entry.load(part) for part in ("algorithm", "train", "adapt")]
    lacking = [f"{one.__name__} lacks {', '.join(sorted(one.__abstractmethods__))}"
               for one in classes if getattr(one, "__abstractmethods__", ())]  # fmt: skip
    require(not lacking, "; ".join(lacking))
    return ", ".join(one.__name__ for one in classes)


def has_defaults(given: Given) -> str:
    """Both blocks can be left out."""
    for block in ("train", "adapt"):
        given[0].entry.load(block)()
    return "train and adapt can be left out of an experiment"


def builds_everywhere(given: Given) -> str:
    """On the first split of each family that it supports, with its default values; its agent acts there."""
    subject, names = given
    entry, built, refused = subject.entry, 0, 0
    for name in names:
        split = _first_split(name)
        family = get_family(name)
        if split is None or entry.unsupported(family) is not None:
            refused += 1
            continue
        preset = "smoke" if "smoke" in presets(entry.training) else None
        train, adapt = resolve_blocks(entry, split, preset, {}, {}, "cpu")
        agent = subject.built(config=train, split=split).agent(adapt, 0)
        agent.begin(TASKS)
        if entry.privileged:
            agent.reveal(np.array([task.values for task in split.tasks("test")[:TASKS]]))
        for explore in (True, False):
            _require_actions(agent.act(np.zeros((TASKS, family.observation_dim), np.float32), explore), family)
        built += 1
    return f"on {built} families" + (f"; {refused} are declared as unsupported" if refused else "")


def _first_split(family: str) -> TaskSplit | None:
    return next((split for split in splits() if split.family == family), None)


def _require_actions(actions: Any, family: TaskFamily) -> None:
    shape = np.shape(actions)
    require(shape == (TASKS, family.action_dim), f"actions of shape {shape} on {family.name}, not (row, action) = "
            f"{(TASKS, family.action_dim)}")  # fmt: skip
    require(bool(np.isfinite(actions).all()), f"actions on {family.name} are not finite")
    require(bool((np.abs(actions) <= 1).all()), f"actions on {family.name} up to {np.abs(actions).max():.3g}, beyond 1")


def keeps_its_budget(given: Given) -> str:
    """Three iterations take as many steps as announced."""
    subject, meter = _trains(given), Meter()
    algorithm = subject.built(meter=meter)
    for number in range(3):
        announced, before = algorithm.steps_of_next_iteration(), meter.steps
        algorithm.iterate()
        taken = meter.steps - before
        require(taken == announced > 0, f"iteration {number} announced {announced} steps and took {taken}")
    return f"{meter.steps} steps in 3 iterations, as announced"


def learns(given: Given) -> str:
    """Iterations change what a checkpoint holds, and their metrics are finite."""
    subject = _trains(given)
    algorithm = subject.built()
    for _ in range(3):
        before, metrics = tensors(algorithm), algorithm.iterate()
    require("return" in metrics, f"iterate gives the metrics {sorted(metrics)}, without `return`")
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    require(not bad, f"{', '.join(bad)} is not finite")
    require(not same(before, tensors(algorithm)), "an iteration changed nothing that `parts` holds")
    return f"metrics: {', '.join(metrics)}"


def is_decided_by_its_seed(given: Given) -> str:
    """The same seed gives the same state bit for bit, another seed another; global random states stay as they are."""
    subject, before = given[0], random_states()
    states = [tensors(subject.trained(seed=seed)) for seed in (0, 0, 1)]
    agent = subject.trained().agent(subject.adapt(), 3)
    subject.begin(agent)
    subject.live(agent)
    list(agent.adapt(every=3))
    require(same(states[0], states[1]), "two trainings with one seed differ")
    if subject.entry.trains_on:
        require(not same(states[0], states[2]), "trainings with different seeds are the same")
    require(random_states() == before, "a global random state (numpy's, torch's or Python's) was used or seeded")
    return "two trainings alike, a third with another seed differs; no global random state was touched"


def continues_bit_for_bit(given: Given) -> str:
    """Two iterations, saved and loaded, and a third are three iterations."""
    subject = _trains(given)
    whole = subject.trained(2)
    log = whole.log()
    pieces = () if log is None else log.clone().split(7)
    copy = subject.built()
    copy.load_state(nested(*flattened(whole.state())), pieces)
    copy.source.episodes = whole.source.episodes  # type: ignore[attr-defined] # the suite's own part of the state
    for algorithm in (whole, copy):
        algorithm.iterate()
    differing = [name for name, tensor in tensors(whole).items() if not tensor.equal(tensors(copy)[name])]
    require(not differing, f"after loading and one more iteration {', '.join(differing[:3])} differ")
    actions = []
    for algorithm in (whole, copy):
        agent = algorithm.agent(subject.adapt(), 3)
        subject.begin(agent)
        subject.live(agent)
        list(agent.adapt(every=3))
        actions.append(np.array(agent.fork(5).act(subject.probe(5 * TASKS), explore=False)))
    require(bool((actions[0] == actions[1]).all()), "after loading its agents act differently: `parts` lacks something")
    return "a training that was killed goes on as if it had not been"


def keeps_its_memory(given: Given) -> str:
    """What a checkpoint holds, but for the replay's log, grows by at most three numbers per environment step."""
    subject = _trains(given)
    meter = Meter()
    algorithm = subject.trained(3, meter=meter)
    sizes, steps = [_size(algorithm)], meter.steps
    for _ in range(2):
        algorithm.iterate()
        sizes.append(_size(algorithm))
    most = 3 * (meter.steps - steps)  # a replay remembers of a step where it is; the step itself is in the log
    require(
        sizes[2] - sizes[0] <= most, f"the state has {', '.join(map(str, sizes))} numbers after 3, 4 and 5 iterations"
    )
    return f"{sizes[2]:,} numbers after 5 iterations, {sizes[2] - sizes[0]:,} more than after 3"


def _size(algorithm: Algorithm) -> int:
    """How many numbers its state has, without the replay's log."""
    return sum(tensor.numel() for tensor in tensors(algorithm).values())


def sees_no_test_task(given: Given) -> str:
    """Nothing that can be reached from the algorithm holds a parameter of a test task."""
    subject, _ = given
    if not {*subject.entry.trains_on} <= {"train"}:
        raise Skipped("it is declared to train on test tasks")
    forbidden, things = parameters_of_tests(subject.split), list(reached(subject.trained(1)))
    require(not any(is_among(thing, forbidden) for thing in things), "it holds parameters of test tasks")
    return f"{len(things)} objects reached, none of them a test task's"


def adapts_as_it_claims(given: Given) -> str:
    """It yields at least once, in ascending numbers of updates, up to those that its configuration declares."""
    subject, _ = given
    config, results = subject.adapt(), []
    for limit in (None, 0, 2):
        agent = subject.trained().agent(config, 3)
        subject.begin(agent)
        subject.live(agent)
        points = [point.updates for point in agent.adapt(every=3, limit=limit)]
        require(bool(points), "adapt yields no point: the last one is the result")
        require(points == sorted(points), f"adapt yields the numbers of updates {points}, which do not ascend")
        declared = config.capped_updates(limit)
        require(points[-1] == declared, f"adapt ends after {points[-1]} updates, and {declared} are declared "
                f"(limit {limit})")  # fmt: skip
        results.append(agent.fork(5).act(subject.probe(5 * TASKS), explore=False))
    if config.updates > 0:
        require(bool((results[0] != results[1]).any()), f"{config.updates} updates change no action")
    return f"{config.updates} updates, as declared" if config.updates else "without gradient updates"


def evaluates_deterministically(given: Given) -> str:
    """A fork gives the same actions for the same observations, finite ones in [-1, 1]; its draws are its own."""
    subject, _ = given
    agent = subject.trained().agent(subject.adapt(), 3)
    subject.begin(agent)
    subject.live(agent)
    list(agent.adapt(every=3))
    probe, forks = subject.probe(5 * TASKS), [agent.fork(5) for _ in range(2)]
    first = np.array(forks[0].act(probe, explore=False))
    require(first.shape == (5 * TASKS, subject.family.action_dim), f"a fork gives actions of shape {first.shape}")
    require(bool(np.isfinite(first).all() and (np.abs(first) <= 1).all()), "a fork's actions are not all in [-1, 1]")
    require(bool((first == forks[1].act(probe, explore=False)).all()), "two forks of one agent act differently")
    return "two forks act alike"


def forks_feed_nothing(given: Given) -> str:
    """Evaluating on forks changes no adaptation, and a new trial knows nothing of the one before."""
    subject, results = given[0], []
    probe = subject.probe(5 * TASKS)
    for disturb in (False, True):
        agent = subject.trained().agent(subject.adapt(), 3)
        subject.begin(agent)
        at_first = np.array(agent.fork(5).act(probe, explore=False))
        subject.live(agent)
        for _ in chain(("collected",), agent.adapt(every=3)):
            if disturb:
                agent.fork(3).act(subject.probe(3 * TASKS), explore=False)
        results.append(np.array(agent.fork(5).act(probe, explore=False)))
        subject.begin(agent)
        again = np.array(agent.fork(5).act(probe, explore=False))
        require(bool((again == at_first).all()), "after `begin` the agent still knows of the trial before")
    require(bool((results[0] == results[1]).all()), "evaluating on a fork changed what the agent adapts to")
    return "evaluations change nothing, and every trial starts anew"


def ignores_inactive_rows(given: Given) -> str:
    """Whatever rows that are not active are told, the agent's actions are the same."""
    subject, results = given[0], []
    for garbage in (1, 2):
        agent = subject.trained().agent(subject.adapt(), 3)
        subject.begin(agent)
        subject.live(agent, garbage)
        list(agent.adapt(every=3))
        results.append(np.array(agent.fork(5).act(subject.probe(5 * TASKS), explore=False)))
        if agent.adapts_online:  # in an evaluation rows end on their own
            fork = agent.fork(1)
            subject.live(fork, garbage, ends_at=(STEPS, STEPS // 2), explore=False)
            results[-1] = np.concatenate([results[-1], fork.act(subject.probe(TASKS), explore=False)])
    require(bool((results[0] == results[1]).all()), "what an inactive row was told changed the agent's actions")
    return "rows whose data are complete are left alone"


def keeps_tasks_apart(given: Given) -> str:
    """What one task shows changes no action in another that is adapted to beside it."""
    subject, results = given[0], []
    for first in (1, 2):
        agent = subject.trained().agent(subject.adapt(), 3)
        subject.begin(agent)
        subject.live(agent, first=first)
        list(agent.adapt(every=3))
        results.append(np.array(agent.fork(5).act(subject.probe(5 * TASKS), explore=False))[5:])  # of the other task
    difference = float(np.abs(results[0] - results[1]).max())
    require(difference < 1e-4, f"other data of one task change actions in another by {difference:.2g}")
    return f"other data of one task change actions in another by {difference:.2g}"


def is_alike_alone_and_in_a_batch(given: Given) -> str:
    """An agent that has seen nothing acts for one task as it does for it beside others."""
    subject, config = given[0], given[0].adapt()
    if config.before.kind == "explores" or subject.entry.name == "random":
        raise Skipped("before it adapts its actions are drawn")
    algorithm, actions = subject.trained(), []
    for tasks in (1, TASKS):
        agent = algorithm.agent(config, 3)
        subject.begin(agent, tasks)
        actions.append(np.array(agent.fork(1).act(subject.probe(TASKS)[:tasks], explore=False))[0])
    difference = float(np.abs(actions[0] - actions[1]).max())
    require(difference < 1e-4, f"alone and in a batch of {TASKS} its actions differ by {difference:.2g}")
    return f"its actions differ by {difference:.2g} at most"


def _trains(given: Given) -> Subject:
    if not given[0].entry.trains_on:
        raise Skipped("it trains on nothing")
    return given[0]


CHECKS = (
    Check("is whole", is_whole, "the suite calls each of its methods",
          "define what is lacking; algorithms/base.py says what each has to do, algorithms/simple.py of a simple one",
          is_first=True),
    Check("has defaults", has_defaults, "an experiment may name it and nothing else",
          "give every field of the two configuration classes a default"),
    Check("builds everywhere", builds_everywhere, "any split may be asked for",
          "size networks by `source.spaces`, or say why not in a function `unsupported(name, family)` of its file"),
    Check("keeps its budget", keeps_its_budget, "budgets are compared in environment steps",
          "let `first_steps` and `later_steps` of the train block return what an iteration collects"),
    Check("learns", learns, "a checkpoint has to hold all that was learnt",
          "put every tensor that `iterate` changes into `parts`, and return finite metrics with `return` among them"),
    Check("is decided by its seed", is_decided_by_its_seed, "results have to be made again by anyone",
          "draw from `self.generator` (torch) and `self.choices` (NumPy) alone, an agent from its own seed"),
    Check("continues bit for bit", continues_bit_for_bit, "runs are killed and go on",
          "put everything that the next iteration depends on into `parts`, and change tensors in place"),
    Check("keeps its memory", keeps_its_memory, "a run may take millions of steps",
          "keep experience in an `EpisodeStore` (`self.store`), whose frames go to the log"),
    Check("sees no test task", sees_no_test_task, "otherwise nothing is out of distribution",
          "hold only what `source` gives"),
    Check("adapts as it claims", adapts_as_it_claims, "adaptation is compared by its updates",
          "yield `Adaptation(updates, diagnostics)` at the start, every so many updates and at the end; let `updates` "
          "of the adapt block count them, and make them"),
    Check("evaluates deterministically", evaluates_deterministically, "a result is not to be luck",
          "without `explore` return the mean or the mode, clipped to [-1, 1]"),
    Check("forks feed nothing", forks_feed_nothing, "evaluation is no adaptation data",
          "let `fork` copy what it changes, and `begin` forget everything"),
    Check("ignores inactive rows", ignores_inactive_rows, "every task gives exactly the declared transitions",
          "in `observe` store and change nothing of rows where `active` is False"),
    Check("keeps tasks apart", keeps_tasks_apart, "tasks are adapted to side by side",
          "adapt to each task by its own data; share nothing between rows but what was meta-trained"),
    Check("alike alone and in a batch", is_alike_alone_and_in_a_batch, "tasks are adapted to side by side",
          "let no row see another's data: no statistics over the rows of a batch"),
)  # fmt: skip
