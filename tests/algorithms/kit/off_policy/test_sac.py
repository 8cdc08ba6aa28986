import math

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from algorithms.kit.networks import adam, as_leaves, glorot_uniform
from algorithms.kit.off_policy.sac import SacSettings, SoftActorCritic
from algorithms.kit.off_policy.twin_critics import Also, twin_values
from algorithms.kit.replay import Transitions
from algorithms.kit.state import load_state_of, state_of

INPUT, ACTION, ROWS = 3, 2, 4
SETTINGS = SacSettings(
    discount=0.9, target_rate=0.1, learning_rate=0.01, reward_scale=2.0, temperature="auto", target_entropy=-1.0,
    precision="fp32",
)  # fmt: skip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def build(number=1, settings=SETTINGS, seed=0):
    """Learners in float64 with targets of their own, so that a mistaken target shows."""

    def network(sizes, ensemble, seed):
        return [
            parameter.double() + 0.2 * drawn(*parameter.shape, seed=seed + index)
            for index, parameter in enumerate(glorot_uniform(sizes, seeded(seed), ensemble))
        ]

    policy = network([INPUT, 5, 4, 2 * ACTION], number, seed)
    critics, targets = (network([INPUT + ACTION, 5, 4, 1], 2 * number, seed + step) for step in (20, 40))
    learners = SoftActorCritic(settings, policy, critics, targets)
    if settings.temperature == "auto":
        with torch.no_grad():
            learners.log_temperature.copy_(torch.linspace(-1.5, 0.5, number))
    return learners


def batch_of(number=1, seed=100):
    return Transitions(
        drawn(number, ROWS, INPUT, seed=seed), torch.tanh(drawn(number, ROWS, ACTION, seed=seed + 1)),
        drawn(number, ROWS, seed=seed + 2), drawn(number, ROWS, INPUT, seed=seed + 3),
        (drawn(number, ROWS, seed=seed + 4) > 0.5).double(),
    )  # fmt: skip


def noises(number=1, updates=1, seed=200):
    """Noise of `updates` updates: for the next actions, then for the current ones."""
    return [drawn(number, ROWS, ACTION, seed=seed + index) for index in range(2 * updates)]


def forward(network, member, inputs):
    """The plain network that member `member` of an ensemble is."""
    hidden = inputs
    for layer in range(0, len(network), 2):
        hidden = hidden @ network[layer][member] + network[layer + 1][member]
        hidden = torch.relu(hidden) if layer < len(network) - 2 else hidden
    return hidden


def act(policy, learner, inputs, noise):
    mean, log_std = forward(policy, learner, inputs).split(ACTION, dim=-1)
    actions = torch.tanh(mean + log_std.exp() * noise)
    squashed = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=0)])
    return actions, squashed.log_prob(actions).sum(-1)


def least_value(critics, learner, inputs, actions):
    joined = torch.cat([inputs, actions], dim=-1)
    return torch.minimum(*(forward(critics, 2 * learner + twin, joined)[:, 0] for twin in (0, 1)))


def bellman_target(learners, learner, batch, noise, temperature):
    actions, log_density = act(learners.policy, learner, batch.next_observations[learner], noise[learner])
    bootstrap = least_value(learners.targets, learner, batch.next_observations[learner], actions)
    bootstrap = bootstrap - temperature * log_density
    settings, rewards, over = learners.settings, batch.rewards[learner], batch.terminated[learner]
    return settings.reward_scale * rewards + settings.discount * (1 - over) * bootstrap


def critic_loss(critics, learner, batch, target, observations=None):
    observations = batch.observations[learner] if observations is None else observations
    joined = torch.cat([observations, batch.actions[learner]], dim=-1)
    errors = [forward(critics, 2 * learner + twin, joined)[:, 0] - target for twin in (0, 1)]
    return sum(0.5 * error.square().mean() for error in errors)


def policy_loss(policy, critics, learner, batch, noise, temperature):
    actions, log_density = act(policy, learner, batch.observations[learner], noise[learner])
    values = least_value(critics, learner, batch.observations[learner], actions)
    return (temperature * log_density - values).mean()


def copied(tensors):
    return [tensor.detach().clone() for tensor in tensors]


def everything(learners):
    temperature = learners.log_temperature
    return copied([*learners.policy, *learners.critics, *learners.targets, temperature])


def constant_network(outputs, ensemble, inputs):
    """A network that ignores its inputs: outputs (ensemble, out)."""
    network = [(inputs, 2), (1, 2), (2, len(outputs[0])), (1, len(outputs[0]))]
    parameters = [torch.zeros((ensemble, *shape), dtype=torch.float64) for shape in network]
    parameters[-1] += torch.tensor(outputs, dtype=torch.float64).unsqueeze(1)
    return parameters


