import math

import pytest
import torch

from algorithms.kit.model_based.context_model import (
    ContextModel,
    adapt_context,
    adapt_model,
    clipped,
    clipped_gradients,
    context_step,
)
from algorithms.kit.networks import as_leaves, mlp, repeat_ensemble
from algorithms.kit.replay import Transitions

STATE, ACTION, CONTEXT = 4, 2, 3


def build(predicts_dynamics=True, seed=0, spread=0.3, hidden=(6, 5)):
    """A model and float64 parameters away from the symmetries of the initialisation."""
    model = ContextModel(
        STATE, ACTION, CONTEXT, hidden, predicts_dynamics=predicts_dynamics, negative_slope=0.2, precision="fp32"
    )
    generator = torch.Generator().manual_seed(seed)
    theta = [parameter.double() for parameter in model.initial(generator)]
    return model, [
        parameter + spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        for parameter in theta
    ]


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def transitions(tasks, rows, seed=1):
    return Transitions(
        drawn(tasks, rows, STATE, seed=seed), drawn(tasks, rows, ACTION, seed=seed + 1),
        drawn(tasks, rows, seed=seed + 2), drawn(tasks, rows, STATE, seed=seed + 3),
        torch.zeros(tasks, rows, dtype=torch.float64),
    )  # fmt: skip


def test_initial_parameters():
    model, _ = build()
    theta = model.initial(torch.Generator().manual_seed(0))
    assert tuple(theta[0].shape) == (1, STATE + ACTION + CONTEXT, 6)
    assert tuple(theta[-4].shape) == (1, 5, 2 * (1 + STATE))
    assert theta[-2].flatten().tolist() == [0.5] * (1 + STATE)
    assert theta[-1].flatten().tolist() == [-10.0] * (1 + STATE)


def test_targets_are_the_reward_and_the_change_of_the_observation():
    data = Transitions(
        torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.zeros(1, 1, 2), torch.tensor([[7.0]]),
        torch.tensor([[[1.5, 2.0, 2.0, 9.0]]]), torch.zeros(1, 1),
    )  # fmt: skip
    assert build(True)[0].targets(data).flatten().tolist() == [7.0, 0.5, 0.0, -1.0, 5.0]
    assert build(False)[0].targets(data).flatten().tolist() == [7.0]


@pytest.mark.parametrize("own_parameters", [False, True])
def test_prediction_is_the_network_on_state_action_and_context(own_parameters):
    """Shared by three tasks or one network per task: the split first layer changes nothing."""
    model, theta = build()
    data, context = transitions(3, 5), drawn(3, CONTEXT, seed=9)
    if own_parameters:
        theta = [parameter + 0.1 * drawn(*parameter.shape, seed=4) for parameter in repeat_ensemble(theta, 3)]
    mean, log_variance = model.predict(theta, model.first_layer(theta, model.inputs(data)), context)
    for task in range(3):
        own = [parameter[task : task + 1] if own_parameters else parameter for parameter in theta]
        joined = torch.cat([data.observations[task], data.actions[task], context[task].expand(5, -1)], dim=-1)
        outputs = mlp(own[:-2], joined.unsqueeze(0), negative_slope=0.2)[0]
        raw, high, low = outputs[:, 1 + STATE :], own[-2][0], own[-1][0]
        upper = high - torch.log1p(torch.exp(high - raw))
        torch.testing.assert_close(mean[task], outputs[:, : 1 + STATE])
        torch.testing.assert_close(log_variance[task], low + torch.log1p(torch.exp(upper - low)))


@pytest.mark.parametrize(("raw", "expected"), [(1e3, 0.5), (-1e3, -10.0), (-5.0, -4.9974)])
def test_log_variances_stay_between_their_bounds(raw, expected):
    """In the middle the two soft bounds nearly cancel: at -5, -log(1 + e^-5.5) and +log(1 + e^-5)."""
    model, theta = build(False, spread=0.0)
    theta[-3] = torch.tensor([[[0.0, raw]]], dtype=torch.float64)
    theta[-4] = torch.zeros_like(theta[-4])
    data = transitions(1, 1)
    _, log_variance = model.predict(theta, model.first_layer(theta, model.inputs(data)), drawn(1, CONTEXT))
    assert log_variance.item() == pytest.approx(expected, abs=2e-4)
    assert -10.0 - 1e-12 <= log_variance.item() <= 0.5 + 1e-3


def test_the_reward_weighs_as_much_as_the_whole_state():
    """With mean 0 and log variance 0 the loss is r^2 plus the mean of (s' - s)^2."""
    model, theta = build(spread=0.0)
    theta[:-2] = [torch.zeros_like(parameter) for parameter in theta[:-2]]
    theta[-2], theta[-1] = torch.full_like(theta[-2], 1e4), torch.full_like(theta[-1], -1e4)
    data = Transitions(
        torch.zeros(1, 2, 4), torch.zeros(1, 2, 2), torch.tensor([[3.0, 1.0]]),
        torch.tensor([[[2.0, 0, 0, 0], [0, 4.0, 0, 2.0]]]), torch.zeros(1, 2),
    )  # fmt: skip
    data = Transitions(*(field.double() for field in data))
    first = model.first_layer(theta, model.inputs(data))
    loss = model.likelihood_losses(theta, first, drawn(1, CONTEXT), model.targets(data))
    assert loss.item() == pytest.approx((9 + 1) / 2 + (4 + 16 + 4) / (2 * 4))


