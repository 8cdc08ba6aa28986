import pytest
import torch

from algorithms.kit import sac, sac_value


@pytest.fixture
def fixed_noise(monkeypatch):
    """A function that queues the noise which the next updates draw, in order."""

    def fix(*noises):
        queue = list(noises)

        def take(like, generator):
            noise = queue.pop(0)
            assert noise.shape == like.shape
            return noise

        for module in (sac, sac_value):
            monkeypatch.setattr(module, "standard_normal", take)

    return fix


@pytest.fixture
def finite_differences():
    """A function (scalar loss of nothing, float64 tensor) -> the loss's gradient in the tensor, by central steps."""

    @torch.no_grad()
    def differentiate(loss, tensor, epsilon=1e-6):
        gradient = torch.empty_like(tensor)
        values, entries = tensor.detach().view(-1), gradient.view(-1)
        for index in range(len(values)):
            kept = float(values[index])
            values[index] = kept + epsilon
            high = float(loss())
            values[index] = kept - epsilon
            low = float(loss())
            values[index] = kept
            entries[index] = (high - low) / (2 * epsilon)
        return gradient

    return differentiate
