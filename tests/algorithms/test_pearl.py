import numpy as np
import pytest
import torch

from algorithms.base import Diverged, Transition
from algorithms.kit.context.posterior import gaussian_factors, kl_to_standard_normal, product_of_gaussians
from algorithms.kit.networks import mlp
from algorithms.kit.off_policy import sac, sac_value
from algorithms.kit.off_policy.gaussian_policy import split_heads, squashed_sample
from algorithms.kit.off_policy.twin_critics import twin_values
from algorithms.kit.replay import Transitions
from algorithms.pearl import Pearl, PearlAdapt, PearlTrain

CPU = torch.device("cpu")
HORIZON = 10


def small_pearl(source, seed=0, **changes):
    config = {"encoder_hidden": (8, 7), "policy_hidden": (8, 8), "latent_dim": 2, "meta_batch": 3, "batch": 6}
    config |= {"context_batch": 5, "initial_transitions": 20, "prior_transitions": 20, "posterior_transitions": 40}
    config |= {"steps_per_iteration": 2, "tasks_per_iteration": 2, "precision": "fp32"}
    return Pearl(PearlTrain(**(config | changes)), source, seed=seed, device=CPU, capacity=1000)


def trained(source, **changes):
    """A PEARL past its initial exploration, with an encoder whose outputs are of ordinary size."""
    pearl = small_pearl(source, **changes)
    pearl.iterate()
    with torch.no_grad():
        for parameter in pearl.encoder[-2:]:
            parameter += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
    return pearl


def context_of(tasks, rows, seed=0):
    def draw(*shape):
        return torch.randn(shape, generator=generator)

    generator = torch.Generator().manual_seed(seed)
    return Transitions(
        draw(tasks, rows, 3), draw(tasks, rows, 2), draw(tasks, rows), draw(tasks, rows, 3), torch.zeros(tasks, rows)
    )


def posterior_of(encoder, context):
    """The posterior by a plain network."""
    inputs = torch.cat([context.observations, context.actions, context.rewards.unsqueeze(-1)], dim=-1)
    for layer in range(0, len(encoder), 2):
        inputs = inputs @ encoder[layer][0] + encoder[layer + 1][0]
        inputs = torch.relu(inputs) if layer < len(encoder) - 2 else inputs
    return product_of_gaussians(*gaussian_factors(inputs))


def test_the_posterior_of_each_task_is_the_product_over_its_own_rows(random_source):
    pearl, context = trained(random_source), context_of(3, 5)
    mean, variance = pearl.posterior(context)
    assert mean.shape == variance.shape == (3, 2)
    for task in range(3):
        own = Transitions(*(field[task] for field in context))
        for value, expected in zip((mean[task], variance[task]), posterior_of(pearl.encoder, own)):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    shuffled = Transitions(*(field[:, torch.tensor([4, 2, 0, 1, 3])] for field in context))
    torch.testing.assert_close(pearl.posterior(shuffled)[0], mean)


@pytest.mark.parametrize("aware", [False, True])
def test_next_observations_are_context_only_where_declared(random_source, aware):
    pearl, context = trained(random_source, next_observation_in_context=aware), context_of(2, 5)
    other = context._replace(next_observations=context.next_observations + 1)
    unchanged = torch.equal(pearl.posterior(context)[0], pearl.posterior(other)[0])
    assert unchanged is not aware
    over = context._replace(terminated=torch.ones_like(context.terminated))
    assert torch.equal(pearl.posterior(context)[0], pearl.posterior(over)[0])
    assert pearl.encoder[0].shape[1] == 3 + 2 + 1 + (3 if aware else 0)


def critic_loss(learner, batch):
    """The critics' loss with autograd's graph, against targets from networks whose actions are tanh(mean)."""
    settings, following = learner.settings, batch.next_observations.detach()
    with torch.no_grad():
        if isinstance(learner, sac_value.ValueSoftActorCritic):
            bootstrap = mlp(learner.target, following).squeeze(-1)
        else:
            actions, log_density = squashed_sample(*split_heads(mlp(learner.policy, following)), torch.zeros(1, 18, 2))
            bootstrap = twin_values(learner.targets, following, actions, "fp32").amin(1)
            bootstrap -= learner.log_temperature.exp() * log_density
        wanted = settings.reward_scale * batch.rewards + settings.discount * (1 - batch.terminated) * bootstrap
    errors = twin_values(learner.critics, batch.observations, batch.actions, "fp32") - wanted
    weight = 1.0 if isinstance(learner, sac_value.ValueSoftActorCritic) else 0.5
    return weight * errors.square().mean(2).sum()


