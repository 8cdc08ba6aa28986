import numpy as np
import pytest
import torch

from algorithms.base import Diverged
from algorithms.kit.model_based.context_model import adapt_context, context_step
from algorithms.kit.model_based.meta_gradient import meta_gradient
from algorithms.kit.networks import as_leaves, frozen
from algorithms.kit.replay import Transitions


def random_transitions(generator, tasks, rows, observation_dim, action_dim):
    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return Transitions(
        draw(tasks, rows, observation_dim), draw(tasks, rows, action_dim), draw(tasks, rows),
        draw(tasks, rows, observation_dim), torch.zeros(tasks, rows, dtype=torch.float64),
    )  # fmt: skip


def meta_problem(small_mier, predicts, gradient_clip=10.0):
    mier = small_mier(
        predicts=predicts, learn_initial_context=True, gradient_clip=gradient_clip, inner_learning_rate=0.1
    )
    generator = torch.Generator().manual_seed(1)
    theta = as_leaves([parameter.double() for parameter in mier.theta])
    with torch.no_grad():  # away from the kinks and symmetries of the initialisation
        for parameter in theta:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    contexts = (0.3 * torch.randn((3, 2), generator=generator, dtype=torch.float64)).requires_grad_()
    adapt = random_transitions(generator, 3, 6, 3, 2)
    judge = random_transitions(generator, 3, 6, 3, 2)
    return mier, theta, contexts, adapt, judge


def meta_loss(mier, theta, contexts, adapt, judge):
    """Mean over tasks of the judged loss after the inner steps, with autograd's graph, and the adapted contexts."""
    rates, clip = mier.inner_rates, mier.config.gradient_clip
    contexts = adapt_context(mier.model, theta, contexts, adapt, rates, clip=clip, differentiable=True)
    return mier.model.losses_on(theta, judge, contexts).mean() + mier.model.bound_term(theta).mean(), contexts


@pytest.mark.parametrize("predicts", ["reward", "dynamics"])
@pytest.mark.parametrize("gradient_clip", [10.0, 0.05])
def test_meta_gradient_matches_finite_differences_in_float64(small_mier, finite_differences, predicts, gradient_clip):
    mier, theta, contexts, adapt, judge = meta_problem(small_mier, predicts, gradient_clip)
    loss, _ = meta_loss(mier, theta, contexts, adapt, judge)
    gradients = torch.autograd.grad(loss, [*theta, contexts])
    for tensor, gradient in zip([*theta, contexts], gradients):
        numeric = finite_differences(lambda: meta_loss(mier, theta, contexts, adapt, judge)[0], tensor)
        torch.testing.assert_close(gradient, numeric, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("predicts", ["reward", "dynamics"])
def test_meta_gradient_is_second_order(small_mier, predicts):
    mier, theta, contexts, adapt, judge = meta_problem(small_mier, predicts)
    loss, adapted = meta_loss(mier, theta, contexts, adapt, judge)
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(loss, theta)])
    model = mier.model
    judged = model.first_layer(theta, model.inputs(judge))
    first_order = model.likelihood_losses(theta, judged, adapted.detach(), model.targets(judge)).mean()
    first_order = first_order + model.bound_term(theta).mean()
    first = torch.cat([g.flatten() for g in torch.autograd.grad(first_order, theta)])
    assert float((exact - first).norm() / exact.norm()) > 0.01


def test_inner_step_matches_finite_differences_and_is_clipped(small_mier):
    mier, theta, contexts, adapt, _ = meta_problem(small_mier, "dynamics")
    model = mier.model
    first, targets = model.first_layer(frozen(theta), model.inputs(adapt)), model.targets(adapt)

    def losses(value):
        return model.likelihood_losses(frozen(theta), first, value, targets)

    numeric = torch.zeros_like(contexts)
    for task in range(3):
        for dim in range(2):
            shift = torch.zeros_like(contexts)
            shift[task, dim] = 1e-6
            numeric[task, dim] = (losses(contexts + shift)[task] - losses(contexts - shift)[task]).detach() / 2e-6
    for clip in (1e6, 0.01):
        stepped = context_step(
            model, frozen(theta), contexts.detach(), first, targets, learning_rate=0.1, clip=clip, differentiable=False
        )
        norm = numeric.norm(dim=1, keepdim=True)
        expected = contexts - 0.1 * numeric * (clip / norm).clamp_max(1.0)
        torch.testing.assert_close(stepped, expected.detach(), rtol=1e-5, atol=1e-9)


