import numpy as np
import pytest
import torch

from algorithms.kit.replay import EpisodeStore, TaskIndex, on_device
from tasks.spec import EpisodeBatch, SpaceSpec

CPU = torch.device("cpu")
SPACES = SpaceSpec(observation_dim=3, action_dim=2, horizon=6)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def episodes(lengths, rows=None, tasks=None, terminated=None, seed=0):
    """Random episodes, padded with NaN, so that a padded value shows wherever it goes."""
    number, longest = len(lengths), max(lengths)
    draw = np.random.default_rng(seed).standard_normal
    batch = EpisodeBatch(
        observations=draw((number, longest + 1, 3)).astype(np.float32),
        actions=draw((number, longest, 2)).astype(np.float32),
        rewards=draw((number, longest)).astype(np.float32),
        lengths=np.array(lengths),
        terminated=np.zeros(number, bool) if terminated is None else np.array(terminated),
        rows=np.arange(number) if rows is None else np.array(rows),
        tasks=np.arange(number) if tasks is None else np.array(tasks),
    )
    for episode, length in enumerate(lengths):
        batch.observations[episode, length + 1 :] = np.nan
        batch.actions[episode, length:] = np.nan
        batch.rewards[episode, length:] = np.nan
    return batch


def check_episode(store, batch, episode, slots):
    """The slots of an episode give back exactly what was put in."""
    length = batch.lengths[episode]
    data = store.gather(slots)
    np.testing.assert_array_equal(data.observations, batch.observations[episode, :length])
    np.testing.assert_array_equal(data.next_observations, batch.observations[episode, 1 : length + 1])
    np.testing.assert_array_equal(data.actions, batch.actions[episode, :length])
    np.testing.assert_array_equal(data.rewards, batch.rewards[episode, :length])
    expected = np.zeros(length)
    expected[-1] = batch.terminated[episode]
    np.testing.assert_array_equal(data.terminated, expected)


def test_an_episode_of_t_steps_takes_t_plus_one_frames_and_comes_back_whole():
    store, batch = EpisodeStore(SPACES, 100, CPU), episodes([6, 2, 5], terminated=[False, True, False])
    slots = store.append(batch)
    assert store.size == 7 + 3 + 6
    assert [part.tolist() for part in slots] == [[0, 1, 2, 3, 4, 5], [7, 8], [10, 11, 12, 13, 14]]
    for episode in range(3):
        check_episode(store, batch, episode, slots[episode])
    assert torch.isfinite(store.frames).all()


def test_gathering_keeps_the_shape_of_the_slots():
    store = EpisodeStore(SPACES, 100, CPU)
    (slots,) = store.append(episodes([6]))
    data = store.gather(slots.reshape(3, 1, 2))
    assert data.observations.shape == data.next_observations.shape == (3, 1, 2, 3)
    assert data.actions.shape == (3, 1, 2, 2)
    assert data.rewards.shape == data.terminated.shape == (3, 1, 2)
    assert torch.equal(data.rewards.flatten(), store.gather(slots).rewards)


def test_the_store_grows_beyond_its_capacity_and_never_changes_what_it_holds():
    store, held = EpisodeStore(SPACES, 4, CPU), []
    for seed in range(8):
        batch = episodes([6, 3], seed=seed)
        held.append((batch, store.append(batch), store.frames.clone()))
    assert store.size == 8 * 11
    for batch, slots, frames in held:
        for episode in range(2):
            check_episode(store, batch, episode, slots[episode])
        assert torch.equal(store.frames[: len(frames)], frames)


def test_frames_given_back_continue_the_store():
    store, again = EpisodeStore(SPACES, 50, CPU), EpisodeStore(SPACES, 2, CPU)
    slots = store.append(episodes([6, 4]))
    again.extend(store.frames)
    assert torch.equal(again.frames, store.frames)
    for left, right in zip(store.gather(slots[1]), again.gather(slots[1])):
        assert torch.equal(left, right)
    assert torch.equal(store.append(episodes([3]))[0], again.append(episodes([3]))[0])


def test_remembering_enters_slots_by_task_and_returns_them_by_row():
    """Row 0 works on task 2, row 1 on task 0; episodes come in the order they ended."""
    store, views = EpisodeStore(SPACES, 100, CPU), [TaskIndex(3, CPU), TaskIndex(3, CPU)]
    rows = store.remember(episodes([2, 4, 3], rows=[1, 0, 1], tasks=[0, 2, 0]), views)
    assert [row.tolist() for row in rows] == [[3, 4, 5, 6], [0, 1, 8, 9, 10]]
    for view in views:
        assert view.lengths.tolist() == [5, 0, 4]
        assert view.held(0).tolist() == [0, 1, 8, 9, 10]
        assert view.held(2).tolist() == [3, 4, 5, 6]


