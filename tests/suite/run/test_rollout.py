"""The one primitive that makes steps: exact numbers of them, seeded episodes, restarts, and only what happened."""

import numpy as np
import pytest

from algorithms.base import Diverged
from suite.errors import UserError
from suite.run.rollout import (
    ADAPTATION,
    EVALUATION,
    TRAINING,
    Meter,
    RevealingTrainingSource,
    TrainingSource,
    Watch,
    collect,
)
from tasks.registry import get_family, get_split, make_batch, termination_rule
from tasks.spec import Step

POINT = get_family("point-goal")
DYNAMICS = get_family("point-dynamics")
HORIZON = POINT.horizon


class Stub:
    """Counts: an observation is (steps in this episode, noise at its start); row r ends after `ends[r]` steps."""

    def __init__(self, family, ends):
        self.family, self.ends, self.num_rows = family, np.asarray(ends), len(ends)
        self.time, self.noise = np.zeros(self.num_rows), np.zeros(self.num_rows)
        self.calls, self.resets = [], []

    def observations(self):
        return np.stack([self.time, self.noise], axis=1).astype(np.float32)

    def reset(self, rows, generators):
        self.resets.append(list(rows))
        for row, generator in zip(rows, generators, strict=True):
            self.time[row], self.noise[row] = 0, generator.random()
        return self.observations()

    def step(self, actions, active=None):
        self.calls.append(active.copy())
        self.time = np.where(active, self.time + 1, self.time)
        rewards = np.where(active, self.time + actions[:, 0], 0.0).astype(np.float32)
        return Step(self.observations(), rewards, active & (self.time == self.ends))


def named(row, number):
    return np.random.default_rng([row, number])


def zeros(observations):
    return np.zeros((len(observations), 2), np.float32)


def test_one_episode_per_row_and_rows_that_are_over_rest():
    stub, meter = Stub(POINT, [3, 99, 7]), Meter()
    batch = collect(stub, zeros, named, meter, transitions=None)
    assert batch.rows.tolist() == batch.tasks.tolist() == [0, 2, 1]  # in the order they ended
    assert batch.lengths.tolist() == [3, 7, HORIZON]
    assert batch.terminated.tolist() == [True, True, False]  # a time limit is not terminal
    assert meter.steps == 3 + 7 + HORIZON == sum(int(active.sum()) for active in stub.calls)
    assert stub.resets == [[0, 1, 2]]
    assert batch.rewards[0, :3].tolist() == [1, 2, 3]
    assert (batch.rewards[0, 3:] == 0).all()
    assert batch.observations[1, :8, 0].tolist() == list(range(8))  # the final observation included
    assert batch.observations.shape == (3, HORIZON + 1, 2)


@pytest.mark.parametrize("transitions", [1, 5, 20, 21, 47])
def test_exactly_so_many_steps_per_row_with_restarts(transitions):
    stub, meter = Stub(POINT, [4, 99]), Meter()
    batch = collect(stub, zeros, named, meter, transitions=transitions)
    assert meter.steps == 2 * transitions
    for row, usual in ((0, 4), (1, HORIZON)):
        lengths = batch.lengths[batch.rows == row]
        whole, rest = divmod(transitions, usual)
        assert lengths.tolist() == [usual] * whole + [rest] * (rest > 0)
    ends = [(4 if row == 0 else 99) == length for row, length in zip(batch.rows, batch.lengths)]
    assert batch.terminated.tolist() == ends


def test_every_episode_has_the_noise_of_its_row_and_number():
    stub = Stub(POINT, [4, 6])
    batch = collect(stub, zeros, named, Meter(), transitions=12)
    for row in (0, 1):
        noise = batch.observations[batch.rows == row][:, 0, 1].tolist()
        assert noise == [np.float32(named(row, number).random()) for number in range(len(noise))]