def test_one_update_by_hand(fixed_noise):
    """Constant networks, one action: policy N(0.2, e^-0.5), critics 2 and 5, targets 1 and -3, temperature 0.5."""
    learner = SoftActorCritic(
        SETTINGS._replace(temperature=0.5), constant_network([[0.2, -0.5]], 1, 1),
        constant_network([[2.0], [5.0]], 2, 2), constant_network([[1.0], [-3.0]], 2, 2),
    )  # fmt: skip
    column = torch.zeros((1, 2, 1), dtype=torch.float64)
    batch = Transitions(
        column, column, torch.tensor([[1.0, -1.0]]).double(), column, torch.tensor([[0.0, 1.0]]).double()
    )
    first, second = (torch.tensor(values).double().reshape(1, 2, 1) for values in ([0.3, 2.0], [-1.1, 0.7]))
    fixed_noise(first, second)
    losses = learner.update(batch, None)

    def log_density(noise):
        action = math.tanh(0.2 + math.exp(-0.5) * noise)
        return -0.5 * noise**2 - 0.5 * math.log(2 * math.pi) + 0.5 - math.log(1 - action**2)

    targets = [2 * 1 + 0.9 * (-3 - 0.5 * log_density(0.3)), 2 * -1]
    expected = 0.5 * sum((value - target) ** 2 for value in (2, 5) for target in targets) / 2
    assert losses["critic_loss"].item() == pytest.approx(expected)
    slopes = [value - sum(targets) / 2 for value in (2, 5)]
    assert learner.critics[-1].grad.flatten().tolist() == pytest.approx(slopes)
    moved = [value - 0.01 * math.copysign(1, slope) for value, slope in zip((2, 5), slopes)]
    assert learner.critics[-1].flatten().tolist() == pytest.approx(moved)
    density = (log_density(-1.1) + log_density(0.7)) / 2
    assert losses["policy_loss"].item() == pytest.approx(0.5 * density - min(moved))
    assert losses["entropy"].item() == pytest.approx(-density)
    assert losses["temperature"].item() == pytest.approx(0.5)
    assert learner.targets[-1].flatten().tolist() == pytest.approx(
        [1 + 0.1 * (moved[0] - 1), -3 + 0.1 * (moved[1] + 3)]
    )


def test_losses_and_gradients_of_every_learner_match_a_plain_reference(fixed_noise, finite_differences):
    learners, batch, (next_noise, noise) = build(2), batch_of(2), noises(2)
    policy, critics = copied(learners.policy), copied(learners.critics)
    temperature = learners.log_temperature.detach().double().exp()
    target = [bellman_target(learners, one, batch, next_noise, temperature[one]).detach() for one in (0, 1)]
    fixed_noise(next_noise, noise)
    losses = learners.update(batch, None)

    def critics_loss():
        return sum(critic_loss(critics, one, batch, target[one]) for one in (0, 1))

    def policies_loss():
        new = learners.critics  # the policy's step sees the critics after theirs
        return sum(policy_loss(policy, new, one, batch, noise, temperature[one]) for one in (0, 1))

    for one in (0, 1):
        expected = policy_loss(policy, learners.critics, one, batch, noise, temperature[one])
        assert losses["policy_loss"][one].item() == pytest.approx(expected.item(), rel=1e-6)
        expected = critic_loss(critics, one, batch, target[one])
        assert losses["critic_loss"][one].item() == pytest.approx(expected.item(), rel=1e-6)
    for parameters, loss, learned in (
        (critics, critics_loss, learners.critics), (policy, policies_loss, learners.policy)
    ):  # fmt: skip
        for before, after in zip(parameters, learned):
            torch.testing.assert_close(after.grad, finite_differences(loss, before), rtol=1e-5, atol=1e-8)


def test_the_first_step_is_adams_on_that_gradient_for_critics_and_policy(fixed_noise):
    learners = build(2)
    before = copied([*learners.critics, *learners.policy])
    fixed_noise(*noises(2))
    learners.update(batch_of(2), None)
    moved = 0
    for old, new in zip(before, [*learners.critics, *learners.policy]):
        torch.testing.assert_close(new.detach(), old - 0.01 * new.grad / (new.grad.abs() + 1e-8), rtol=0, atol=1e-12)
        moved += int((new.grad != 0).sum())
    assert moved > 100