def test_likelihood_loss_by_hand(small_mier):
    """One row, one task: the loss is (r - mean)^2 / var + log var for the reward plus the mean of it over s' - s."""
    mier, theta, contexts, adapt, _ = meta_problem(small_mier, "dynamics")
    model = mier.model
    one = Transitions(*(field[:1, :1] for field in adapt))
    first = model.first_layer(theta, model.inputs(one))
    mean, log_variance = model.predict(theta, first, contexts[:1])
    target = torch.cat([one.rewards.unsqueeze(-1), one.next_observations - one.observations], dim=-1)
    terms = (mean - target) ** 2 / log_variance.exp() + log_variance
    loss = model.likelihood_losses(theta, first, contexts[:1], model.targets(one))
    assert loss.item() == pytest.approx((terms[0, 0, 0] + terms[0, 0, 1:].mean()).item())
    low, high = theta[-1], theta[-2]
    assert model.bound_term(theta).item() == pytest.approx(0.01 * (high - low).sum().item())
    assert bool((log_variance < high).all())
    assert bool((log_variance > low).all())


# Gradient steps and iterations ----------------------------------------------------------------------------------


def explored(small_mier, **changes):
    """A MIER past its initial exploration."""
    mier = small_mier(**changes)
    mier.iterate()
    return mier


def copied(tensors):
    return [tensor.detach().clone() for tensor in tensors]


def test_the_trained_initial_context_gets_the_meta_gradient(small_mier, finite_differences):
    mier, theta, _, adapt, judge = meta_problem(small_mier, "dynamics")
    context = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    mier.initial_context = context

    def loss():
        return meta_loss(mier, theta, mier._prior_contexts(3), adapt, judge)[0]

    (gradient,) = torch.autograd.grad(loss(), context)
    assert float(gradient.abs().min()) > 1e-4
    torch.testing.assert_close(gradient, finite_differences(loss, context), rtol=1e-4, atol=1e-8)


def test_the_papers_preset_trains_the_initial_context_and_the_default_keeps_it_zero(small_mier):
    from algorithms.registry import get_algorithm
    from suite.experiment.presets import resolve_blocks
    from tasks.registry import get_split

    for preset, is_trained in (("paper", True), (None, False)):
        train, _ = resolve_blocks(get_algorithm("mier"), get_split("ant-direction.ood"), preset, {}, {}, "cpu")
        assert train.learn_initial_context is is_trained
        mier = explored(small_mier, predicts=train.predicts, learn_initial_context=train.learn_initial_context)
        for expected in (2, 4):
            mier.iterate()
            assert mier.model_optimiser.steps == expected
            assert any(one is mier.initial_context for one in mier.model_optimiser.parameters) is is_trained
        assert bool((mier.initial_context != 0).all()) is is_trained
        assert mier.initial_context.requires_grad is is_trained
        agent = mier.agent(get_algorithm("mier-wr").load("adapt")(), seed=0)
        agent.begin(2)
        assert torch.equal(agent.contexts, mier.initial_context.detach().expand(2, -1))


def test_the_initial_context_survives_a_checkpoint(small_mier):
    mier, again = (explored(small_mier, learn_initial_context=True) for _ in range(2))
    mier.iterate()
    again.load_state(mier.state(), ())
    assert torch.equal(again.initial_context, mier.initial_context)
    assert again.initial_context is again.trained[-1]