def test_whoever_watches_sees_every_step_once():
    stub, starts, seen = Stub(POINT, [3, 5]), [], []

    def act(observations):
        return np.full((2, 2), 0.25, np.float32)

    batch = collect(
        stub, act, named, Meter(), transitions=6,
        watch=Watch(lambda rows: starts.append(list(rows)), lambda *step: seen.append(step)),
    )  # fmt: skip
    assert starts == [[0, 1], [0], [1]]
    transitions, active, ended = zip(*seen)
    assert np.array(active).all()
    assert np.array(ended).T.tolist() == [[False, False, True, False, False, True], [False] * 4 + [True, True]]
    for step in transitions:
        assert (step.next_observations[:, 0] == step.observations[:, 0] + 1).all()
        assert (step.actions == 0.25).all()
    rewards = np.array([step.rewards for step in transitions])
    assert rewards.sum() == batch.rewards.sum()
    assert [step.terminated.tolist() for step in transitions][2] == [True, False]


def test_an_action_of_an_observation_that_is_not_finite_is_the_simulators():
    stub = Stub(POINT, [3])
    stub.observations = lambda: np.full((1, 2), np.nan, np.float32)
    with pytest.raises(Diverged, match="the simulator gave an observation that is not finite"):
        collect(stub, lambda observations: observations, named, Meter(), transitions=None)
    stub = Stub(POINT, [3])
    stub.step = lambda actions, active: Step(stub.observations(), np.full(1, np.inf, np.float32), np.zeros(1, bool))
    with pytest.raises(Diverged, match="the simulator gave a reward that is not finite"):
        collect(stub, zeros, named, Meter(), transitions=None)


