"""Every MuJoCo family against a plain `mj_step` loop and the reward written out by hand."""

import math
import time

import mujoco
import numpy as np
import pytest
import torch

from tasks.environments.simulation import ASSETS, load_model
from tasks.registry import get_family, get_split, make_batch, splits, termination_rule

STEPS = 40


class Plain:
    """One simulation, one task, plain MuJoCo: nothing of the batched code but the compiled model."""

    def __init__(self, xml, skip, timestep=None, contacts=False):
        self.model, self.skip, self.contacts = load_model(xml, timestep), skip, contacts
        self.data = mujoco.MjData(self.model)

    def start(self, position_noise, velocity_noise):
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos += position_noise
        self.data.qvel += velocity_noise
        mujoco.mj_forward(self.model, self.data)
        self._contacts()

    def control(self, control):
        self.data.ctrl[:] = control
        for _ in range(self.skip):
            mujoco.mj_step(self.model, self.data)
        self._contacts()

    def _contacts(self):
        if self.contacts:
            mujoco.mj_rnePostConstraint(self.model, self.data)

    def torso(self):
        return self.data.body("torso").xpos.copy()


def legged_noise(plain, generator):
    return generator.uniform(-0.1, 0.1, plain.model.nq), 0.1 * generator.standard_normal(plain.model.nv)


def upright_noise(width):
    return lambda plain, generator: (
        generator.uniform(-width, width, plain.model.nq),
        generator.uniform(-width, width, plain.model.nv),
    )


def cheetah(reward, masked=False):
    def run(plain, task, action):
        control = np.array(action, float) * (task if masked else 1.0)
        before = plain.data.qpos[0]
        plain.control(control)
        return reward((plain.data.qpos[0] - before) / 0.05, task, sum(a * a for a in control))

    def observe(plain):
        return [plain.data.qpos[1:], plain.data.qvel, plain.torso()]

    return "half_cheetah.xml", 5, None, False, legged_noise, run, observe


def ant(reward, masked=False, goal=False):
    def run(plain, task, action):
        control = np.array(action, float) * (task if masked else 1.0)
        before = plain.torso()
        plain.control(control)
        contact = 0.5e-3 * sum(min(max(f, -1.0), 1.0) ** 2 for f in plain.data.cfrc_ext.ravel())
        return reward((plain.torso() - before) / 0.05, plain.torso(), task, sum(a * a for a in control), contact)

    def observe(plain):
        if goal:
            return [plain.data.qpos, plain.data.qvel, np.clip(plain.data.cfrc_ext, -1, 1).ravel()]
        return [plain.data.qpos[2:], plain.data.qvel]

    return "ant.xml", 5, None, True, legged_noise, run, observe


def centre_of_mass(plain):
    mass = plain.model.body_mass
    return sum(m * x for m, x in zip(mass, plain.data.xipos)) / sum(mass)


def humanoid_step(plain, task, action):
    control = 0.4 * np.array(action, float)
    before = centre_of_mass(plain)
    plain.control(control)
    moved = centre_of_mass(plain) - before
    along = moved[0] * math.cos(task[0]) + moved[1] * math.sin(task[0])
    contact = min(0.5e-6 * np.square(plain.data.cfrc_ext).sum(), 10.0)
    return 0.25 * along / 0.003 - 0.1 * sum(c * c for c in control) - contact + 5.0


def humanoid_observation(plain):
    d = plain.data
    return [d.qpos[2:], d.qvel, d.cinert.ravel(), d.cvel.ravel(), d.qfrc_actuator, d.cfrc_ext.ravel()]


def upright_step(plain, task, action):
    before = plain.data.qpos[0]
    plain.control(np.array(action, float))
    return (plain.data.qpos[0] - before) / 0.016 + 1.0 - 1e-3 * sum(float(a) ** 2 for a in action)


def upright_observation(plain):
    return [plain.data.qpos[1:], np.clip(plain.data.qvel, -10, 10)]