def test_the_loss_is_twice_the_negative_log_likelihood_up_to_a_constant():
    model, theta = build(False)
    data, context = transitions(3, 8), drawn(3, CONTEXT, seed=5)
    first = model.first_layer(theta, model.inputs(data))
    mean, log_variance = model.predict(theta, first, context)
    density = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(model.targets(data))
    expected = -2 * density.mean((1, 2)) - math.log(2 * math.pi)
    torch.testing.assert_close(model.likelihood_losses(theta, first, context, model.targets(data)), expected)


def test_the_bound_term_by_hand():
    model, theta = build(spread=0.0)
    assert model.bound_term(theta).tolist() == [pytest.approx(0.01 * 10.5 * (1 + STATE))]
    twice = repeat_ensemble(theta, 2)
    twice[-2][1] -= 1.0
    assert model.bound_term(twice).tolist() == [pytest.approx(0.525), pytest.approx(0.475)]


def test_a_tasks_loss_depends_on_its_own_context_alone():
    model, theta = build()
    data, context = transitions(3, 4), drawn(3, CONTEXT, seed=5).requires_grad_()
    first = model.first_layer(theta, model.inputs(data))
    losses = model.likelihood_losses(theta, first, context, model.targets(data))
    (gradient,) = torch.autograd.grad(losses[1], context)
    assert gradient[1].abs().min() > 0
    assert not gradient[[0, 2]].any()


@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_gradients_match_finite_differences(predicts_dynamics):
    """First and second order, in every parameter and in phi: the meta-gradient needs both."""
    model, theta = build(predicts_dynamics, hidden=(3, 2))
    data, context = transitions(2, 3), drawn(2, CONTEXT, seed=5).requires_grad_()
    leaves = as_leaves(theta)

    def losses(phi, *parameters):
        first = model.first_layer(list(parameters), model.inputs(data))
        return model.likelihood_losses(list(parameters), first, phi, model.targets(data))

    assert torch.autograd.gradcheck(losses, [context, *leaves])
    assert torch.autograd.gradgradcheck(losses, [context, *leaves])


def test_samples_are_the_mean_plus_noise_of_the_predicted_size():
    model, theta = build()
    data, context = transitions(2, 3), drawn(2, CONTEXT, seed=5)
    mean, log_variance = model.predict(theta, model.first_layer(theta, model.inputs(data)), context)
    zeros = torch.zeros_like(mean)
    torch.testing.assert_close(model.sample(theta, data, context, zeros), mean)
    torch.testing.assert_close(model.sample(theta, data, context, zeros - 2), mean - 2 * torch.exp(log_variance).sqrt())


def test_clipping_by_hand():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], dtype=torch.float64)
    assert clipped(gradient, 1.0).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.3, 0.4], [0.0, 0.0]]
    assert clipped(gradient.reshape(3, 2, 1), 2.5)[0].flatten().tolist() == [1.5, 2.0]


def test_the_network_is_clipped_as_one_vector_and_the_bounds_as_four():
    """The norms by hand: 13 over both layers; upper bounds 4 and 5, lower ones 0.5 and 10, phi_0 2; the limit is 2."""
    network = [torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[12.0]]])]
    upper, lower = torch.tensor([[[-4.0, 3.0, 4.0]]]), torch.tensor([[[0.5, 6.0, -8.0]]])
    first, second, high, low, phi = clipped_gradients([*network, upper, lower], [torch.tensor([[0.0, 2.0]])], 2.0)
    torch.testing.assert_close(first, network[0] * 2 / 13)
    torch.testing.assert_close(second, network[1] * 2 / 13)
    torch.testing.assert_close(high, torch.tensor([[[-2.0, 1.2, 1.6]]]))
    torch.testing.assert_close(low, torch.tensor([[[0.5, 1.2, -1.6]]]))
    assert phi.tolist() == [[0.0, 2.0]]
    free = clipped_gradients([*network, upper, lower], [], 13.0)
    assert all(torch.equal(before, after) for before, after in zip([*network, upper, lower], free))


def test_a_reward_models_bounds_are_two():
    upper, lower = torch.tensor([[[-4.0]]]), torch.tensor([[[0.5]]])
    *_, high, low = clipped_gradients([torch.ones(1, 1, 1), upper, lower], [], 2.0)
    assert (high.tolist(), low.tolist()) == ([[[-2.0]]], [[[0.5]]])


