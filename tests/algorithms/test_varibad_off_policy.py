"""VariBAD off-policy: what a stored step is conditioned on, what follows an episode's end, and which trials count."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

HORIZON, TRIALS = 20, 4


def build(split="point-dynamics.ood", **changes):
    sizes = {"trial_transitions": 2 * HORIZON, "trials_per_iteration": TRIALS, "trial_memory": 1000, "batch": 4000}
    return build_algorithm("varibad-off-policy", split, **(sizes | changes))


def lived(**changes):
    """A learner past its exploration and an iteration, and its beliefs."""
    learner = build(**changes)
    for _ in range(2):
        learner.iterate()
    return learner, learner.beliefs()


def rows_in_trials(learner, batch):
    """Trial and step of each row of a batch, by its observation, which no other stored step has."""
    histories = learner.index.histories(learner.recent, learner.store, learner.view)
    flat = histories.observations.flatten(0, 1)
    inside = (torch.arange(histories.rewards.shape[1]) < histories.lengths.unsqueeze(1)).flatten()
    places = {tuple(row.tolist()): number for number, row in enumerate(flat) if inside[number]}
    numbers = torch.tensor([places[tuple(row.tolist())] for row in batch.observations[0, :, :2]])
    return histories, numbers // histories.rewards.shape[1], numbers % histories.rewards.shape[1]


@pytest.mark.parametrize("across", [True, False])
def test_a_batch_is_of_stored_steps_with_the_beliefs_before_and_after_them(across):
    learner, beliefs = lived(across_episodes=across)
    batch = learner.sample(beliefs)
    histories, trials, steps = rows_in_trials(learner, batch)
    assert torch.equal(batch.observations[0, :, 2:], beliefs[trials, steps])
    assert torch.equal(batch.next_observations[0, :, 2:], beliefs[trials, steps + 1])
    assert torch.equal(batch.actions[0], histories.actions[trials, steps])
    assert torch.equal(batch.rewards[0], histories.rewards[trials, steps])
    # What follows the end of a first episode is the start of the second, or the state that it ended in.
    inner = (steps == HORIZON - 1) & (histories.lengths[trials] > HORIZON)
    assert inner.any()
    following = batch.next_observations[0, :, :2]
    reached = histories.next_observations[trials, steps]
    starts = histories.observations[trials, torch.minimum(steps + 1, histories.lengths[trials] - 1)]
    assert torch.equal(following[~inner], reached[~inner])
    assert torch.equal(following[inner], (starts if across else reached)[inner])
    assert not torch.isclose(starts[inner], reached[inner]).all(1).any()


@pytest.mark.parametrize("across", [True, False])
def test_a_fall_within_a_trial_is_an_end_only_where_episodes_are_credited_by_themselves(across):
    """The point never falls, so stored steps are told that they did."""
    learner, beliefs = lived(across_episodes=across)
    learner.store._frames[:, -1] = 1.0
    batch = learner.sample(beliefs)
    histories, trials, steps = rows_in_trials(learner, batch)
    last = steps == histories.lengths[trials] - 1
    assert last.any()
    assert batch.terminated[0, last].all()
    assert (batch.terminated[0, ~last] == (0.0 if across else 1.0)).all()


def test_beliefs_are_those_of_the_encoder_as_it_is_now():
    learner, beliefs = lived()
    assert beliefs.shape == (40 + TRIALS, 2 * HORIZON + 1, 2 * learner.config.latent_dim)
    for trial in (3, 42):
        histories = learner.index.histories(torch.tensor([trial]), learner.store, learner.view)
        with torch.no_grad():
            alone = learner.encoder.belief(learner.encoder.unrolled(histories)).vector[0]
        torch.testing.assert_close(beliefs[trial, : len(alone)], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(beliefs[trial, 0], learner.encoder.heads[1][0, 0].detach())
    learner.vae.update(learner.index.histories(learner.recent, learner.store, learner.view), learner.generator)
    assert not torch.isclose(learner.beliefs(), beliefs).all()


def test_the_critics_see_the_beliefs_of_after_the_updates_of_the_belief():
    learner = build()
    learner.iterate()
    order = []
    for part, name in ((learner.vae, "update"), (learner, "beliefs"), (learner.sac, "update")):
        done = getattr(part, name)
        setattr(part, name, lambda *given, done=done, part=part: order.append(type(part).__name__) or done(*given))
    learner.iterate()
    assert order == ["TaskVae"] * 2 + ["VaribadOffPolicy"] + ["SoftActorCritic"] * 3


def test_only_the_newest_trials_are_learnt_from():
    learner, beliefs = lived(trial_memory=6)
    assert len(learner.index) == 40 + TRIALS
    assert learner.recent.tolist() == list(range(38, 44))
    assert len(beliefs) == 6
    _, trials, _ = rows_in_trials(learner, learner.sample(beliefs))
    assert set(trials.tolist()) == set(range(6))


def test_exploration_is_one_trial_per_task_from_the_prior():
    learner = build(initial_transitions=30)
    assert learner.steps_of_next_iteration() == 40 * 30
    assert np.isfinite(learner.iterate()["return"])
    assert learner.index.lengths(torch.arange(len(learner.index))).tolist() == [30] * 40
    assert learner.steps_of_next_iteration() == TRIALS * 2 * HORIZON
