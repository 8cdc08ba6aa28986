"""The evidence lower bound of VariBAD: by hand, without bias however few terms are drawn, and blind to padding."""

import pytest
import torch

from algorithms.kit.context.belief import Belief, BeliefEncoder, Embeddings, EncoderSizes, Histories, kl_divergence
from algorithms.kit.context.decoders import Decoder, DecoderSizes
from algorithms.kit.context.task_vae import TaskVae, VaeSettings, drawn_terms

TRIALS, STEPS, OBSERVATIONS, ACTIONS, LATENT = 3, 6, 2, 3, 2
LENGTHS = (STEPS, 2, 4)
EMBEDDINGS = Embeddings(2, 2, 2)
ALL = VaeSettings(
    kl_weight=0.3, times=None, steps=None, truncation=None, learning_rate=1e-3, gradient_clip=1.0
)  # fmt: skip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def histories_of(lengths=LENGTHS):
    shapes = [(OBSERVATIONS,), (ACTIONS,), (), (OBSERVATIONS,)]
    fields = (drawn(TRIALS, STEPS, *shape, seed=number) for number, shape in enumerate(shapes))
    return Histories(*fields, torch.tensor(lengths))


def vae_of(targets=("reward", "state"), **changes):
    """In float64."""
    encoder = BeliefEncoder(EncoderSizes(OBSERVATIONS, ACTIONS, LATENT, 4, EMBEDDINGS), generator())
    decoders = [
        Decoder(DecoderSizes(target, OBSERVATIONS, ACTIONS, LATENT, EMBEDDINGS, (4, 3)), generator(1))
        for target in targets
    ]
    for network in (encoder, *decoders):
        for name, part in network.parts().items():
            setattr(network, name, [tensor.detach().double().requires_grad_(True) for tensor in part])
    return TaskVae(ALL._replace(**changes), encoder, decoders)


def noise_of(terms):
    return drawn(*terms.times.shape, LATENT, seed=20)


def relu_network(parameters, inputs):
    """By plain products, layer by layer."""
    outputs = inputs
    for layer in range(0, len(parameters), 2):
        outputs = torch.relu(outputs) if layer else outputs
        outputs = outputs @ parameters[layer][0] + parameters[layer + 1][0]
    return outputs


def prediction(decoder, latent, observation, action, following):
    """Of one transition, straight from the definition of the decoder."""

    def seen(values):
        return torch.relu(relu_network(decoder.of_observations, values))

    acted = torch.relu(relu_network(decoder.of_actions, action))
    parts = [seen(following)] if decoder.sizes.target == "reward" else []
    joined = torch.cat([each.flatten() for each in (latent, *parts, seen(observation), acted)])
    return relu_network(decoder.trunk, joined).flatten()


def bound_by_hand(vae, histories, noise):
    """Minus the mean over trials of sums over all beliefs t and all transitions k, one by one."""
    total = torch.zeros((), dtype=torch.float64)
    for trial, length in enumerate(histories.lengths.tolist()):
        alone = Histories(*(field[trial : trial + 1, :length] for field in histories[:4]), torch.tensor([length]))
        beliefs = vae.encoder.belief(vae.encoder.unrolled(alone))
        before = Belief(torch.zeros(LATENT, dtype=torch.float64), torch.zeros(LATENT, dtype=torch.float64))
        for time in range(length + 1):
            belief = Belief(*(field[0, time] for field in beliefs))
            latent = belief.mean + (belief.log_variance / 2).exp() * noise[trial, time]
            for step in range(length):
                s, a, r, following = (field[trial, step] for field in histories[:4])
                for decoder in vae.decoders:
                    wanted = r if decoder.sizes.target == "reward" else following
                    total = total + (prediction(decoder, latent, s, a, following) - wanted).square().mean()
            total = total + vae.settings.kl_weight * kl_divergence(belief, before)
            before = belief
    return total / len(histories.lengths)


@pytest.mark.parametrize("targets", [("reward",), ("state",), ("reward", "state")])
def test_the_bound_is_the_sum_of_its_definition_over_trials_of_unequal_lengths(targets):
    vae, histories = vae_of(targets), histories_of()
    terms = drawn_terms(histories.lengths, STEPS, vae.settings, generator())
    noise = noise_of(terms)
    loss, report = vae.loss(histories, terms, noise)
    torch.testing.assert_close(loss, bound_by_hand(vae, histories, noise))
    pairs = sum((length + 1) * length for length in LENGTHS)
    beliefs = sum(length + 1 for length in LENGTHS)
    rebuilt = report["reconstruction"] * pairs + vae.settings.kl_weight * report["belief_kl"] * beliefs
    torch.testing.assert_close(rebuilt / TRIALS, loss.detach())


def test_padding_changes_nothing():
    vae, histories = vae_of(), histories_of()
    terms = drawn_terms(histories.lengths, STEPS, vae.settings._replace(times=9, steps=11), generator())
    inside = torch.arange(STEPS) < histories.lengths.unsqueeze(1)
    foul = Histories(
        *(torch.where(inside.reshape(TRIALS, STEPS, *[1] * (field.dim() - 2)), field, 1e3) for field in histories[:4]),
        histories.lengths,
    )
    results = []
    for given in (histories, foul):
        loss, _ = vae.loss(given, terms, noise_of(terms))
        results.append((loss.detach(), torch.autograd.grad(loss, vae.parameters)))
    assert torch.equal(results[0][0], results[1][0])
    for one, other in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(one, other)