FORMULAS = {
    "cheetah-velocity": cheetah(lambda v, task, cost: -abs(v - task[0]) - 0.05 * cost),
    "cheetah-direction": cheetah(lambda v, task, cost: task[0] * v - 0.05 * cost),
    "cheetah-negated-joints": cheetah(lambda v, task, cost: v - 0.1 * cost, masked=True),
    "ant-direction": ant(
        lambda v, x, task, cost, contact: (
            v[0] * math.cos(task[0]) + v[1] * math.sin(task[0]) - 0.5 * cost - contact + 1.0
        )
    ),
    "ant-goal": ant(
        lambda v, x, task, cost, contact: -abs(x[0] - task[0]) - abs(x[1] - task[1]) - 0.1 * cost - contact, goal=True
    ),
    "ant-negated-joints": ant(lambda v, x, task, cost, contact: v[0] - 0.5 * cost - contact + 1.0, masked=True),
    "humanoid-direction": ("humanoid.xml", 5, None, True, upright_noise(0.01), humanoid_step, humanoid_observation),
    "walker-parameters": ("walker2d.xml", 4, 0.004, False, upright_noise(0.005), upright_step, upright_observation),
    "walker-mass": ("walker2d.xml", 4, 0.004, False, upright_noise(0.005), upright_step, upright_observation),
    "hopper-mass": ("hopper.xml", 4, 0.004, False, upright_noise(0.005), upright_step, upright_observation),
}


def set_parameters(plain, family_name, task):
    if family_name.endswith("-mass"):
        plain.model.body_mass[:] *= task[0]
        mujoco.mj_setConst(plain.model, plain.data)
    if family_name != "walker-parameters":
        return
    mass, inertia, damping, friction = np.split(np.array(task), [8, 32, 41])
    plain.model.body_mass[:] *= mass
    plain.model.body_inertia[:] *= inertia.reshape(8, 3)
    plain.model.dof_damping[:] *= damping
    plain.model.geom_friction[:] *= friction.reshape(8, 3)
    mujoco.mj_setConst(plain.model, plain.data)


def tasks_of(family_name):
    split = next(split for split in splits() if split.family == family_name)
    return np.array([split.train[0], split.test[1], split.train[1]])


@pytest.mark.parametrize("family_name", FORMULAS)
def test_family_is_what_a_plain_simulation_gives(family_name):
    family, values = get_family(family_name), tasks_of(family_name)
    xml, skip, timestep, contacts, noise, step, observe = FORMULAS[family_name]
    rows = np.arange(len(values))
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    first = environment.reset(rows, [np.random.default_rng([7, row]) for row in rows])
    actions = np.random.default_rng(8).uniform(-1.2, 1.2, (STEPS, len(values), family.action_dim)).astype(np.float32)
    steps = [environment.step(action) for action in actions]
    for row, task in enumerate(values):
        plain = Plain(xml, skip, timestep, contacts)
        set_parameters(plain, family_name, task)
        plain.start(*noise(plain, np.random.default_rng([7, row])))
        assert np.array_equal(first[row], np.concatenate(observe(plain)).astype(np.float32))
        for now, action in enumerate(actions):
            reward = step(plain, task, np.clip(action[row], -1, 1))
            assert steps[now].rewards[row] == pytest.approx(reward, rel=1e-5, abs=1e-5)
            assert np.array_equal(steps[now].observations[row], np.concatenate(observe(plain)).astype(np.float32))


