import numpy as np
import pytest
import torch

from algorithms.kit.on_policy.recurrent_policy import RecurrentPolicy, Sizes
from algorithms.kit.on_policy.recurrent_ppo import PpoSettings, RecurrentPpo, Trials

STEPS, TRIALS, HORIZON = 6, 3, 3
SETTINGS = PpoSettings(
    across_episodes=True, baseline="learned", standardise="batch", discount=0.5, smoothing=0.8, clip=0.2, epochs=2,
    minibatches=1, backpropagation=None, learning_rate=1e-2, gradient_clip=None, value_weight=0.5, entropy_weight=0.1,
)  # fmt: skip


def build(kind="gru", dtype=torch.float32, **changes):
    settings = SETTINGS._replace(**changes)
    generator = torch.Generator().manual_seed(0)
    policy = RecurrentPolicy(Sizes(kind, 2, 5, 2, 3, critic=settings.baseline == "learned"), generator)
    for parts in (policy.cell, policy.actor, policy.critic):
        parts[:] = [tensor.detach().to(dtype).requires_grad_(True) for tensor in parts]
    policy._log_std = policy._log_std.detach().to(dtype).requires_grad_(True)
    return RecurrentPpo(settings, policy, generator)


def trials_of(ppo, dtype=torch.float32, seed=1, steps=STEPS):
    """Trials of two episodes that the policy itself drew, with rewards and values of noise."""

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    generator = torch.Generator().manual_seed(seed)
    inputs = draw(steps, TRIALS, 5)
    with torch.no_grad():
        blank = ppo.policy.blank(TRIALS).to(dtype)
        mean = ppo.policy.unroll(inputs, blank).mean
        actions = mean + ppo.policy.log_std.exp() * draw(steps, TRIALS, 2)
        log_probs = ppo.policy.log_probs(mean, actions)
    ends = (torch.arange(steps) % HORIZON == HORIZON - 1).unsqueeze(1).expand(-1, TRIALS)
    rewards, values, final_inputs = draw(steps, TRIALS), draw(steps, TRIALS), draw(1, TRIALS, 5)
    return Trials(inputs, actions, log_probs, values, rewards, ends, final_inputs, draw(TRIALS))


def cut_short(trials):
    """The trials, whose last episode is not over."""
    ends = trials.ends.clone()
    ends[-1] = False
    return trials._replace(ends=ends)