@pytest.mark.parametrize("variant", ["value", "twin_q"])
def test_the_encoder_learns_from_the_critics_loss_and_the_kl_alone(random_source, monkeypatch, variant):
    """Its gradient is that of kl_weight * KL summed over tasks, plus the critics' loss through z = m + sqrt(S) e."""
    pearl = trained(random_source, sac_variant=variant, kl_weight=0.3)
    # Without noise in the actions the critics' loss can be had twice.
    for module in (sac, sac_value):
        monkeypatch.setattr(module, "standard_normal", lambda like, generator: torch.zeros_like(like))
    slots, expected, update, sample = [], [], pearl.sac.update, pearl.context.sample

    def remember(*arguments):
        slots.append(sample(*arguments))
        return slots[-1]

    def reference(batch, generator, also):
        mean, variance = posterior_of(pearl.encoder, pearl.store.gather(slots[0]))
        latents = batch.observations[0, :, 3:].detach().reshape(3, 6, 2)
        assert torch.equal(latents, latents[:, :1].expand_as(latents))
        noise = ((latents[:, 0] - mean) / variance.sqrt()).detach()
        z = (mean + variance.sqrt() * noise).repeat_interleave(6, dim=0).unsqueeze(0)
        own = batch._replace(observations=torch.cat([batch.observations[..., :3].detach(), z], dim=-1))
        loss = critic_loss(pearl.sac, own)
        kl = kl_to_standard_normal(mean, variance).sum()
        expected.extend([kl.item(), *torch.autograd.grad(loss + 0.3 * kl, pearl.encoder)])
        return update(batch, generator, also)

    monkeypatch.setattr(pearl.context, "sample", remember)
    monkeypatch.setattr(pearl.sac, "update", reference)
    before = [parameter.detach().clone() for parameter in pearl.encoder]
    metrics = pearl.gradient_step()
    assert metrics["kl"].item() == pytest.approx(expected[0] / 3, rel=1e-4)
    for old, parameter, gradient in zip(before, pearl.encoder, expected[1:]):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
        step = -3e-4 * parameter.grad / (parameter.grad.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach() - old, step, rtol=0, atol=1e-6)


def test_latents_have_the_posteriors_spread(random_source, monkeypatch):
    """(z - m) / sqrt(S) is standard normal: drawing with the variance for the deviation would show."""
    pearl = trained(random_source)
    slots = torch.stack(pearl.store.append(random_source.collect(None, [0, 1, 2], HORIZON)))[:, :5]
    monkeypatch.setattr(pearl.context, "sample", lambda tasks, number, generator: slots)
    mean, variance = (value.detach() for value in pearl.posterior(pearl.store.gather(slots)))
    drawn = []
    monkeypatch.setattr(pearl.sac, "update", lambda batch, generator, also: drawn.append(batch.observations) or {})
    for _ in range(600):
        pearl.gradient_step()
    standardised = (torch.stack(drawn)[:, 0, ::6, 3:].detach() - mean) / variance.sqrt()
    assert float(standardised.mean().abs()) < 0.06
    assert float(standardised.std()) == pytest.approx(1.0, abs=0.06)
    assert float(variance.sqrt().max()) < 0.8


def test_a_gradient_step_takes_recent_context_and_all_replay_of_the_same_tasks(random_source, monkeypatch):
    pearl, asked = trained(random_source), []
    for task in range(4):
        pearl.context.clear(task)
        pearl.context.add(task, pearl.replay.held(task)[-3:])
    for index in (pearl.context, pearl.replay):

        def sample(tasks, number, generator, original=index.sample):
            asked.append((tasks, number, original(tasks, number, generator)))
            return asked[-1][2]

        monkeypatch.setattr(index, "sample", sample)
    for _ in range(20):
        pearl.gradient_step()
    drawn = set()
    for (tasks, rows, slots), (same, more, _) in zip(asked[::2], asked[1::2]):
        assert tasks is same
        assert (len(tasks), rows, more) == (3, 5, 6)
        drawn |= set(tasks.tolist())
        for task, own in zip(tasks, slots):
            assert set(own.tolist()) <= set(pearl.replay.held(int(task))[-3:].tolist())
    assert drawn == {0, 1, 2, 3}


