"""ProMP's outer loss and its KL weights, in double precision."""

import numpy as np
import pytest
import torch

from algorithms.kit.networks import adam
from algorithms.kit.on_policy.policy_gradient import distribution, inner_step, kl_divergence, policy_per_task, ratios
from algorithms.promp import Promp, PrompTrain, adapted_weights


@pytest.fixture
def small_promp(random_source):
    def build(**changes):
        config = PrompTrain(**({"policy_hidden": (4, 3), "inner_learning_rate": 0.5, "kl_weight": 0.3} | changes))
        return Promp(config, random_source, seed=0, device=torch.device("cpu"), capacity=1)

    return build


def elsewhere(promp):
    """theta after some outer steps: ratios differ from one, and the pre-update policy has drifted."""
    generator = torch.Generator().manual_seed(1)
    for parameter in promp.theta:
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_gradient_goes_through_the_inner_steps_the_clip_and_the_penalty(
    small_promp, on_policy, finite_differences, steps
):
    promp = small_promp(inner_steps=steps)
    inner, outer = on_policy(promp, steps)
    elsewhere(promp)

    def mean_loss():
        return promp.outer_loss(inner, outer)[0].mean()

    promp.accumulate_gradient(inner, outer)
    for parameter in promp.theta:
        np.testing.assert_allclose(parameter.grad, finite_differences(mean_loss, parameter), rtol=1e-4, atol=1e-8)


def test_at_the_start_the_loss_is_minus_the_mean_advantage_and_the_divergence_zero(small_promp, on_policy):
    promp = small_promp()
    inner, outer = on_policy(promp)
    loss, kl = promp.outer_loss(inner, outer)
    torch.testing.assert_close(loss, -outer.advantages.mean(1))
    assert kl.abs().max() < 1e-14


def test_the_adapted_policies_ratios_are_clipped_as_configured(small_promp, on_policy):
    """By hand from the ratios of the policies one inner step away; without a penalty."""
    promp = small_promp(clip=0.05, kl_weight=0.0)
    inner, outer = on_policy(promp)
    elsewhere(promp)
    policy = inner_step(policy_per_task(promp.theta, 2), inner[0], "likelihood_ratio", 0.5).policy
    ratio = ratios(distribution(policy, outer.observations), outer)
    kept = torch.where(outer.advantages > 0, ratio.clamp(max=1.05), ratio.clamp(min=0.95))
    assert 0.2 < (kept != ratio).double().mean() < 0.9
    torch.testing.assert_close(promp.outer_loss(inner, outer)[0], -(kept * outer.advantages).mean(1))


def test_the_penalty_is_the_weighted_mean_over_inner_steps(small_promp, on_policy):
    promp = small_promp(inner_steps=2)
    inner, outer = on_policy(promp, 2)
    elsewhere(promp)
    with_penalty, kl = promp.outer_loss(inner, outer)
    promp.kl_weights.zero_()
    without, _ = promp.outer_loss(inner, outer)
    assert kl.shape == (2, 2)
    assert kl.min() > 1e-4
    torch.testing.assert_close(with_penalty - without, 0.3 * kl.mean(0), check_dtype=False)
    now = distribution(policy_per_task(promp.theta, 2), inner[0].observations)
    torch.testing.assert_close(kl[0], kl_divergence(inner[0].behaviour, now))  # from the policy that collected


def test_weights_are_halved_and_doubled_outside_the_targets_neighbourhood():
    weights = adapted_weights(torch.full((4,), 1.0), torch.tensor([0.005, 0.0067, 0.0149, 0.016]), 0.01)
    assert weights.tolist() == [0.5, 1.0, 1.0, 2.0]


def test_the_weights_adapt_only_if_asked_to(small_promp, on_policy):
    for target, expected in ((None, 0.3), (1e-9, 0.6), (1e9, 0.15)):
        promp = small_promp(target_kl=target, inner_steps=2, outer_steps=2)
        inner, outer = on_policy(promp, 2)
        promp.optimiser = adam(promp.theta, 1e-2)
        metrics = promp.outer_step(inner, outer)
        assert promp.kl_weights.tolist() == pytest.approx([expected, expected])
        assert metrics["kl_weight"] == pytest.approx(expected)
        assert metrics["inner_kl"] > 0


def test_adams_moments_are_kept_from_one_iteration_to_the_next(small_promp, on_policy):
    promp = small_promp(outer_steps=3)
    inner, outer = on_policy(promp)
    promp.optimiser = adam(promp.theta, 1e-3)
    for iteration in (1, 2):
        promp.outer_step(inner, outer)
        assert promp.optimiser.steps == 3 * iteration