def by_hand(trials, settings):
    """Advantages before they are standardised, (step, trial), of a learned critic."""
    raw = np.zeros((STEPS, TRIALS))
    for trial in range(TRIALS):
        following = 0.0
        for step in reversed(range(STEPS)):
            final, over = step == STEPS - 1, bool(trials.ends[step, trial])
            goes_on = settings.across_episodes or not over
            value = trials.final_values[trial] if final else trials.values[step + 1, trial]
            delta = trials.rewards[step, trial] + settings.discount * goes_on * value - trials.values[step, trial]
            carried = goes_on and not final
            following = float(delta) + settings.discount * settings.smoothing * (following if carried else 0.0)
            raw[step, trial] = following
    return raw


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("across", [False, True])
def test_a_critics_value_is_behind_a_trial_where_its_return_goes_on(across, cut):
    """Across episodes a trial's end is a cut. By episode it is one only where it cuts an episode."""
    ppo = build(across_episodes=across)
    trials = cut_short(trials_of(ppo)) if cut else trials_of(ppo)
    raw = by_hand(trials, ppo.settings)
    advantages, targets = ppo.advantages(trials)
    np.testing.assert_allclose(advantages, (raw - raw.mean()) / raw.std(), rtol=1e-4, atol=1e-5)
    returns = np.zeros((STEPS + 1, TRIALS))
    for step in reversed(range(STEPS)):
        kept = np.zeros(TRIALS) if not across and step == HORIZON - 1 else returns[step + 1]
        returns[step] = trials.rewards[step].numpy() + 0.5 * kept
    np.testing.assert_allclose(ppo.unit, returns[:STEPS].std(), rtol=1e-5)
    np.testing.assert_allclose(targets, (raw + trials.values.numpy()) / returns[:STEPS].std(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("across", "cut"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_linear_baseline_is_fitted_to_each_trials_returns(across, cut):
    """With lambda 1 an advantage is the return less what least squares predict of it (Duan et al. 2016).

    What is behind a cut episode is the baseline's own prediction; across episodes the return ends with its trial.
    """
    ppo = build(across_episodes=across, baseline="linear", standardise="trial", smoothing=1.0)
    steps = 30
    trials = trials_of(ppo, steps=steps)
    trials = cut_short(trials) if cut else trials
    advantages, _ = ppo.advantages(trials)
    for trial in range(TRIALS):
        returns, rewards = np.zeros(steps + 1), trials.rewards[:, trial].double().numpy()
        for step in reversed(range(steps)):
            kept = across or step % HORIZON != HORIZON - 1
            returns[step] = rewards[step] + 0.5 * kept * returns[step + 1]
        times = (np.arange(steps) if across else np.arange(steps) % HORIZON)[:, None] / 100
        features = features_of(trials.inputs[:, trial], times)
        behind = np.zeros_like(features)
        if cut and not across:  # the last episode's three steps
            final = features_of(trials.final_inputs[:, trial], np.full((1, 1), HORIZON / 100))
            behind[-HORIZON:] = np.array([[0.125], [0.25], [0.5]]) * final
        known = features - behind
        weights = np.linalg.solve(known.T @ known + 1e-5 * np.eye(14), known.T @ returns[:steps])
        raw = returns[:steps] - known @ weights
        np.testing.assert_allclose(advantages[:, trial], (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-4)


def features_of(inputs, times):
    states = inputs.double().numpy()
    return np.hstack([states, states**2, times, times**2, times**3, np.ones_like(times)])


def test_every_trial_or_the_batch_is_standardised():
    trials = trials_of(build())
    trials = trials._replace(rewards=trials.rewards * torch.tensor([1.0, 10.0, 100.0]))
    each, all_of_them = (build(standardise=kind).advantages(trials)[0] for kind in ("trial", "batch"))
    torch.testing.assert_close(each.std(0, correction=0), torch.ones(TRIALS))
    torch.testing.assert_close(all_of_them.std(correction=0), torch.tensor(1.0))
    assert float(all_of_them[:, 0].std()) < 0.1


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_gradient_through_a_whole_trial_is_the_losss(kind, finite_differences):
    ppo = build(kind, torch.float64)
    trials = trials_of(ppo, torch.float64)
    advantages, targets = torch.randn(2, STEPS, TRIALS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ppo.policy.blank = lambda rows: torch.zeros((rows, ppo.policy.sizes.state), dtype=torch.float64)
    with torch.no_grad():
        for parameter in ppo.policy.parameters:  # away from the policy that acted, so that some ratios are clipped
            parameter += 0.2 * torch.randn(parameter.shape, generator=ppo._generator, dtype=torch.float64)
    _, report = ppo.loss(trials, advantages, targets)
    assert 0 < float(report["clipped"]) < 1
    gradients = torch.autograd.grad(ppo.loss(trials, advantages, targets)[0], ppo.policy.parameters)
    for parameter, gradient in zip(ppo.policy.parameters, gradients):
        with torch.no_grad():
            expected = finite_differences(lambda: ppo.loss(trials, advantages, targets)[0], parameter)
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-8)


def test_at_the_policy_that_acted_the_ratio_is_one():
    ppo = build()
    advantages = torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(2))
    _, report = ppo.loss(trials_of(ppo), advantages, torch.zeros(STEPS, TRIALS))
    assert float(report["policy_loss"]) == pytest.approx(-float(advantages.mean()), abs=1e-6)
    assert float(report["kl"]) == pytest.approx(0.0, abs=1e-6)
    assert float(report["clipped"]) == 0.0


def test_a_ratio_gains_nothing_beyond_the_clip_and_loses_all_it_can():
    ppo = build()
    trials, advantages = trials_of(ppo), torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(2))
    old = trials.log_probs + torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(3))
    _, report = ppo.loss(trials._replace(log_probs=old), advantages, torch.zeros(STEPS, TRIALS))
    ratio = (trials.log_probs - old).exp()
    kept = torch.where(advantages > 0, ratio.clamp_max(1.2), ratio.clamp_min(0.8))
    assert float(report["policy_loss"]) == pytest.approx(-float((kept * advantages).mean()), rel=1e-4)
    assert float(report["kl"]) == pytest.approx(float((ratio - 1 - ratio.log()).mean()), rel=1e-4)


def test_the_critics_loss_is_added_and_the_entropy_taken_off():
    ppo = build(value_weight=0.7, entropy_weight=0.3)
    trials, advantages = trials_of(ppo), torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(2))
    loss, report = ppo.loss(trials, advantages, 3 * advantages)
    error = ppo.policy.unroll(trials.inputs, ppo.policy.blank(TRIALS)).values - 3 * advantages
    huber = torch.where(error.abs() < 1, 0.5 * error.square(), error.abs() - 0.5).mean()
    assert float(huber.detach()) == pytest.approx(float(report["critic_loss"]), rel=1e-4)
    expected = report["policy_loss"] + 0.7 * huber - 0.3 * ppo.policy.entropy()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_a_trials_loss_is_the_mean_over_its_chunks():
    whole, cut = build(), build(backpropagation=4)
    trials = trials_of(whole)
    advantages = torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(2))
    targets = torch.zeros(STEPS, TRIALS)
    _, one = whole.loss(trials, advantages, targets)
    _, other = cut.loss(trials, advantages, targets)
    assert float(one["policy_loss"]) == pytest.approx(-float(advantages.mean()), abs=1e-6)
    chunks = (advantages[:4].mean() + advantages[4:].mean()) / 2  # of unequal length, of equal weight (code)
    assert float(other["policy_loss"]) == pytest.approx(-float(chunks), abs=1e-6)