def test_sampling_is_uniform_over_a_tasks_own_slots():
    index = TaskIndex(3, CPU)
    index.add(0, torch.arange(100, 150))
    index.add(2, torch.arange(500, 520))
    slots = index.sample(np.array([2, 0, 2]), 20_000, seeded()).numpy()
    assert slots.shape == (3, 20_000)
    for row, (low, number) in enumerate([(500, 20), (100, 50), (500, 20)]):
        counts = np.bincount(slots[row] - low, minlength=number)
        assert len(counts) == number
        expected = 20_000 / number
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        freedom = number - 1
        assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)
    assert not np.array_equal(slots[0], slots[2])
    assert np.array_equal(slots, index.sample(np.array([2, 0, 2]), 20_000, seeded()).numpy())


def test_sampling_a_task_without_data_names_it():
    index = TaskIndex(3, CPU)
    index.add(0, torch.arange(4))
    with pytest.raises(ValueError, match="task 2 has no transitions"):
        index.sample(np.array([0, 2]), 5, seeded())


def test_a_view_grows_and_then_forgets_the_oldest():
    index = TaskIndex(2, CPU, capacity=2500)
    for start in range(0, 3000, 300):
        index.add(1, torch.arange(start, start + 300))
        expected = range(max(0, start + 300 - 2500), start + 300)
        assert sorted(index.held(1).tolist()) == list(expected)
    assert index.lengths.tolist() == [0, 2500]
    assert index.counts.tolist() == [0, 3000]
    drawn = index.sample(np.array([1]), 20_000, seeded())
    assert 500 <= int(drawn.min()) < 520
    assert 2980 < int(drawn.max()) < 3000


def test_more_slots_at_once_than_a_view_holds_leave_the_newest():
    index = TaskIndex(1, CPU, capacity=4)
    index.add(0, torch.arange(11))
    assert sorted(index.held(0).tolist()) == [7, 8, 9, 10]
    index.add(0, torch.tensor([11, 12]))
    assert sorted(index.held(0).tolist()) == [9, 10, 11, 12]


def test_clearing_forgets_one_task_and_keeps_the_frames():
    store, index = EpisodeStore(SPACES, 100, CPU), TaskIndex(2, CPU)
    batch = episodes([6, 6])
    first, _ = store.remember(batch, [index])
    index.clear(0)
    assert index.lengths.tolist() == [0, 6]
    with pytest.raises(ValueError, match="task 0"):
        index.sample(np.array([0]), 1, seeded())
    check_episode(store, batch, 0, first)
    index.add(0, torch.tensor([40, 41]))
    assert set(index.sample(np.array([0]), 100, seeded()).flatten().tolist()) == {40, 41}


@pytest.mark.parametrize("capacity", [1_000_000, 40])
def test_a_state_restores_the_view_and_what_it_will_do_next(capacity):
    index = TaskIndex(3, CPU, capacity)
    for start in range(0, 2000, 50):
        index.add(start % 3, torch.arange(start, start + 50))
    index.clear(1)
    index.add(1, torch.arange(7))
    again = TaskIndex(3, CPU, capacity)
    again.load_state(index.state())
    for _ in range(2):
        tasks = np.array([0, 1, 2, 2])
        assert torch.equal(index.sample(tasks, 500, seeded(4)), again.sample(tasks, 500, seeded(4)))
        assert index.counts.tolist() == again.counts.tolist()
        for view in (index, again):
            view.add(0, torch.arange(9000, 9023))
            view.add(2, torch.arange(9100, 9150))


def test_a_state_does_not_follow_the_view():
    index = TaskIndex(1, CPU)
    index.add(0, torch.arange(5))
    state = index.state()
    index.add(0, torch.arange(5, 9))
    assert state["counts"].tolist() == [5]
    assert state["slots"].tolist() == [0, 1, 2, 3, 4]


def test_host_arrays_arrive_on_the_device_unchanged():
    values = np.array([3, 1, 2])
    moved = on_device(values, CPU)
    assert moved.dtype == torch.int64
    assert moved.tolist() == [3, 1, 2]


@pytest.mark.parametrize(("added", "held", "oldest_three"), [
    (4, [0, 1, 2, 3], {0, 1, 2}), (6, [0, 1, 2, 3, 4, 5], {0, 1, 2}), (8, [2, 3, 4, 5, 6, 7], {2, 3, 4}),
    (13, [7, 8, 9, 10, 11, 12], {7, 8, 9}),
])  # fmt: skip
def test_the_newest_and_the_oldest_slots_of_a_ring_that_may_have_wrapped(added, held, oldest_three):
    view = TaskIndex(2, CPU, capacity=6)
    for slot in range(added):
        view.add(1, torch.tensor([slot]))
    assert view.newest(1, len(held)).tolist() == held
    assert view.newest(1, 2).tolist() == held[-2:]
    tasks = np.array([1, 1])
    assert set(view.sample(tasks, 200, seeded(), oldest=3).flatten().tolist()) == oldest_three
    assert set(view.sample(tasks, 200, seeded(), oldest=99).flatten().tolist()) == set(held)
    with pytest.raises(ValueError, match="has 0 transitions, and the newest 2 were asked for"):
        view.newest(0, 2)
