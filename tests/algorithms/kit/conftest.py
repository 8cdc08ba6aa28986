import pytest

from algorithms.kit.off_policy import sac, sac_value, td3


@pytest.fixture
def fixed_noise(monkeypatch):
    """A function that queues the noise which the next updates draw, in order."""

    def fix(*noises):
        queue = list(noises)

        def take(like, generator):
            noise = queue.pop(0)
            assert noise.shape == like.shape
            return noise

        for module in (sac, sac_value, td3):
            monkeypatch.setattr(module, "standard_normal", take)

    return fix
