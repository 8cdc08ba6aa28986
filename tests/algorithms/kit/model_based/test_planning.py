"""The planners by hand, on landscapes whose best plan is known, and on predicted returns worked out on paper."""

import numpy as np
import pytest
import torch

from algorithms.kit.model_based import planning
from algorithms.kit.model_based.planning import PlannerSettings, advanced, plan, predicted_returns

PLANNERS = ("mppi", "cem", "random_shooting")
GOALS = torch.tensor([[[0.5, -0.3], [0.2, 0.1]], [[-0.6, 0.7], [0.0, -0.9]], [[0.1, 0.1], [-0.4, 0.8]]])
# (task, step, action)


def settings(planner, **changes):
    fields = {"candidates": 3000, "horizon": 2, "iterations": 5, "noise": 0.5, "smoothing": 0.0, "temperature": 0.1,
              "elites": 0.1}  # fmt: skip
    return PlannerSettings(planner=planner, **(fields | changes))


def nearness(goals):
    """Returns that are best where the sequence of actions is the task's goal."""
    return lambda sequences: -(sequences - goals.unsqueeze(1)).square().sum((2, 3))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("planner", PLANNERS)
def test_each_task_gets_the_plan_that_is_best_for_it(planner):
    found = plan(settings(planner), nearness(GOALS), torch.zeros(GOALS.shape), generator())
    tolerance = {"cem": 0.02, "mppi": 0.15, "random_shooting": 0.3}[planner]  # CEM alone narrows its search
    assert (found - GOALS).abs().max() < tolerance
    assert found.abs().max() <= 1


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_task_is_planned_the_same_alone_and_in_any_company(planner):
    given = settings(planner, candidates=100)
    start = 0.1 * GOALS
    together = plan(given, nearness(GOALS), start, generator())
    for task in range(3):
        alone = plan(given, nearness(GOALS[[task]]), start[[task]], generator())
        torch.testing.assert_close(alone[0], together[task])
    order = [2, 0, 1]
    torch.testing.assert_close(plan(given, nearness(GOALS[order]), start[order], generator()), together[order])


@pytest.mark.parametrize("planner", PLANNERS)
def test_the_budget_of_candidates_is_kept_and_they_are_actions(planner):
    seen = []

    def returns_of(sequences):
        seen.append(sequences)
        return nearness(GOALS)(sequences)

    plan(settings(planner, candidates=60, iterations=4, noise=3.0), returns_of, torch.zeros(GOALS.shape), generator())
    assert sum(sequences.shape[1] for sequences in seen) == 60
    assert len(seen) == (1 if planner == "random_shooting" else 4)
    assert all(sequences.shape == (3, sequences.shape[1], 2, 2) for sequences in seen)
    assert all(sequences.abs().max() <= 1 for sequences in seen)


def test_random_shooting_takes_the_best_of_uniform_sequences():
    drawn = []

    def returns_of(sequences):
        drawn.append(sequences)
        return sequences[:, :, 0, 0] * torch.tensor([[1.0], [-1.0]])

    found = plan(settings("random_shooting", candidates=500), returns_of, torch.zeros(2, 2, 2), generator())
    best, worst = int(drawn[0][0, :, 0, 0].argmax()), int(drawn[0][0, :, 0, 0].argmin())
    assert torch.equal(found, torch.stack([drawn[0][0, best], drawn[0][1, worst]]))
    assert drawn[0].mean().abs() < 0.05
    assert drawn[0].std() == pytest.approx(12**-0.5 * 2, abs=0.02)


@pytest.fixture
def two_candidates(monkeypatch):
    """Both of two candidates' noise, (candidate, step, action)."""
    noise = torch.tensor([[[1.0], [-1.0]], [[-0.5], [3.0]]])
    monkeypatch.setattr(planning, "_standard_normal", lambda shape, generator: noise[None].clone())
    return noise


def test_mppi_weights_what_was_judged_by_hand(two_candidates):
    given = settings("mppi", candidates=2, iterations=1, noise=0.5, temperature=0.5)
    start = torch.tensor([[[0.2], [0.0]]])
    # Sequences: (0.2 + 0.5, -0.5) and (0.2 - 0.25, 1.5 clipped to 1); returns 3 and 1, a spread of 1.
    found = plan(given, lambda sequences: torch.tensor([[3.0, 1.0]]), start, generator())
    share = np.exp(6) / (np.exp(6) + np.exp(2))
    expected = [share * 0.7 + (1 - share) * -0.05, share * -0.5 + (1 - share) * 1.0]
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-5)


def test_mppi_smooths_noise_and_keeps_its_size():
    drawn = torch.randn((1, 20_000, 6, 1), generator=generator())
    smooth = planning._smoothed(drawn, 0.6)[0, :, :, 0]
    assert smooth.std(0).numpy() == pytest.approx(np.ones(6), abs=0.03)
    assert np.corrcoef(smooth.T.numpy())[2, 3] == pytest.approx(0.6, abs=0.03)
    assert planning._smoothed(drawn, 0.0) is drawn


def test_cem_fits_the_best_by_hand(two_candidates):
    given = settings("cem", candidates=2, iterations=1, noise=0.5, elites=0.5)
    found = plan(given, lambda sequences: sequences[:, :, 0, 0], torch.tensor([[[0.2], [0.0]]]), generator())
    np.testing.assert_allclose(found.flatten(), [0.7, -0.5], rtol=1e-6)
    both = plan(given._replace(elites=1.0), lambda s: s[:, :, 0, 0], torch.tensor([[[0.2], [0.0]]]), generator())
    np.testing.assert_allclose(both.flatten(), [(0.7 - 0.05) / 2, (-0.5 + 1.0) / 2], rtol=1e-5)


def test_a_plan_goes_on_with_its_next_action():
    plans = torch.arange(6.0).reshape(1, 3, 2)
    assert advanced(plans).tolist() == [[[2, 3], [4, 5], [0, 0]]]


def test_rewards_are_of_the_state_the_action_in_it_and_the_state_after_it():
    sequences = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1)
    returns = predicted_returns(
        lambda states, actions: states + actions,
        lambda states, actions, following: (states + 10 * actions + 100 * following)[..., 0],
        lambda following: torch.zeros(following.shape[:-1], dtype=torch.bool),
        torch.tensor([[0.5]]), sequences,
    )  # fmt: skip
    assert returns.tolist() == [[0.5 + 10 + 150 + 1.5 + 30 + 450]]


def test_returns_are_summed_until_the_step_that_ends_an_episode():
    """States are a number; an action is added to it; the reward is the new state; an episode ends above 2."""
    sequences = torch.tensor([[1.0, 1.0, 1.0], [2.5, -2.0, 1.0], [-1.0, 0.5, 0.5]]).reshape(1, 3, 3, 1)
    observations = torch.tensor([[0.0], [1.0]])
    returns = predicted_returns(
        lambda states, actions: states + actions,
        lambda states, actions, following: following[..., 0],
        lambda following: following[..., 0] > 2,
        observations, sequences.expand(2, -1, -1, -1),
    )  # fmt: skip
    # From 0: 1 + 2 + 3, where it ends; 2.5, where it ends; -1 - 0.5 + 0. From 1: 2 + 3, end; 3.5, end; 0 + 0.5 + 1.
    assert returns.tolist() == [[6.0, 2.5, -1.5], [5.0, 3.5, 1.5]]
