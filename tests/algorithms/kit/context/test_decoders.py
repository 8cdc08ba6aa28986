"""What a decoder reads: the reward's the next observation too, the state's never what it has to predict."""

import pytest
import torch

from algorithms.kit.context.belief import Embeddings, Histories
from algorithms.kit.context.decoders import Decoder, DecoderSizes

TRIALS, STEPS, OBSERVATIONS, ACTIONS, LATENT = 2, 5, 3, 2, 4
STEPS_OF = torch.tensor([[[0, 4, 4], [2, 1, 3]], [[3, 0, 1], [4, 4, 2]]])  # (trial, time, number)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def decoder_of(target):
    sizes = DecoderSizes(target, OBSERVATIONS, ACTIONS, LATENT, Embeddings(6, 5, 1), (16, 8))
    return Decoder(sizes, torch.Generator().manual_seed(1))


def histories():
    shapes = [(OBSERVATIONS,), (ACTIONS,), (), (OBSERVATIONS,)]
    fields = (drawn(TRIALS, STEPS, *shape, seed=number + 2) for number, shape in enumerate(shapes))
    return Histories(*fields, torch.full((TRIALS,), STEPS))


def errors(decoder, given):
    return decoder.squared_errors(drawn(TRIALS, 2, LATENT), given, STEPS_OF)


def shifted_predictions(decoder, given, name):
    """Whether predictions depend on a field: errors against fixed targets, as that field is changed."""
    changed = given._replace(**{name: getattr(given, name) + drawn(*getattr(given, name).shape, seed=30)})
    return not torch.allclose(errors(decoder, given), errors(decoder, changed))


@pytest.mark.parametrize("target", ["reward", "state"])
def test_each_step_is_judged_by_itself_wherever_it_is_asked_for(target):
    decoder, given = decoder_of(target), histories()
    whole = errors(decoder, given)
    assert whole.shape == STEPS_OF.shape
    latents = drawn(TRIALS, 2, LATENT)
    for trial, time, number in ((0, 0, 1), (1, 1, 2), (0, 1, 0)):
        step = int(STEPS_OF[trial, time, number])
        one = Histories(*(field[trial : trial + 1, step : step + 1] for field in given[:4]), torch.tensor([1]))
        alone = decoder.squared_errors(
            latents[trial : trial + 1, time : time + 1], one, torch.zeros((1, 1, 1), dtype=int)
        )
        torch.testing.assert_close(alone[0, 0, 0], whole[trial, time, number])
    torch.testing.assert_close(whole[0, 0, 1], whole[0, 0, 2])  # the same step, asked for twice


@pytest.mark.parametrize("target", ["reward", "state"])
def test_states_actions_and_latents_count(target):
    decoder, given = decoder_of(target), histories()
    assert shifted_predictions(decoder, given, "observations")
    assert shifted_predictions(decoder, given, "actions")
    other = decoder.squared_errors(drawn(TRIALS, 2, LATENT, seed=9), given, STEPS_OF)
    assert not torch.isclose(errors(decoder, given), other).any()


def test_a_reward_is_predicted_from_what_an_action_led_to_and_never_from_rewards():
    decoder, given = decoder_of("reward"), histories()
    assert shifted_predictions(decoder, given, "next_observations")
    bonus = given._replace(rewards=given.rewards + 1.0)
    roots = [errors(decoder, each).sqrt() for each in (given, bonus)]
    assert ((roots[0] - roots[1]).abs() <= 1.0 + 1e-5).all()  # the target alone has moved, by 1


def test_a_state_is_predicted_from_neither_itself_nor_the_reward():
    decoder, given = decoder_of("state"), histories()
    assert not shifted_predictions(decoder, given, "rewards")
    same = given._replace(next_observations=torch.zeros_like(given.next_observations))
    far = given._replace(next_observations=torch.full_like(given.next_observations, 100.0))
    # mean (p - 100)^2 - mean p^2 = 100^2 - 200 mean p, with one and the same p
    mean = (100.0**2 - (errors(decoder, far) - errors(decoder, same))) / 200
    near = given._replace(next_observations=torch.ones_like(given.next_observations))
    torch.testing.assert_close(errors(decoder, near), errors(decoder, same) - 2 * mean + 1, rtol=1e-2, atol=1e-2)
