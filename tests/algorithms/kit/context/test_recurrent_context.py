import numpy as np
import pytest
import torch

from algorithms.base import Transition
from algorithms.kit.context.recurrent_context import (
    EpisodeWindows,
    RunningHistory,
    gru_uniform,
    last_hidden,
    window_tokens,
)
from algorithms.kit.replay import EpisodeStore
from tasks.spec import EpisodeBatch, SpaceSpec

SPACES = SpaceSpec(observation_dim=2, action_dim=1, horizon=6)
LENGTHS = (6, 2, 5)
TIME, LEARNERS, ROWS, INPUT, HIDDEN = 5, 2, 3, 4, 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def networks(number):
    return [parameter.double() for parameter in gru_uniform(INPUT, HIDDEN, seeded(), number)]


def inputs():
    return torch.randn((TIME, LEARNERS, ROWS, INPUT), generator=seeded(1), dtype=torch.float64)


def torch_gru(parameters, member):
    """torch's own GRU with the parameters of one member of the ensemble."""
    module = torch.nn.GRU(INPUT, HIDDEN).double()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for name, parameter in zip(names, parameters):
        getattr(module, name).data = parameter[member].reshape(getattr(module, name).shape)
    return module


@pytest.mark.parametrize("per_learner", [1, 2])
def test_each_member_is_torchs_gru_on_its_learners_rows(per_learner):
    parameters, rows = networks(LEARNERS * per_learner), inputs()
    hidden = last_hidden(parameters, rows)
    assert hidden.shape == (LEARNERS * per_learner, ROWS, HIDDEN)
    for member in range(LEARNERS * per_learner):
        expected = torch_gru(parameters, member)(rows[:, member // per_learner])[1][0]
        torch.testing.assert_close(hidden[member], expected)


def test_the_initialisation_is_torchs():
    bound = HIDDEN**-0.5
    for parameter, like in zip(networks(200), torch_gru(networks(1), 0).parameters()):
        assert parameter[0].numel() == like.numel()
        assert 0.9 * bound < float(parameter.abs().max()) <= bound


@pytest.mark.parametrize("per_learner", [1, 2])
def test_gradients_against_finite_differences(per_learner):
    parameters = [parameter.requires_grad_() for parameter in networks(LEARNERS * per_learner)]
    assert torch.autograd.gradcheck(lambda *held: last_hidden(held, inputs()), parameters)


def test_a_step_left_out_is_a_step_not_made():
    parameters, rows = networks(LEARNERS), inputs()
    present = torch.ones((TIME, LEARNERS * ROWS), dtype=torch.bool)
    present[:2, 4] = False  # the second learner's second row
    hidden = last_hidden(parameters, rows, present)
    whole, short = last_hidden(parameters, rows), last_hidden(parameters, rows[2:])
    torch.testing.assert_close(hidden[1, 1], short[1, 1])
    assert not torch.allclose(whole[1, 1], short[1, 1])
    others = torch.ones((LEARNERS, ROWS), dtype=torch.bool)
    others[1, 1] = False
    torch.testing.assert_close(hidden[others], whole[others])
    trained = last_hidden([parameter.requires_grad_() for parameter in parameters], rows, present)
    with pytest.raises(RuntimeError, match="no gradient"):
        trained.sum().backward()


@pytest.fixture
def episodes():
    """Three episodes of random numbers in a store, with their windows of 4 and the slots of each."""
    draw = np.random.default_rng(0)
    longest, number = max(LENGTHS), len(LENGTHS)
    batch = EpisodeBatch(
        draw.standard_normal((number, longest + 1, 2)).astype(np.float32),
        draw.standard_normal((number, longest, 1)).astype(np.float32),
        draw.standard_normal((number, longest)).astype(np.float32), np.array(LENGTHS), np.array([False, True, False]),
        np.arange(number), np.arange(number),
    )  # fmt: skip
    store, windows = EpisodeStore(SPACES, 5, torch.device("cpu")), EpisodeWindows(4, torch.device("cpu"))
    slots = store.append(batch)
    for held in slots:
        windows.add(int(held[0]))
    return batch, store, windows, slots


def token(batch, episode, step):
    """(s, a, r) of a step; zeros before the first."""
    if step < 0:
        return np.zeros(4, np.float32)
    parts = (batch.observations[episode, step], batch.actions[episode, step], batch.rewards[episode, step, None])
    return np.concatenate(parts)


def test_a_window_holds_what_came_before_in_the_episode(episodes):
    batch, store, windows, slots = episodes
    for episode, length in enumerate(LENGTHS):
        found = windows.gather(store, slots[episode].reshape(1, -1))
        assert windows.steps(slots[episode]).tolist() == list(range(length))
        assert found.history.shape == found.next_history.shape == (4, 1, length, 4)
        for step in range(length):
            before = [token(batch, episode, earlier) for earlier in range(step - 4, step)]
            after = [*before[1:], token(batch, episode, step)]
            np.testing.assert_array_equal(found.history[:, 0, step], before)
            np.testing.assert_array_equal(found.next_history[:, 0, step], after)
        np.testing.assert_array_equal(found.transitions.rewards[0], batch.rewards[episode, :length])


def test_a_running_episode_sees_the_windows_that_training_sees(episodes):
    """Padding included: the public code evaluates on another padding than it trains on."""
    batch, store, windows, slots = episodes
    running = RunningHistory(len(LENGTHS), 4, SPACES)
    for step in range(max(LENGTHS)):
        for episode, length in enumerate(LENGTHS):
            if step < length:
                stored = windows.gather(store, slots[episode][step].reshape(1, 1)).history[:, 0, 0]
                np.testing.assert_array_equal(running.tokens[episode], stored)
                assert running.present[episode].tolist() == [step >= back for back in (4, 3, 2, 1)]
        active = np.array([step < length for length in LENGTHS])
        ends = np.array([step + 1 == length for length in LENGTHS])
        garbage = np.where(active[:, None], batch.observations[:, step], np.nan)
        transition = Transition(garbage, batch.actions[:, step], batch.rewards[:, step], garbage, ends)
        running.observe(transition, active, ends)
    assert not running.tokens.any()
    assert not running.steps.any()


def test_windows_of_any_frames_in_order():
    frames = torch.arange(1.0, 7.0).unsqueeze(1)  # an episode of two, then one of four
    tokens = window_tokens(frames, torch.arange(6), torch.tensor([0, 1, 0, 1, 2, 3]), 2)
    expected = [[0, 0, 0, 0, 3, 4], [0, 1, 0, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    assert tokens[..., 0].tolist() == expected


def test_episode_starts_grow_and_come_back():
    windows = EpisodeWindows(3, torch.device("cpu"))
    for start in range(0, 30_000, 10):
        windows.add(start)
    slots = torch.randint(30_000, (100,), generator=seeded())
    assert windows.steps(slots).tolist() == (slots % 10).tolist()
    again = EpisodeWindows(3, torch.device("cpu"))
    again.load_state(windows.state())
    again.add(30_000)
    assert again.steps(torch.tensor([29_999, 30_004])).tolist() == [9, 4]
    assert len(windows.state()["starts"]) == 3000
