"""The model of one task: its units, what it is fitted to, and what it never sees."""

import numpy as np
import pytest
import torch

from algorithms.kit.model_based.dynamics import Normalisation
from algorithms.kit.model_based.task_model import (
    TaskModel,
    TaskModelSettings,
    fit_task_models,
    fitted,
    pretrained,
    replay_scales,
)  # fmt: skip
from algorithms.kit.replay import EpisodeStore, TaskIndex, Transitions
from tasks.spec import EpisodeBatch, SpaceSpec

CPU = torch.device("cpu")
STATE, ACTION, EPISODE, NUM_TASKS = 3, 2, 40, 5
SETTINGS = TaskModelSettings(
    model_hidden=(16, 16), model_learning_rate=1e-2, model_steps=60, model_look_every=10, model_batch=50
)  # fmt: skip


def settings_with(**changes):
    return TaskModelSettings.model_validate(SETTINGS.model_dump() | changes)


SCALES = Normalisation(
    torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0]), torch.tensor([2.0, 1.0, 4.0, 0.5, 1.0]),
    torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 2.0, 1.0]),
)  # fmt: skip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(predicts_dynamics=True, scales=SCALES):
    return TaskModel(
        STATE, ACTION, (8, 8), predicts_dynamics=predicts_dynamics, negative_slope=0.2, normalisation=scales
    )


def data_of(tasks=2, rows=30, seed=0, slope=1.0):
    """Reward = slope * s_0 + a_0 and s' = s + 0.1 a_0 in every dimension, plus a little noise."""
    draw = torch.randn((tasks, rows, STATE + ACTION + 1), generator=seeded(seed))
    states, actions = draw[..., :STATE], torch.tanh(draw[..., STATE : STATE + ACTION])
    following = states + 0.1 * actions[..., :1] + 0.01 * draw[..., -1:]
    rewards = slope * states[..., 0] + actions[..., 0] + 0.01 * draw[..., -1]
    return Transitions(states, actions, rewards, following, torch.zeros((tasks, rows)))


@pytest.fixture
def prior():
    """A store of one episode per training task, with task 3 never visited; (store, index)."""
    store = EpisodeStore(SpaceSpec(observation_dim=STATE, action_dim=ACTION, horizon=EPISODE), 10, CPU)
    index = TaskIndex(NUM_TASKS, CPU)
    draw = np.random.default_rng(0).standard_normal
    batch = EpisodeBatch(
        (3 + 2 * draw((4, EPISODE + 1, STATE))).astype(np.float32), draw((4, EPISODE, ACTION)).astype(np.float32),
        draw((4, EPISODE)).astype(np.float32), np.full(4, EPISODE), np.zeros(4, bool), np.arange(4),
        np.array([0, 1, 2, 4]),
    )  # fmt: skip
    store.remember(batch, [index])
    return store, index, batch


def test_inputs_and_changes_are_normalised_rewards_are_not():
    data = data_of(1, 4)
    expected = (torch.cat([data.observations, data.actions], -1) - SCALES.input_mean) / SCALES.input_scale
    torch.testing.assert_close(build().inputs(data), expected)
    targets = build().targets(data)
    assert torch.equal(targets[..., 0], data.rewards)
    changes = data.next_observations - data.observations
    torch.testing.assert_close(targets[..., 1:] * SCALES.change_scale + SCALES.change_mean, changes)
    assert torch.equal(build(False).targets(data), data.rewards.unsqueeze(-1))


def constant(model, outputs):
    """Parameters of a network that always gives the same mean and a log variance of log 0.04."""
    parameters = [torch.zeros_like(parameter) for parameter in model.initial(seeded())]
    mean = torch.tensor(outputs)
    parameters[-3][0, 0, : len(outputs)] = mean
    parameters[-3][0, 0, len(outputs) :] = float(np.log(0.04))
    parameters[-2] += 30.0  # bounds that are far away
    parameters[-1] -= 30.0
    return parameters


def test_draws_are_in_their_own_units():
    """Normalised mean (1, 1, 1) and deviation 0.2: s' - s = mean * scale + centre; the reward is the mean itself."""
    model, data = build(), data_of(1, 4)
    parameters, noise = constant(model, [5.0, 1.0, 1.0, 1.0]), torch.zeros((1, 4, 4))
    drawn = model.sample(parameters, data, torch.zeros((1, 0)), noise)
    torch.testing.assert_close(drawn, torch.tensor([5.0, 0.6, 2.2, 1.3]).expand(1, 4, 4))
    moved = model.sample(parameters, data, torch.zeros((1, 0)), noise + 1)
    torch.testing.assert_close(moved - drawn, 0.2 * torch.tensor([1.0, 0.5, 2.0, 1.0]).expand(1, 4, 4))
    rewards = build(False)
    alone = rewards.sample(constant(rewards, [5.0]), data, torch.zeros((1, 0)), torch.ones((1, 4, 1)))
    torch.testing.assert_close(alone, torch.full((1, 4, 1), 5.2))


