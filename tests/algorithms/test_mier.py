import pytest
import torch

from algorithms.kit.context_model import context_step
from algorithms.kit.networks import as_leaves, frozen
from algorithms.kit.replay import Transitions
from algorithms.mier import Mier, MierTrain

CPU = torch.device("cpu")


def small_mier(source, **changes):
    config = {"model_hidden": (7, 6, 5), "policy_hidden": (8, 8), "task_batch": 6, "meta_batch": 3, "context_dim": 2}
    config |= {"initial_transitions": 20, "prior_transitions": 20, "adapted_transitions": 20, "precision": "fp32"}
    return Mier(MierTrain(**(config | changes)), source, seed=0, device=CPU, capacity=1000)


def random_transitions(generator, tasks, rows, observation_dim, action_dim):
    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return Transitions(
        draw(tasks, rows, observation_dim), draw(tasks, rows, action_dim), draw(tasks, rows),
        draw(tasks, rows, observation_dim), torch.zeros(tasks, rows, dtype=torch.float64),
    )  # fmt: skip


def meta_problem(source, predicts, gradient_clip=10.0):
    mier = small_mier(
        source, predicts=predicts, learn_initial_context=True, gradient_clip=gradient_clip, inner_learning_rate=0.1
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


@pytest.mark.parametrize("predicts", ["reward", "dynamics"])
@pytest.mark.parametrize("gradient_clip", [10.0, 0.05])
def test_meta_gradient_matches_finite_differences_in_float64(random_source, predicts, gradient_clip):
    mier, theta, contexts, adapt, judge = meta_problem(random_source, predicts, gradient_clip)
    loss, _ = mier.meta_loss(theta, contexts, adapt, judge)
    gradients = torch.autograd.grad(loss, [*theta, contexts])
    epsilon = 1e-6
    for tensor, gradient in zip([*theta, contexts], gradients):
        flat = tensor.detach().flatten()
        for index in {0, len(flat) // 2, len(flat) - 1}:
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    tensor.view(-1)[index] += sign * epsilon
                values.append(float(mier.meta_loss(theta, contexts, adapt, judge)[0]))
                with torch.no_grad():
                    tensor.view(-1)[index] -= sign * epsilon
            numeric = (values[0] - values[1]) / (2 * epsilon)
            assert float(gradient.flatten()[index]) == pytest.approx(numeric, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("predicts", ["reward", "dynamics"])
def test_meta_gradient_is_second_order(random_source, predicts):
    mier, theta, contexts, adapt, judge = meta_problem(random_source, predicts)
    loss, adapted = mier.meta_loss(theta, contexts, adapt, judge)
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(loss, theta)])
    model = mier.model
    judged = model.first_layer(theta, model.inputs(judge))
    first_order = model.likelihood_losses(theta, judged, adapted.detach(), model.targets(judge)).mean()
    first_order = first_order + model.bound_term(theta).mean()
    first = torch.cat([g.flatten() for g in torch.autograd.grad(first_order, theta)])
    assert float((exact - first).norm() / exact.norm()) > 0.01


def test_inner_step_matches_finite_differences_and_is_clipped(random_source):
    mier, theta, contexts, adapt, _ = meta_problem(random_source, "dynamics")
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


def test_likelihood_loss_by_hand(random_source):
    """One row, one task: the loss is (r - mean)^2 / var + log var for the reward plus the mean of it over s' - s."""
    mier, theta, contexts, adapt, _ = meta_problem(random_source, "dynamics")
    model = mier.model
    one = Transitions(*(field[:1, :1] for field in adapt))
    first = model.first_layer(theta, model.inputs(one))
    mean, log_variance = model.predict(theta, first, contexts[:1])
    target = torch.cat([one.rewards.unsqueeze(-1), one.next_observations - one.observations], dim=-1)
    terms = (mean - target) ** 2 / log_variance.exp() + log_variance
    loss = model.likelihood_losses(theta, first, contexts[:1], model.targets(one))
    assert float(loss.detach()) == pytest.approx(float(terms[0, 0, 0] + terms[0, 0, 1:].mean()))
    low, high = theta[-1], theta[-2]
    assert float(model.bound_term(theta).detach()) == pytest.approx(0.01 * float((high - low).sum()))
    assert bool((log_variance < high).all())
    assert bool((log_variance > low).all())