def test_the_policys_step_leaves_the_critics_alone(fixed_noise):
    """Other noise in the policy's step changes the policy alone; no target ever has a gradient."""
    results = []
    for seed in (0, 7):
        learners = build(2)
        fixed_noise(noises(2)[0], noises(2, seed=300 + seed)[1])
        learners.update(batch_of(2), None)
        results.append((copied(learners.critics), copied([p.grad for p in learners.critics]), copied(learners.policy)))
        assert all(target.grad is None and not target.requires_grad for target in learners.targets)
    for left, right in zip(results[0][0] + results[0][1], results[1][0] + results[1][1]):
        assert torch.equal(left, right)
    assert not torch.equal(results[0][2][0], results[1][2][0])


def test_the_temperature_by_hand(fixed_noise):
    """The gradient of -log alpha (log pi + target entropy) is -(mean log pi + target entropy), per learner."""
    learners, batch, (next_noise, noise) = build(3), batch_of(3), noises(3)
    before = learners.log_temperature.detach().clone()
    policy = copied(learners.policy)
    fixed_noise(next_noise, noise)
    entropy = learners.update(batch, None)["entropy"]
    for one in range(3):
        log_density = act(policy, one, batch.observations[one], noise[one])[1]
        assert entropy[one].item() == pytest.approx(-log_density.mean().item())
        gradient = learners.log_temperature.grad[one].item()
        assert gradient == pytest.approx(-(log_density.mean().item() - 1.0), rel=1e-5)
        step = learners.log_temperature[one].item() - before[one].item()
        assert step == pytest.approx(-0.01 * math.copysign(1, gradient), rel=1e-4)


@pytest.mark.parametrize(("target_entropy", "rises"), [(50.0, True), (-50.0, False)])
def test_the_temperature_rises_where_the_entropy_is_below_its_target(fixed_noise, target_entropy, rises):
    learners = build(1, SETTINGS._replace(target_entropy=target_entropy))
    before = learners.log_temperature.item()
    fixed_noise(*noises())
    learners.update(batch_of(), None)
    assert (learners.log_temperature.item() > before) is rises


def test_a_fixed_temperature_stays(fixed_noise):
    learners = build(1, SETTINGS._replace(temperature=0.25))
    assert learners.temperature_optimiser is None
    fixed_noise(*noises(updates=3))
    for _ in range(3):
        losses = learners.update(batch_of(), None)
    assert losses["temperature"].item() == pytest.approx(0.25)
    assert learners.log_temperature.item() == pytest.approx(math.log(0.25))


