"""What every registered algorithm has to keep, on a reward-varying and a dynamics-varying family."""

import numpy as np
import pytest
import torch
from tests_support import TINY_ADAPT, build_algorithm, tensors_of

from algorithms.base import Transition
from algorithms.registry import ALGORITHMS
from suite.collecting import Meter
from tasks.registry import get_family, get_split

SPLITS = ["point-goal.ood", "point-dynamics.ood"]


def supported(name):
    """The splits of `SPLITS` on which an entry of the registry runs; there is one."""
    found = [split for split in SPLITS if ALGORITHMS[name].unsupported(get_family(get_split(split).family)) is None]
    assert found, f"{name} runs on neither point family"
    return found


TRAININGS = {entry.training: supported(name) for name, entry in sorted(ALGORITHMS.items())}
CELLS = [(training, split) for training, splits in TRAININGS.items() for split in splits]
FIRST = [(training, splits[0]) for training, splits in TRAININGS.items()]  # point-goal, unless unsupported
LAST = [(training, splits[-1]) for training, splits in TRAININGS.items()]


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


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


@pytest.mark.parametrize(("training", "split"), LAST)
def test_continuing_from_a_state_is_bit_exact(training, split):
    whole = build_algorithm(training, split)
    for _ in range(2):
        whole.iterate()
    kept, log = whole.state(), () if whole.log() is None else whole.log().clone().split(7)
    kept = {name: value for name, value in kept.items()}
    copy = build_algorithm(training, split)
    from suite.storage import _flattened, _nested

    tensors, plain = _flattened(kept)
    copy.load_state(_nested(tensors, plain), log)
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


@pytest.mark.parametrize(("training", "name"), FIRST)
def test_nothing_an_algorithm_holds_is_a_test_task(training, name):
    """Follow every attribute from the algorithm: no test value of the split is reachable."""
    split = get_split(name)
    forbidden = {value for row in (*split.test, *split.test_id) for value in row} - {
        v for row in split.train for v in row
    }
    algorithm = build_algorithm(training, name)
    algorithm.iterate()
    seen, queue = set(), [algorithm.source]
    while queue:
        thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, float):
            assert thing not in forbidden
        elif isinstance(thing, np.ndarray) and thing.dtype == np.float64:
            assert not np.isin(thing, list(forbidden)).any()
        elif isinstance(thing, dict):
            queue += list(thing.values())
        elif isinstance(thing, list | tuple):
            queue += list(thing)
        elif hasattr(thing, "__dict__"):
            queue += list(vars(thing).values())
    assert len(seen) > 5


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_agent_adapts_and_its_forks_do_not_feed_it(name):
    entry = ALGORITHMS[name]
    algorithm = build_algorithm(entry.training, supported(name)[0])
    for _ in range(2):
        algorithm.iterate()
    config = entry.load("adapt").model_validate(TINY_ADAPT[name])
    results = []
    for disturb in (False, True):
        agent = algorithm.agent(config, seed=3)
        agent.begin(2)
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
        points = [point.updates for point in agent.adapt(every=3)]
        assert points == sorted(points)
        probe = np.tile(np.linspace(-1, 1, 5, dtype=np.float32)[:, None], (2, 2))
        results.append(agent.fork(5).act(probe, explore=False))
        again = agent.fork(5).act(probe, explore=False)
        assert (results[-1] == again).all()
    assert (results[0] == results[1]).all()