def test_the_clip_is_differentiated_through():
    gradient = drawn(3, 4, seed=2).requires_grad_()
    assert float(gradient.detach().norm(dim=1).min()) > 0.5
    assert torch.autograd.gradcheck(lambda value: clipped(value, 0.5), [gradient])
    nothing = torch.zeros((1, 2), requires_grad=True)
    (second,) = torch.autograd.grad(clipped(nothing, 1.0).sum(), nothing)
    assert torch.isfinite(second).all()


def test_adaptation_takes_one_step_per_rate_in_order():
    model, theta = build()
    data, context = transitions(3, 6), drawn(3, CONTEXT, seed=5)
    first, targets = model.first_layer(theta, model.inputs(data)), model.targets(data)
    expected = context
    for rate in (0.3, 0.01, 0.07):
        leaf = expected.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model.likelihood_losses(theta, first, leaf, targets).sum(), leaf)
        expected = expected - rate * gradient * (2.0 / gradient.norm(dim=1, keepdim=True)).clamp_max(1.0)
    adapted = adapt_context(model, theta, context, data, [0.3, 0.01, 0.07], clip=2.0)
    torch.testing.assert_close(adapted, expected)
    other_order = adapt_context(model, theta, context, data, [0.01, 0.3, 0.07], clip=2.0)
    assert float((other_order - adapted).abs().max()) > 1e-6
    assert torch.equal(adapt_context(model, theta, context, data, [], clip=2.0), context)
    assert not adapted.requires_grad


def test_only_a_differentiable_step_keeps_its_graph():
    model, theta = build()
    theta, data, context = as_leaves(theta), transitions(2, 6), drawn(2, CONTEXT, seed=5)
    first, targets = model.first_layer(theta, model.inputs(data)), model.targets(data)
    settings = {"learning_rate": 0.1, "clip": 10.0}
    kept = context_step(model, theta, context, first, targets, differentiable=True, **settings)
    dropped = context_step(model, theta, context, first, targets, differentiable=False, **settings)
    assert torch.equal(kept.detach(), dropped)
    assert not dropped.requires_grad
    assert torch.autograd.grad(kept.sum(), theta[0])[0].abs().max() > 0


@pytest.mark.parametrize("learning_rate", [1e-3, 0.05])
def test_the_first_model_step_is_adams_on_each_tasks_own_likelihood_and_bounds(finite_differences, learning_rate):
    """theta - lr * g / (|g| + 1e-8) with g by finite differences of one task's loss in float64; phi is fixed."""
    model, theta = build()
    start, data, phi = repeat_ensemble(theta, 2), transitions(2, 6), drawn(2, CONTEXT, seed=5)
    kept = [parameter.clone() for parameter in start]
    stepped = adapt_model(model, start, phi, data, steps=1, learning_rate=learning_rate)
    assert torch.equal(phi, drawn(2, CONTEXT, seed=5))
    assert all(torch.equal(before, after) for before, after in zip(kept, start))
    for task in (0, 1):
        own, alone = [parameter[task : task + 1].clone() for parameter in start], slice(task, task + 1)
        rows = Transitions(*(field[alone] for field in data))

        def loss(own=own, rows=rows, alone=alone):
            first = model.first_layer(own, model.inputs(rows))
            losses = model.likelihood_losses(own, first, phi[alone], model.targets(rows))
            return (losses + 0.01 * (own[-2] - own[-1]).sum()).sum()

        for before, after in zip(own, stepped):
            gradient = finite_differences(loss, before)
            step, large = after[alone] - before, gradient.abs() > 1e-4
            torch.testing.assert_close(step[large], -learning_rate * gradient[large].sign(), rtol=1e-3, atol=0)
            assert float(step.abs().max()) <= learning_rate * (1 + 1e-9)
            assert large.any()


def test_model_steps_are_taken_one_after_another_and_none_changes_nothing():
    model, theta = build()
    data, phi = transitions(1, 6), drawn(1, CONTEXT, seed=5)
    settings = {"learning_rate": 0.01}
    losses = [
        model.losses_on(adapt_model(model, theta, phi, data, steps=steps, **settings), data, phi).item()
        for steps in (0, 1, 20, 200)
    ]
    assert losses[0] == model.losses_on(theta, data, phi).item()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1


def test_where_the_data_says_nothing_of_them_model_steps_pull_the_bounds_together():
    """Bounds 12 away from every log variance: large errors would push the upper one up, the bound term weighs more."""
    model, theta = build()
    theta[-2], theta[-1] = torch.full_like(theta[-2], 12.0), torch.full_like(theta[-1], -12.0)
    data, phi = transitions(1, 6), drawn(1, CONTEXT, seed=5)
    data = data._replace(rewards=5 * data.rewards, next_observations=5 * data.next_observations)
    stepped = adapt_model(model, theta, phi, data, steps=1, learning_rate=0.01)
    torch.testing.assert_close(stepped[-2], theta[-2] - 0.01, rtol=0, atol=1e-6)
    torch.testing.assert_close(stepped[-1], theta[-1] + 0.01, rtol=0, atol=1e-6)
