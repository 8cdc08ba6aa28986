"""Propensity scores: how much more likely a transition is in a new task's data than in the replay of others.

Fakoor et al. 2020, section 3.3: a logistic classifier between the two data sets gives the density ratio beta, and the
effective sample size of the weighted replay says how far it can be trusted. Many tasks are fitted at once, each with
a classifier of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

NEWTON_STEPS = 25
DAMPINGS = (1.0, 0.5, 0.2, 0.05, 0.01, 0.0)  # of a Newton step, the best counts; a convex function needs no others


class Classifier(NamedTuple):
    """Log odds of replay against new data, f(x) = w.x + b, of each task: (task, feature), (task,)."""

    weights: Tensor
    bias: Tensor

    def log_odds(self, features: Tensor) -> Tensor:
        """f of features (task, row, feature), (task, row)."""
        return torch.einsum("trf,tf->tr", features, self.weights) + self.bias.unsqueeze(1)


def logistic_regression(new: Tensor, replay: Tensor, inverse_penalty: float) -> Classifier:
    """The classifier of each task's features, new (task, row, feature) against replay (task, other row, feature).

    Minimises 0.5 |w|^2 + C * sum log(1 + exp(-y f(x))) with y = -1 for new and +1 for replay and no penalty on b: the
    objective of scikit-learn's LogisticRegression(C=inverse_penalty), whose minimum is unique. Newton's method in
    float64 on the features' device, in place of scikit-learn's L-BFGS: all tasks in one batch, nothing read back.
    """
    features = torch.cat([new, replay], dim=1).double()
    features = torch.cat([features, torch.ones_like(features[..., :1])], dim=2)
    labels = features.new_ones(features.shape[1])
    labels[: new.shape[1]] = -1.0
    penalty = features.new_ones(features.shape[2])
    penalty[-1] = 0.0
    dampings = features.new_tensor(DAMPINGS).reshape(-1, 1, 1)

    def objective(theta: Tensor) -> Tensor:
        margins = labels * torch.einsum("trf,...tf->...tr", features, theta)
        return 0.5 * (penalty * theta.square()).sum(-1) + inverse_penalty * functional.softplus(-margins).sum(-1)

    theta = features.new_zeros((len(features), features.shape[2]))
    # The bias has curvature only while some row is in doubt: a trace of it keeps the system solvable.
    ridge = torch.diag(penalty + 1e-10)
    for _ in range(NEWTON_STEPS):
        wrong = torch.sigmoid(-labels * torch.einsum("trf,tf->tr", features, theta))
        gradient = penalty * theta - inverse_penalty * torch.einsum("trf,tr->tf", features, labels * wrong)
        curvature = inverse_penalty * features.transpose(1, 2) @ (features * (wrong * (1 - wrong)).unsqueeze(2))
        newton = torch.linalg.solve_ex(curvature + ridge, gradient.unsqueeze(2))[0].squeeze(2)
        tried = theta - dampings * newton
        best = objective(tried).nan_to_num(nan=torch.inf).argmin(0)
        theta = tried.gather(0, best.reshape(1, -1, 1).expand(1, *theta.shape))[0]
    theta = theta.to(new.dtype)
    return Classifier(theta[:, :-1], theta[:, -1])


def propensity_weights(log_odds: Tensor, clip: float, floor: float) -> Tensor:
    """beta = exp(-f) with f clamped from below at -`clip`, and 0 where below `floor`; shape of `log_odds`."""
    weights = (-log_odds).clamp_max(clip).exp()
    return torch.where(weights < floor, 0.0, weights)


def effective_sample_size(weights: Tensor) -> Tensor:
    """(sum beta)^2 / (n sum beta^2) over rows: 1 if all n weights (task, n) are equal, towards 0 if few count."""
    total, squares = weights.sum(1), weights.square().sum(1)
    return total.square() / (weights.shape[1] * squares).clamp_min(1e-12)
