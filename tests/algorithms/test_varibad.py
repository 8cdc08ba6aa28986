"""VariBAD on-policy: what its policy reads, what is credited, what it is normalised by, and what it remembers."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm, tensors_of

from algorithms.base import Diverged
from algorithms.kit.context.trials import histories_of

HORIZON, EPISODES, TRIALS = 20, 3, 4


def build(split="point-dynamics.ood", **changes):
    sizes = {"trial_transitions": EPISODES * HORIZON, "trials_per_iteration": TRIALS}
    return build_algorithm("varibad", split, **(sizes | changes))


def lived(**changes):
    """A VariBAD past its first iterations, the trials of its next, and what happened in them."""
    varibad = build(**changes)
    for _ in range(2):
        varibad.iterate()
    trials, batch = varibad.collect(np.arange(TRIALS))
    return varibad, trials, histories_of(batch, varibad.view, torch.device("cpu"))


def test_the_policy_reads_real_start_states_and_the_belief_of_all_that_came_before():
    varibad, trials, histories = lived()
    with torch.no_grad():
        beliefs = varibad.encoder.belief(varibad.encoder.unrolled(histories)).vector
    seen = varibad.observed.moments.normalised(histories.observations)
    believed = varibad.belief_moments.normalised(beliefs[:, :-1])
    torch.testing.assert_close(trials.inputs.transpose(0, 1), torch.cat([seen, believed], -1), rtol=1e-4, atol=1e-4)
    # A start state is acted on, and the end of the episode before it is read by the encoder.
    ends = histories.next_observations[:, HORIZON - 1 :: HORIZON][:, :-1]
    starts = histories.observations[:, HORIZON::HORIZON]
    assert not torch.isclose(ends, starts).all(2).any()
    assert not torch.isclose(beliefs[:, HORIZON - 1], beliefs[:, HORIZON]).all(1).any()


def test_a_trial_starts_from_the_prior_whatever_was_before_it():
    varibad, trials, _ = lived()
    prior = varibad.belief_moments.normalised(varibad.encoder.heads[1][0]).detach()
    for given in (trials, varibad.collect(np.arange(TRIALS))[0]):
        torch.testing.assert_close(given.inputs[0, :, 2:], prior.expand(TRIALS, -1))


def test_actions_are_cut_where_they_act_and_whole_where_their_density_counts():
    _, trials, histories = lived(initial_std=3.0)
    drawn = trials.actions.transpose(0, 1)
    assert float(drawn.abs().max()) > 2
    assert torch.equal(drawn.clamp(-1, 1), histories.actions)


def test_stored_values_and_densities_are_those_of_the_policy_on_stored_inputs():
    varibad, trials, _ = lived()
    with torch.no_grad():
        output = varibad.policy.unroll(trials.inputs, varibad.policy.blank(TRIALS))
    torch.testing.assert_close(varibad.policy.log_probs(output.mean, trials.actions), trials.log_probs)
    torch.testing.assert_close(output.values * varibad.ppo.unit, trials.values)


@pytest.mark.parametrize("across", [True, False])
def test_credit_across_episodes_is_declared(across):
    """A reward in the last episode changes what the first one's actions are worth, or does not."""
    varibad, trials, _ = lived(across_episodes=across, smoothing=1.0, discount=1.0)
    advantages = []
    for bonus in (0.0, 50.0):
        rewards = trials.rewards.clone()
        rewards[-1, 0] += bonus
        raw = varibad.ppo.advantages(trials._replace(rewards=rewards))[1]
        advantages.append(raw * varibad.ppo.unit)
    changed = ~torch.isclose(*advantages, atol=1e-2).all(dim=1)
    assert bool(changed[: 2 * HORIZON].any()) is across
    assert changed[2 * HORIZON :].all()


def test_moments_change_between_iterations_alone_and_are_of_what_was_acted_on():
    varibad = build()
    trials, _ = varibad.collect(np.arange(TRIALS))
    assert torch.equal(varibad.observed(np.full((1, 2), 5.0)), torch.full((1, 2), 5.0))
    before = {name: value.clone() for name, value in tensors_of(varibad.state()).items()
              if name.startswith(("/observations", "/beliefs"))}  # fmt: skip
    varibad.ppo.update(trials)
    assert len(before) == 6
    after = tensors_of(varibad.state())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    varibad.iterate()
    for moments in (varibad.observed.moments, varibad.belief_moments):
        assert float(moments.parts()["count"]) == TRIALS * EPISODES * HORIZON


def test_without_normalisation_the_policy_reads_things_as_they_are():
    varibad, trials, histories = lived(normalise_observations=False, normalise_beliefs=False)
    with torch.no_grad():
        beliefs = varibad.encoder.belief(varibad.encoder.unrolled(histories)).vector
    wanted = torch.cat([histories.observations, beliefs[:, :-1]], dim=-1)
    torch.testing.assert_close(trials.inputs.transpose(0, 1), wanted, rtol=1e-4, atol=1e-5)


def test_encoder_and_decoders_learn_from_the_newest_trials_alone_and_memory_is_bounded():
    varibad = build(trial_memory=6)
    for _ in range(3):
        varibad.iterate()
    assert len(varibad.ring) == 6
    assert {len(value) for name, value in tensors_of(varibad.state()).items() if name.startswith("/ring")} == {6}


def test_more_minibatches_than_steps_are_refused():
    with pytest.raises(ValueError, match="minibatches is 241, more than the 240 steps of an iteration; lower it"):
        build(minibatches=241)


def test_a_loss_that_is_not_finite_stops_the_run():
    varibad = build()
    varibad.iterate()
    with torch.no_grad():
        varibad.vae.decoders[0].trunk[0][:] = float("nan")
    with pytest.raises(Diverged, match="reconstruction"):
        varibad.iterate()