def test_contact_forces_are_those_of_a_plain_loop_with_the_feet_loaded():
    environment = make_batch("ant-goal", 3)
    environment.reset(np.arange(3), [np.random.default_rng(row) for row in range(3)])
    plain = Plain("ant.xml", 5, contacts=True)
    plain.start(*legged_noise(plain, np.random.default_rng(1)))
    loads = []
    for _ in range(60):
        environment.step(np.zeros((3, 8), np.float32), np.array([False, True, True]))
        plain.control(np.zeros(8))
        assert np.array_equal(environment.contact_forces[1], plain.data.cfrc_ext.ravel())
        loads.append(np.abs(plain.data.cfrc_ext[1:, 5]).sum())
    weight = plain.model.body_mass.sum() * 9.81
    assert loads[-1] == pytest.approx(weight, rel=0.2), "the ant stands on its feet"


def test_models_are_those_that_gymnasium_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning about settotalmass into the working directory
    shipped, ours = mujoco.MjModel.from_xml_path(str(ASSETS / "half_cheetah.xml")), load_model("half_cheetah.xml")
    for field in ("body_mass", "body_inertia", "dof_invweight0", "body_invweight0", "actuator_gear", "geom_size"):
        assert np.array_equal(getattr(shipped, field), getattr(ours, field)), field
    assert ours.body_mass.sum() == pytest.approx(14.0)
    walker = load_model("walker2d.xml", 0.004)
    assert walker.opt.timestep == 0.004
    feet = [walker.geom(name).friction[0] for name in ("foot_geom", "foot_left_geom")]
    assert feet == [0.9, 1.9]


@pytest.mark.parametrize("family_name", ["cheetah-velocity", "ant-goal", "humanoid-direction", "walker-parameters",
                                         "hopper-mass"])  # fmt: skip
def test_rows_do_not_influence_one_another(family_name):
    family = get_family(family_name)
    tasks = np.array(next(split for split in splits() if split.family == family_name).train[:13])
    actions = np.random.default_rng(1).uniform(-1, 1, (12, 13, family.action_dim)).astype(np.float32)

    def trajectory(rows, active=None):
        environment = make_batch(family, len(rows))
        environment.set_tasks(tasks[rows])
        observations = [environment.reset(np.arange(len(rows)), [np.random.default_rng([2, row]) for row in rows])]
        steps = [environment.step(action[rows], active) for action in actions]
        return np.stack([*observations, *(step.observations for step in steps)], 1), np.stack(
            [step.rewards for step in steps], 1
        )

    together, rewards = trajectory(np.arange(13))
    for row in (0, 6, 12):
        alone, alone_rewards = trajectory(np.array([row]))
        assert np.array_equal(alone[0], together[row])
        assert np.array_equal(alone_rewards[0], rewards[row])
    active = np.arange(13) % 3 == 0
    partly, partly_rewards = trajectory(np.arange(13), active)
    assert np.array_equal(partly[active], together[active])
    assert (partly[~active] == partly[~active][:, :1]).all(), "inactive rows keep their observation"
    assert (partly_rewards[~active] == 0).all()


def test_idle_rows_keep_their_state_and_their_task():
    environment = make_batch("cheetah-velocity", 2)
    environment.set_tasks(np.array([[1.0], [2.0]]))
    environment.reset(np.arange(2), [np.random.default_rng(row) for row in range(2)])
    state = environment.batch.state[1].copy()
    environment.step(np.ones((2, 6), np.float32), np.array([True, False]))
    assert np.array_equal(environment.batch.state[1], state)
    environment.set_tasks(np.array([[3.0], [4.0]]))
    environment.reset(np.array([0]), [np.random.default_rng(5)])
    assert environment.values.ravel().tolist() == [3.0, 2.0], "a new task takes effect at the row's reset"


def test_a_step_with_no_active_row_changes_nothing():
    environment = make_batch("ant-direction", 3)
    first = environment.reset(np.arange(3), [np.random.default_rng(row) for row in range(3)])
    state = environment.batch.state.copy()
    step = environment.step(np.ones((3, 8), np.float32), np.zeros(3, bool))
    assert np.array_equal(step.observations, first)
    assert not step.rewards.any()
    assert np.array_equal(environment.batch.state, state)


