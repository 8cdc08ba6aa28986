import math

import numpy as np
import pytest
import torch

from algorithms.kit.off_policy import recurrent_actor_critic
from algorithms.kit.off_policy.recurrent_actor_critic import RecurrentActorCritic, Sizes, Tokens
from algorithms.kit.off_policy.sac import SacSettings
from algorithms.kit.trial_replay import Trials

STEPS, TRIALS, OBSERVATION, ACTION = 4, 2, 3, 2
SETTINGS = SacSettings(0.9, 0.1, 1e-2, 2.0, "auto", -2.0, "fp32")
SIZES = Sizes(OBSERVATION + 1, ACTION, 3, (3, 2, 2), (5, 4))
TINY = Sizes(OBSERVATION + 1, ACTION, 2, (2, 2, 2), (3, 3))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_trials(seed=1, dtype=torch.float64):
    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    generator = seeded(seed)
    terminated = torch.zeros((STEPS, TRIALS), dtype=dtype)
    terminated[2, 1] = 1
    previous = normal(STEPS + 1, TRIALS, ACTION + 2)
    previous[..., -1] = 0
    previous[0] = 0
    previous[2:4, :, -1] = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)  # episodes end after steps 1 and 2
    actions = normal(STEPS, TRIALS, ACTION).tanh()
    return Trials(normal(STEPS + 1, TRIALS, OBSERVATION), previous, actions, normal(STEPS, TRIALS), terminated)


def learner(settings=SETTINGS, sizes=SIZES, dtype=torch.float64):
    """One of tiny networks, whose every weight matters."""
    built = RecurrentActorCritic(settings, sizes, seeded())
    generator = seeded(5)

    def widened(part):
        return [(0.5 * torch.randn(p.shape, generator=generator, dtype=dtype)).requires_grad_() for p in part]

    built.actor, built.critic = built.actor.mapped(widened), built.critic.mapped(widened)
    built.target = built.critic.mapped(lambda part: [parameter.detach() * 1.1 for parameter in part])
    built.optimiser = torch.optim.Adam(built.parameters, lr=settings.learning_rate)
    return built


@pytest.fixture
def noise(monkeypatch):
    """What actions are drawn with, (step, trial, action); the same at every draw."""
    fixed = torch.randn((STEPS + 1, TRIALS, ACTION), generator=seeded(9), dtype=torch.float64)
    monkeypatch.setattr(recurrent_actor_critic, "standard_normal", lambda like, generator: fixed.to(like.dtype))
    return fixed


def losses(built, trials, temperature=0.3):
    return built.losses(trials, torch.tensor(temperature, dtype=trials.rewards.dtype), seeded())


def saying(network, *values):
    """Makes every head say one number per output, whatever it reads."""
    with torch.no_grad():
        network.heads[-2].zero_()
        network.heads[-1].copy_(torch.tensor(values, dtype=network.heads[-1].dtype).reshape(network.heads[-1].shape))


# Values by hand -------------------------------------------------------------------------------------------------


def test_losses_by_hand(noise):
    """Q = (5, 7), target Q = (2, 3), a policy of mean 0.1 and std 0.5 in both dimensions, alpha 0.3."""
    built, trials = learner(), random_trials()
    saying(built.critic, 5, 7)
    saying(built.target, 2, 3)
    saying(built.actor, 0.1, 0.1, math.log(0.5), math.log(0.5))
    critic_loss, policy_loss, log_density = (value.detach() for value in losses(built, trials))

    pre_tanh = 0.1 + 0.5 * noise.numpy()
    gaussian = -0.5 * noise.numpy() ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)
    expected = (gaussian - np.log(1 - np.tanh(pre_tanh) ** 2)).sum(-1)  # (step + 1, trial)
    np.testing.assert_allclose(log_density.detach(), expected[:-1], rtol=1e-9)
    ended = np.array([[0, 0], [0, 0], [0, 1], [0, 0]])  # the fall of the second trial; the other end is a time limit's
    target = 2.0 * trials.rewards.numpy() + 0.9 * (1 - ended) * (2 - 0.3 * expected[1:])
    by_hand = 0.5 * (((5 - target) ** 2).mean() + ((7 - target) ** 2).mean())
    assert float(critic_loss) == pytest.approx(by_hand, rel=1e-9)
    assert float(policy_loss) == pytest.approx((0.3 * expected[:-1] - 5).mean(), rel=1e-9)


def test_the_last_observation_is_in_the_last_target_alone(noise):
    """T + 1 states: what is behind the last step has a value, and no action there is judged."""
    built, trials = learner(), random_trials()
    moved = trials.observations.clone()
    moved[-1] += 1
    before, after = losses(built, trials), losses(built, trials._replace(observations=moved))
    assert before[0] != after[0]
    assert before[1] == after[1]
    over = trials.terminated.clone()
    over[-1] = 1
    fallen = trials._replace(terminated=over)
    assert losses(built, fallen)[0] == losses(built, fallen._replace(observations=moved))[0]


def test_what_is_read_later_changes_nothing_before_and_what_was_read_is_kept(noise):
    built, trials = learner(), random_trials()
    read = Tokens.of(trials.observations, trials.previous)
    states = built.actor.states(read)
    for part in range(3):
        fields = [field.clone() for field in read]
        fields[part][2] += 2
        other = built.actor.states(Tokens(*fields))
        assert torch.equal(states[:2], other[:2])
        for step in range(2, STEPS + 1):
            assert not torch.equal(states[step], other[step])
    flagged = trials.previous.clone()
    flagged[1, :, -1] = 1
    assert not torch.equal(built.actor.states(Tokens.of(trials.observations, flagged))[1], states[1])


