import numpy as np
import pytest
import torch

from algorithms.kit.replay import EpisodeStore
from algorithms.kit.trial_replay import TrialReplay
from tasks.spec import EpisodeBatch, SpaceSpec

CPU = torch.device("cpu")
SPACES = SpaceSpec(observation_dim=2, action_dim=1, horizon=6)
LENGTH = 10  # transitions of a trial
# Episodes of three trials in the order they end: (row, length, fell). The first trial is cut in its second episode, the
# second one falls after 3 steps and ends with a whole episode's end, the third one ends with a fall.
LIVED = ((1, 4, True), (0, 6, False), (2, 6, False), (0, 4, False), (1, 6, False), (2, 4, True))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def collection(episodes=LIVED, seed=0):
    """Random episodes, padded with NaN, so that a padded value shows wherever it goes."""
    draw, number = np.random.default_rng(seed).standard_normal, len(episodes)
    rows, lengths, fell = (np.array(field) for field in zip(*episodes))
    batch = EpisodeBatch(
        draw((number, 7, 2)).astype(np.float32), draw((number, 6, 1)).astype(np.float32),
        draw((number, 6)).astype(np.float32), lengths, fell.astype(bool), rows, rows,
    )  # fmt: skip
    for episode, length in enumerate(lengths):
        batch.observations[episode, length + 1 :] = np.nan
        batch.actions[episode, length:] = np.nan
        batch.rewards[episode, length:] = np.nan
    return batch


def filled(*seeds, capacity=1000):
    store = EpisodeStore(SPACES, 200, CPU)
    replay = TrialReplay(store, LENGTH, capacity, CPU)
    for seed in seeds:
        replay.add(collection(seed=seed))
    return replay


def everything(replay):
    """All trials, in the order of the ring."""
    return replay.gather(replay._slots.held(0).unflatten(0, (-1, replay.length)).T)


def expected(batch, row):
    """Observations and what was before them (11 steps), actions, rewards and terminations of a trial, step by step."""
    observations, previous, actions, rewards, fell = [], [np.zeros(3)], [], [], []
    for episode in np.flatnonzero(batch.rows == row):
        length = batch.lengths[episode]
        for step in range(length):
            ended = step == length - 1 and (batch.terminated[episode] or length == SPACES.horizon)
            observations.append(batch.observations[episode, step])
            actions.append(batch.actions[episode, step])
            rewards.append(batch.rewards[episode, step])
            fell.append(float(step == length - 1 and batch.terminated[episode]))
            previous.append(np.array([*actions[-1], rewards[-1], float(ended)]))
    observations.append(observations[0] if ended else batch.observations[episode, length])
    return [np.stack(field) for field in (observations, previous, actions, rewards, fell)]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_trial_is_its_episodes_one_after_the_other(row):
    trials = everything(filled(3))
    assert trials.observations.shape == (LENGTH + 1, 3, 2)
    assert trials.previous.shape == (LENGTH + 1, 3, 3)
    for field, values in zip(trials, expected(collection(seed=3), row)):
        np.testing.assert_array_equal(field[:, row], values.astype(np.float32))


def test_flags_say_where_episodes_end_and_terminations_where_they_fall():
    trials = everything(filled(0))
    flags = trials.previous[..., 2].T
    assert flags.nonzero().tolist() == [[0, 6], [1, 4], [1, 10], [2, 6], [2, 10]]  # a cut at step 10 is no end
    assert trials.terminated.T.nonzero().tolist() == [[1, 3], [2, 9]]
    starts = trials.observations[-1] == trials.observations[0]
    assert starts.all(1).tolist() == [False, True, True]


def test_a_trial_of_one_step_is_an_end_only_if_its_episode_is_over():
    store = EpisodeStore(SpaceSpec(observation_dim=2, action_dim=1, horizon=1), 20, CPU)
    replay = TrialReplay(store, 1, 100, CPU)
    replay.add(collection(((0, 1, False),)))
    assert everything(replay).previous[-1, 0, 2] == 1
    longer = TrialReplay(EpisodeStore(SPACES, 20, CPU), 1, 100, CPU)
    longer.add(collection(((0, 1, False),)))
    assert everything(longer).previous[-1, 0, 2] == 0


def test_beyond_its_capacity_the_oldest_trials_are_forgotten_whole():
    replay = filled(0, 1, capacity=49)  # four trials of 10
    assert len(replay) == 4
    rewards = everything(replay).rewards.T
    new = [expected(collection(seed=1), row)[3] for row in (0, 1, 2)]
    old = expected(collection(seed=0), 2)[3]  # the last of the first collection
    for trial in (old, *new):
        assert (rewards == torch.as_tensor(trial)).all(1).sum() == 1


def test_trials_are_drawn_uniformly_and_by_the_generator():
    replay = filled(0, 1)
    drawn = replay.sample(3000, seeded())
    assert drawn.rewards.shape == (LENGTH, 3000)
    each = [(drawn.rewards == trial.unsqueeze(1)).all(0).sum() for trial in everything(replay).rewards.T]
    assert sum(each) == 3000
    assert all(400 < number < 600 for number in each)
    assert torch.equal(replay.sample(3000, seeded()).rewards, drawn.rewards)
    assert not torch.equal(replay.sample(3000, seeded(1)).rewards, drawn.rewards)


def test_a_state_brings_the_same_trials_back():
    replay, again = filled(0, 1, capacity=49), filled(capacity=49)
    again.store.extend(replay.store.frames)
    again.load_state(replay.state())
    for left, right in zip(replay.sample(20, seeded()), again.sample(20, seeded())):
        assert torch.equal(left, right)
    for one in (replay, again):
        one.add(collection(seed=5))
    for left, right in zip(everything(replay), everything(again)):
        assert torch.equal(left, right)