def test_threads_change_nothing():
    actions = np.random.default_rng(1).uniform(-1, 1, (10, 8, 6)).astype(np.float32)
    results = []
    for threads in (1, 2):
        environment = make_batch("cheetah-velocity", 8, threads)
        environment.reset(np.arange(8), [np.random.default_rng(row) for row in range(8)])
        results.append([environment.step(action).observations for action in actions])
    assert np.array_equal(*results)


SIMULATOR_RULES = {
    "ant-direction": lambda qpos: not 0.2 <= qpos[2] <= 1.0,
    "ant-negated-joints": lambda qpos: not 0.2 <= qpos[2] <= 1.0,
    "humanoid-direction": lambda qpos: qpos[2] < 1.0 or qpos[2] > 2.0,
    "walker-parameters": lambda qpos: not (0.8 < qpos[1] < 2.0 and abs(qpos[2]) < 1.0),
    "walker-mass": lambda qpos: not (0.8 < qpos[1] < 2.0 and abs(qpos[2]) < 1.0),
    "hopper-mass": lambda qpos: not (qpos[1] > 0.7 and abs(qpos[2]) < 0.2),
}


@pytest.mark.parametrize("family_name", [family.name for family in map(get_family, FORMULAS)])
def test_termination_is_the_simulators_own_rule(family_name):
    family, rule = get_family(family_name), termination_rule(family_name)
    environment = make_batch(family, 24)
    environment.set_tasks(np.repeat(tasks_of(family_name), 8, axis=0))
    environment.reset(np.arange(24), [np.random.default_rng(row) for row in range(24)])
    generator, ended = np.random.default_rng(3), 0
    for _ in range(60 if family.terminates else 10):
        step = environment.step(generator.uniform(-1, 1, (24, family.action_dim)).astype(np.float32))
        own_rule = SIMULATOR_RULES.get(family_name, lambda qpos: False)
        expected = np.array([own_rule(qpos) for qpos in environment.qpos])
        assert np.array_equal(step.terminated, expected)
        assert np.array_equal(rule(step.observations), expected)
        assert np.array_equal(rule(torch.from_numpy(step.observations)).numpy(), expected)
        ended += int(expected.sum())
    assert (ended > 0) == family.terminates


@pytest.mark.parametrize("family_name", FORMULAS)
def test_predictions_that_are_not_finite_terminate_where_anything_does(family_name):
    family, rule = get_family(family_name), termination_rule(family_name)
    environment = make_batch(family, 1)
    environment.set_tasks(tasks_of(family_name)[:1])
    fine = environment.reset(np.arange(1), [np.random.default_rng(0)])
    predictions = np.stack([fine] * 4)[:, 0]
    predictions[1, -1], predictions[2, 3], predictions[3, 0] = np.nan, np.inf, np.nan
    expected = [False] + [family.terminates] * 3
    assert rule(predictions).tolist() == expected
    assert rule(torch.from_numpy(predictions).reshape(2, 2, -1)).tolist() == [expected[:2], expected[2:]]