def test_the_critics_see_each_row_with_its_own_tasks_z(random_source, monkeypatch):
    pearl = trained(random_source)
    batches, tasks_drawn = [], []
    choose = pearl.choices.integers
    pearl.choices = type(
        "Choices", (), {"integers": lambda _, *a, **k: tasks_drawn.append(choose(*a, **k)) or tasks_drawn[-1]}
    )()
    monkeypatch.setattr(pearl.sac, "update", lambda batch, generator, also: batches.append(batch) or {})
    pearl.gradient_step()
    (batch,), (tasks,) = batches, tasks_drawn
    assert batch.observations.shape == (1, 18, 5)
    assert torch.equal(batch.observations[..., 3:], batch.next_observations[..., 3:])
    for position, task in enumerate(tasks):
        known = {tuple(row) for row in pearl.store.gather(pearl.replay.held(int(task))).observations.tolist()}
        rows = batch.observations[0, 6 * position : 6 * position + 6].detach()
        assert {tuple(row) for row in rows[:, :3].tolist()} <= known
        assert len({tuple(row) for row in rows[:, 3:].tolist()}) == 1


def test_collecting_keeps_encoder_data_to_the_prior_phase_of_the_drawn_tasks(random_source, monkeypatch):
    pearl, asked, collect = trained(random_source), [], random_source.collect
    monkeypatch.setattr(pearl, "_train", lambda: {})

    def remember(act, tasks, transitions, before_episode):
        asked.append((tasks, transitions))
        return collect(act, tasks, transitions, before_episode)

    monkeypatch.setattr(random_source, "collect", remember)
    before = [pearl.context.held(task).tolist() for task in range(4)]
    assert pearl.steps_of_next_iteration() == 2 * (20 + 40)
    pearl.iterate()
    (tasks, prior), (same, posterior) = asked
    assert tasks == same
    assert (prior, posterior) == (20, 40)
    for task in range(4):
        times = tasks.count(task)
        held = pearl.context.held(task).tolist()
        assert len(pearl.replay.held(task)) == 20 + 60 * times
        assert len(held) == 20 * max(times, 1)
        assert bool(set(held) & set(before[task])) is (times == 0)


@pytest.mark.parametrize("posterior", [False, True])
def test_exploration_starts_from_the_prior_and_the_posterior_comes_after_the_first_episode(
    random_source, monkeypatch, posterior
):
    pearl, drawn, collect = trained(random_source), [], random_source.collect
    monkeypatch.setattr(pearl, "_posterior_from_context", lambda tasks: (
        100.0 * torch.tensor(tasks).unsqueeze(1).expand(-1, 2), torch.full((len(tasks), 2), 1e-8)))  # fmt: skip
    monkeypatch.setattr(pearl, "actions", lambda policy, observations, latents, *rest: drawn.append(latents.clone()))

    def live(act, tasks, transitions, before_episode):
        for rows in ([0, 1], [1], [0], [0, 1]):
            before_episode(np.array(rows))
            act(None)
        return collect(act, tasks, transitions)

    monkeypatch.setattr(random_source, "collect", live)
    pearl._collect(np.array([1, 3]), 20, posterior=posterior)
    assert float(drawn[0].abs().max()) < 6
    assert torch.equal(drawn[1][0], drawn[0][0])
    assert torch.equal(drawn[2][1], drawn[1][1])
    if posterior:
        torch.testing.assert_close(drawn[2], torch.tensor([[100.0, 100], [300, 300]]), atol=0.01, rtol=0)
    else:
        assert float(torch.stack(drawn).abs().max()) < 6
        assert len({tuple(row) for latents in drawn for row in latents.tolist()}) == 6


def test_a_loss_that_is_not_finite_stops_the_run(random_source):
    pearl = trained(random_source)
    with torch.no_grad():
        pearl.encoder[0][:] = float("nan")
    with pytest.raises(Diverged, match="critic_loss"):
        pearl.iterate()


