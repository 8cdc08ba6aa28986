import numpy as np
import pytest
import torch

from algorithms.kit.on_policy.running_moments import RunningMoments
from algorithms.kit.state import load_state_of, state_of

CPU = torch.device("cpu")


def test_batches_add_up_to_the_moments_of_all():
    draw = np.random.default_rng(0)
    batches = [draw.normal(3.0, [1.0, 50.0], (rows, 4, 2)) for rows in (1, 7, 30)]
    moments = RunningMoments(2, CPU)
    for batch in batches:
        moments.update(torch.as_tensor(batch))
    everything = np.concatenate(batches).reshape(-1, 2)
    np.testing.assert_allclose(moments.std, everything.std(0), rtol=1e-6)
    values = torch.tensor([[3.0, 10.0]])
    expected = (values.numpy() - everything.mean(0)) / everything.std(0)
    np.testing.assert_allclose(moments.normalised(values), expected, rtol=1e-5)


def test_nothing_changes_before_anything_was_seen_and_a_constant_stays_finite():
    moments, values = RunningMoments(2, CPU), torch.tensor([[1e6, -5.0]])
    assert torch.equal(moments.normalised(values), values)
    assert moments.std.tolist() == [1.0, 1.0]
    moments.update(torch.full((9, 2), 4.0))
    assert moments.normalised(torch.full((1, 2), 4.0)).tolist() == [[0.0, 0.0]]
    assert moments.normalised(values).tolist() == [[10.0, -10.0]]  # clipped


def test_a_state_goes_on_where_it_was():
    one, two = RunningMoments(3, CPU), RunningMoments(3, CPU)
    one.update(torch.rand(5, 3, generator=torch.Generator().manual_seed(0)))
    load_state_of(two.parts(), state_of(one.parts()))
    for moments in (one, two):
        moments.update(torch.ones(2, 3))
    assert torch.equal(one.std, two.std)
    assert float(one.std[0]) != pytest.approx(1.0, abs=0.01)
