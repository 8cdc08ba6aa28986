"""The recurrent belief: its divergence by hand, its prior, and that steps and whole trials agree."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as torch_kl

from algorithms.kit.context.belief import Belief, BeliefEncoder, Embeddings, EncoderSizes, Histories, kl_divergence

TRIALS, STEPS, OBSERVATIONS, ACTIONS, LATENT = 3, 7, 2, 3, 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def histories_of(lengths=(STEPS,) * TRIALS, seed=0):
    """Random trials in float64."""
    shapes = [(OBSERVATIONS,), (ACTIONS,), (), (OBSERVATIONS,)]
    fields = (drawn(TRIALS, STEPS, *shape, seed=seed + number) for number, shape in enumerate(shapes))
    return Histories(*fields, torch.tensor(lengths))


def encoder_in_float64():
    encoder = BeliefEncoder(EncoderSizes(OBSERVATIONS, ACTIONS, LATENT, 4, Embeddings(3, 3, 4)), generator())
    for name in ("of_observations", "of_actions", "of_rewards", "cell", "heads"):
        setattr(encoder, name, [part.detach().double().requires_grad_(True) for part in getattr(encoder, name)])
    return encoder


def test_the_divergence_by_hand_and_against_torch():
    """N(1, 4) from N(0, 1): (4 + 1 - 1 - log 4) / 2. Of one from itself: 0."""
    one = Belief(torch.tensor([1.0]), torch.tensor([math.log(4.0)]))
    other = Belief(torch.zeros(1), torch.zeros(1))
    assert kl_divergence(one, other).item() == pytest.approx((4 - math.log(4)) / 2)
    assert kl_divergence(one, one).item() == 0.0
    one, other = (Belief(drawn(2, 3, LATENT, seed=seed), drawn(2, 3, LATENT, seed=seed + 1)) for seed in (0, 2))
    torch_one, torch_other = (Independent(Normal(each.mean, (each.log_variance / 2).exp()), 1) for each in (one, other))
    torch.testing.assert_close(kl_divergence(one, other), torch_kl(torch_one, torch_other))


def test_a_latent_is_drawn_with_the_standard_deviation():
    belief = Belief(torch.tensor([2.0, -1.0]), torch.tensor([math.log(9.0), 0.0]))
    torch.testing.assert_close(belief.drawn(torch.tensor([1.0, -2.0])), torch.tensor([5.0, -3.0]))
    assert belief.vector.tolist() == pytest.approx([2.0, -1.0, math.log(9.0), 0.0])


def test_the_prior_is_what_the_heads_say_of_nothing():
    encoder = encoder_in_float64()
    prior = encoder.belief(encoder.blank(2))
    torch.testing.assert_close(prior.vector, encoder.heads[1][0].expand(2, -1))


def test_step_by_step_is_as_in_one_sequence_and_truncation_changes_gradients_alone():
    encoder, histories = encoder_in_float64(), histories_of()
    whole, cut = (encoder.unrolled(histories, truncation) for truncation in (None, 3))
    assert whole.shape == (TRIALS, STEPS + 1, 4)
    torch.testing.assert_close(whole, cut)
    hidden = encoder.blank(TRIALS)
    for step in range(STEPS):
        torch.testing.assert_close(whole[:, step], hidden)
        fields = (histories.actions, histories.rewards, histories.next_observations)
        hidden = encoder.after(hidden, *(field[:, step] for field in fields))
    torch.testing.assert_close(whole[:, -1], hidden)
    reach = [torch.autograd.grad(states[:, -1].sum(), encoder.of_rewards[0])[0] for states in (whole, cut)]
    assert not torch.allclose(reach[0], reach[1])


def test_a_state_depends_on_nothing_that_comes_later():
    encoder, histories = encoder_in_float64(), histories_of()
    foul = histories.rewards.clone()
    foul[:, 4:] += 100.0 * drawn(TRIALS, STEPS - 4, seed=5).abs() + 1
    one, other = (encoder.unrolled(given) for given in (histories, histories._replace(rewards=foul)))
    assert torch.equal(one[:, :5], other[:, :5])
    assert not torch.isclose(one[:, 5:], other[:, 5:]).flatten(1).all(dim=1).any()


def test_observations_acted_on_are_not_read():
    encoder, histories = encoder_in_float64(), histories_of()
    foul = histories._replace(observations=torch.full_like(histories.observations, 7.0))
    assert torch.equal(encoder.unrolled(histories), encoder.unrolled(foul))


def test_gradients_match_finite_differences(finite_differences):
    encoder, histories = encoder_in_float64(), histories_of()
    weights = drawn(TRIALS, STEPS + 1, 2 * LATENT, seed=9)

    def loss():
        return (encoder.belief(encoder.unrolled(histories)).vector * weights).sum()

    gradients = torch.autograd.grad(loss(), encoder.parameters)
    for parameter, gradient in zip(encoder.parameters, gradients):
        torch.testing.assert_close(gradient, finite_differences(loss, parameter), rtol=1e-5, atol=1e-7)
