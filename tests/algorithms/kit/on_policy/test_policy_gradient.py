"""Gaussian policies, their losses and the inner step, against torch's own distributions and worked-out numbers."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as torch_kl

from algorithms.kit.networks import repeat_ensemble
from algorithms.kit.on_policy.policy_gradient import (
    MIN_LOG_STD,
    Gaussian,
    PolicyData,
    clipped_loss,
    distribution,
    draw,
    initial_policy,
    inner_step,
    kl_divergence,
    log_density,
    log_likelihood_loss,
    policy_per_task,
    ratios,
    surrogate_loss,
    task_chunks,
)

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


def policy(tasks=1, hidden=(5, 4), std=0.7):
    parameters = [p.double() for p in initial_policy(3, hidden, 2, std, GENERATOR)]
    parameters = [p + 0.1 * normal(tasks, *p.shape[1:]) for p in parameters]
    return [p.requires_grad_(True) for p in parameters]


def on_policy(parameters, samples=30):
    """Data that the policy itself collected, (task, sample)."""
    observations = normal(len(parameters[0]), samples, 3)
    with torch.no_grad():
        means, log_std = distribution(parameters, observations)
    actions = means + log_std.exp() * normal(*means.shape)
    return PolicyData(observations, actions, means, log_std, normal(*actions.shape[:2]))


def test_the_network_is_a_tanh_network_of_each_task_alone():
    parameters = policy(tasks=3, hidden=(5, 4, 6))
    observations = normal(3, 7, 3)
    found = distribution(parameters, observations).means
    for task in range(3):
        hidden = observations[task]
        for layer in range(3):
            hidden = torch.tanh(hidden @ parameters[2 * layer][task] + parameters[2 * layer + 1][task])
        torch.testing.assert_close(found[task], hidden @ parameters[6][task] + parameters[7][task])
    linear = policy(hidden=())
    torch.testing.assert_close(distribution(linear, observations[:1]).means, observations[:1] @ linear[0] + linear[1])


def test_in_single_precision_the_network_is_as_exact_as_tanh():
    parameters = initial_policy(3, (64, 64), 2, 1.0, GENERATOR)
    observations = normal(1, 100, 3)
    exact = distribution([p.double() for p in parameters], observations).means
    assert (distribution(parameters, observations.float()).means - exact).abs().max() < 3e-6


def test_densities_are_summed_over_the_actions_dimensions():
    means, log_std, actions = normal(2, 5, 3), normal(2, 1, 3), normal(2, 5, 3)
    expected = Independent(Normal(means, log_std.exp()), 1).log_prob(actions)
    torch.testing.assert_close(log_density(Gaussian(means, log_std), actions), expected)
    one = Gaussian(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    assert float(log_density(one, torch.zeros(1, 1, 2))) == pytest.approx(-math.log(2 * math.pi))


def test_the_divergence_goes_from_the_old_to_the_new():
    old, new = (Gaussian(normal(2, 5, 3), normal(2, 1, 3)) for _ in range(2))
    left, right = (Independent(Normal(g.means, g.log_std.exp().expand_as(g.means)), 1) for g in (old, new))
    torch.testing.assert_close(kl_divergence(old, new), torch_kl(left, right).mean(1))
    assert (kl_divergence(old, new) != kl_divergence(new, old)).all()


def test_the_standard_deviation_has_a_floor():
    parameters = initial_policy(3, (5,), 2, 1.0, GENERATOR)
    parameters[-1] -= 100
    assert distribution(parameters, torch.zeros(1, 1, 3)).log_std.tolist() == [[pytest.approx([MIN_LOG_STD] * 2)]]
    assert math.exp(MIN_LOG_STD) == pytest.approx(1e-6)


def test_at_the_old_parameters_ratios_are_one_and_the_divergence_is_zero_and_flat():
    parameters = policy(tasks=2)
    data = on_policy(parameters)
    new = distribution(parameters, data.observations)
    torch.testing.assert_close(ratios(new, data), torch.ones(2, 30, dtype=torch.float64))
    divergence = kl_divergence(data.behaviour, new)
    assert divergence.abs().max() < 1e-15
    assert all(slope.abs().max() < 1e-14 for slope in torch.autograd.grad(divergence.sum(), parameters))
    torch.testing.assert_close(surrogate_loss(new, data), -data.advantages.mean(1))


def test_the_two_inner_losses_share_the_gradient_but_not_the_hessian():
    """On a Gaussian bandit: the Hessians differ by the mean of A grad log pi grad log pi^T, and its sign."""
    actions, advantages = normal(1, 50, 1), normal(1, 50)
    start = torch.tensor([0.3, -0.2], dtype=torch.float64)  # mean, log std
    old = Gaussian(start[0].expand(1, 50, 1), start[1].view(1, 1, 1))
    data = PolicyData(torch.zeros(1, 50, 0), actions, *old, advantages)

    def losses(flat):
        new = Gaussian(flat[0].expand(1, 50, 1), flat[1].view(1, 1, 1))
        return surrogate_loss(new, data).sum(), log_likelihood_loss(new, data).sum()

    slopes = [torch.autograd.functional.jacobian(lambda flat, i=i: losses(flat)[i], start) for i in (0, 1)]
    torch.testing.assert_close(slopes[0], slopes[1])
    curvatures = [torch.autograd.functional.hessian(lambda flat, i=i: losses(flat)[i], start) for i in (0, 1)]
    deviation = (actions[0, :, 0] - start[0]) / start[1].exp()
    score = torch.stack([deviation / start[1].exp(), deviation.square() - 1])  # by hand, (parameter, sample)
    expected = -(advantages[0] * score) @ score.T / 50
    torch.testing.assert_close(curvatures[0] - curvatures[1], expected)
    assert expected.abs().max() > 0.01


def test_the_clipped_loss_by_hand():
    data = PolicyData(
        torch.zeros(1, 4, 0), torch.ones(1, 4, 1), torch.zeros(1, 4, 1), torch.zeros(1, 1, 1),
        torch.tensor([[1.0, -1.0, 1.0, -1.0]]),
    )  # fmt: skip
    # log ratio of N(m, 1) against N(0, 1) at a = 1 is m - m^2 / 2
    means = torch.tensor(
        [1 - math.sqrt(1 - 2 * math.log(r)) for r in (1.5, 1.5)] + [1 - math.sqrt(1 + 2 * math.log(2))] * 2
    )
    new = Gaussian(means.view(1, 4, 1), torch.zeros(1, 1, 1))
    torch.testing.assert_close(ratios(new, data), torch.tensor([[1.5, 1.5, 0.5, 0.5]]))
    # kept: min(1.5, 1.3), min(-1.5, -1.3), min(0.5, 0.7), min(-0.5, -0.7)
    assert float(clipped_loss(new, data, 0.3)) == pytest.approx(-(1.3 - 1.5 + 0.5 - 0.7) / 4)


def test_a_step_of_many_tasks_is_the_step_of_each_and_adapts_the_deviation_too():
    parameters = policy(tasks=3)
    data = on_policy(parameters)
    together = inner_step(parameters, data, "likelihood_ratio", 0.1).policy
    for task in range(3):
        alone = [p[task : task + 1] for p in parameters]
        step = inner_step(alone, data.of(slice(task, task + 1)), "likelihood_ratio", 0.1)
        for found, expected in zip(together, step.policy):
            torch.testing.assert_close(found[task : task + 1], expected)
    assert (together[-1] - parameters[-1]).abs().min() > 0
    loss = surrogate_loss(distribution(together, data.observations), data)
    assert (loss < surrogate_loss(distribution(parameters, data.observations), data)).all()


@pytest.mark.parametrize("loss", ["likelihood_ratio", "log_likelihood"])
def test_the_meta_gradient_through_the_inner_step_is_exact(loss, finite_differences):
    theta = policy()
    tasks = 2
    before = on_policy(policy_per_task(theta, tasks))
    after = on_policy(inner_step(policy_per_task(theta, tasks), before, loss, 0.5).policy)

    def meta_loss():
        step = inner_step(policy_per_task(theta, tasks), before, loss, 0.5, differentiable=True)
        return surrogate_loss(distribution(step.policy, after.observations), after).sum()

    for parameter, gradient in zip(theta, torch.autograd.grad(meta_loss(), theta)):
        np.testing.assert_allclose(gradient, finite_differences(meta_loss, parameter), rtol=1e-4, atol=1e-8)


def test_a_policys_action_of_the_scale_is_full_actuation():
    parameters = initial_policy(3, (5,), 2, 1.0, GENERATOR)
    parameters[3] += torch.tensor([5.0, -20.0])
    observations = torch.zeros(4, 3)
    mean = draw(parameters, observations, 10.0, None)
    np.testing.assert_allclose(mean.applied, np.tile([0.5, -1.0], (4, 1)))
    np.testing.assert_allclose(mean.actions, np.tile([5.0, -20.0], (4, 1)))
    drawn = draw(parameters, observations, 10.0, torch.Generator().manual_seed(1))
    np.testing.assert_allclose(drawn.applied, (drawn.actions / 10).clamp(-1, 1))
    assert (drawn.means == mean.actions).all()
    assert (drawn.actions != mean.actions).all()
    assert drawn.actions[:, 1].min() < -10  # the density is that of the action before it was cut


def test_rows_meet_the_policy_of_their_own_task():
    parameters = repeat_ensemble(initial_policy(3, (5,), 2, 1.0, GENERATOR), 3)
    parameters[3] += torch.arange(3.0).view(3, 1, 1)
    applied = draw(parameters, torch.zeros(6, 3), 10.0, None).applied
    np.testing.assert_allclose(applied[:, 0], [0, 0, 0.1, 0.1, 0.2, 0.2], atol=1e-7)


def test_chunks_cover_every_task_once():
    data = on_policy(policy(tasks=7), samples=2**13)
    chunks = list(task_chunks(data, 64))
    assert [slice_.stop - slice_.start for slice_ in chunks] == [2, 2, 2, 1]
    assert [task for chunk in chunks for task in range(chunk.start, chunk.stop)] == list(range(7))


def test_one_sample_in_so_many():
    data = on_policy(policy(tasks=2))
    assert torch.equal(data.every(3).advantages, data.advantages[:, ::3])
    assert data.every(3).log_std.shape == (2, 1, 2)
