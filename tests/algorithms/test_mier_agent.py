"""MIER and MIER-wR in test tasks: what is adapted, on what data, and what is not."""

import numpy as np
import pytest
import torch

from algorithms import mier as module
from algorithms.base import Transition
from algorithms.kit.networks import frozen, repeat_ensemble
from algorithms.kit.replay import Transitions
from algorithms.mier import MierAdapt, MierAgent, MierWithoutRelabelingAdapt, relabel_settings

CPU = torch.device("cpu")
SEED, STEPS, FITTED = 2, 20, 16
RELABEL = {"relabel_transitions": 40, "relabel_tasks": 4, "relabel_interval": 3, "batch": 10, "real_fraction": 0.2}


@pytest.fixture
def mier(small_mier):
    """A MIER past its initial exploration whose weights are away from their symmetries."""
    mier = small_mier(predicts="dynamics", inner_learning_rate=0.1)
    mier.iterate()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*mier.theta, *mier.sac.policy]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return mier


def experience(tasks=2, seed=0):
    """Fields (task, step, ...) of the adaptation data."""
    draw = np.random.default_rng(seed).standard_normal
    return [
        draw((tasks, STEPS, 3)).astype(np.float32), np.tanh(draw((tasks, STEPS, 2))).astype(np.float32),
        draw((tasks, STEPS)).astype(np.float32), draw((tasks, STEPS, 3)).astype(np.float32),
        np.zeros((tasks, STEPS), bool),
    ]  # fmt: skip


def split_rows(tasks=2):
    """Which rows each task fits and holds out, (task, row)."""
    order = torch.rand((tasks, STEPS), generator=torch.Generator().manual_seed(SEED)).argsort(dim=1).numpy()
    return order[:, :FITTED], order[:, FITTED:]


def agent_with(mier, config, data):
    agent = mier.agent(config, seed=SEED)
    agent.begin(len(data[0]))
    for step in range(STEPS):
        transition = Transition(*(field[:, step] for field in data))
        agent.observe(transition, np.ones(len(data[0]), bool), np.zeros(len(data[0]), bool))
    return agent


def adapted(mier, config, data, every=1, limit=None):
    agent = agent_with(mier, config, data)
    return agent, list(agent.adapt(every, limit))


def rows_of(data, rows):
    """Transitions (task, row, ...) of some rows of the adaptation data."""
    chosen = (np.take_along_axis(field, rows.reshape(*rows.shape, *[1] * (field.ndim - 2)), axis=1) for field in data)
    return Transitions(*(torch.from_numpy(field.astype(np.float32)) for field in chosen))


@pytest.fixture
def adapted_theta(monkeypatch):
    """What fine-tuning was given: (theta, is_open) per adaptation."""
    kept = []
    original = MierAgent._fine_tune

    def spy(self, config, theta, is_open, every, updates):
        kept.append((theta, is_open))
        return original(self, config, theta, is_open, every, updates)

    monkeypatch.setattr(MierAgent, "_fine_tune", spy)
    return kept


def test_phi_takes_the_meta_training_steps_first_and_small_ones_later(mier):
    data = experience()
    fit, theta, model = rows_of(data, split_rows()[0]), frozen(mier.theta), mier.model
    first, targets = model.first_layer(theta, model.inputs(fit)), model.targets(fit)
    phi, path = torch.zeros(2, 2), []
    for rate in (0.1, 0.1, 0.02, 0.02, 0.02):  # inner_steps of inner_learning_rate, then late_learning_rate
        leaf = phi.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model.likelihood_losses(theta, first, leaf, targets).sum(), leaf)
        phi = phi - rate * gradient * (10.0 / gradient.norm(dim=1, keepdim=True)).clamp_max(1.0)
        path.append(phi)
    for number in (1, 2, 5):
        config = MierWithoutRelabelingAdapt(context_steps=number, late_learning_rate=0.02)
        agent, points = adapted(mier, config, data)
        torch.testing.assert_close(agent.contexts, path[number - 1], rtol=1e-4, atol=1e-6)
        assert [point.updates for point in points] == [0]
        np.testing.assert_allclose(points[0].diagnostics["embedding_norm"], path[number - 1].norm(dim=1), rtol=1e-4)


