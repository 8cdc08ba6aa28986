"""What every registered algorithm has to keep, on a reward-varying and a dynamics-varying family."""

import numpy as np
import pytest
import torch
from tests_support import TINY_ADAPT, build_algorithm, tensors_of

from algorithms.base import Transition
from algorithms.registry import ALGORITHMS
from suite.check.subjects import is_among, parameters_of_tests, reached
from suite.experiment.expansion import training_tasks
from suite.experiment.presets import presets, resolve_blocks
from suite.run.rollout import Meter
from suite.run.saving.state_tree import flattened, nested
from tasks.registry import get_family, get_split
from tasks.splits import BUILDERS

UNTRAINED = sorted({entry.training for entry in ALGORITHMS.values() if not entry.trains_on})
PRIVILEGED = {entry.training for entry in ALGORITHMS.values() if entry.privileged}
ON_TEST_TASKS = {entry.training for entry in ALGORITHMS.values() if not {*entry.trains_on} <= {"train"}}
SPLITS = ["point-goal.ood", "point-dynamics.ood"]


def supported(name):
    """The splits of `SPLITS` on which an entry of the registry runs; there is one."""
    found = [split for split in SPLITS if ALGORITHMS[name].unsupported(get_family(get_split(split).family)) is None]
    assert found, f"{name} runs on neither point family"
    return found


TRAININGS = {entry.training: supported(name) for name, entry in sorted(ALGORITHMS.items()) if entry.trains_on}
UNTRAINED_CELLS = [(training, SPLITS[0]) for training in UNTRAINED]
CELLS = [(training, split) for training, splits in TRAININGS.items() for split in splits]
FIRST = [(training, splits[0]) for training, splits in TRAININGS.items()]  # point-goal, unless unsupported
LAST = [(training, splits[-1]) for training, splits in TRAININGS.items()]

MORE_STATE = [  # configurations that keep more than the tiny ones use
    ("promp", "point-goal.ood", {"target_kl": 1e-12, "outer_steps": 2}),
    ("maml", "point-goal.ood", {"baseline": "pooled", "normalise_observations": True}),
    ("rl2", "point-goal.ood", {"baseline": "learned", "normalise_observations": True, "across_episodes": True}),
    ("varibad", "point-goal.ood", {"trial_memory": 100}),  # a ring that has room left
]


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("split", BUILDERS)
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_it_builds_and_acts_on_every_split_it_supports(name, split):
    entry, split = ALGORITHMS[name], get_split(split)
    family = get_family(split.family)
    if entry.unsupported(family) is not None:
        pytest.skip(entry.unsupported(family))
    preset = "smoke" if "smoke" in presets(entry.training) else None
    train, adapt = resolve_blocks(entry, split, preset, {}, {}, "cpu")
    number, horizon = len(training_tasks(entry, split)), family.spaces.horizon
    assert train.problem(family.spaces, number) is None
    assert (min(train.first_steps(number), train.later_steps(number, horizon)) > 0) == bool(entry.trains_on)
    algorithm = build_algorithm(entry.training, split.full_name, config=train)
    agent = algorithm.agent(adapt, seed=0)
    agent.begin(2)
    if entry.privileged:
        agent.reveal(np.array([task.values for task in split.tasks("test")[:2]]))
    for explore in (True, False):
        actions = agent.act(np.zeros((2, family.spaces.observation_dim), np.float32), explore=explore)
        assert actions.shape == (2, family.spaces.action_dim)
        assert (np.abs(actions) <= 1).all()


@pytest.mark.parametrize(("training", "split"), CELLS)
def test_iterations_cost_what_they_announce_and_learn_something(training, split):
    meter = Meter()
    algorithm = build_algorithm(training, split, meter=meter)
    for _ in range(3):
        announced, before = algorithm.steps_of_next_iteration(), meter.steps
        weights = tensors_of(algorithm.state())
        metrics = algorithm.iterate()
        assert meter.steps - before == announced > 0
        assert np.isfinite(metrics["return"])
    assert not same(weights, tensors_of(algorithm.state()))


@pytest.mark.parametrize(("training", "split"), FIRST)
def test_a_seed_decides_everything_and_no_global_random_state_is_touched(training, split):
    np.random.seed(7)
    torch.manual_seed(7)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    states = []
    for seed in (0, 0, 1):
        algorithm = build_algorithm(training, split, seed=seed)
        for _ in range(2):
            algorithm.iterate()
        states.append(tensors_of(algorithm.state()))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(("training", "split", "changes"), [*((*cell, {}) for cell in LAST), *MORE_STATE])
def test_continuing_from_a_state_is_bit_exact(training, split, changes):
    whole = build_algorithm(training, split, **changes)
    for _ in range(2):
        whole.iterate()
    kept, log = whole.state(), () if whole.log() is None else whole.log().clone().split(7)
    kept = {name: value for name, value in kept.items()}
    copy = build_algorithm(training, split, **changes)
    copy.load_state(nested(*flattened(kept)), log)
    copy.source.episodes = whole.source.episodes
    for algorithm in (whole, copy):
        algorithm.iterate()
    assert same(tensors_of(whole.state()), tensors_of(copy.state()))
    assert (whole.log() is None) == (copy.log() is None)
    assert whole.log() is None or torch.equal(whole.log(), copy.log())


