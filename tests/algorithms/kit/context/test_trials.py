"""Trials as they were lived: rows of a collection in order, a ring of the newest, an index of a replay."""

import numpy as np
import pytest
import torch

from algorithms.kit.context.belief import Histories
from algorithms.kit.context.trials import TrialIndex, TrialRing, histories_of
from algorithms.kit.replay import EpisodeStore
from algorithms.kit.views import View
from tasks.spec import EpisodeBatch, SpaceSpec

CPU = torch.device("cpu")
SPACES = SpaceSpec(observation_dim=3, action_dim=2, horizon=5, views={"two": (0, 2)})


def batch_of(lengths, rows, seed=0):
    """Episodes of these lengths, of these rows of the request, in the order in which they ended."""
    draw, number, longest = np.random.default_rng(seed), len(lengths), max(lengths)
    return EpisodeBatch(
        draw.standard_normal((number, longest + 1, 3)).astype(np.float32),
        draw.standard_normal((number, longest, 2)).astype(np.float32),
        draw.standard_normal((number, longest)).astype(np.float32),
        np.array(lengths), np.zeros(number, bool), np.array(rows), np.array(rows),
    )  # fmt: skip


BATCH = batch_of([2, 5, 4, 1], [1, 0, 1, 0])  # two rows of six steps


def check(histories, view=slice(None)):
    """That they are the rows of `BATCH`: row 0 is episodes 1 and 3, row 1 episodes 0 and 2."""
    for row, episodes in enumerate([(1, 3), (0, 2)]):
        for field, of_batch, shift in (
            (histories.observations, BATCH.observations, 0), (histories.next_observations, BATCH.observations, 1),
            (histories.actions, BATCH.actions, 0), (histories.rewards, BATCH.rewards, 0),
        ):  # fmt: skip
            parts = [of_batch[episode, shift : shift + BATCH.lengths[episode]] for episode in episodes]
            wanted = np.concatenate(parts)
            wanted = wanted[:, view] if of_batch is BATCH.observations else wanted
            np.testing.assert_array_equal(field[row].numpy(), wanted)
    assert histories.lengths.tolist() == [6, 6]


@pytest.mark.parametrize(("name", "view"), [("full", slice(None)), ("two", [0, 2])])
def test_rows_are_their_episodes_one_after_the_other(name, view):
    check(histories_of(BATCH, View(SPACES, name), CPU), view)


@pytest.mark.parametrize(("name", "view"), [("full", slice(None)), ("two", [0, 2])])
def test_an_index_finds_the_same_rows_in_a_store(name, view):
    store, index = EpisodeStore(SPACES, 100, CPU), TrialIndex(CPU)
    index.add(store.remember(BATCH, ()))
    check(index.histories(torch.tensor([0, 1]), store, View(SPACES, name)), view)


def test_an_index_holds_trials_of_unequal_lengths_and_comes_back_from_its_state():
    store, index = EpisodeStore(SPACES, 100, CPU), TrialIndex(CPU)
    index.add(store.remember(BATCH, ()))
    longer = batch_of([5, 5], [0, 0], seed=1)
    index.add(store.remember(longer, ()))
    assert len(index) == 3
    assert index.lengths(torch.arange(3)).tolist() == [6, 6, 10]
    data = index.histories(torch.tensor([2, 0]), store, View(SPACES))
    assert data.rewards.shape == (2, 10)
    np.testing.assert_array_equal(data.rewards[0], longer.rewards.reshape(-1))
    np.testing.assert_array_equal(data.rewards[1, :6], np.r_[BATCH.rewards[1, :5], BATCH.rewards[3, :1]])
    copy = TrialIndex(CPU)
    copy.load_state(index.state())
    assert len(copy) == 3
    for one, other in zip(data, copy.histories(torch.tensor([2, 0]), store, View(SPACES))):
        assert torch.equal(one, other)


def trials_of(numbers):
    """Trials of three steps that hold their number everywhere."""
    value = torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1)
    wide, narrow = value.expand(-1, 3, 2), value[:, :, 0].expand(-1, 3)
    return Histories(wide, wide, narrow, wide, torch.full((len(numbers),), 3))


def kept(ring):
    """The numbers of the trials that a ring holds."""
    return sorted(ring.sample(100, torch.Generator().manual_seed(0)).rewards[:, 0].tolist())


def test_a_ring_forgets_the_oldest_and_its_memory_is_bounded():
    ring = TrialRing(5)
    for first in range(0, 12, 2):
        ring.add(trials_of([first, first + 1]))
        assert kept(ring) == list(range(max(0, first - 3), first + 2))
    assert len(ring) == 5
    assert len(ring._fields.lengths) == 5
    ring.add(trials_of(list(range(20, 30))))  # more at once than it holds
    assert kept(ring) == list(range(25, 30))


def test_a_sample_has_no_trial_twice_and_all_fields_of_one():
    ring = TrialRing(10)
    ring.add(trials_of(list(range(8))))
    sample = ring.sample(6, torch.Generator().manual_seed(1))
    assert len(set(sample.rewards[:, 0].tolist())) == 6
    for field in sample[:4]:
        assert (field.reshape(6, -1) == sample.rewards[:, :1]).all()


@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_ring_comes_back_from_its_state_and_goes_on_alike(number):
    ring, copy = TrialRing(5), TrialRing(5)
    if number:
        ring.add(trials_of(list(range(number))))
    copy.load_state({name: value.clone() if torch.is_tensor(value) else value for name, value in ring.state().items()})
    for each in (ring, copy):
        each.add(trials_of([50, 51]))
    one, other = (each.sample(3, torch.Generator().manual_seed(2)) for each in (ring, copy))
    assert all(torch.equal(left, right) for left, right in zip(one, other))
    assert kept(ring) == kept(copy)


def test_an_empty_ring_has_no_sample():
    with pytest.raises(ValueError, match="no trial was added yet"):
        TrialRing(3).sample(1, torch.Generator())
