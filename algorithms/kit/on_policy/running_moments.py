"""Mean and standard deviation of all that was seen so far, for inputs and rewards of changing size."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.kit.state import Part

CLIP = 10.0  # standard deviations


class RunningMoments:
    """Moments of vectors (dim,), gathered batch by batch in float64 (Chan, Golub, LeVeque 1979, eq. 2.1)."""

    def __init__(self, dim: int, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self._squares = torch.zeros(dim, dtype=torch.float64, device=device)  # summed squared deviations

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in values (..., dim)."""
        rows = values.reshape(-1, len(self._mean)).double()
        mean, total = rows.mean(0), self._count + len(rows)
        difference = mean - self._mean
        self._squares += (rows - mean).square().sum(0) + difference.square() * self._count * len(rows) / total
        self._mean += difference * len(rows) / total
        self._count.copy_(total)

    @property
    def std(self) -> Tensor:
        """(dim,) float32, 1 before anything was seen, not below 1e-4 so that a constant stays finite."""
        std = (self._squares / self._count.clamp_min(1.0)).sqrt().clamp_min(1e-4)
        return torch.where(self._count > 0, std, torch.ones_like(std)).float()

    def normalised(self, values: Tensor) -> Tensor:
        """(values - mean) / std, clipped to 10 standard deviations; the values themselves before any update."""
        scaled = (values - self._mean.float()) / self.std
        return torch.where(self._count > 0, scaled.clamp(-CLIP, CLIP), values)

    def parts(self) -> dict[str, Part]:
        """Count, mean and squared deviations."""
        return {"count": self._count, "mean": self._mean, "squares": self._squares}