def test_the_held_out_fifth_is_judged_and_never_fitted(mier, adapted_theta):
    config = MierAdapt(context_steps=3, model_steps=4, gate=None, relabel_updates=0)
    data, (fitted, held_out) = experience(), split_rows()
    agents, points = [], []
    for rows in (None, held_out, fitted):
        changed = [field.copy() for field in data]
        if rows is not None:
            changed[2][1, rows[1][:1]] += 1.0  # one reward of task 1
        agent, (point,) = adapted(mier, config, changed)
        agents.append(agent)
        points.append(point.diagnostics)
    (plain, _), (other_held_out, _), (other_fit, _) = adapted_theta
    for before, after in zip(plain, other_held_out):
        assert torch.equal(before, after)
    assert torch.equal(agents[0].contexts, agents[1].contexts)
    assert (points[0]["fit_loss"] == points[1]["fit_loss"]).all()
    assert points[0]["held_out_loss"][0] == points[1]["held_out_loss"][0]
    assert points[0]["held_out_loss"][1] != points[1]["held_out_loss"][1]
    for before, after in zip(plain[:-2], other_fit[:-2]):
        assert torch.equal(before[0], after[0])
        assert not torch.equal(before[1], after[1])
    assert not torch.equal(agents[0].contexts[1], agents[2].contexts[1])


def test_losses_are_likelihoods_without_the_bound_term(mier):
    """The gate judges data: (r - mean)^2 / var + log var of the reward plus its mean over s' - s."""
    config, data = MierAdapt(context_steps=3, model_steps=0, gate=None, relabel_updates=0), experience()
    agent, (point,) = adapted(mier, config, data)
    for name, rows in (("fit_loss", split_rows()[0]), ("held_out_loss", split_rows()[1])):
        part, model, theta = rows_of(data, rows), mier.model, frozen(mier.theta)
        mean, log_variance = model.predict(theta, model.first_layer(theta, model.inputs(part)), agent.contexts)
        target = torch.cat([part.rewards.unsqueeze(-1), part.next_observations - part.observations], dim=-1)
        terms = (mean - target) ** 2 / log_variance.exp() + log_variance
        expected = terms[..., 0].mean(1) + terms[..., 1:].mean((1, 2))
        np.testing.assert_allclose(point.diagnostics[name], expected, rtol=1e-5)
    assert (point.diagnostics["held_out_loss_context"] == point.diagnostics["held_out_loss"]).all()


def test_model_steps_leave_phi_and_the_meta_trained_model_alone(mier, adapted_theta):
    data, shared = experience(), [parameter.detach().clone() for parameter in mier.theta]
    without, _ = adapted(mier, MierWithoutRelabelingAdapt(context_steps=3), data)
    config = MierAdapt(context_steps=3, model_steps=5, gate=None, relabel_updates=0)
    agent, (point,) = adapted(mier, config, data)
    assert torch.equal(agent.contexts, without.contexts)
    assert all(torch.equal(before, after) for before, after in zip(shared, mier.theta))
    theta, _ = adapted_theta[0]
    for before, after in zip(shared, theta):
        assert after.shape[0] == 2
        assert not torch.equal(before[0], after[0])
    assert not torch.equal(theta[0][0], theta[0][1])
    adapted(mier, config.model_copy(update={"model_steps": 1}), data)
    for before, after in zip(shared, adapted_theta[-1][0]):  # Adam's first step is the learning rate
        assert float((after - before).abs().max()) == pytest.approx(1e-3, rel=1e-2)
    assert (point.diagnostics["fit_loss"] != point.diagnostics["held_out_loss"]).all()
    more, (later,) = adapted(mier, config.model_copy(update={"model_steps": 200}), data)
    assert (later.diagnostics["fit_loss"] < point.diagnostics["fit_loss"]).all()
    assert torch.equal(more.contexts, without.contexts)


def test_no_model_step_leaves_the_model_as_it_is(mier, adapted_theta):
    adapted(mier, MierAdapt(context_steps=3, model_steps=0, gate=None, relabel_updates=0), experience())
    for before, after in zip(mier.theta, adapted_theta[0][0]):
        assert torch.equal(after, before.detach().expand_as(after))


def test_the_gate_opens_below_its_value_and_a_closed_task_keeps_its_policy(mier, adapted_theta):
    data = experience()
    config = MierAdapt(context_steps=3, gate=None, relabel_updates=4, **RELABEL)
    _, points = adapted(mier, config, data)
    losses = points[0].diagnostics["held_out_loss"]
    closed = int(losses.argmax())
    gate = float(losses.mean())
    agent, points = adapted(mier, config.model_copy(update={"gate": gate}), data)
    assert points[0].diagnostics["gate_open"].tolist() == [float(loss < gate) for loss in losses]
    assert [point.updates for point in points] == [0, 1, 2, 3, 4]
    for point in points[1:]:
        assert np.isnan(point.diagnostics["critic_loss"][closed])
        assert np.isfinite(point.diagnostics["critic_loss"][1 - closed])
    for meta_trained, policy in zip(mier.sac.policy, agent.policy):
        assert torch.equal(policy[closed], meta_trained[0])
        assert not torch.equal(policy[1 - closed], meta_trained[0])
    assert [is_open.tolist() for _, is_open in adapted_theta] == [[True, True], [loss < gate for loss in losses]]


