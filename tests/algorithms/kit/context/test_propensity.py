import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from algorithms.kit.context.propensity import Classifier, effective_sample_size, logistic_regression, propensity_weights


def drawn(*shape, seed=0, mean=0.0):
    return mean + torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def objective(theta, new, replay, inverse_penalty):
    """scikit-learn's, with y = -1 for new and +1 for replay."""
    weights, bias = theta[:-1], theta[-1]
    losses = np.logaddexp(0, new @ weights + bias).sum() + np.logaddexp(0, -(replay @ weights + bias)).sum()
    return 0.5 * weights @ weights + inverse_penalty * losses


@pytest.mark.parametrize("inverse_penalty", [0.05, 1.0, 100.0])
def test_the_fit_is_the_minimum_of_the_penalised_likelihood(inverse_penalty):
    new, replay = drawn(2, 30, 3), drawn(2, 50, 3, seed=1, mean=0.7)
    fitted = logistic_regression(new, replay, inverse_penalty)
    for task in range(2):
        data = new[task].double().numpy(), replay[task].double().numpy(), inverse_penalty
        found = np.append(fitted.weights[task].numpy(), float(fitted.bias[task]))
        best = minimize(objective, np.zeros(4), args=data, method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_tasks_are_fitted_apart():
    new, replay = drawn(3, 20, 2), drawn(3, 30, 2, seed=1, mean=1.0)
    together = logistic_regression(new, replay, 0.5)
    for task in range(3):
        alone = logistic_regression(new[task : task + 1], replay[task : task + 1], 0.5)
        torch.testing.assert_close(alone.weights[0], together.weights[task])
        torch.testing.assert_close(alone.bias[0], together.bias[task])


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_separable_and_constant_features_have_a_finite_fit(scale):
    new, replay = drawn(1, 20, 2, mean=-5.0) * scale, drawn(1, 30, 2, seed=1, mean=5.0) * scale
    fitted = logistic_regression(new, replay, 1e3)
    assert torch.isfinite(fitted.log_odds(new)).all()
    assert (fitted.log_odds(new) < -1).all()
    assert (fitted.log_odds(replay) > 1).all()
    constant = logistic_regression(torch.ones(1, 20, 2), torch.ones(1, 60, 2), 1.0)
    odds = constant.log_odds(torch.ones(1, 1, 2))
    assert float(odds) == pytest.approx(np.log(3), abs=1e-4)  # the prior, which nothing corrects here


def test_weights_are_the_ratio_of_the_densities():
    """N(1, 1) against N(0, 1): log ratio x - 1/2."""
    new, replay = drawn(1, 20_000, 1, mean=1.0), drawn(1, 20_000, 1, seed=1)
    fitted = logistic_regression(new, replay, 10.0)
    places = torch.tensor([-1.0, 0.5, 2.0]).reshape(1, 3, 1)
    weights = propensity_weights(fitted.log_odds(places), clip=10.0, floor=0.0)
    np.testing.assert_allclose(weights[0].log().numpy(), [-1.5, 0.0, 1.5], atol=0.1)


def test_one_distribution_gives_uniform_weights():
    fitted = logistic_regression(drawn(4, 200, 15), drawn(4, 200, 15, seed=1), 0.1)
    weights = propensity_weights(fitted.log_odds(drawn(4, 1000, 15, seed=2)), clip=1.0, floor=0.1)
    assert (weights.mean(1) - 1).abs().max() < 0.15
    assert effective_sample_size(weights).min() > 0.8


def test_log_odds_by_hand():
    classifier = Classifier(torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([0.5, -1.0]))
    features = torch.tensor([[[1.0, 1.0]], [[5.0, 2.0]]])
    assert classifier.log_odds(features).tolist() == [[1.5], [5.0]]


def test_weights_are_clipped_and_small_ones_dropped():
    log_odds = torch.tensor([-3.0, -1.0, 0.0, 2.0, 2.4])
    weights = propensity_weights(log_odds, clip=1.5, floor=0.1)
    np.testing.assert_allclose(weights, [np.exp(1.5), np.exp(1), 1, np.exp(-2), 0], rtol=1e-6)


def test_effective_sample_size_by_hand():
    weights = torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(effective_sample_size(weights), [1, 0.5, 0.4, 0])
