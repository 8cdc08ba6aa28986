"""The meta-gradient by hand against autograd's, and the inner steps' against the model's own."""

import pytest
import torch

from algorithms.kit.model_based.context_model import ContextModel, adapt_context
from algorithms.kit.model_based.meta_gradient import meta_gradient
from algorithms.kit.networks import as_leaves
from algorithms.kit.replay import Transitions

TASKS, CONTEXT, OBSERVATION, ACTION = 4, 2, 3, 2
RATES = [0.1, 0.3]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def transitions(rows, seed):
    return Transitions(
        drawn(TASKS, rows, OBSERVATION, seed=seed), drawn(TASKS, rows, ACTION, seed=seed + 1),
        drawn(TASKS, rows, seed=seed + 2), drawn(TASKS, rows, OBSERVATION, seed=seed + 3),
        torch.zeros(TASKS, rows, dtype=torch.float64),
    )  # fmt: skip


def problem(predicts_dynamics, slope, precision="fp32", hidden=(7, 6, 5)):
    model = ContextModel(
        OBSERVATION, ACTION, CONTEXT, hidden, predicts_dynamics=predicts_dynamics, negative_slope=slope,
        precision=precision,
    )  # fmt: skip
    start = model.initial(torch.Generator().manual_seed(0))
    theta = [parameter.double() + 0.3 * drawn(*parameter.shape, seed=5 + i) for i, parameter in enumerate(start)]
    return model, theta, drawn(TASKS, CONTEXT, seed=50), transitions(6, 60), transitions(5, 70)


def by_autograd(model, theta, contexts, adapt, judge, clip):
    theta, contexts = as_leaves(theta), contexts.clone().requires_grad_()
    adapted = adapt_context(model, theta, contexts, adapt, RATES, clip=clip, differentiable=True)
    likelihood = model.losses_on(theta, judge, adapted).mean()
    gradients = torch.autograd.grad(likelihood + model.bound_term(theta).mean(), [*theta, contexts])
    return likelihood, adapted, gradients


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("clip", [10.0, 0.005])  # the second cuts every inner step
@pytest.mark.parametrize("predicts_dynamics", [False, True])
def test_it_is_autograds_in_float64(predicts_dynamics, clip, slope):
    model, theta, contexts, adapt, judge = problem(predicts_dynamics, slope)
    likelihood, adapted, gradients = by_autograd(model, theta, contexts, adapt, judge, clip)
    meta = meta_gradient(model, theta, contexts, adapt, judge, RATES, clip)
    torch.testing.assert_close(meta.likelihood, likelihood.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(meta.contexts, adapted.detach(), rtol=1e-12, atol=1e-12)
    for own, expected in zip([*meta.theta, meta.initial], gradients):
        torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-11)


def test_clipping_cuts_where_the_test_above_says_that_it_does():
    model, theta, contexts, adapt, judge = problem(False, 0.2)
    free, cut = (meta_gradient(model, theta, contexts, adapt, judge, RATES, clip) for clip in (10.0, 0.005))
    assert ((cut.contexts - contexts).norm(dim=1) <= 0.005 * sum(RATES) + 1e-12).all()
    assert ((free.contexts - contexts).norm(dim=1) > 0.005 * sum(RATES)).all()


def test_bf16_is_fp32_up_to_its_rounding():
    gradients = []
    for precision in ("fp32", "bf16"):
        model, theta, *given = problem(True, 0.2, precision, hidden=(64, 64, 64))
        data = [Transitions(*(field.float() for field in batch)) for batch in given[1:]]
        theta = model.initial(torch.Generator().manual_seed(0))
        gradients.append(meta_gradient(model, theta, given[0].float(), *data, RATES, 10.0).theta)
    for exact, rounded in zip(*gradients):
        assert rounded.dtype == torch.float32
        assert not torch.equal(exact, rounded)
        assert float((rounded - exact).norm() / exact.norm()) < 0.05


def test_data_of_another_task_change_neither_its_context_nor_its_share():
    model, theta, contexts, adapt, judge = problem(True, 0.2)
    other = adapt._replace(rewards=adapt.rewards + torch.tensor([0.0, 5.0, 0.0, 0.0]).double().unsqueeze(1))
    first, second = (meta_gradient(model, theta, contexts, data, judge, RATES, 10.0) for data in (adapt, other))
    changed = (first.contexts != second.contexts).any(1).tolist()
    assert changed == [False, True, False, False]
    assert (first.initial != second.initial).any(1).tolist() == changed
