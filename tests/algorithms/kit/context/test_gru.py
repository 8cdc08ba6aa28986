import pytest
import torch

from algorithms.kit.context.gru import gru_states, gru_step, orthogonal_gru

TIME, ROWS, INPUT, HIDDEN = 5, 3, 4, 2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cell(seed=0):
    """Weights of which no bias is 0, in float64."""
    weights = orthogonal_gru(INPUT, HIDDEN, seeded(seed))
    shifted = [bias + torch.randn(bias.shape, generator=seeded(seed + 1)) for bias in weights[2:]]
    return [parameter.double() for parameter in (*weights[:2], *shifted)]


def inputs(time=TIME):
    return torch.randn((time, ROWS, INPUT), generator=seeded(7), dtype=torch.float64)


def torch_gru(parameters):
    module = torch.nn.GRU(INPUT, HIDDEN).double()
    for held, parameter in zip(module.parameters(), parameters):
        held.data = parameter.detach().clone()
    return module


@pytest.mark.parametrize("time", [1, TIME])
def test_it_is_torchs_gru_from_zero(time):
    states = gru_states(cell(), inputs(time))
    assert states.shape == (time, ROWS, HIDDEN)
    torch.testing.assert_close(states, torch_gru(cell())(inputs(time))[0])


def test_a_step_after_another_is_the_sequence():
    state = torch.zeros((ROWS, HIDDEN), dtype=torch.float64)
    for read, expected in zip(inputs(), gru_states(cell(), inputs())):
        state = gru_step(cell(), read, state)
        torch.testing.assert_close(state, expected)


def test_a_sequence_goes_on_from_a_state():
    whole = gru_states(cell(), inputs())
    torch.testing.assert_close(gru_states(cell(), inputs()[2:], whole[1]), whole[2:])


@pytest.mark.parametrize("start", [None, torch.full((ROWS, HIDDEN), 0.7, dtype=torch.float64)])
@pytest.mark.parametrize("time", [1, TIME])
def test_gradients_of_weights_and_inputs_against_finite_differences(time, start):
    """Of every state, each weighted differently, so that a gradient that enters at the wrong step shows."""
    given = [tensor.requires_grad_() for tensor in (*cell(), inputs(time))]
    assert torch.autograd.gradcheck(lambda *held: gru_states(held[:-1], held[-1], start), given)


def test_gradients_are_torchs_in_float32_at_full_length():
    read = torch.randn((400, 6, INPUT), generator=seeded(3), requires_grad=True)
    parameters = [parameter.float().requires_grad_() for parameter in cell()]
    module = torch_gru(parameters).float()
    weights = torch.randn((400, 6, HIDDEN), generator=seeded(4))
    found = torch.autograd.grad((gru_states(parameters, read) * weights).sum(), [*parameters, read])
    expected = torch.autograd.grad((module(read)[0] * weights).sum(), [*module.parameters(), read])
    for mine, theirs in zip(found, expected):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_inputs_that_need_no_gradient_get_none():
    parameters = [parameter.requires_grad_() for parameter in cell()]
    gru_states(parameters, inputs()).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)


def test_the_initial_weights_are_orthogonal_and_the_biases_zero():
    weight, hidden_weight, *biases = orthogonal_gru(INPUT, HIDDEN, seeded())
    torch.testing.assert_close(weight.T @ weight, torch.eye(INPUT), atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden_weight.T @ hidden_weight, torch.eye(HIDDEN), atol=1e-5, rtol=0)
    assert not any(bias.any() for bias in biases)
    assert torch.equal(weight, orthogonal_gru(INPUT, HIDDEN, seeded())[0])
