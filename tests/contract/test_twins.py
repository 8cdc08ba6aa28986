"""What every algorithm says of its `before`, and that its unadapted twin learns nothing of what it sees."""

import numpy as np
import pytest
from tests_support import TINY_ADAPT, build_algorithm

from algorithms.base import Transition
from algorithms.registry import ALGORITHMS
from tasks.registry import get_family, get_split

NAMES = sorted(ALGORITHMS)
TASKS, EPISODES, STEPS = 2, 2, 20


def adapt_config(name, **values):
    """The tiny `adapt` block of an algorithm."""
    return ALGORITHMS[name].load("adapt").model_validate(TINY_ADAPT[name] | values)


def twin_config(name):
    """The tiny `adapt` block of its twin."""
    return adapt_config(name, **adapt_config(name).twin)


@pytest.fixture(scope="module")
def trained():
    """A function (name) -> the algorithm after a few iterations; built once."""
    built = {}

    def build(name):
        entry = ALGORITHMS[name]
        if entry.training not in built:
            splits = [get_split(split) for split in ("point-goal.ood", "point-dynamics.ood")]
            split = next(split for split in splits if entry.unsupported(get_family(split.family)) is None)
            built[entry.training] = build_algorithm(entry.training, split.full_name)
            for _ in range(3 if entry.trains_on else 0):
                built[entry.training].iterate()
        return built[entry.training]

    return build


def step(draw, observations, actions, poison):
    """A made-up transition; what follows, and what it was worth, depends on `poison` alone."""
    foul = np.random.default_rng(poison)
    rows = len(actions)
    following = foul.standard_normal(observations.shape).astype(np.float32)
    return Transition(observations, actions, foul.normal(size=rows).astype(np.float32), following, np.zeros(rows, bool))


def lived(algorithm, name, config, poison):
    """Actions (step, row, action) of a trial: of the adaptation data, of an evaluation before, and of one after.

    The agent sees the same observations whatever the `poison`, which is what they lead to and are worth.
    """
    agent, draw = algorithm.agent(config, seed=3), np.random.default_rng(0)
    agent.begin(TASKS)
    if ALGORITHMS[name].privileged:
        agent.reveal(np.array([[0.1], [0.2]]))

    def episode(one, rows, explore):
        taken = []
        for number in range(STEPS):
            observations = draw.standard_normal((rows, 2)).astype(np.float32)
            taken.append(one.act(observations, explore=explore))
            if explore or one.adapts_online:
                ends = np.full(rows, number % 10 == 9)
                one.observe(step(draw, observations, taken[-1], poison), np.ones(rows, bool), ends)
        return np.stack(taken)

    before = episode(agent.fork(EPISODES), TASKS * EPISODES, explore=False)
    collected = episode(agent, TASKS, explore=True)
    for _ in agent.adapt(every=3):
        pass
    return collected, before, episode(agent.fork(EPISODES), TASKS * EPISODES, explore=False)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_its_before_is_and_has_a_twin_where_it_adapts(name, trained):
    config = adapt_config(name)
    assert config.before.sentence
    assert (config.twin is None) == (config.before.kind == "does not adapt")
    agent = trained(name).agent(config, seed=0)
    assert (config.before.kind == "adapts within the episode") == agent.adapts_online
    assert not config.is_twin
    if config.twin is not None:
        assert twin_config(name).is_twin
        assert twin_config(name).before.kind == "unadapted"
        assert twin_config(name).updates == 0


@pytest.mark.parametrize("name", [name for name in NAMES if adapt_config(name).twin is not None])
def test_a_twin_acts_the_same_whatever_its_actions_lead_to_and_others_do_not(name, trained):
    """Bit for bit, while it collects, before and after, and inside the evaluated episode."""
    for one, other in zip(*(lived(trained(name), name, twin_config(name), poison) for poison in (1, 2))):
        assert np.array_equal(one, other)
    one, other = (lived(trained(name), name, adapt_config(name), poison)[2] for poison in (1, 2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", [name for name in NAMES if adapt_config(name).twin is None])
def test_what_has_no_twin_learns_nothing(name, trained):
    for one, other in zip(*(lived(trained(name), name, adapt_config(name), poison) for poison in (1, 2))):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", [name for name in NAMES if adapt_config(name).twin is not None])
def test_a_before_that_is_called_unadapted_is_the_twins_and_no_other_is(name, trained):
    config = adapt_config(name)
    before, twin = lived(trained(name), name, config, 1)[1], lived(trained(name), name, twin_config(name), 1)[1]
    assert np.array_equal(before, twin) == (config.before.kind == "unadapted")
