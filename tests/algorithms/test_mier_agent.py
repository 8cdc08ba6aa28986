"""MIER and MIER-wR in test tasks: what is adapted, on what data, and what is not."""

import numpy as np
import pytest
import torch

from algorithms import mier as module
from algorithms.base import Transition
from algorithms.kit.networks import frozen, repeat_ensemble
from algorithms.kit.replay import Transitions
from algorithms.mier import MierAdapt, MierAgent, MierWithoutRelabelingAdapt

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
    """The model of each adaptation, an ensemble over tasks."""
    kept = []
    original = MierAgent._adapt_model

    def spy(self, config, contexts, fit):
        kept.append(original(self, config, contexts, fit))
        return kept[-1]

    monkeypatch.setattr(MierAgent, "_adapt_model", spy)
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
    config = MierAdapt(context_steps=3, model_steps=4, relabel_updates=0)
    data, (fitted, held_out) = experience(), split_rows()
    agents, points = [], []
    for rows in (None, held_out, fitted):
        changed = [field.copy() for field in data]
        if rows is not None:
            changed[2][1, rows[1][:1]] += 1.0  # one reward of task 1
        agent, (point,) = adapted(mier, config, changed)
        agents.append(agent)
        points.append(point.diagnostics)
    plain, other_held_out, other_fit = adapted_theta
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
    config, data = MierAdapt(context_steps=3, model_steps=0, relabel_updates=0), experience()
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
    config = MierAdapt(context_steps=3, model_steps=5, relabel_updates=0)
    agent, (point,) = adapted(mier, config, data)
    assert torch.equal(agent.contexts, without.contexts)
    assert all(torch.equal(before, after) for before, after in zip(shared, mier.theta))
    theta = adapted_theta[0]
    for before, after in zip(shared, theta):
        assert after.shape[0] == 2
        assert not torch.equal(before[0], after[0])
    assert not torch.equal(theta[0][0], theta[0][1])
    adapted(mier, config.model_copy(update={"model_steps": 1}), data)
    for before, after in zip(shared, adapted_theta[-1]):  # Adam's first step is the learning rate
        assert float((after - before).abs().max()) == pytest.approx(1e-3, rel=1e-2)
    assert (point.diagnostics["fit_loss"] != point.diagnostics["held_out_loss"]).all()
    more, (later,) = adapted(mier, config.model_copy(update={"model_steps": 200}), data)
    assert (later.diagnostics["fit_loss"] < point.diagnostics["fit_loss"]).all()
    assert torch.equal(more.contexts, without.contexts)


def test_no_model_step_leaves_the_model_as_it_is(mier, adapted_theta):
    adapted(mier, MierAdapt(context_steps=3, model_steps=0, relabel_updates=0), experience())
    for before, after in zip(mier.theta, adapted_theta[0]):
        assert torch.equal(after, before.detach().expand_as(after))


def test_a_closed_task_keeps_its_policy(mier):
    data = experience()
    config = MierAdapt(context_steps=3, relabel_updates=4, **RELABEL)
    _, points = adapted(mier, config, data)
    assert not {"gate_open", "gate_loss", "gate_threshold"} & set(points[0].diagnostics)  # there is none
    losses = points[0].diagnostics["held_out_loss"]
    total = losses + float(mier.model.bound_term(frozen(mier.theta)))
    closed = int(total.argmax())
    gated = config.model_copy(update={"gate": "total", "gate_threshold": float(total.mean())})
    agent, points = adapted(mier, gated, data)
    np.testing.assert_allclose(points[0].diagnostics["gate_loss"], total, rtol=1e-6)
    np.testing.assert_allclose(points[0].diagnostics["gate_threshold"], total.mean(), rtol=1e-6)
    assert points[0].diagnostics["gate_open"].tolist() == [float(loss < total.mean()) for loss in total]
    assert [point.updates for point in points] == [0, 1, 2, 3, 4]
    for point in points[1:]:
        assert np.isnan(point.diagnostics["critic_loss"][closed])
        assert np.isfinite(point.diagnostics["critic_loss"][1 - closed])
    for meta_trained, policy in zip(mier.sac.policy, agent.policy):
        assert torch.equal(policy[closed], meta_trained[0])
        assert not torch.equal(policy[1 - closed], meta_trained[0])


def test_where_every_gate_is_closed_the_result_is_mier_wr_at_the_same_points(mier):
    data = experience()
    without, _ = adapted(mier, MierWithoutRelabelingAdapt(context_steps=3), data)
    config = MierAdapt(context_steps=3, gate="total", gate_threshold=-1e9, relabel_updates=4, **RELABEL)
    agent, points = adapted(mier, config, data, every=3)
    assert [point.updates for point in points] == [0, 3, 4]
    observations = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    assert (agent.act(observations, explore=False) == without.act(observations, explore=False)).all()