def test_learners_side_by_side_are_learners_one_by_one(fixed_noise):
    together, batch, drawn_noise = build(3), batch_of(3), noises(3, updates=4)
    fixed_noise(*drawn_noise)
    reported = [together.update(batch, None) for _ in range(4)]
    for one in range(3):
        whole, single = build(3), slice(one, one + 1)
        twins = slice(2 * one, 2 * one + 2)
        alone = SoftActorCritic(
            SETTINGS, [p[single] for p in whole.policy], [p[twins] for p in whole.critics],
            [p[twins] for p in whole.targets],
        )  # fmt: skip
        with torch.no_grad():
            alone.log_temperature.copy_(whole.log_temperature[single])
        fixed_noise(*(noise[single] for noise in drawn_noise))
        for losses in reported:
            own = alone.update(Transitions(*(field[single] for field in batch)), None)
            for name, value in own.items():
                torch.testing.assert_close(losses[name][single], value, rtol=1e-6, atol=1e-8)
        for left, right in zip(together.policy, alone.policy):
            torch.testing.assert_close(left[single], right, rtol=1e-6, atol=1e-8)
        for name in ("critics", "targets"):
            for left, right in zip(getattr(together, name), getattr(alone, name)):
                torch.testing.assert_close(left[twins], right, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(together.log_temperature[single], alone.log_temperature)


def test_a_learners_data_never_reaches_another(fixed_noise):
    results = []
    for rewards in (0.0, 5.0):
        learners, batch = build(2), batch_of(2)
        batch.rewards[1] += rewards
        fixed_noise(*noises(2, updates=3))
        for _ in range(3):
            learners.update(batch, None)
        results.append(learners)
    for name, rows in (("policy", 1), ("critics", 2), ("targets", 2)):
        for left, right in zip(getattr(results[0], name), getattr(results[1], name)):
            assert torch.equal(left[:rows], right[:rows])
            assert not torch.equal(left[rows:], right[rows:])
    assert torch.equal(results[0].log_temperature[0], results[1].log_temperature[0])


def test_also_trains_the_embedding_by_the_critics_loss_and_its_own_alone(fixed_noise, finite_differences):
    learners, plain, (next_noise, noise) = build(1), batch_of(1), noises()
    (embedding,) = as_leaves([drawn(1, 1, INPUT, seed=5)])
    start = embedding.detach().clone()
    temperature = learners.log_temperature.detach().double().exp()[0]
    batch = plain._replace(
        observations=plain.observations + embedding, next_observations=plain.next_observations + embedding
    )
    target = bellman_target(learners, 0, batch, next_noise, temperature).detach()
    critics = copied(learners.critics)
    optimiser = adam([embedding], 0.05)
    fixed_noise(next_noise, noise)
    learners.update(batch, None, Also([embedding], optimiser, 3 * embedding.square().sum()))

    def loss():
        return critic_loss(critics, 0, plain, target, plain.observations[0] + start[0]) + 3 * start.square().sum()

    expected = finite_differences(loss, start)
    torch.testing.assert_close(embedding.grad, expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(embedding.detach(), start - 0.05 * expected.sign(), rtol=0, atol=1e-7)


def test_without_also_nothing_reaches_the_embedding_and_the_learner_moves_the_same(fixed_noise):
    results = []
    for named in (True, False):
        learners, plain = build(1), batch_of(1)
        (embedding,) = as_leaves([drawn(1, 1, INPUT, seed=5)])
        batch = plain._replace(observations=plain.observations + embedding)
        also = Also([embedding], adam([embedding], 0.05), 3 * embedding.square().sum()) if named else None
        fixed_noise(*noises())
        learners.update(batch, None, also)
        assert (embedding.grad is not None) is named
        results.append(everything(learners))
    for left, right in zip(*results):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


def test_initial_targets_are_copies_and_not_the_same_tensors():
    learner = SoftActorCritic.initial(SETTINGS, INPUT, ACTION, (5, 4), seeded())
    assert tuple(learner.policy[-1].shape) == (1, 1, 2 * ACTION)
    assert tuple(learner.critics[0].shape) == (2, INPUT + ACTION, 5)
    assert not torch.equal(learner.critics[0][0], learner.critics[0][1])
    for critic, target in zip(learner.critics, learner.targets):
        assert torch.equal(critic, target)
        assert critic.data_ptr() != target.data_ptr()


def test_copies_start_here_with_fresh_moments_and_targets_equal_to_the_critics(fixed_noise):
    learner = build(1)
    fixed_noise(*noises())
    learner.update(batch_of(), None)
    before = everything(learner)
    copies = learner.copies(3)
    assert copies.num_learners == 3
    for copy, source in zip([*copies.policy, *copies.critics], [*learner.policy, *learner.critics]):
        assert torch.equal(copy, source.detach().repeat(3, 1, 1))
    for copy, critic in zip(copies.targets, copies.critics):
        assert torch.equal(copy, critic)
    assert torch.equal(copies.log_temperature, learner.log_temperature.expand(3))
    optimisers = (copies.policy_optimiser, copies.critic_optimiser, copies.temperature_optimiser)
    assert not any(optimiser.steps for optimiser in optimisers)
    fixed_noise(*noises(3))
    copies.update(batch_of(3), None)
    assert all(torch.equal(left, right) for left, right in zip(before, everything(learner)))
    assert not torch.equal(copies.policy[0][0], copies.policy[0][1])
    assert not torch.equal(copies.log_temperature, learner.log_temperature.expand(3))


@pytest.mark.parametrize("temperature", ["auto", 0.5])
def test_a_state_continues_bit_exactly(temperature):
    settings = SETTINGS._replace(temperature=temperature)
    learners, again = build(2, settings), build(2, settings, seed=9)
    generator = seeded(3)
    for _ in range(3):
        learners.update(batch_of(2), generator)
    load_state_of(again.parts(), state_of(learners.parts()))
    for one in (learners, again):
        generator = seeded(4)
        for seed in (1, 2):
            one.update(batch_of(2, seed=seed), generator)
    for left, right in zip(everything(learners), everything(again)):
        assert torch.equal(left, right)


def test_one_learners_actions_are_its_policys():
    learners, inputs = build(3), drawn(1, 6, INPUT, seed=8)
    for one in range(3):
        noise = torch.randn((1, 6, ACTION), generator=seeded(2), dtype=torch.float64)
        expected = act(learners.policy, one, inputs[0], noise[0])[0]
        actions = learners.sample_one(one, inputs, seeded(2))
        assert actions.shape == (1, 6, ACTION)
        assert not actions.requires_grad
        torch.testing.assert_close(actions[0], expected.detach())


def test_twin_values_are_learner_major():
    learners, inputs = build(2), drawn(2, 3, INPUT, seed=8)
    actions = drawn(2, 3, ACTION, seed=9)
    values = twin_values(learners.critics, inputs, actions, "fp32")
    assert values.shape == (2, 2, 3)
    for one in (0, 1):
        for twin in (0, 1):
            joined = torch.cat([inputs[one], actions[one]], dim=-1)
            torch.testing.assert_close(values[one, twin], forward(learners.critics, 2 * one + twin, joined)[:, 0])
