"""Propensity scores: how much more likely a transition is in a new task's data than in the replay of others.

Fakoor et al. 2020, section 3.3: a logistic classifier between the two data sets gives the density ratio beta, and the
effective sample size of the weighted replay says how far it can be trusted. Each task has a classifier of its own.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor


class Classifier(NamedTuple):
    """Log odds of replay against new data, f(x) = w.x + b, of each task: (task, feature), (task,)."""

    weights: Tensor
    bias: Tensor

    def log_odds(self, features: Tensor) -> Tensor:
        """f of features (task, row, feature), (task, row)."""
        return torch.einsum("trf,tf->tr", features, self.weights) + self.bias.unsqueeze(1)


def logistic_regression(new: Tensor, replay: Tensor, inverse_penalty: float, correct_prior: bool = False) -> Classifier:
    """The classifier of each task's features, new (task, row, feature) against replay (task, other row, feature).

    scikit-learn's LogisticRegression(C=inverse_penalty), the bias unpenalised, in float64 and by Newton's method: the
    minimum is the same as that of its default solver, and found in a fiftieth of the time. With `correct_prior` its
    odds are ratios of densities, whatever the sizes of the two sets.
    """
    features = torch.cat([new, replay], dim=1).double().cpu().numpy()
    is_replay = np.repeat([0, 1], [new.shape[1], replay.shape[1]])
    model = LogisticRegression(C=inverse_penalty, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    fits = [(fitted.coef_[0], fitted.intercept_[0]) for fitted in (model.fit(rows, is_replay) for rows in features)]
    weights, bias = (torch.as_tensor(np.stack(field)).to(new) for field in zip(*fits))
    return Classifier(weights, bias - np.log(replay.shape[1] / new.shape[1]) if correct_prior else bias)


def propensity_weights(log_odds: Tensor, clip: float, floor: float) -> Tensor:
    """beta = exp(-f) with f clamped from below at -`clip`, and 0 where below `floor`; shape of `log_odds`."""
    weights = (-log_odds).clamp_max(clip).exp()
    return torch.where(weights < floor, 0.0, weights)


def effective_sample_size(weights: Tensor) -> Tensor:
    """(sum beta)^2 / (n sum beta^2) over rows: 1 if all n weights (task, n) are equal, towards 0 if few count."""
    total, squares = weights.sum(1), weights.square().sum(1)
    return total.square() / (weights.shape[1] * squares).clamp_min(1e-12)


def proximal_strength(weights: Tensor, asked: float | Literal["ess"]) -> Tensor:
    """lambda of each task: 1 - the effective sample size of its weights (task, n), or the number asked for; (task,)."""
    return 1 - effective_sample_size(weights) if asked == "ess" else torch.full_like(weights[:, 0], asked)