def test_the_authors_gate_opens_wherever_the_bound_term_has_drifted(mier):
    """In their weights the state's upper bounds are at about -300, and its lower ones are the variance."""
    config, data = MierAdapt(context_steps=3, gate="total", relabel_updates=0), experience()
    _, (point,) = adapted(mier, config, data)
    assert point.diagnostics["gate_open"].tolist() == [0.0, 0.0]
    with torch.no_grad():
        mier.theta[-2][..., 1:], mier.theta[-1][..., 1:] = -2000.0, 0.0
    _, (drifted,) = adapted(mier, config, data)
    assert drifted.diagnostics["gate_open"].tolist() == [1.0, 1.0]
    assert (drifted.diagnostics["held_out_loss"] > -3).all()


@pytest.fixture
def calibrated(small_mier):
    """A MIER that left half of its four tasks out, and a likelihood gate for it."""
    mier = small_mier(predicts="dynamics", inner_learning_rate=0.1, left_out_tasks=2, meta_batch=2)
    for _ in range(4):
        mier.iterate()
    config = MierAdapt(
        context_steps=3, model_steps=4, gate="likelihood", gate_quantile=0.5, relabel_updates=2, **RELABEL
    )
    return mier, config


def test_the_likelihood_gates_threshold_is_what_left_out_tasks_reach_when_they_are_adapted_to(calibrated):
    """Each as if it were a test task that had given its newest transitions: their second smallest loss of two."""
    mier, config = calibrated
    losses = []
    for task in mier.left_out:
        data = mier.store.gather(mier.prior.newest(int(task), STEPS))
        agent = mier.agent(config.model_copy(update={"gate": "none", "relabel_updates": 0}), seed=0)
        fit, held_out = (
            Transitions(*(field.unsqueeze(0) for field in part)) for part in _split_as_calibration(data, mier, task)
        )
        contexts = agent._adapt_contexts(fit)
        losses.append(float(agent._loss(agent._adapt_model(config, contexts, fit), held_out, contexts)))
    _, points = adapted(mier, config, experience())
    np.testing.assert_allclose(points[0].diagnostics["gate_threshold"], max(losses), rtol=1e-5)
    np.testing.assert_allclose(points[0].diagnostics["gate_loss"], points[0].diagnostics["held_out_loss"])
    assert points[0].diagnostics["gate_open"].tolist() == [
        float(loss < max(losses)) for loss in points[0].diagnostics["held_out_loss"]
    ]