def test_an_unstable_simulation_ends_its_episode(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log file there
    environment = make_batch("cheetah-velocity", 2)
    observations = environment.reset(np.arange(2), [np.random.default_rng(row) for row in range(2)])
    environment.qvel[0, 0] = 1e11
    step = environment.step(np.zeros((2, 6), np.float32))
    assert step.terminated.tolist() == [True, False]
    assert step.rewards[0] == 0
    assert np.array_equal(step.observations[0], observations[0])
    assert environment.step(np.zeros((2, 6), np.float32)).terminated.tolist() == [False, False]


def test_mistakes_are_refused():
    environment = make_batch("cheetah-velocity", 2)
    with pytest.raises(ValueError, match=r"shape \(3, 1\) given, \(row, parameter\) = \(2, 1\)"):
        environment.set_tasks(np.zeros((3, 1)))
    with pytest.raises(RuntimeError, match=r"rows \[0, 1\] have not been reset"):
        environment.step(np.zeros((2, 6), np.float32))
    with pytest.raises(ValueError, match="2 rows and 1 generators"):
        environment.reset(np.arange(2), [np.random.default_rng(0)])
    environment.reset(np.array([1]), [np.random.default_rng(0)])
    with pytest.raises(RuntimeError, match=r"rows \[0\] have not been reset"):
        environment.step(np.zeros((2, 6), np.float32))
    actions = np.zeros((2, 6), np.float32)
    actions[0] = np.nan
    environment.step(actions, np.array([False, True]))
    with pytest.raises(ValueError, match=r"the actions of rows \[1\] are not finite"):
        environment.step(actions[::-1], np.array([False, True]))
    with pytest.raises(ValueError, match=r"actions of shape \(6,\)"):
        environment.step(np.zeros(6, np.float32), np.array([False, True]))


@pytest.mark.slow
@pytest.mark.parametrize(("family_name", "least"), [("cheetah-velocity", 0.65), ("ant-direction", 0.70)])
def test_a_batch_keeps_the_speed_of_a_plain_loop(family_name, least):
    xml, skip, timestep, _, noise, *_ = FORMULAS[family_name]
    environment, plain = make_batch(family_name, 64), Plain(xml, skip, timestep)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 64, plain.model.nu)).astype(np.float32)

    def rate_of_batch():
        environment.reset(np.arange(64), [np.random.default_rng(row) for row in range(64)])
        start = time.perf_counter()
        for action in actions:
            environment.step(action)
        return actions.shape[0] * 64 / (time.perf_counter() - start)

    def rate_of_plain_loop():
        plain.start(*noise(plain, np.random.default_rng(0)))
        start = time.perf_counter()
        for action in actions.reshape(-1, plain.model.nu):
            plain.data.ctrl[:] = action
            mujoco.mj_step(plain.model, plain.data, nstep=skip)
        return actions.shape[0] * 64 / (time.perf_counter() - start)

    ratios = [rate_of_batch() / rate_of_plain_loop() for _ in range(5)]
    assert np.median(ratios) > least


def zero_action_returns(family, values, seed=0):
    environment = make_batch(family, len(values))
    environment.set_tasks(values)
    environment.reset(np.arange(len(values)), [np.random.default_rng([seed, row]) for row in range(len(values))])
    returns, steps, active = np.zeros(len(values)), np.zeros(len(values)), np.ones(len(values), bool)
    for _ in range(family.horizon):
        step = environment.step(np.zeros((len(values), family.action_dim), np.float32), active)
        returns, steps, active = returns + step.rewards, steps + active, active & ~step.terminated
    return returns, steps


NULL_TOLERANCE = {"cheetah": 1.0, "ant": 3.0, "humanoid": 2.0, "walker": 4.0, "hopper": 5.0, "point": 1.5}


MEASURED = [s for s in splits() if s.family != "ant-goal" and s.full_name != "cheetah-velocity.medium"]


