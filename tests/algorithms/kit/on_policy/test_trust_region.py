"""Conjugate gradients against a solved system; the line search on a parabola."""

import torch

from algorithms.kit.on_policy.trust_region import conjugate_gradient, flatten, line_search, unflatten


def test_conjugate_gradients_solve_a_system_in_as_many_iterations_as_unknowns():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix = root @ root.T + torch.eye(6)
    target = torch.randn(6, generator=generator, dtype=torch.float64)
    solution = conjugate_gradient(lambda vector: matrix @ vector, target, 6)
    torch.testing.assert_close(solution, torch.linalg.solve(matrix, target))
    further = conjugate_gradient(lambda vector: matrix @ vector, target, 30)  # nothing is left: no NaN
    torch.testing.assert_close(further, torch.linalg.solve(matrix, target))
    assert (conjugate_gradient(lambda vector: matrix @ vector, 0 * target, 3) == 0).all()


def test_vectors_go_back_into_their_shapes_and_precision():
    tensors = [torch.arange(6.0).view(1, 2, 3), torch.tensor([[7.0]])]
    vector = flatten(tensors)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert vector.dtype == torch.float64
    back = unflatten(vector, tensors)
    assert all(torch.equal(left, right) for left, right in zip(back, tensors))


def search(step, evaluate, start=0.3, **changes):
    parameters = [torch.tensor([start], requires_grad=True)]
    settings = {"loss_before": evaluate(parameters)[0], "max_kl": 1.0, "shrink": 0.5, "attempts": 4} | changes
    return parameters, line_search(parameters, [torch.tensor([step])], lambda: evaluate(parameters), **settings)


def parabola(parameters):
    """Least at 1.3; the divergence is the distance from 0.3."""
    value = float(parameters[0].detach())
    return (value - 1.3) ** 2, abs(value - 0.3)


def test_the_largest_step_that_lowers_the_loss_within_the_bound_is_taken():
    parameters, found = search(8.0, parabola)  # 8, 4 and 2 overshoot the parabola or the bound; 1 is the attempt 3
    assert found.fraction == 0.125
    assert parameters[0].detach() == torch.tensor(1.3)
    assert found.kl <= 1.0


def test_a_loss_that_falls_beyond_the_bound_is_not_taken():
    parameters, found = search(1.0, parabola, max_kl=0.3)
    assert (found.fraction, found.kl) == (0.25, abs(parameters[0].item() - 0.3))


def test_after_a_failure_the_parameters_keep_their_bits():
    for evaluate, step in (
        (parabola, -1.0),  # uphill
        (parabola, float("nan")),
        (lambda parameters: (float("nan"), 0.0), 1.0),
        (lambda parameters: (-float(parameters[0].detach()), 2.0), 1.0),  # better, but too far
    ):
        parameters, found = search(step, evaluate, loss_before=1.0)
        assert found.fraction == 0.0
        assert torch.equal(parameters[0].detach(), torch.tensor([0.3]))