def _split_as_calibration(data, mier, task):
    """The rows of one left-out task that are fitted and held out: the split is drawn for all of them together."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand((len(mier.left_out), STEPS), generator=generator).argsort(dim=1)
    rows = order[list(mier.left_out).index(task)]
    return tuple(Transitions(*(field[part] for field in data)) for part in (rows[:FITTED], rows[FITTED:]))


def test_the_threshold_is_the_same_in_every_trial_and_takes_no_draw_of_the_agents(calibrated):
    mier, config = calibrated
    first, points = adapted(mier, config, experience(seed=0))
    _, again = adapted(mier, config, experience(tasks=3, seed=5))
    assert set(points[0].diagnostics["gate_threshold"]) == set(again[0].diagnostics["gate_threshold"])
    plain, free = adapted(mier, config.model_copy(update={"gate": "none"}), experience(seed=0))
    assert torch.equal(first.contexts, plain.contexts)
    for name in ("fit_loss", "held_out_loss"):
        assert (points[0].diagnostics[name] == free[0].diagnostics[name]).all()


def test_an_agent_with_a_gate_that_was_never_calibrated_is_refused(mier):
    with pytest.raises(ValueError, match=r"never calibrated.* takes 9 of them, and train.left_out_tasks is 0"):
        mier.agent(MierAdapt(gate="likelihood"), seed=0)


def test_a_task_ends_by_the_stop_rule_and_keeps_its_best_policy(mier, monkeypatch):
    """The rule judges by the held-out fifth, which no batch then holds; without it all real data are learnt from."""
    given, data, (fitted, held_out) = [], experience(), split_rows()

    class Spy(module.Relabeling):
        def __init__(self, settings, stored, model, embedding, real, updates):
            given.append(real)
            super().__init__(settings, stored, model, embedding, real, updates)

    errors = iter([[5.0, 5.0], [4.0, 6.0], [3.0, 4.0], [6.0, 7.0], [7.0, 7.0], [1.0, 1.0]])
    judged = []

    def bellman_error(self, batch, generator):
        judged.append(batch)
        return torch.tensor(next(errors))

    monkeypatch.setattr(module, "Relabeling", Spy)
    monkeypatch.setattr(module.SoftActorCritic, "bellman_error", bellman_error)
    config = MierAdapt(context_steps=3, relabel_updates=9, stop_patience=2, stop_interval=1, **RELABEL)
    agent, points = adapted(mier, config, data)
    assert [point.updates for point in points] == list(range(10))  # the whole curve, though both tasks ended at 4
    assert points[-1].diagnostics["policy_update"].tolist() == [2, 2]
    assert points[-1].diagnostics["held_out_bellman_error"].tolist() == [3.0, 4.0]
    assert [point.diagnostics["policy_update"].tolist() for point in points[1:4]] == [[1, 0], [2, 2], [2, 2]]
    assert len(judged) == 5
    rows = rows_of(data, held_out)
    assert torch.equal(judged[0].rewards, rows.rewards)
    torch.testing.assert_close(judged[0].observations[..., :3], rows.observations)
    torch.testing.assert_close(judged[0].observations[..., 3:], agent.contexts.unsqueeze(1).expand(-1, 4, -1))
    assert torch.equal(given[0].rewards, rows_of(data, fitted).rewards)
    adapted(mier, config.model_copy(update={"stop_patience": None}), data)
    np.testing.assert_array_equal(given[1].rewards, data[2])


def test_fine_tuning_starts_from_the_meta_trained_learner_and_gets_all_real_data(mier, monkeypatch):
    given, data = [], experience()

    class Spy(module.FineTuning):
        def __init__(self, *arguments):
            given.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(module, "FineTuning", Spy)
    before = [tensor.detach().clone() for tensor in (*mier.sac.policy, *mier.sac.critics, mier.sac.log_temperature)]
    agent, _ = adapted(mier, MierAdapt(context_steps=3, relabel_updates=2, **RELABEL), data)
    ((learners, relabeling, stop),) = given
    assert stop is None
    assert relabeling.settings.num_real == 2
    assert relabeling.model is mier.model
    assert relabeling.stored[:2] == (mier.store, mier.everything)
    assert len(relabeling.theta[0]) == len(relabeling.contexts) == learners.num_learners == 2
    np.testing.assert_array_equal(relabeling.real.rewards, data[2])
    np.testing.assert_array_equal(relabeling.real.next_observations, data[3])
    assert torch.equal(relabeling.contexts, agent.contexts)
    assert torch.equal(relabeling.embedding, agent.contexts)
    after = (*mier.sac.policy, *mier.sac.critics, mier.sac.log_temperature)
    assert all(torch.equal(old, new) for old, new in zip(before, after))
    assert any(not torch.equal(own, tuned) for own, tuned in zip(repeat_ensemble(before[:6], 2), agent.policy))
    assert all(torch.equal(own, tuned) for own, tuned in zip(learners.policy, agent.policy))


def test_tasks_adapt_side_by_side_as_they_would_alone(mier, monkeypatch):
    """Everything up to relabeling is per task: a second task changes nothing for the first."""
    config = MierAdapt(context_steps=4, model_steps=10, relabel_updates=0)
    data = experience(tasks=2)
    other = [np.concatenate([field[:1], field[1:] + (field.dtype == np.float32)]) for field in data]
    (one, (first,)), (two, (second,)) = adapted(mier, config, data), adapted(mier, config, other)
    assert torch.equal(one.contexts[0], two.contexts[0])
    assert not torch.equal(one.contexts[1], two.contexts[1])
    for name in ("fit_loss", "held_out_loss", "embedding_norm"):
        assert first.diagnostics[name][0] == second.diagnostics[name][0]
        assert first.diagnostics[name][1] != second.diagnostics[name][1]


def test_a_limit_caps_the_updates_but_never_raises_them(mier):
    config = MierAdapt(context_steps=1, relabel_updates=6, **RELABEL)
    for limit, expected in ((4, [0, 3, 4]), (100, [0, 3, 6]), (None, [0, 3, 6]), (0, [0])):
        _, points = adapted(mier, config, experience(), every=3, limit=limit)
        assert [point.updates for point in points] == expected


def test_forks_repeat_each_tasks_phi_and_policy_per_episode(mier):
    agent, _ = adapted(mier, MierAdapt(context_steps=3, relabel_updates=3, **RELABEL), experience())
    observations = np.tile(np.linspace(-1, 1, 3, dtype=np.float32), (6, 1))
    actions = agent.fork(3).act(observations, explore=False)
    direct = agent.act(observations[:2], explore=False)
    np.testing.assert_allclose(actions, np.repeat(direct, 3, axis=0), rtol=1e-5, atol=1e-7)
    assert np.abs(actions[0] - actions[3]).max() > 1e-4
    agent.begin(2)
    fresh = agent.act(observations[:2], explore=False)
    np.testing.assert_allclose(fresh[0], fresh[1], rtol=1e-6)