@pytest.mark.parametrize("split", MEASURED, ids=lambda s: s.full_name)
def test_null_reference_is_what_the_zero_action_returns(split):
    family = get_family(split.family)
    episodes = max(1, 12 // len(split.test)) if family.body == "ant" else max(2, 30 // len(split.test))
    returns, _ = zero_action_returns(family, np.repeat(np.array(split.test), episodes, axis=0))
    assert returns.mean() == pytest.approx(split.references.null, abs=NULL_TOLERANCE[family.body])


@pytest.mark.parametrize("name", ["standard", "tuning"])
def test_null_reference_of_goals_leaves_out_contact_and_settling(name):
    split = get_split(f"ant-goal.{name}")
    returns, _ = zero_action_returns(get_family("ant-goal"), np.array(split.test))
    assert returns.mean() == pytest.approx(split.references.null - 5, abs=25)


def test_null_reference_of_goals_on_an_axis_counts_the_drift():
    split = get_split("ant-goal.tavt")
    returns, _ = zero_action_returns(get_family("ant-goal"), np.repeat(np.array(split.test), 6, axis=0))
    assert returns.mean() == pytest.approx(split.references.null, abs=25)  # not the -350 of standing still


def test_the_hopper_is_the_published_one():
    family, model = get_family("hopper-mass"), load_model("hopper.xml", 0.004)
    environment = make_batch(family, 1)
    assert (environment.model.opt.timestep, environment.frame_skip, environment.dt) == (0.004, 4, pytest.approx(0.016))
    assert family.observation_dim == (model.nq - 1) + model.nv == 11
    assert (model.actuator_gear[:, 0] == 200).all()
    assert model.geom("foot_geom").friction[0] == 2.0


@pytest.mark.parametrize("family_name", ["walker-mass", "hopper-mass"])
def test_masses_are_scaled_alike_and_inertias_are_not(family_name):
    environment = make_batch(family_name, 2)
    nominal = environment.model.body_mass.copy(), environment.model.body_inertia.copy()
    environment.set_tasks(np.array([[1.0], [2.5]]))
    environment.reset(np.arange(2), [np.random.default_rng(row) for row in range(2)])
    (mass,) = environment._fields
    np.testing.assert_allclose(mass, np.outer([1.0, 2.5], nominal[0]))
    assert np.array_equal(environment.model.body_inertia, nominal[1])
    heavier = [make_batch(family_name, 1) for _ in range(2)]
    for scale, alone in zip((1.0, 2.5), heavier):
        alone.set_tasks(np.array([[scale]]))
        alone.reset(np.arange(1), [np.random.default_rng(0)])
    steps = [alone.step(np.ones((1, environment.family.action_dim), np.float32)) for alone in heavier]
    assert np.abs(steps[1].observations - steps[0].observations).max() > 1e-3


def test_predictions_out_of_all_bounds_end_a_hop():
    rule, standing = termination_rule("hopper-mass"), np.array([1.25, *[0.0] * 10])
    predictions = np.stack([standing] * 4)
    predictions[1, 3], predictions[2, 8], predictions[3, 0] = 101.0, -101.0, 150.0
    assert rule(predictions).tolist() == [False, True, True, False]  # a height has no upper bound, as published
    assert rule(torch.from_numpy(predictions)).tolist() == [False, True, True, False]


def test_a_hoppers_velocities_stay_where_their_clipping_hides_no_end():
    """The published rule ends an episode at 100 rad/s, which an observation, clipped at 10, could not show."""
    environment = make_batch("hopper-mass", 40)
    environment.set_tasks(np.resize(np.array(get_split("hopper-mass.tavt").train), (40, 1)))
    environment.reset(np.arange(40), [np.random.default_rng(row) for row in range(40)])
    draw, fastest = np.random.default_rng(0), 0.0
    for _ in range(60):  # long after all have fallen
        environment.step(draw.choice([-1.0, 1.0], (40, 3)).astype(np.float32))
        fastest = max(fastest, np.abs(environment.qvel).max())
    assert 5 < fastest < 50


def test_nominal_bodies_fall_when_they_should():
    returns, steps = zero_action_returns(get_family("walker-parameters"), np.ones((8, 65)))
    assert returns.mean() == pytest.approx(48, abs=3)
    assert steps.mean() == pytest.approx(56, abs=3)
    _, steps = zero_action_returns(get_family("humanoid-direction"), np.zeros((8, 1)))
    assert steps.mean() == pytest.approx(40, abs=2)


def test_the_humanoids_left_hip_bends_as_far_as_the_right_one():
    """The module's docstring says that the XML of the published results differs here; so it has to."""
    model = load_model("humanoid.xml")
    left, right = (np.degrees(model.joint(f"{side}_hip_y").range) for side in ("left", "right"))
    assert left.tolist() == right.tolist() == pytest.approx([-110, 20])