@pytest.mark.parametrize(("training", "split"), FIRST)
@pytest.mark.parametrize("task", [-1, 40, 10**6])
def test_reaching_for_a_task_that_is_not_a_training_task_is_stopped(training, split, task):
    algorithm = build_algorithm(training, split)
    with pytest.raises(IndexError, match="training task"):
        algorithm.source.collect(lambda observations: np.zeros((1, 2), np.float32), [task], 20)


@pytest.mark.parametrize("training", UNTRAINED)
def test_what_trains_on_nothing_reaches_no_task_and_has_no_iteration(training):
    meter = Meter()
    algorithm = build_algorithm(training, "point-goal.ood", meter=meter)
    assert algorithm.steps_of_next_iteration() == float("inf")
    with pytest.raises(RuntimeError, match="nothing to train"):
        algorithm.iterate()
    with pytest.raises(IndexError, match="0 is no training task: there are 0"):
        algorithm.source.collect(lambda observations: np.zeros((1, 2), np.float32), [0], 20)
    assert meter.steps == 0


@pytest.mark.parametrize(("training", "name"), [*FIRST, *UNTRAINED_CELLS])
def test_only_what_is_registered_as_privileged_is_told_parameters(training, name):
    algorithm = build_algorithm(training, name)
    assert hasattr(algorithm.source, "task_values") == (training in PRIVILEGED)
    for entry in (entry for entry in ALGORITHMS.values() if entry.training == training):
        agent = algorithm.agent(entry.load("adapt").model_validate(TINY_ADAPT[entry.name]), seed=0)
        agent.begin(2)
        if entry.privileged:
            agent.reveal(np.array([[0.1], [0.2]]))
        else:
            with pytest.raises(TypeError, match="not made to be told"):
                agent.reveal(np.array([[0.1], [0.2]]))


@pytest.mark.parametrize(("training", "name"), [*FIRST, *UNTRAINED_CELLS])
def test_nothing_an_algorithm_holds_is_a_test_task(training, name):
    """Follow every attribute from the algorithm: no test value of the split is reachable.

    But for one that trains on them, which shows that whoever holds them is found.
    """
    algorithm = build_algorithm(training, name)
    if training in TRAININGS:
        algorithm.iterate()
    forbidden, things = parameters_of_tests(get_split(name)), list(reached(algorithm))
    assert len(things) > 5
    assert any(is_among(thing, forbidden) for thing in things) == (training in ON_TEST_TASKS)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_agent_adapts_within_its_budget_and_its_forks_do_not_feed_it(name):
    """Without a simulator step of its own, and in no more updates than it is allowed."""
    entry, meter = ALGORITHMS[name], Meter()
    algorithm = build_algorithm(entry.training, supported(name)[0], meter=meter)
    for _ in range(2 if entry.trains_on else 0):
        algorithm.iterate()
    config = entry.load("adapt").model_validate(TINY_ADAPT[name])
    results, trained_on = [], meter.steps
    probe = np.tile(np.linspace(-1, 1, 5, dtype=np.float32)[:, None], (2, 2))

    def begin(agent):
        agent.begin(2)
        if entry.privileged:
            agent.reveal(np.array([[0.1], [0.2]]))

    for disturb, limit in ((False, None), (True, None), (False, 2)):
        agent = algorithm.agent(config, seed=3)
        begin(agent)
        at_first = agent.fork(5).act(probe, explore=False)
        draw = np.random.default_rng(0)
        for step in range(20):
            observations = draw.standard_normal((2, 2)).astype(np.float32)
            actions = agent.act(observations, explore=True)
            assert actions.shape == (2, 2)
            assert (np.abs(actions) <= 1).all()
            rewards, ends = draw.standard_normal(2).astype(np.float32), np.full(2, step % 10 == 9)
            following = draw.standard_normal((2, 2)).astype(np.float32)
            agent.observe(
                Transition(observations, actions, rewards, following, np.zeros(2, bool)), np.ones(2, bool), ends
            )
            if disturb:
                agent.fork(3).act(np.zeros((6, 2), np.float32), explore=False)
        points = [point.updates for point in agent.adapt(every=3, limit=limit)]
        assert points == sorted(points)
        assert points[-1] == config.capped_updates(limit)
        assert meter.steps == trained_on
        results.append(agent.fork(5).act(probe, explore=False))
        again = agent.fork(5).act(probe, explore=False)
        assert (results[-1] == again).all()
        begin(agent)  # another trial: nothing of this one is left
        assert (agent.fork(5).act(probe, explore=False) == at_first).all()
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all() == (config.updates <= 2)