def test_variants_have_the_published_entropy_settings(random_source):
    assert small_pearl(random_source).sac.settings.reward_scale == 5.0
    twin = small_pearl(random_source, sac_variant="twin_q").sac.settings
    assert (twin.temperature, twin.target_entropy, twin.reward_scale) == ("auto", -2.0, 5.0)
    assert small_pearl(random_source, sac_variant="twin_q", target_entropy=-0.5).sac.settings.target_entropy == -0.5


# The agent ------------------------------------------------------------------------------------------------------


def live(agent, tasks, steps, seed=0, ends=True, reward=0.0):
    """Observe `steps` steps of noise, one episode; rewards are shifted by `reward` (task,)."""
    draw = np.random.default_rng(seed).standard_normal
    for step in range(steps):
        transition = Transition(
            draw((tasks, 3)).astype(np.float32), np.tanh(draw((tasks, 2))).astype(np.float32),
            (draw(tasks) + reward).astype(np.float32), draw((tasks, 3)).astype(np.float32), np.zeros(tasks, bool),
        )  # fmt: skip
        agent.observe(transition, np.ones(tasks, bool), np.full(tasks, ends and step == steps - 1))


def test_a_trial_starts_from_the_prior(random_source):
    agent = trained(random_source).agent(PearlAdapt(), seed=4)
    agent.begin(3000)
    assert agent.latents.shape == (3000, 2)
    assert abs(float(agent.latents.mean())) < 0.07
    assert float(agent.latents.std()) == pytest.approx(1.0, abs=0.05)


def test_z_is_the_priors_for_two_episodes_and_then_the_posteriors_of_all_data_seen(random_source):
    pearl = trained(random_source)
    agent = pearl.agent(PearlAdapt(), seed=4)
    agent.begin(3)
    first = agent.latents.clone()
    live(agent, 3, HORIZON - 1, ends=False)
    assert torch.equal(agent.latents, first)
    live(agent, 3, 1, seed=1)
    assert not (agent.latents == first).any()
    assert torch.equal(agent.mean, torch.zeros(3, 2))
    assert torch.equal(agent.variance, torch.ones(3, 2))
    state = agent.generator.get_state()
    live(agent, 3, HORIZON, seed=2, reward=np.array([5.0, -5.0, 0.0]))
    data = agent.data.everything(CPU)
    assert data.rewards.shape == (3, 2 * HORIZON)
    mean, variance = (value.detach() for value in pearl.posterior(data))
    torch.testing.assert_close(agent.mean, mean)
    torch.testing.assert_close(agent.variance, variance)
    noise = torch.randn((3, 2), generator=torch.Generator().manual_seed(0).set_state(state))
    torch.testing.assert_close(agent.latents, mean + variance.sqrt() * noise)
    assert len({tuple(row) for row in agent.mean.tolist()}) == 3


def test_only_the_task_whose_episode_ended_gets_a_new_z(random_source):
    agent = trained(random_source).agent(PearlAdapt(prior_episodes=1), seed=4)
    agent.begin(3)
    live(agent, 3, 4, ends=False)
    before = agent.latents.clone()
    zeros = np.zeros((3, 3), np.float32)
    step = Transition(zeros, zeros[:, :2], zeros[:, 0], zeros, np.zeros(3, bool))
    agent.observe(step, np.ones(3, bool), np.array([False, True, False]))
    assert torch.equal(agent.latents[[0, 2]], before[[0, 2]])
    assert not (agent.latents[1] == before[1]).any()
    assert agent.variance[:, 0].tolist() == [1.0, pytest.approx(float(agent.variance[1, 0])), 1.0]
    assert float(agent.variance[1].max()) < 1.0


