"""A meta-trained model while it is used: adapted to each row's last transitions, planned with, and judged.

Nothing here changes the meta-trained parameters; each inner step starts from them (Nagabandi, Clavera et al. 2018,
Algorithm 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.model_based import dynamics
from algorithms.kit.networks import Precision
from algorithms.kit.replay import Transitions

StepSizes = Callable[[dynamics.InnerStep], Tensor]
"""The gradient of each row's loss -> the size of its inner step, (row, 1, 1)."""


class OnlineModel:
    """One model per row, all from the same meta-trained one.

    gradient: the inner step's, None while no row is adapted; rates: its size per row, (row, 1, 1), 0 in those that are
    not.
    """

    def __init__(
        self, theta: Sequence[Tensor], normalisation: dynamics.Normalisation, step_sizes: StepSizes, rows: int
    ) -> None:
        self.theta, self.normalisation, self.step_sizes, self.rows = theta, normalisation, step_sizes, rows
        self.device = theta[0].device
        self.gradient: dynamics.InnerStep | None = None
        self.rates = torch.zeros((rows, 1, 1), device=self.device)
        self._errors = np.zeros((3, rows))  # of predictions: adapted, unadapted, how many

    def adapt(self, past: Transitions, weights: Tensor, which: np.ndarray) -> None:
        """Take the inner step on transitions (row, past, ...) and their weights (row, past), in the rows of a mask."""
        self.gradient = None
        if not which.any():
            return
        inputs, targets = self.normalisation.inputs(past), self.normalisation.targets(past)
        self.gradient = dynamics.inner_step(self.theta, inputs, targets, weights)
        taken = torch.as_tensor(which, dtype=torch.float32, device=self.device)
        self.rates = self.step_sizes(self.gradient) * taken.reshape(-1, 1, 1)

    def predictor(self, at_once: int, precision: Precision) -> dynamics.Predictor:
        """What predicts next observations, `at_once` rows in one product."""
        parameters = self.theta
        if self.gradient is not None:
            parameters = dynamics.adapted_parameters(self.theta, self.gradient, self.rates)
        return dynamics.predictor(parameters, self.normalisation, self.rows, at_once, precision)

    def judge(self, step: Transitions, which: np.ndarray) -> None:
        """Add up how well a step (row, 1, ...), which it has not seen, is predicted in the rows of a mask."""
        if self.gradient is None or not which.any():
            return
        inputs, targets = self.normalisation.inputs(step), self.normalisation.targets(step)
        adapted = dynamics.adapted_outputs(self.theta, self.gradient, self.rates, inputs)
        weights = torch.ones_like(targets[..., 0])
        for total, outputs in zip(self._errors, (adapted, dynamics.outputs(self.theta, inputs))):
            total[which] += dynamics.losses(outputs, targets, weights).cpu().numpy()[which]
        self._errors[2, which] += 1

    def errors(self) -> dict[str, np.ndarray]:
        """Mean normalised squared error of the predictions judged, by the adapted and the meta-trained model, (row,).

        NaN where nothing was judged.
        """
        with np.errstate(invalid="ignore"):
            adapted, unadapted = self._errors[:2] / self._errors[2]
        return {"prediction_loss": adapted, "prediction_loss_unadapted": unadapted}