def test_the_outer_gradient_is_clipped_as_the_code_does(small_mier, monkeypatch):
    """The network as one vector, the bounds of reward and state as four, phi_0 by itself; each keeps its direction."""
    mier, _, _, adapt, judge = meta_problem(small_mier, "dynamics", gradient_clip=1e6)
    adapt, judge = (Transitions(*(field.float() for field in data)) for data in (adapt, judge))

    start = [parameter.detach().clone() for parameter in mier.trained]
    monkeypatch.setattr("algorithms.mier.meta_gradient", lambda *given: meta_gradient(*given[:-1], 1e6))

    def gradients(limit):
        mier.config = mier.config.model_copy(update={"gradient_clip": limit})
        for parameter, value in zip(mier.trained, start):
            parameter.data.copy_(value)
        mier._model_step(adapt, judge)
        return [parameter.grad for parameter in mier.trained]

    def variables(values):
        network, (upper, lower, phi) = values[:-3], values[-3:]
        joined = torch.cat([gradient.flatten() for gradient in network])
        return [joined, upper[..., :1], upper[..., 1:], lower[..., :1], lower[..., 1:], phi]

    free = variables(gradients(1e6))
    norms = [float(variable.norm()) for variable in free]
    limit = sorted(norms)[2] * 1.01  # three of the six are longer
    for norm, before, after in zip(norms, free, variables(gradients(limit))):
        torch.testing.assert_close(after, before * min(limit / norm, 1.0), rtol=1e-4, atol=1e-9)
    assert sum(norm > limit for norm in norms) == 3


def test_left_out_tasks_collect_and_are_fitted_by_nothing(small_mier, monkeypatch):
    mier, seen = explored(small_mier, left_out_tasks=2, meta_batch=2), []
    assert sorted([*mier.left_out, *mier.fitted]) == [0, 1, 2, 3]
    assert len(mier.left_out) == 2
    step = mier._gradient_step
    monkeypatch.setattr(mier, "_gradient_step", lambda tasks: seen.append(set(tasks.tolist())) or step(tasks))
    held = mier.prior.lengths[mier.left_out].sum()
    for _ in range(6):
        mier.iterate()
    assert set().union(*seen) == set(mier.fitted.tolist())
    assert mier.prior.lengths[mier.left_out].sum() > held
    again = small_mier(left_out_tasks=2, meta_batch=2)
    assert (again.left_out == mier.left_out).all()


def test_without_left_out_tasks_training_and_its_identity_are_what_they_were(small_mier):
    mier = small_mier()
    assert mier.fitted.tolist() == [0, 1, 2, 3]
    assert "left_out_tasks" not in mier.config.model_dump(mode="json")
    assert small_mier(left_out_tasks=1).config.model_dump(mode="json")["left_out_tasks"] == 1
    expected = np.random.default_rng(0)  # the algorithm's own draws, seed 0
    assert (mier._meta_batch_tasks() == expected.choice(4, 3, replace=False)).all()


def test_leaving_out_most_tasks_is_refused(small_mier):
    with pytest.raises(ValueError, match=r"without 3 of 4 training tasks .* leave out 2 at most"):
        small_mier(left_out_tasks=3)


def test_a_gradient_step_is_adam_on_the_model_then_sac_with_the_contexts_it_adapted(small_mier, monkeypatch):
    """Adapted on the prior view, judged on everything, from the weights before the step; SAC does not reach them."""
    mier = explored(small_mier, predicts="dynamics", inner_learning_rate=0.1)
    mier.prior.clear(1)
    mier.prior.add(1, mier.everything.held(1)[:2])
    slots, batches = {}, []

    def remember(name):
        original = getattr(mier, name).sample

        def sample(*arguments):
            slots[name] = original(*arguments)
            return slots[name]

        monkeypatch.setattr(getattr(mier, name), "sample", sample)

    for name in ("prior", "everything"):
        remember(name)
    update = mier.sac.update
    monkeypatch.setattr(mier.sac, "update", lambda batch, draws: batches.append(batch) or update(batch, draws))
    before = as_leaves(mier.theta)
    metrics = mier._gradient_step(np.array([2, 1, 0]))

    assert set(slots["prior"][1].tolist()) <= set(mier.prior.held(1).tolist())
    assert len(set(slots["everything"][1].tolist())) > 2
    adapt, judge = (mier.store.gather(slots[name]) for name in ("prior", "everything"))
    zeros = torch.zeros(3, 2)
    loss, contexts = meta_loss(mier, before, zeros, adapt, judge)
    gradients = torch.autograd.grad(loss, before)
    for old, new, gradient in zip(before, mier.theta, gradients):
        step = -1e-3 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close((new - old).detach(), step, rtol=1e-3, atol=2e-6)
    expected = loss.item() - mier.model.bound_term(frozen(before)).item()
    assert metrics["model_loss"].item() == pytest.approx(expected, rel=1e-5)
    again = adapt_context(mier.model, frozen(before), zeros, adapt, [0.1, 0.1], clip=10.0)
    torch.testing.assert_close(contexts.detach(), again)

    (batch,) = batches
    assert batch.observations.shape == (1, 18, 3 + 2)
    assert torch.equal(batch.rewards[0], judge.rewards.flatten())
    for observations in (batch.observations, batch.next_observations):
        torch.testing.assert_close(observations[0, :, 3:], again.repeat_interleave(6, dim=0), rtol=1e-5, atol=1e-7)
        assert not observations.requires_grad