def test_actions_lie_in_their_bounds_but_for_rounding():
    """Those of rows that rest are nobody's."""
    for sizes, said in (((1.0, 1.000001, -1.0), None), ((1.0, 0.0, -1.01), "an action of -1.01; whatever the body")):

        def policy(observations, sizes=sizes):
            return np.repeat(np.array(sizes, np.float32)[:, None], 2, axis=1)

        if said is None:
            assert collect(Stub(POINT, [3, 3, 3]), policy, named, Meter(), transitions=4).lengths.sum() == 12
            continue
        with pytest.raises(UserError, match=said):
            collect(Stub(POINT, [3, 3, 3]), policy, named, Meter(), transitions=4)
    resting = iter([[0, 0], [0, 9], [0, 9]])
    batch = collect(
        Stub(POINT, [3, 1]), lambda observations: np.tile(np.array(next(resting), np.float32)[:, None], 2), named,
        Meter(), transitions=None,
    )  # fmt: skip
    assert batch.lengths.tolist() == [1, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_a_divergence(bad):
    stub, meter = Stub(POINT, [9, 2]), Meter()

    def act(observations):
        actions = zeros(observations)
        actions[1] = bad if observations[1, 0] == 2 else 0  # row 1 is over by then
        actions[0] = bad if observations[0, 0] == 4 else 0
        return actions

    with pytest.raises(Diverged, match="the policy gave an action that is not finite"):
        collect(stub, act, named, meter, transitions=None)
    assert meter.steps == 4 + 2


def test_streams_never_share_noise():
    draws = {np.random.default_rng([stream, 0, 0]).random() for stream in (TRAINING, ADAPTATION, EVALUATION)}
    assert len(draws) == 3


@pytest.fixture
def source():
    def build(family=DYNAMICS, seed=0):
        meter = Meter()
        return TrainingSource(family, get_split(f"{family.name}.ood").train, seed, meter), meter

    return build


def test_a_source_runs_the_training_tasks_it_is_asked_for(source):
    asked, meter = source(POINT)
    tasks = [3, 3, 17]
    batch = asked.collect(lambda observations: np.full((3, 2), [1.0, 0.0], np.float32), tasks, 30)
    assert meter.steps == 90
    assert [tasks[row] for row in batch.rows] == batch.tasks.tolist()
    alone = make_batch(POINT, 3)
    alone.set_tasks(np.asarray(get_split("point-goal.ood").train)[tasks])
    alone.reset(np.arange(3), [np.random.default_rng(0)] * 3)
    first = alone.step(np.full((3, 2), [1.0, 0.0], np.float32)).rewards
    for row in range(3):
        episode = np.flatnonzero(batch.rows == row)[0]
        assert batch.rewards[episode, 0] == first[row]
    assert first[0] == first[1] != first[2]


def test_a_source_tells_of_every_step_what_its_episodes_hold(source):
    asked, _ = source()
    starts, seen = [], []
    batch = asked.collect(
        lambda observations: np.full((2, 2), 0.5, np.float32), [4, 9], 30,
        before_episode=lambda rows: starts.append((len(seen), rows.tolist())),
        after_step=lambda *step: seen.append(step),
    )  # fmt: skip
    transitions, active, ended = zip(*seen)
    assert starts == [(0, [0, 1]), (HORIZON, [0, 1])]
    assert np.array(active).all()
    assert np.array(ended).T.tolist() == 2 * [[step in (19, 29) for step in range(30)]]
    for row in (0, 1):
        first, second = np.flatnonzero(batch.rows == row)
        told = [step.rewards[row] for step in transitions]
        assert told == [*batch.rewards[first, :20], *batch.rewards[second, :10]]
        assert (transitions[25].observations[row] == batch.observations[second, 5]).all()
        assert (transitions[25].next_observations[row] == batch.observations[second, 6]).all()


def test_a_sources_noise_follows_its_seed_and_goes_on_where_it_stopped(source):
    def starts(asked, times):
        return [asked.collect(zeros_of, [0, 1], 25).observations[:, 0].tolist() for _ in range(times)]

    zeros_of = lambda observations: np.zeros((2, 2), np.float32)  # noqa: E731
    (one, _), (same, _), (other, _), (late, _) = source(), source(), source(seed=1), source()
    first = starts(one, 2)
    assert one.episodes == 8  # two rows, two episodes each, twice
    assert starts(same, 2) == first
    assert starts(other, 2) != first
    late.episodes = 4
    assert starts(late, 1) == first[1:]
    assert len({tuple(start) for batch in first for start in batch}) == 8


@pytest.mark.parametrize("task", [-1, 40])
def test_a_source_has_no_other_tasks(source, task):
    asked, meter = source()
    with pytest.raises(IndexError, match=f"{task} is no training task: there are 40, numbered from 0"):
        asked.collect(zeros, [0, task], 5)
    assert meter.steps == 0


def test_a_source_knows_its_familys_termination_rule(source):
    asked, _ = source()
    observations = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    assert (asked.terminated(observations) == termination_rule(DYNAMICS)(observations)).all()
    assert (asked.num_tasks, asked.spaces) == (40, DYNAMICS.spaces)


def test_a_policy_that_remembers_sees_every_step_of_its_training_tasks(source):
    asked, _ = source(POINT)
    rewards, ends = [], []

    def remember(transition, active, over):
        rewards.append(transition.rewards.copy())
        ends.append(over.copy())
        assert active.all()

    batch = asked.collect(lambda observations: np.full((2, 2), 0.3, np.float32), [3, 17], 25, after_step=remember)
    for row in (0, 1):
        told = np.concatenate([batch.rewards[e, : batch.lengths[e]] for e in np.flatnonzero(batch.rows == row)])
        assert (np.array(rewards)[:, row] == told).all()
        assert np.flatnonzero(np.array(ends)[:, row]).tolist() == [19, 24]


def test_coordinates_are_the_parameters_and_an_angle_is_a_place_on_the_circle():
    source = RevealingTrainingSource(POINT, [[0.0], [np.pi / 2], [2 * np.pi]], 0, Meter())
    np.testing.assert_allclose(source.coordinates(source.task_values), [[1, 0], [0, 1], [1, 0]], atol=1e-12)
    goals = RevealingTrainingSource(get_family("ant-goal"), [[1.0, -2.0]], 0, Meter())
    assert goals.coordinates(np.array([[0.5, 3.0]])).tolist() == [[0.5, 3.0]]
    signs = RevealingTrainingSource(get_family("cheetah-negated-joints"), [[1.0] * 6], 0, Meter())
    assert signs.coordinates(signs.task_values).shape == (1, 6)
