"""What an on-policy method's networks read of observations: a view of them, normalised by running moments or not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algorithms.kit.on_policy.running_moments import RunningMoments
from algorithms.kit.state import Part
from algorithms.kit.views import View
from tasks.spec import EpisodeBatch


def acted_on(batch: EpisodeBatch) -> np.ndarray:
    """The observations of a collection that were acted on, (step, observation)."""
    inside = np.arange(batch.rewards.shape[1]) < batch.lengths[:, None]
    return batch.observations[:, :-1][inside]


class PolicyInputs:
    """Turns observations (..., observation) into inputs (..., shown) float32 on the learner's device."""

    def __init__(self, view: View, normalise: bool, device: torch.device) -> None:
        self.view = view
        self.moments = RunningMoments(view.dim, device) if normalise else None
        self._device = device

    def __call__(self, observations: np.ndarray | Tensor) -> Tensor:
        """The numbers that the view shows; normalised, they are in standard deviations from the mean, cut at ten."""
        shown = self.shown(observations)
        return shown if self.moments is None else self.moments.normalised(shown)

    def shown(self, observations: np.ndarray | Tensor) -> Tensor:
        """The numbers that the view shows, as they are."""
        return self.view(torch.as_tensor(observations, dtype=torch.float32, device=self._device))

    def update(self, batch: EpisodeBatch) -> None:
        """Take a collection into the moments, if there are any; between iterations, so that none sees two scales."""
        if self.moments is not None:
            self.moments.update(self.shown(acted_on(batch)))

    def parts(self) -> Part:
        """The moments, if there are any."""
        return None if self.moments is None else self.moments.parts()
