import pytest
import torch
from torch.distributions import Independent, Normal

from algorithms.kit.on_policy import recurrent_policy
from algorithms.kit.on_policy.recurrent_policy import RecurrentPolicy, Sizes, initial_cell, unroll

KINDS = ["lstm", "gru"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def policy_of(kind, **changes):
    return RecurrentPolicy(Sizes(kind, 3, 5, 2, 4)._replace(**changes), generator())


def by_hand(kind, cell, inputs, state):
    """One sequence (step, input) from state (state,), by the equations of Hochreiter, Gers and Cho."""
    weight, recurrent, bias, recurrent_bias = cell
    size, outputs = recurrent.shape[1], []
    for given in inputs:
        ours, theirs = weight @ given + bias, recurrent @ state[:size] + recurrent_bias
        if kind == "gru":
            reset, update = (torch.sigmoid((ours + theirs)[part * size : (part + 1) * size]) for part in (0, 1))
            new = torch.tanh(ours[2 * size :] + reset * theirs[2 * size :])
            state = (1 - update) * new + update * state
        else:
            enter, forget, new, leave = (ours + theirs).chunk(4)
            memory = torch.sigmoid(forget) * state[size:] + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.cat([torch.sigmoid(leave) * torch.tanh(memory), memory])
        outputs.append(state[:size])
    return torch.stack(outputs), state


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_follows_its_equations(kind):
    cell = [tensor + 0.1 * torch.randn(tensor.shape, generator=generator(1))
            for tensor in initial_cell(kind, 5, 4, generator())]  # fmt: skip
    inputs = torch.randn(7, 2, 5, generator=generator(2))
    state = torch.randn(2, 8 if kind == "lstm" else 4, generator=generator(3))
    outputs, after = unroll(kind, cell, inputs, state)
    for row in (0, 1):
        expected, last = by_hand(kind, cell, inputs[:, row], state[row])
        torch.testing.assert_close(outputs[:, row], expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(after[row], last, rtol=1e-4, atol=1e-6)


def test_few_rows_by_hand_are_many_by_torch(monkeypatch):
    """Outputs, last state and gradients, from a state that is not 0."""
    inputs, start = torch.randn(7, 3, 5, generator=generator(2)), torch.randn(3, 4, generator=generator(3))
    ways = []
    for few in (recurrent_policy.FEW_ROWS, 2):
        monkeypatch.setattr(recurrent_policy, "FEW_ROWS", few)
        cell = [tensor.requires_grad_(True) for tensor in initial_cell("gru", 5, 4, generator())]
        outputs, after = unroll("gru", cell, inputs, start)
        ways.append((outputs, after, *torch.autograd.grad((outputs[3:] ** 2).sum() + after.sum(), cell)))
    assert "_States" in type(ways[0][0].grad_fn).__name__
    assert "_States" not in type(ways[1][0].grad_fn).__name__
    for mine, theirs in zip(*ways):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_its_steps_one_after_the_other(kind):
    policy, inputs = (
        policy_of(kind, heads=(6,), observations_to_heads=True),
        torch.randn(9, 3, 5, generator=generator()),
    )
    whole, state, means = policy.unroll(inputs, policy.blank(3)), policy.blank(3), []
    for step in inputs:
        output = policy.unroll(step.unsqueeze(0), state)
        state = output.state
        means.append(output.mean[0])
    torch.testing.assert_close(torch.stack(means), whole.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state, whole.state, rtol=1e-5, atol=1e-6)
    assert whole.values.shape == (9, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_carry_the_state_but_no_gradient(kind):
    policy, inputs = policy_of(kind), torch.randn(8, 2, 5, generator=generator()).requires_grad_(True)
    whole, cut = (policy.unroll(inputs, policy.blank(2), chunk) for chunk in (None, 3))
    torch.testing.assert_close(cut.mean, whole.mean)
    through, stopped = (torch.autograd.grad(output.mean[4].sum(), inputs)[0] for output in (whole, cut))
    assert float(through[2].abs().max()) > 0
    assert (stopped[:3] == 0).all()
    torch.testing.assert_close(stopped[3:], through[3:])


def test_initial_weights_are_those_of_the_codes():
    lstm, gru = (initial_cell(kind, 30, 64, generator()) for kind in KINDS)
    assert lstm[2].unflatten(0, (4, 64))[:, 0].tolist() == [
        0.0,
        1.0,
        0.0,
        0.0,
    ]  # torch's order: enter, forget, new, leave
    bound = (6 / (30 + 64 + 4 * 64)) ** 0.5
    for weight in lstm[:2]:
        assert 0.95 * bound < float(weight.abs().max()) <= bound
    for weight in gru[:2]:
        torch.testing.assert_close(weight.T @ weight, torch.eye(weight.shape[1]), atol=1e-5, rtol=0)
    assert not any(bias.any() for bias in (*lstm[3:], *gru[2:]))


def test_densities_are_the_normal_distributions():
    policy = policy_of("gru", initial_std=0.5)
    mean, actions = torch.randn(2, 6, 3, 2, generator=generator())
    normal = Independent(Normal(mean, torch.tensor([0.5, 0.5])), 1)
    torch.testing.assert_close(policy.log_probs(mean, actions), normal.log_prob(actions))
    torch.testing.assert_close(policy.entropy(), normal.entropy()[0, 0])
    drawn = policy.drawn(torch.zeros(20_000, 2), generator())
    assert float(drawn.detach().std()) == pytest.approx(0.5, rel=0.02)


def test_without_a_critic_values_are_zero_and_nothing_of_it_is_trained():
    with_critic, without = policy_of("gru"), policy_of("gru", critic=False)
    assert len(with_critic.parameters) == len(without.parameters) + 2
    assert not without.unroll(torch.ones(2, 1, 5), without.blank(1)).values.any()


def test_heads_read_the_observation_only_where_declared():
    """With the cell's output weights cut off, only the direct way is left."""
    for direct in (False, True):
        policy = policy_of("gru", observations_to_heads=direct)
        with torch.no_grad():
            policy.actor[0][:, :4] = 0.0
        one, two = (policy.unroll(torch.full((1, 1, 5), value), policy.blank(1)).mean for value in (1.0, 2.0))
        assert bool((one != two).any()) is direct