def test_losses_by_hand():
    """(r - m)^2 / v + log v of the reward, plus the same of the normalised changes, mean over dimensions and rows."""
    model, data = build(), data_of(2, 6)
    parameters = constant(model, [0.5, 0.0, 0.0, 0.0])
    errors = (model.targets(data) - torch.tensor([0.5, 0.0, 0.0, 0.0])).square() / 0.04 + np.log(0.04)
    torch.testing.assert_close(
        model.losses(parameters, data), errors[..., 0].mean(1) + errors[..., 1:].mean((1, 2)), rtol=1e-4, atol=1e-4
    )


def test_scales_are_those_of_all_stored_transitions_and_rewards_have_no_part(prior):
    store, index, batch = prior
    scales = replay_scales(store, index)
    states, actions = batch.observations[:, :-1].reshape(-1, STATE), batch.actions.reshape(-1, ACTION)
    changes = np.diff(batch.observations, axis=1).reshape(-1, STATE)
    inputs = np.concatenate([states, actions], axis=1)
    for value, expected in zip(scales, (inputs.mean(0), inputs.std(0), changes.mean(0), changes.std(0))):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    store.frames[:, STATE + ACTION] = 1e9
    for value, expected in zip(replay_scales(store, index), scales):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_a_fit_explains_fresh_transitions_of_its_own_task_and_not_of_another(prior, predicts_dynamics):
    store, index, _ = prior
    slopes = torch.tensor([[1.0], [-1.0]])
    fit, held_out, fresh = (data_of(2, rows, seed, slopes) for seed, rows in ((0, 80), (1, 20), (2, 100)))
    # Rewards of both tasks are drawn from the same states: fresh data of each are the other's with another slope.
    settings = settings_with(predicts="dynamics" if predicts_dynamics else "reward", model_steps=300)
    result = fit_task_models(settings, store, index, fit, held_out, seeded())
    losses = result.model.losses(result.parameters, fresh)
    swapped = result.model.losses([parameter.flip(0) for parameter in result.parameters], fresh)
    assert (losses < swapped - 1).all()
    start = result.model.losses(result.model.initial(seeded()), fresh)
    assert (losses < start - 1).all()
    torch.testing.assert_close(result.diagnostics["held_out_loss"], result.model.losses(result.parameters, held_out))
    torch.testing.assert_close(result.diagnostics["fit_loss"], result.model.losses(result.parameters, fit))
    assert (result.diagnostics["model_steps"] > 0).all()


def test_those_parameters_count_that_explain_the_held_out_data_best():
    """Task 0's held-out data agree with what it fits; task 1's say the opposite, so that it had better not begin."""
    model = build()
    start = model.initial(seeded(1))
    fit = data_of(2, 40, 0, slope=3.0)
    held_out = data_of(2, 40, 1, slope=torch.tensor([[3.0], [-30.0]]))
    looked = []
    original = model.losses

    def spy(parameters, data):
        losses = original(parameters, data)
        if data is held_out:
            looked.append(losses)
        return losses

    model.losses = spy
    best, steps = fitted(SETTINGS, model, start, fit, held_out)
    assert len(looked) == 1 + 6
    expected = torch.stack(looked)
    torch.testing.assert_close(original(best, held_out), expected.amin(0))
    assert steps.tolist() == [10.0 * int(place) for place in expected.argmin(0)]
    assert steps[0] > 0
    short, few = fitted(settings_with(model_steps=13, model_look_every=5), model, start, fit, held_out)
    assert few[0] == 13  # the last step is looked at too
    assert not torch.equal(short[0][0], best[0][0])


def test_tasks_are_fitted_side_by_side_as_they_would_be_alone():
    model, fit, held_out = build(), data_of(2, 30), data_of(2, 10, 1)
    start = model.initial(seeded(1))
    both, _ = fitted(SETTINGS, model, start, fit, held_out)
    for task in (0, 1):
        own = (Transitions(*(field[task : task + 1] for field in part)) for part in (fit, held_out))
        alone, _ = fitted(SETTINGS, model, start, *own)
        for left, right in zip(both, alone):
            torch.testing.assert_close(left[task], right[0], rtol=1e-3, atol=1e-4)


def test_pretraining_explains_the_replay_better_and_none_is_the_random_network(prior):
    store, index, _ = prior
    model = build(scales=replay_scales(store, index))
    pooled = store.gather(torch.cat([index.held(task) for task in (0, 1, 2, 4)]).unsqueeze(0))
    random = pretrained(SETTINGS, model, store, index, seeded(3))
    for left, right in zip(random, model.initial(seeded(3))):
        assert torch.equal(left, right)
    trained = pretrained(settings_with(model_pretraining_steps=100), model, store, index, seeded(3))
    assert float(model.losses(trained, pooled)) < float(model.losses(random, pooled)) - 1
    assert not any(parameter.requires_grad for parameter in trained)
