"""Steps are torch's fused Adam's, bit for bit, taken whole or in parts; states are as they always were."""

import pytest
import torch

from algorithms.kit.networks import as_leaves
from algorithms.kit.optimiser import Adam, Moments

SHAPES = [(2, 5, 7), (2, 1, 7), (3,)]


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def test_steps_and_states_are_those_of_torchs_fused_adam():
    own, theirs = as_leaves(drawn(0)), as_leaves(drawn(0))
    optimiser, reference = Adam(own, 0.01), torch.optim.Adam(theirs, lr=0.01, fused=True)
    for seed in (1, 2, 3):
        for parameters in (own, theirs):
            for parameter, gradient in zip(parameters, drawn(seed)):
                parameter.grad = gradient
        optimiser.step()
        reference.step()
    for left, right in zip(own, theirs):
        assert torch.equal(left, right)
    expected = [reference.state[one][name] for one in theirs for name in ("exp_avg", "exp_avg_sq", "step")]
    assert all(torch.equal(left, right) for left, right in zip(optimiser.state(), expected, strict=True))
    assert optimiser.steps == 3
    again = Adam(own, 0.01)
    again.load_state(expected)  # what torch's optimiser left is read as before
    assert all(torch.equal(left, right) for left, right in zip(again.state(), expected, strict=True))


def test_a_step_in_parts_is_the_step():
    whole, parts = ([torch.ones(4, 3).requires_grad_()] for _ in range(2))
    optimisers, gradient = [Adam(held, 0.1) for held in (whole, parts)], torch.randn(4, 3)
    whole[0].grad = gradient
    for _ in range(2):
        optimisers[0].step()
        optimisers[1].begin_step()
        for rows in (slice(0, 1), slice(1, 4)):
            part = Moments(*([tensor[rows] for tensor in held] for held in optimisers[1].moments))
            optimisers[1].move(part, [gradient[rows]])
    torch.testing.assert_close(whole[0], parts[0], rtol=1e-6, atol=0)
    for left, right in zip(*(optimiser.state() for optimiser in optimisers)):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=0)


def test_what_has_no_gradient_and_what_is_of_another_network_are_refused():
    first, second = as_leaves([torch.ones(2), torch.ones(3)])
    optimiser = Adam([first, second], 0.1)
    first.grad = torch.ones(2)
    with pytest.raises(ValueError, match="1 parameters have no gradient"):
        optimiser.step()
    with pytest.raises(ValueError, match="moments of 1 parameters for 2"):
        optimiser.load_state([torch.ones(2), torch.ones(2), torch.tensor(1.0)])