def test_terms_lie_within_their_own_trial_and_all_of_them_come_up():
    settings = ALL._replace(times=40, steps=60)
    terms = drawn_terms(torch.tensor(LENGTHS), STEPS, settings, generator())
    for trial, length in enumerate(LENGTHS):
        assert set(terms.times[trial].tolist()) == set(range(length + 1))
        assert set(terms.steps[trial].flatten().tolist()) == set(range(length))
    torch.testing.assert_close(terms.time_weights.sum(1), torch.tensor([length + 1.0 for length in LENGTHS]))
    torch.testing.assert_close(terms.step_weights.sum(2)[:, 0], torch.tensor([float(length) for length in LENGTHS]))
    everything = drawn_terms(torch.tensor(LENGTHS), STEPS, ALL, generator())
    assert everything.time_weights.sum(1).tolist() == [length + 1 for length in LENGTHS]
    assert everything.step_weights.sum(2)[:, 0].tolist() == list(LENGTHS)
    assert (everything.times <= torch.tensor(LENGTHS).unsqueeze(1)).all()


def test_drawing_few_terms_estimates_the_whole_bound_without_bias():
    """Over 3000 copies of each trial with terms of their own, at the means of the beliefs."""
    vae, histories, copies = vae_of(), histories_of(), 3000
    everything = drawn_terms(histories.lengths, STEPS, ALL, generator())
    many = Histories(*(field.repeat(copies, *[1] * (field.dim() - 1)) for field in histories))
    terms = drawn_terms(many.lengths, STEPS, ALL._replace(times=2, steps=3), generator(3))
    with torch.no_grad():
        whole, _ = vae.loss(histories, everything, torch.zeros_like(noise_of(everything)))
        estimate, _ = vae.loss(many, terms, torch.zeros_like(noise_of(terms)))
    assert estimate.item() == pytest.approx(whole.item(), rel=0.03)
    assert terms.times.shape == (copies * TRIALS, 2)
    assert terms.steps.shape == (copies * TRIALS, 2, 3)


def test_trials_count_alike_and_the_divergence_is_averaged_over_them_too():
    """Twice the same trials: the same bound, where summing the divergence would make its share twice as large."""
    vae, histories = vae_of(), histories_of()
    twice = Histories(*(torch.cat([field, field]) for field in histories))
    losses = []
    for given in (histories, twice):
        terms = drawn_terms(given.lengths, STEPS, ALL, generator())
        losses.append(vae.loss(given, terms, torch.zeros(*terms.times.shape, LATENT, dtype=torch.float64))[0])
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("truncation", [None, 3])
def test_gradients_of_the_bound_match_finite_differences(finite_differences, truncation):
    """Truncated, those of all that is not reached through the hidden state: heads and decoders."""
    vae, histories = vae_of(truncation=truncation), histories_of()
    terms = drawn_terms(histories.lengths, STEPS, ALL, generator())
    noise = noise_of(terms)

    def loss():
        return vae.loss(histories, terms, noise)[0]

    recurrent = [vae.encoder.of_observations, vae.encoder.of_actions, vae.encoder.of_rewards, vae.encoder.cell]
    through_time = sum(map(len, recurrent))
    gradients = torch.autograd.grad(loss(), vae.parameters)
    checked = slice(0 if truncation is None else through_time, None)
    for parameter, gradient in zip(vae.parameters[checked], gradients[checked]):
        torch.testing.assert_close(gradient, finite_differences(loss, parameter), rtol=1e-5, atol=1e-6)
    if truncation is not None:
        assert not torch.allclose(gradients[0], finite_differences(loss, vae.parameters[0]), rtol=1e-3)


def float_vae():
    encoder = BeliefEncoder(EncoderSizes(1, 1, 2, 8, Embeddings(4, 3, 4)), generator())
    decoder = Decoder(DecoderSizes("reward", 1, 1, 2, Embeddings(4, 3, 4), (16,)), generator(1))
    return TaskVae(ALL._replace(kl_weight=0.01, times=6, steps=6, learning_rate=0.01), encoder, [decoder])


def two_tasks(seed, trials=16):
    """Trials in which every reward is 1 or every one is -1; nothing else tells which."""
    source = generator(seed)
    sign = torch.randint(2, (trials, 1), generator=source).float() * 2 - 1
    s, a, following = (torch.randn((trials, 6, 1), generator=source) for _ in range(3))
    return Histories(s, a, sign.expand(-1, 6), following, torch.full((trials,), 6))


def test_it_learns_to_tell_two_tasks_apart_after_one_step_and_not_before():
    """The prior predicts the mean of both, error 1; a belief after one reward predicts all of them."""
    vae, source = float_vae(), generator(7)
    for update in range(250):
        vae.update(two_tasks(update), source)
    histories = two_tasks(10_000, trials=64)
    with torch.no_grad():
        beliefs = vae.encoder.belief(vae.encoder.unrolled(histories))
        steps = torch.arange(6).expand(64, 7, 6)
        errors = vae.decoders[0].squared_errors(beliefs.mean, histories, steps).mean((0, 2))
        divergence = vae._chain(beliefs).mean(0)
    assert float(errors[0]) > 0.8
    assert float(errors[1:].max()) < 0.1
    assert float(divergence[1]) > 3 * float(divergence[2:].max())


def test_every_part_is_clipped_by_itself():
    vae, histories = float_vae(), two_tasks(0)
    vae.settings = vae.settings._replace(gradient_clip=1e-3)
    vae.update(histories, generator())
    for network in (vae.encoder, *vae.decoders):
        norm = torch.stack([parameter.grad.norm() for parameter in network.parameters]).norm()
        assert norm.item() == pytest.approx(1e-3, rel=1e-3)