@pytest.mark.parametrize(("policy_batch", "rows"), [(None, 6), (7, 3), (9, 3), (30, 10)])
def test_policy_batch_is_shared_out_over_the_tasks(small_mier, monkeypatch, policy_batch, rows):
    """Rounded up per task; each row is from all data of its task and carries its task's context."""
    mier, batches = explored(small_mier, policy_batch=policy_batch), []
    for task in range(4):
        mier.prior.clear(task)
    monkeypatch.setattr(mier.sac, "update", lambda batch, generator: batches.append(batch) or {})
    tasks, contexts = np.array([3, 0, 2]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    judged = mier.store.gather(mier.everything.sample(tasks, 6, mier.generator))
    mier._policy_step(tasks, judged, contexts)
    (batch,) = batches
    assert batch.rewards.shape == (1, 3 * rows)
    assert torch.equal(batch.observations[0, :, 3:], contexts.repeat_interleave(rows, dim=0))
    for position, task in enumerate(tasks):
        own = mier.store.gather(mier.everything.held(int(task))).rewards.tolist()
        assert set(batch.rewards[0, position * rows : (position + 1) * rows].tolist()) <= set(own)
    assert torch.equal(batch.rewards[0], judged.rewards.flatten()) is (policy_batch is None)


def test_an_iterations_steps_share_their_tasks_without_replacement(small_mier, monkeypatch):
    mier, seen = explored(small_mier, steps_per_iteration=5), []
    step = mier._gradient_step
    monkeypatch.setattr(mier, "_gradient_step", lambda tasks: seen.append(tasks.tolist()) or step(tasks))
    for _ in range(6):
        mier.iterate()
    assert len(seen) == 30
    iterations = [seen[start : start + 5] for start in range(0, 30, 5)]
    assert all(len({tuple(tasks) for tasks in steps}) == 1 for steps in iterations)
    assert all(len(set(tasks)) == 3 for tasks in seen)
    assert len({tuple(steps[0]) for steps in iterations}) > 1
    assert len(small_mier(meta_batch=9)._meta_batch_tasks()) == 9  # four tasks: with replacement


def test_an_iteration_collects_with_the_prior_then_with_phi_adapted_to_that_very_data(small_mier, monkeypatch):
    mier, calls = explored(small_mier, inner_learning_rate=0.3), []
    collect = mier._collect

    def remember(tasks, contexts, transitions, is_prior=True):
        batch, slots = collect(tasks, contexts, transitions, is_prior)
        calls.append((tasks, contexts.detach().clone(), slots))
        return batch, slots

    monkeypatch.setattr(mier, "_collect", remember)
    monkeypatch.setattr(mier, "_train", lambda tasks: {})
    held = mier.everything.lengths.copy(), mier.prior.lengths.copy()
    mier.iterate()
    (tasks, prior, slots), (same, adapted, _) = calls
    assert same is tasks
    assert not prior.any()
    expected = adapt_context(mier.model, frozen(mier.theta), prior, mier.store.gather(slots), [0.3, 0.3], clip=10.0)
    torch.testing.assert_close(adapted, expected)
    assert float(adapted.abs().max()) > 0
    times = np.bincount(tasks, minlength=4)
    assert (mier.everything.lengths - held[0]).tolist() == (40 * times).tolist()
    assert (mier.prior.lengths - held[1]).tolist() == (20 * times).tolist()


def test_a_loss_that_is_not_finite_stops_the_run(small_mier):
    mier = explored(small_mier)
    with torch.no_grad():
        mier.theta[0][:] = float("nan")
    with pytest.raises(Diverged, match="model_loss"):
        mier.iterate()
