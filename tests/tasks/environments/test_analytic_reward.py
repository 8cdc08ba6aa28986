"""The analytic rewards of observations equal the environments' rewards, up to what each family states."""

import numpy as np
import pytest
import torch

from tasks.registry import families, get_family, make_batch, reward_rule, splits

# Mean and largest absolute error on random actions, after the first step of an episode and in it.
WITHIN = {
    "cheetah-negated-joints": (1e-5, 2e-4, 0.1),
    "ant-negated-joints": (0.08, 1.0, 0.3),
    "walker-parameters": (0.08, 0.8, 0.15),
    "walker-mass": (0.08, 0.8, 0.15),
    "hopper-mass": (0.02, 0.2, 0.15),
    "point-dynamics": (1e-6, 1e-6, 1e-6),
}
STEPS, ROWS = 60, 20


def transitions(family_name, seed=0, over=1.0):
    """Real transitions of training tasks, (step, row, ...) with the mask of those before the episode's end."""
    family = get_family(family_name)
    split = next(split for split in splits() if split.family == family_name)
    environment = make_batch(family, ROWS)
    environment.set_tasks(np.resize(np.array(split.train), (ROWS, family.parameter_dim)))
    draw, active = np.random.default_rng(seed), np.ones(ROWS, bool)
    before = environment.reset(np.arange(ROWS), [np.random.default_rng([seed, row]) for row in range(ROWS)])
    seen = []
    for _ in range(STEPS):
        actions = draw.uniform(-over, over, (ROWS, family.action_dim)).astype(np.float32)
        step = environment.step(actions, active)
        seen.append((before, actions, step.observations, step.rewards, active))
        before, active = step.observations, active & ~step.terminated
    return [np.stack(values) for values in zip(*seen)], environment


@pytest.mark.parametrize("family_name", WITHIN)
@pytest.mark.parametrize("over", [1.0, 1.5])  # policies may ask for more than the actuators give
def test_it_is_the_environments_reward_up_to_what_is_stated(family_name, over):
    (before, actions, after, rewards, active), _ = transitions(family_name, over=over)
    if family_name == "point-dynamics":
        assert get_family(family_name).analytic_reward == "exact"
    error = np.abs(reward_rule(family_name)(before, actions, after) - rewards)
    mean, largest, first = WITHIN[family_name]
    later = active[1:]
    assert later.sum() > 150
    assert error[1:][later].mean() < mean
    assert error[1:][later].max() < largest
    assert error[0].max() < first
    assert rewards[1:][later].std() > 5 * mean  # a constant would not pass


def test_what_the_ants_reward_leaves_out_is_the_contact_cost():
    """With the speed over the step taken from the simulator, nothing else is missing."""
    environment = make_batch("ant-negated-joints", 4)
    environment.set_tasks(np.ones((4, 8)))
    before = environment.reset(np.arange(4), [np.random.default_rng(row) for row in range(4)])
    draw, rule = np.random.default_rng(1), reward_rule("ant-negated-joints")
    for _ in range(30):
        place, actions = environment.position(), draw.uniform(-1, 1, (4, 8)).astype(np.float32)
        step = environment.step(actions)
        speed = (environment.position() - place)[:, 0] / environment.dt
        estimated = 0.5 * (before[:, 13] + step.observations[:, 13])
        missing = rule(before, actions, step.observations) - estimated + speed - step.rewards
        np.testing.assert_allclose(missing, environment.contact_cost(), atol=1e-5)
        before = step.observations


@pytest.mark.parametrize("family_name", WITHIN)
def test_torch_and_any_leading_axes(family_name):
    (before, actions, after, _, _), _ = transitions(family_name)
    rule = reward_rule(family_name)
    expected = rule(before, actions, after)
    assert expected.shape == (STEPS, ROWS)
    tensors = [torch.from_numpy(values) for values in (before, actions, after)]
    np.testing.assert_allclose(rule(*tensors).numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(float(rule(*(tensor[3, 4] for tensor in tensors))), expected[3, 4], rtol=1e-4, atol=1e-5)


def test_families_declare_it_exactly_where_dynamics_vary():
    for family in families():
        assert (family.analytic_reward is not None) == (family.varies == "dynamics")
        assert (reward_rule(family) is not None) == (family.varies == "dynamics")


@pytest.mark.parametrize("family_name", sorted(set(WITHIN) - {"point-dynamics"}))
def test_control_ranges_are_those_that_the_rewards_assume(family_name):
    environment = make_batch(family_name, 1)
    assert (environment.model.actuator_ctrlrange == [-1, 1]).all()


def test_the_cheetahs_time_constants_are_the_simulators():
    from tasks.environments import cheetah

    environment = make_batch("cheetah-negated-joints", 1)
    assert (environment.dt, environment.model.opt.timestep) == (cheetah.FRAME, cheetah.SUBSTEP)