def test_a_tasks_posterior_comes_from_its_own_exploration_and_nothing_else(random_source):
    """The embedding follows the trial's rewards: neither another task's nor those of the replay buffer."""
    pearl, means = trained(random_source), []
    for reward in ([3.0, 0.0], [3.0, 9.0]):
        agent = pearl.agent(PearlAdapt(), seed=4)
        agent.begin(2)
        live(agent, 2, 2 * HORIZON, reward=np.array(reward))
        (point,) = agent.adapt(every=1)
        means.append(agent.mean.clone())
    assert torch.equal(means[0][0], means[1][0])
    assert not torch.equal(means[0][1], means[1][1])
    with torch.no_grad():
        pearl.store.frames[:] = 0.0
    agent.adapt(every=1).__next__()
    assert torch.equal(agent.mean, means[1])
    assert point.updates == 0
    np.testing.assert_allclose(point.diagnostics["embedding_norm"], means[1].norm(dim=1), rtol=1e-6)
    np.testing.assert_allclose(point.diagnostics["embedding_std"], agent.variance.sqrt().mean(1), rtol=1e-6)


def test_adapting_leaves_the_meta_trained_weights_alone(random_source):
    pearl = trained(random_source)
    before = [parameter.detach().clone() for parameter in (*pearl.encoder, *pearl.sac.policy)]
    agent = pearl.agent(PearlAdapt(), seed=4)
    agent.begin(2)
    live(agent, 2, HORIZON)
    list(agent.adapt(every=1))
    assert all(torch.equal(old, new) for old, new in zip(before, (*pearl.encoder, *pearl.sac.policy)))


@pytest.mark.parametrize("embedding", ["mean", "sample"])
def test_forks_hold_one_z_per_task_and_episode_in_task_major_order(random_source, embedding):
    pearl = trained(random_source)
    agent = pearl.agent(PearlAdapt(evaluation_embedding=embedding), seed=4)
    agent.begin(2)
    live(agent, 2, HORIZON, reward=np.array([4.0, -4.0]))
    list(agent.adapt(every=1))
    fork = agent.fork(50)
    rows = fork.latents.reshape(2, 50, 2)
    if embedding == "mean":
        assert torch.equal(rows, agent.mean.unsqueeze(1).expand(-1, 50, -1))
    else:
        standardised = (rows - agent.mean.unsqueeze(1)) / agent.variance.sqrt().unsqueeze(1)
        assert float(standardised.std()) == pytest.approx(1.0, abs=0.2)
        assert float(standardised.mean(1).abs().max()) < 0.6
        assert torch.equal(agent.fork(7).latents.reshape(2, 7, 2), rows[:, :7])
    observations = np.zeros((100, 3), np.float32)
    actions = fork.act(observations, explore=False)
    by_hand = pearl.actions(pearl.sac.policy, observations, rows.reshape(100, 2), False, None)
    np.testing.assert_array_equal(actions, by_hand)


def test_a_belief_kept_at_the_prior_is_its_mean_whatever_was_seen(random_source):
    pearl = trained(random_source)
    agent, draw = pearl.agent(PearlAdapt(belief="prior"), seed=1), np.random.default_rng(0)
    agent.begin(2)
    for step in range(3 * HORIZON):
        seen = Transition(*(draw.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (2, 2), (2,), (2, 3))),
                          np.zeros(2, bool))  # fmt: skip
        agent.observe(seen, np.ones(2, bool), np.full(2, step % HORIZON == HORIZON - 1))
        assert not agent.latents.any()
    (point,) = agent.adapt(every=1)
    assert point.diagnostics["embedding_norm"].tolist() == [0, 0]
    assert point.diagnostics["embedding_std"].tolist() == [1, 1]
    fork = agent.fork(3)
    assert fork.latents.shape == (6, 2)
    assert not fork.latents.any()


def test_the_z_of_evaluations_is_not_the_z_that_explored(random_source):
    agent = trained(random_source).agent(PearlAdapt(), seed=4)
    agent.begin(3)
    evaluated = agent.fork(1).latents  # under the prior, as the exploration's first z
    assert evaluated.shape == agent.latents.shape
    assert float((evaluated - agent.latents).abs().min()) > 1e-3
    agent.begin(3)
    assert torch.equal(agent.fork(1).latents, evaluated)


@pytest.mark.parametrize("stochastic", [False, True])
def test_exploring_is_deterministic_unless_declared(random_source, stochastic):
    agent = trained(random_source).agent(PearlAdapt(explore_stochastic=stochastic), seed=4)
    agent.begin(2)
    observations = np.ones((2, 3), np.float32)
    still = agent.act(observations, explore=False)
    assert (agent.act(observations, explore=False) == still).all()
    assert bool((agent.act(observations, explore=True) == still).all()) is not stochastic