def test_where_every_gate_is_closed_the_result_is_mier_wr_at_the_same_points(mier):
    data = experience()
    without, _ = adapted(mier, MierWithoutRelabelingAdapt(context_steps=3), data)
    config = MierAdapt(context_steps=3, gate=-1e9, relabel_updates=4, **RELABEL)
    agent, points = adapted(mier, config, data, every=3)
    assert [point.updates for point in points] == [0, 3, 4]
    observations = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    assert (agent.act(observations, explore=False) == without.act(observations, explore=False)).all()


def test_fine_tuning_starts_from_the_meta_trained_learner_and_gets_all_real_data(mier, monkeypatch):
    given, data = [], experience()

    class Spy(module.FineTuning):
        def __init__(self, *arguments):
            given.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(module, "FineTuning", Spy)
    before = [tensor.detach().clone() for tensor in (*mier.sac.policy, *mier.sac.critics, mier.sac.log_temperature)]
    agent, _ = adapted(mier, MierAdapt(context_steps=3, gate=None, relabel_updates=2, **RELABEL), data)
    ((settings, learners, model, theta, contexts, real),) = given
    assert (settings.updates, settings.num_real) == (2, 2)
    assert model is mier.model
    assert len(theta[0]) == len(contexts) == learners.num_learners == 2
    np.testing.assert_array_equal(real.rewards, data[2])
    np.testing.assert_array_equal(real.next_observations, data[3])
    assert torch.equal(contexts, agent.contexts)
    after = (*mier.sac.policy, *mier.sac.critics, mier.sac.log_temperature)
    assert all(torch.equal(old, new) for old, new in zip(before, after))
    assert any(not torch.equal(own, tuned) for own, tuned in zip(repeat_ensemble(before[:6], 2), agent.policy))
    assert all(torch.equal(own, tuned) for own, tuned in zip(learners.policy, agent.policy))


def test_tasks_adapt_side_by_side_as_they_would_alone(mier, monkeypatch):
    """Everything up to relabeling is per task: a second task changes nothing for the first."""
    config = MierAdapt(context_steps=4, model_steps=10, gate=None, relabel_updates=0)
    data = experience(tasks=2)
    other = [np.concatenate([field[:1], field[1:] + (field.dtype == np.float32)]) for field in data]
    (one, (first,)), (two, (second,)) = adapted(mier, config, data), adapted(mier, config, other)
    assert torch.equal(one.contexts[0], two.contexts[0])
    assert not torch.equal(one.contexts[1], two.contexts[1])
    for name in ("fit_loss", "held_out_loss", "embedding_norm"):
        assert first.diagnostics[name][0] == second.diagnostics[name][0]
        assert first.diagnostics[name][1] != second.diagnostics[name][1]


def test_a_limit_caps_the_updates_but_never_raises_them(mier):
    config = MierAdapt(context_steps=1, gate=None, relabel_updates=6, **RELABEL)
    for limit, expected in ((4, [0, 3, 4]), (100, [0, 3, 6]), (None, [0, 3, 6]), (0, [0])):
        _, points = adapted(mier, config, experience(), every=3, limit=limit)
        assert [point.updates for point in points] == expected


def test_the_real_rows_of_a_batch_are_rounded_down():
    """The released code's int(0.05 * 256) = 12."""
    assert relabel_settings(MierAdapt(), 10).num_real == 12
    assert relabel_settings(MierAdapt(real_fraction=0.0), 10).num_real == 0
    assert relabel_settings(MierAdapt(), 10)[:6] == (10, 500, 100_000, 20, 1_000_000, 256)


def test_forks_repeat_each_tasks_phi_and_policy_per_episode(mier):
    agent, _ = adapted(mier, MierAdapt(context_steps=3, gate=None, relabel_updates=3, **RELABEL), experience())
    observations = np.tile(np.linspace(-1, 1, 3, dtype=np.float32), (6, 1))
    actions = agent.fork(3).act(observations, explore=False)
    direct = agent.act(observations[:2], explore=False)
    np.testing.assert_allclose(actions, np.repeat(direct, 3, axis=0), rtol=1e-5, atol=1e-7)
    assert np.abs(actions[0] - actions[3]).max() > 1e-4
    agent.begin(2)
    fresh = agent.act(observations[:2], explore=False)
    np.testing.assert_allclose(fresh[0], fresh[1], rtol=1e-6)
