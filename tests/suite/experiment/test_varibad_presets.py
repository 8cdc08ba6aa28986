"""Presets of VariBAD: the published values of each kind of split, and trials that are as long as a meta-test."""

import pytest

from algorithms.registry import get_algorithm
from suite.experiment.presets import resolve_blocks
from tasks.registry import get_family, get_split
from tasks.splits import BUILDERS

PUBLISHED = [name for name in BUILDERS if not name.startswith("point-")]


def resolved(name, split, preset=None):
    return resolve_blocks(get_algorithm(name), get_split(split), preset, {}, {}, "cpu")


# Released configurations, by split: trials of 400 in an iteration, epochs, minibatches, clip, rate, latent, kl_weight,
# VAE updates, decoded transitions (of 400, where all are), what is decoded.
RELEASED = {
    "cheetah-velocity.standard": (16, 2, 8, 0.1, 7e-4, 5, 0.1, 1, 50, "reward"),
    "cheetah-direction.standard": (32, 16, 4, 0.1, 7e-4, 5, 0.1, 1, 50, "reward"),
    "ant-direction.standard": (8, 2, 1, 0.1, 7e-4, 5, 0.1, 1, 50, "reward"),
    "ant-goal.standard": (8, 2, 1, 0.05, 1e-3, 10, 0.1, 5, 400, "reward"),
    "walker-parameters.standard": (8, 2, 2, 0.05, 7e-4, 10, 1.0, 1, 50, "state"),
    "humanoid-direction.standard": (32, 4, 2, 0.1, 7e-4, 10, 0.1, 10, 100, "reward"),
}


@pytest.mark.parametrize("name", RELEASED)
def test_the_code_preset_is_the_released_configuration(name):
    """A trial of theirs is 400 steps; of a weight of theirs the KL of 10 trials is summed."""
    train, adapt = resolved("varibad", name, "code")
    trials, epochs, minibatches, clip, rate, latent, weight, updates, decoded, decodes = RELEASED[name]
    assert (train.trial_transitions, train.trials_per_iteration) == (400, trials)
    assert (train.epochs, train.minibatches, train.clip, train.learning_rate) == (epochs, minibatches, clip, rate)
    assert (train.latent_dim, train.vae_updates, train.decodes) == (latent, updates, decodes)
    assert (train.decoded_transitions or 400) == decoded
    assert train.kl_weight == pytest.approx(weight * 10 * 400 / decoded)
    assert (train.smoothing, train.entropy_weight, train.gradient_clip, train.vae_batch) == (0.9, 0.01, 0.5, 10)
    assert train.discount == (0.99 if name.startswith("humanoid") else 0.97)
    assert (train.policy_embedding is None) == name.startswith("humanoid")
    assert train.normalise_beliefs is not name.startswith("ant-goal")
    assert not train.across_episodes
    assert not adapt.explore_stochastic


@pytest.mark.parametrize("name", ["varibad", "varibad-off-policy"])
@pytest.mark.parametrize("preset", [None, "matched", "lite"])
def test_a_trial_is_as_long_as_a_meta_test(name, preset):
    for split in BUILDERS:
        train, _ = resolved(name, split, preset)
        wanted = get_split(split).adaptation_transitions + get_family(get_split(split).family).horizon
        assert train.trial_transitions == wanted, split


def test_by_default_the_divergence_weighs_as_much_for_a_longer_trial_as_in_the_code():
    for split in RELEASED:
        (default, _), (code, _) = resolved("varibad", split), resolved("varibad", split, "code")
        longer = 1 if split.startswith("ant-goal") else default.trial_transitions / 400
        assert default.kl_weight == pytest.approx(code.kl_weight * longer), split


@pytest.mark.parametrize("name", ["varibad", "varibad-off-policy"])
@pytest.mark.parametrize("preset", [None, "matched", "lite"])
def test_states_are_explained_where_dynamics_vary_and_rewards_where_they_do(name, preset):
    for split in BUILDERS:
        train, _ = resolved(name, split, preset)
        varies = get_family(get_split(split).family).varies
        assert train.decodes == ("reward" if varies == "reward" else "state"), split


@pytest.mark.parametrize("name", ["varibad", "varibad-off-policy"])
def test_at_small_budgets_later_episodes_are_credited_and_no_position_grows(name):
    for preset in ("matched", "lite"):
        for split in PUBLISHED:
            train, _ = resolved(name, split, preset)
            assert train.across_episodes
            assert (train.view == "without_position") == split.startswith("cheetah"), split