def test_gradients_are_clipped_as_one_vector(monkeypatch):
    ppo = build(gradient_clip=0.01)
    trials, advantages = trials_of(ppo), torch.randn(STEPS, TRIALS, generator=torch.Generator().manual_seed(2))
    plain = torch.autograd.grad(ppo.loss(trials, advantages, 0 * advantages)[0], ppo.policy.parameters)
    ppo.gradient_step(trials, advantages, 0 * advantages)
    norm = torch.cat([gradient.flatten() for gradient in plain]).norm()
    assert float(norm) > 0.02
    for parameter, gradient in zip(ppo.policy.parameters, plain):
        torch.testing.assert_close(parameter.grad, gradient * 0.01 / norm)


def test_a_pass_meets_every_trial_once(monkeypatch):
    ppo, met = build(minibatches=2, epochs=3), []
    trials = trials_of(ppo)
    number = torch.arange(float(TRIALS))
    marked = trials._replace(final_values=number)
    monkeypatch.setattr(ppo, "advantages", lambda trials: (number.expand(STEPS, -1), 10 * number.expand(STEPS, -1)))

    def gradient_step(given, advantages, targets):
        met.append(given.final_values.tolist())
        assert advantages[2].tolist() == met[-1]  # each trial with its own
        assert (targets / 10)[2].tolist() == met[-1]
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(ppo, "gradient_step", gradient_step)
    ppo.update(marked)
    assert [len(rows) for rows in met] == 3 * [2, 1]
    assert all(sorted(met[index] + met[index + 1]) == [0.0, 1.0, 2.0] for index in (0, 2, 4))
    assert len({tuple(rows) for rows in met[::2]}) > 1