def test_states_start_from_zero_and_step_as_in_acting():
    built, trials = learner(), random_trials()
    read = Tokens.of(trials.observations, trials.previous)
    state = torch.zeros((TRIALS, SIZES.hidden), dtype=torch.float64)
    for step, expected in enumerate(built.actor.states(read)):
        state = built.next_states(Tokens(*(field[step] for field in read)), state)
        torch.testing.assert_close(state, expected)


def test_the_shortcut_shows_the_step_itself_past_the_memory(noise):
    """With states held still, a policy still sees its observation, and a critic observation and action."""
    built = learner()
    states = torch.zeros((1, 1, SIZES.hidden), dtype=torch.float64)
    zero, one = (torch.full((1, 1, OBSERVATION + 1), value, dtype=torch.float64) for value in (0.0, 1.0))
    assert not torch.equal(built.distribution(states, zero, "fp32")[0], built.distribution(states, one, "fp32")[0])
    actions = torch.zeros((1, 1, ACTION), dtype=torch.float64)
    values = [built._values(built.critic, states, seen, act) for seen, act in ((zero, actions), (one, actions),
                                                                              (zero, actions + 1))]  # fmt: skip
    assert not torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


# Gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["critic", "actor"])
def test_gradients_against_finite_differences(noise, finite_differences, which):
    built, trials = learner(sizes=TINY), random_trials()
    index = ["critic", "actor"].index(which)
    parameters = getattr(built, which).parameters
    found = torch.autograd.grad(losses(built, trials)[index], parameters)
    for parameter, gradient in zip(parameters, found):
        numeric = finite_differences(lambda: losses(built, trials)[index], parameter)
        torch.testing.assert_close(gradient, numeric, rtol=1e-5, atol=1e-7)
        assert gradient.abs().sum() > 0


def test_each_loss_trains_its_own_network_alone(noise):
    built, trials = learner(), random_trials()
    critic_loss, policy_loss, _ = losses(built, trials)
    for loss, others in ((critic_loss, built.actor), (policy_loss, built.critic)):
        gradients = torch.autograd.grad(loss, others.parameters, allow_unused=True, retain_graph=True)
        assert all(gradient is None for gradient in gradients)


def test_an_update_steps_on_both_losses_at_the_same_weights_and_moves_targets_and_temperature(noise):
    built, trials = learner(), random_trials()
    with torch.no_grad():
        built.log_temperature.fill_(math.log(0.3))
    expected = losses(built, trials)
    gradients = [
        *torch.autograd.grad(expected[0], built.critic.parameters, retain_graph=True),
        *torch.autograd.grad(expected[1], built.actor.parameters),
    ]
    targets = [parameter.clone() for parameter in built.target.parameters]
    report = built.update(trials, seeded())
    for parameter, gradient in zip(built.parameters, gradients):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
    assert float(report["critic_loss"]) == pytest.approx(expected[0].item(), rel=1e-6)
    assert float(report["policy_loss"]) == pytest.approx(expected[1].item(), rel=1e-6)
    assert float(report["temperature"]) == pytest.approx(0.3)
    for before, after, source in zip(targets, built.target.parameters, built.critic.parameters):
        torch.testing.assert_close(after, 0.9 * before + 0.1 * source)
    # entropy above its target of -2: the temperature falls, by Adam's first step, which is the learning rate
    assert float(report["entropy"]) > -2
    assert built.log_temperature.item() == pytest.approx(math.log(0.3) - 1e-2, abs=1e-5)


def test_a_fixed_temperature_stays():
    built = RecurrentActorCritic(SETTINGS._replace(temperature=0.2), SIZES, seeded())
    trials = Trials(*(field.float() for field in random_trials()))
    report = built.update(trials, seeded())
    assert float(report["temperature"]) == pytest.approx(0.2)
    assert built.log_temperature.item() == pytest.approx(math.log(0.2))


def test_bfloat16_heads_are_close_to_float32(noise):
    trials = Trials(*(field.float() for field in random_trials()))
    found = [
        losses(learner(SETTINGS._replace(precision=precision), dtype=torch.float32), trials)[:2]
        for precision in ("fp32", "bf16")
    ]
    for full, half in zip(*found):
        assert full != half
        torch.testing.assert_close(full, half, rtol=2e-2, atol=2e-2)


def test_the_initial_weights_are_the_authors():
    sizes = Sizes(OBSERVATION + 1, ACTION, 64, (32, 16, 16), (128, 128))
    built = RecurrentActorCritic(SETTINGS, sizes, seeded())
    for network, bound in ((built.actor, 1e-3), (built.critic, 3e-3)):
        for last in network.heads[-2:]:
            assert 0.5 * bound < float(last.detach().abs().max()) <= bound
        assert (network.heads[1] == 0.1).all()
        assert float(network.heads[2].detach().abs().max()) <= 128**-0.5
        assert not network.cell[2].any()
        assert not network.cell[3].any()
    assert len(built.critic.heads[0]) == 2
    assert not torch.equal(built.critic.heads[0][0], built.critic.heads[0][1])
    for target, critic in zip(built.target.parameters, built.critic.parameters):
        assert torch.equal(target, critic)
