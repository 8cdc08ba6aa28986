"""A model in use, by hand: which rows are adapted, that the meta-trained parameters stay, and what is judged."""

import numpy as np
import pytest
import torch

from algorithms.kit.model_based import dynamics
from algorithms.kit.model_based.online_model import OnlineModel
from algorithms.kit.networks import as_leaves, frozen, glorot_uniform
from algorithms.kit.replay import Transitions

ROWS, PAST = 3, 4


def transitions(steps, seed):
    generator = torch.Generator().manual_seed(seed)
    before, after = torch.randn((2, ROWS, steps, 2), generator=generator)
    actions, nothing = torch.randn((ROWS, steps, 1), generator=generator), torch.zeros(ROWS, steps)
    return Transitions(before, actions, nothing, after, nothing)


@pytest.fixture
def model():
    """A small network, and inner steps of size 0.5 whatever the gradient."""
    theta = frozen(as_leaves(glorot_uniform([3, 5, 2], torch.Generator().manual_seed(0))))
    normalisation = dynamics.Normalisation(torch.zeros(3), torch.ones(3), torch.zeros(2), torch.ones(2))
    return OnlineModel(theta, normalisation, lambda gradient: torch.full((ROWS, 1, 1), 0.5), ROWS)


def mask(*rows):
    return np.isin(np.arange(ROWS), rows)


def stepped(model, past, row):
    """The network of a row after a step of plain gradient descent, by autograd."""
    theta = as_leaves(model.theta)
    predicted = dynamics.outputs(theta, model.normalisation.inputs(past)[[row]])
    loss = (predicted - model.normalisation.targets(past)[[row]]).square().mean()
    return [parameter.detach() - 0.5 * slope for parameter, slope in zip(theta, torch.autograd.grad(loss, theta))]


def test_only_the_rows_of_the_mask_are_adapted_and_always_from_the_meta_trained_parameters(model):
    before = [parameter.clone() for parameter in model.theta]
    step, weights = transitions(1, seed=9), torch.full((ROWS, PAST), 1 / PAST)
    for seed, rows in ((1, (0, 2)), (2, (0, 1, 2)), (3, (1,))):
        past = transitions(PAST, seed)
        model.adapt(past, weights, mask(*rows))
        predict = model.predictor(at_once=2, precision="fp32")
        found = predict(step.observations, step.actions)
        for row in range(ROWS):
            network = stepped(model, past, row) if row in rows else model.theta
            changes = dynamics.outputs(network, model.normalisation.inputs(step)[[row]])
            torch.testing.assert_close(found[[row]], step.observations[[row]] + changes)
    assert all(torch.equal(left, right) for left, right in zip(before, model.theta))
    model.adapt(past, weights, mask())
    assert model.gradient is None


def test_predictions_are_judged_where_asked_and_only_once_something_is_adapted(model):
    past, step = transitions(PAST, seed=1), transitions(1, seed=2)
    model.judge(step, mask(0, 1, 2))
    assert np.isnan(model.errors()["prediction_loss"]).all()
    model.adapt(past, torch.full((ROWS, PAST), 1 / PAST), mask(0, 1))
    for number in (2, 3):
        model.judge(transitions(1, seed=number), mask(1))
    found = model.errors()
    assert np.isfinite(found["prediction_loss"]).tolist() == [False, True, False]
    wanted = np.zeros(2)
    for number in (2, 3):
        step = transitions(1, seed=number)
        for place, network in enumerate((stepped(model, past, 1), model.theta)):
            predicted = dynamics.outputs(network, model.normalisation.inputs(step)[[1]])
            wanted[place] += float((predicted - model.normalisation.targets(step)[[1]]).square().mean()) / 2
    assert found["prediction_loss"][1] == pytest.approx(wanted[0], rel=1e-5)
    assert found["prediction_loss_unadapted"][1] == pytest.approx(wanted[1], rel=1e-5)
