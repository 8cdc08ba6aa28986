"""What every registered algorithm declares of its costs is so: plans are timed by it."""

import numpy as np
import pytest
from tests_support import TINY_ADAPT, build_algorithm

from algorithms.base import Transition
from algorithms.kit.optimiser import Adam
from algorithms.registry import ALGORITHMS
from tasks.registry import get_family, get_split

SPLITS = ("point-goal.ood", "point-dynamics.ood")
FEWER = (2, 4, 6)


def split_of(name):
    """A split on which an entry of the registry runs."""
    return next(split for split in SPLITS if not ALGORITHMS[name].unsupported(get_family(get_split(split).family)))


TRAININGS = {entry.training: split_of(name) for name, entry in ALGORITHMS.items() if entry.trains_on}


@pytest.fixture
def optimiser_steps(monkeypatch):
    """A list that grows with every step of an optimiser."""
    steps, begin = [], Adam.begin_step
    monkeypatch.setattr(Adam, "begin_step", lambda optimiser: steps.append(optimiser) or begin(optimiser))
    return steps


def grows_evenly(counts):
    """Whether each of the counts is as much larger than the one before, and larger at all."""
    return len(set(np.diff(counts))) == 1 and counts[1] > counts[0]


@pytest.mark.parametrize("training", TRAININGS)
def test_an_iteration_costs_by_its_declared_gradient_steps(training, optimiser_steps):
    """Shortened ones can be built, collect as much, and take steps in proportion; the first one explores no longer."""
    whole = build_algorithm(training, TRAININGS[training])
    config, number, spaces = whole.config, whole.source.num_tasks, whole.source.spaces
    if config.gradient_steps is None:  # whole iterations are timed
        return
    counts = []
    for steps in FEWER:
        short = config.shortened(steps, transitions=10)
        assert short.gradient_steps == steps
        assert short.first_steps(number) < config.first_steps(number)
        assert config.shortened(steps, 10**12).first_steps(number) == config.first_steps(number)
        assert short.later_steps(number, spaces.horizon) == config.later_steps(number, spaces.horizon)
        algorithm = build_algorithm(training, TRAININGS[training], config=config.shortened(steps, 10**12))
        algorithm.iterate()
        optimiser_steps.clear()
        algorithm.iterate()
        counts.append(len(optimiser_steps))
    assert grows_evenly(counts)


def test_which_trainings_declare_their_gradient_steps():
    """So that a declaration that gets lost is noticed; the others are timed whole."""
    declared = {name for name, split in TRAININGS.items() if build_algorithm(name, split).config.gradient_steps}
    assert declared >= {"mier", "pearl", "mql", "grbal", "oracle"}


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_adaptation_costs_by_its_declared_updates(name, optimiser_steps):
    """Updates take steps in proportion; the costliest configuration has as many of them."""
    entry = ALGORITHMS[name]
    config = entry.load("adapt").model_validate(TINY_ADAPT[name]).costliest()
    assert type(config) is entry.load("adapt")
    assert config.updates == entry.load("adapt").model_validate(TINY_ADAPT[name]).updates
    assert config.costliest() == config
    if config.updates_per_round is None:  # whole adaptations are timed
        return
    counts = []
    for limit in FEWER:
        algorithm = trained(entry)
        agent = algorithm.agent(config, seed=0)
        agent.begin(2)
        observe(agent, algorithm.source.spaces)
        optimiser_steps.clear()
        assert list(agent.adapt(every=100, limit=limit))[-1].updates == limit
        counts.append(len(optimiser_steps))
    assert grows_evenly(counts)


def test_which_adaptations_declare_their_updates():
    """As above."""
    mier, mql = (ALGORITHMS[name].load("adapt").model_validate(TINY_ADAPT[name]) for name in ("mier", "mql"))
    assert (mier.updates_per_round, mql.updates_per_round) == (4, 6)
    assert mier.model_copy(update={"gate": "total", "stop_patience": 5}).costliest() == mier


def trained(entry):
    """An algorithm after its exploration and an iteration."""
    algorithm = build_algorithm(entry.training, split_of(entry.name))
    for _ in range(2):
        algorithm.iterate()
    return algorithm


def observe(agent, spaces):
    """Give an agent two tasks' random transitions of an episode."""
    draw = np.random.default_rng(0)
    for step in range(20):
        observations, following = draw.standard_normal((2, 2, spaces.observation_dim)).astype(np.float32)
        actions, rewards = agent.act(observations, explore=True), draw.standard_normal(2).astype(np.float32)
        data = Transition(observations, actions, rewards, following, np.zeros(2, bool))
        agent.observe(data, np.ones(2, bool), np.full(2, step == 19))
