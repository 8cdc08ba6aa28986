"""One soft actor-critic for many tasks: what it is told of them, and what it continues on in a test task."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.base import Transition
from algorithms.kit.model_based.relabeling import RelabelSettings
from algorithms.multitask_sac import FineTuneAdapt, IdentifiedAdapt, TaskBlindAdapt, ToldAdapt
from algorithms.registry import get_algorithm
from suite.experiment.presets import presets, resolve_blocks
from tasks.registry import get_family, get_split
from tasks.splits import BUILDERS

SPLIT = get_split("point-goal.ood")
STEPS, TASKS = 20, 2


# The oracle: told the task, and only the task ---------------------------------------------------------------------


@pytest.fixture
def oracle():
    built = build_algorithm("oracle", SPLIT.full_name)
    for _ in range(3):
        built.iterate()
    return built


def test_its_tasks_are_the_test_tasks_and_no_training_task(oracle):
    assert oracle.source.num_tasks == len(SPLIT.test) + len(SPLIT.test_id) == 20
    assert oracle.source.task_values.tolist() == [list(row) for row in (*SPLIT.test, *SPLIT.test_id)]
    assert not {row[0] for row in SPLIT.train} & set(oracle.source.task_values[:, 0])


def test_a_task_in_two_lists_is_trained_on_once():
    same = build_algorithm("oracle", "ant-direction.standard")
    assert same.source.task_values.tolist() == [list(row) for row in get_split("ant-direction.standard").test]
    both = build_algorithm("oracle", "cheetah-negated-joints.ood")
    assert both.source.num_tasks == 20


def test_conditions_are_in_standard_deviations_of_its_tasks(oracle):
    values = oracle.source.task_values
    expected = (values - values.mean()) / values.std()
    np.testing.assert_allclose(oracle.conditions.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(oracle.scaled(values[3:5]).numpy(), expected[3:5], rtol=1e-5)


def test_a_parameter_that_never_varies_is_zero_and_not_infinite():
    masks = build_algorithm("oracle", "cheetah-negated-joints.ood")
    same = masks.source.task_values.std(axis=0) == 0
    assert torch.isfinite(masks.conditions).all()
    assert (masks.conditions[:, torch.as_tensor(same)] == 0).all()


def test_what_the_source_tells_cannot_be_changed_through_it(oracle):
    oracle.source.task_values[:] = 0.0
    assert oracle.source.task_values.tolist() == [list(row) for row in (*SPLIT.test, *SPLIT.test_id)]


def test_gradient_steps_see_each_transition_with_the_condition_of_its_own_task(oracle, monkeypatch):
    """Slots of task t hold rewards of task t alone: recompute them from the observation and the condition."""
    seen = []
    monkeypatch.setattr(oracle.sac, "update", lambda batch, generator: seen.append(batch) or {"loss": torch.zeros(1)})
    oracle.gradient_step()
    (batch,) = seen
    assert batch.observations.shape == (1, oracle.config.batch, 3)
    assert torch.equal(batch.observations[..., 2:], batch.next_observations[..., 2:])
    values = oracle.source.task_values
    angle = batch.observations[0, :, 2].double().numpy() * values.std() + values.mean()
    goal = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    place = batch.next_observations[0, :, :2].double().numpy()
    np.testing.assert_allclose(batch.rewards[0].numpy(), -np.linalg.norm(place - goal, axis=1), atol=1e-4)


def test_an_agent_acts_on_what_is_revealed_and_forgets_it_at_the_next_trial(oracle):
    agent = oracle.agent(ToldAdapt(), seed=0)
    agent.begin(2)
    observations = np.zeros((2, 2), np.float32)
    with pytest.raises(RuntimeError, match=r"call agent.reveal\(values\) after begin"):
        agent.act(observations, explore=False)
    agent.reveal(np.array([[1.0], [4.0]]))
    first = agent.act(observations, explore=False)
    assert (first[0] != first[1]).any()
    repeated = agent.fork(3).act(np.zeros((6, 2), np.float32), explore=False)
    np.testing.assert_allclose(repeated, np.repeat(first, 3, axis=0), rtol=1e-5)
    agent.reveal(np.array([[4.0], [1.0]]))
    np.testing.assert_allclose(agent.act(observations, explore=False), first[::-1], rtol=1e-5)
    assert [point.updates for point in agent.adapt(every=5)] == [0]
    agent.begin(2)
    with pytest.raises(RuntimeError, match="true task parameters"):
        agent.fork(1).act(observations, explore=False)


# Told on the training tasks ---------------------------------------------------------------------------------------


@pytest.fixture
def told():
    built = build_algorithm("told", SPLIT.full_name)
    for _ in range(3):
        built.iterate()
    return built


def circle(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_told_trains_on_the_training_tasks_and_an_angle_is_a_place_on_the_circle(told):
    angles = told.source.task_values[:, 0]
    assert angles.tolist() == [row[0] for row in SPLIT.train]
    expected = (circle(angles) - circle(angles).mean(0)) / circle(angles).std(0)
    np.testing.assert_allclose(told.conditions.numpy(), expected, rtol=1e-4, atol=1e-6)
    ends = told.scaled(np.array([[0.0], [2 * np.pi]]))
    torch.testing.assert_close(ends[0], ends[1])
    assert told.sac.policy[0].shape[1] == 2 + 2


def test_a_quantity_that_is_no_angle_is_told_as_it_is():
    built = build_algorithm("told", "cheetah-velocity.hard")
    speeds = np.array(get_split("cheetah-velocity.hard").train)
    np.testing.assert_allclose(built.conditions.numpy(), (speeds - speeds.mean()) / speeds.std(), rtol=1e-4, atol=1e-6)


def test_identified_acts_as_told_of_the_nearest_training_task(told):
    """Nearest on the circle: 2 pi - 0.01 is near an angle of nearly zero, whatever the numbers say."""
    angles = np.array([0.3, 1.6 * np.pi, 2 * np.pi - 0.01])
    trained_on = np.array([row[0] for row in SPLIT.train])
    gaps = np.abs(np.angle(np.exp(1j * (angles[:, None] - trained_on))))
    nearest = trained_on[gaps.argmin(axis=1)]
    assert nearest[2] < 0.2
    observations = np.tile(np.linspace(-1, 1, 2, dtype=np.float32), (3, 1))
    agents = [told.agent(config, seed=0) for config in (IdentifiedAdapt(), ToldAdapt(), ToldAdapt())]
    for agent, values in zip(agents, (angles, nearest, angles)):
        agent.begin(3)
        agent.reveal(values[:, None])
    identified, of_nearest, of_itself = (agent.act(observations, explore=False) for agent in agents)
    np.testing.assert_allclose(identified, of_nearest, rtol=1e-5, atol=1e-6)
    assert (identified != of_itself).any(axis=1).all()
    np.testing.assert_allclose(
        agents[0].fork(2).act(observations.repeat(2, axis=0), explore=False), identified.repeat(2, axis=0), rtol=1e-5
    )


def test_of_several_training_tasks_that_are_as_near_the_first_is_told():
    """A task with joints 0, 1 and 5 negated differs in one joint less from three training tasks than from others."""
    masks = build_algorithm("told", "cheetah-negated-joints.ood")
    split = get_split("cheetah-negated-joints.ood")
    agent = masks.agent(IdentifiedAdapt(), seed=0)
    agent.begin(1)
    agent.reveal(np.array(split.test[:1]))
    different = [np.sum(np.array(row) != np.array(split.test[0])) for row in split.train]
    (row,) = (masks.conditions == agent.conditions).all(dim=1).nonzero()
    assert int(row) == int(np.argmin(different))
    assert different.count(min(different)) == 3


# Told nothing -----------------------------------------------------------------------------------------------------


@pytest.fixture
def blind():
    built = build_algorithm("domain-randomised", SPLIT.full_name)
    for _ in range(3):
        built.iterate()
    return built


def adapted(algorithm, config, rewards=0.0, every=2, limit=None, seed=3):
    """An agent that saw 20 steps of noise in two tasks, rewards moved by `rewards` (task,), and its points."""
    agent = algorithm.agent(config, seed=seed)
    agent.begin(TASKS)
    draw = np.random.default_rng(0).standard_normal
    for _ in range(STEPS):
        transition = Transition(
            draw((TASKS, 2)).astype(np.float32), np.tanh(draw((TASKS, 2))).astype(np.float32),
            (draw(TASKS) + rewards).astype(np.float32), draw((TASKS, 2)).astype(np.float32), np.zeros(TASKS, bool),
        )  # fmt: skip
        agent.observe(transition, np.ones(TASKS, bool), np.zeros(TASKS, bool))
    return agent, list(agent.adapt(every, limit))


def test_domain_randomisation_sees_the_observation_alone_and_acts_alike_in_every_task(blind):
    assert blind.conditions.shape == (40, 0)
    assert blind.sac.policy[0].shape[1] == 2
    assert blind.sac.critics[0].shape[1] == 2 + 2
    observations = np.tile(np.linspace(-1, 1, 2, dtype=np.float32), (TASKS, 1))
    actions = []
    for rewards in (0.0, np.array([5.0, -5.0])):
        agent, points = adapted(blind, TaskBlindAdapt(), rewards)
        assert [point.updates for point in points] == [0]
        actions.append(agent.act(observations, explore=False))
        with pytest.raises(TypeError, match="not made to be told"):
            agent.reveal(np.zeros((TASKS, 1)))
    assert (actions[0][0] == actions[0][1]).all()
    assert (actions[0] == actions[1]).all()


@pytest.fixture
def batches(monkeypatch):
    """A function (algorithm) -> what each of its later fine-tunings is fed; the learners of the last are kept too."""
    seen = []

    def watch(algorithm):
        original = algorithm.sac.copies

        def copies(number):
            watch.learners = original(number)
            assert not watch.learners.policy_optimiser.steps
            update = watch.learners.update
            watch.learners.update = lambda batch, generator: seen.append(batch) or update(batch, generator)
            return watch.learners

        monkeypatch.setattr(algorithm.sac, "copies", copies)
        return seen

    return watch


def test_fine_tuning_mixes_own_transitions_with_stored_ones_that_nothing_has_changed(blind, batches):
    seen = batches(blind)
    config = FineTuneAdapt(fine_tune_updates=7, batch=40, real_fraction=0.1)
    agent, points = adapted(blind, config, rewards=np.array([100.0, 200.0]), every=3)
    assert [point.updates for point in points] == [0, 3, 6, 7]
    assert len(seen) == 7
    real, frames = agent.data.everything(blind.device), blind.store.frames
    stored = {tuple(row[:5].tolist()): tuple(after[:2].tolist()) for row, after in zip(frames[:-1], frames[1:])}
    drawn = set()
    for batch in seen:
        assert batch.rewards.shape == (TASKS, 40)
        for task in range(TASKS):
            own = {tuple(row) for row in real.observations[task].tolist()}
            assert {tuple(row) for row in batch.observations[task, :4].tolist()} <= own
            assert (batch.rewards[task, :4] > 50).all()
            joined = (batch.observations[task], batch.actions[task], batch.rewards[task].unsqueeze(-1))
            for row, following in zip(torch.cat(joined, dim=-1)[4:], batch.next_observations[task, 4:]):
                assert stored[tuple(row.tolist())] == tuple(following.tolist())
                drawn.add(tuple(row.tolist()))
    tasks = {
        task for task in range(40) for slot in blind.replay.held(task) if tuple(frames[slot, :5].tolist()) in drawn
    }
    assert len(tasks) > 35


def test_adaptation_data_alone_is_a_share_of_one(blind, batches):
    seen = batches(blind)
    config = FineTuneAdapt(fine_tune_updates=3, batch=40, real_fraction=1.0)
    agent, _ = adapted(blind, config)
    own = {tuple(row) for row in agent.data.everything(blind.device).observations.flatten(0, 1).tolist()}
    assert len(seen) == 3
    assert {tuple(row) for batch in seen for row in batch.observations.flatten(0, 1).tolist()} <= own


def test_fine_tuning_continues_networks_and_temperature_of_its_own_and_leaves_the_trained_ones(blind, batches):
    batches(blind)
    trained = (*blind.sac.policy, *blind.sac.critics, *blind.sac.targets, blind.sac.log_temperature)
    kept = [tensor.detach().clone() for tensor in trained]
    agent, _ = adapted(blind, FineTuneAdapt(fine_tune_updates=5, batch=40, real_fraction=0.5))
    assert all(torch.equal(old, new) for old, new in zip(kept, trained))
    learners = batches.learners
    for own, start in zip((*learners.policy, *learners.critics), (*blind.sac.policy, *blind.sac.critics)):
        assert 0 < float((own[:1] - start[:1]).detach().abs().max()) < 0.1
    assert (learners.log_temperature != blind.sac.log_temperature).all()
    observations = np.tile(np.linspace(-1, 1, 2, dtype=np.float32), (2 * TASKS, 1))
    fork = agent.fork(2).act(observations, explore=False)
    by_hand = blind.actions(learners.policy, observations, torch.zeros((4, 0)), False, None)
    np.testing.assert_array_equal(fork, by_hand)
    agent.begin(TASKS)
    assert torch.equal(agent.policy[0], blind.sac.policy[0])


def test_one_tasks_data_change_nothing_of_another(blind):
    config = FineTuneAdapt(fine_tune_updates=4, batch=40, real_fraction=0.5)
    policies = [adapted(blind, config, rewards)[0].policy for rewards in (0.0, np.array([0.0, 3.0]))]
    for left, right in zip(*policies):
        torch.testing.assert_close(left[0], right[0], rtol=1e-5, atol=1e-6)
    assert not torch.equal(policies[0][0][1], policies[1][0][1])


def test_a_stop_rule_judges_by_what_no_batch_holds(blind, batches):
    seen = batches(blind)
    config = FineTuneAdapt(fine_tune_updates=60, batch=40, real_fraction=1.0, stop_patience=2, stop_interval=1)
    agent, points = adapted(blind, config, every=20)
    real = agent.data.everything(blind.device)
    for task in range(TASKS):
        drawn = {tuple(row) for batch in seen for row in batch.observations[task].tolist()}
        assert drawn <= {tuple(row) for row in real.observations[task].tolist()}
        assert len(drawn) == 16  # of 20
    assert (points[-1].diagnostics["policy_update"] <= 60).all()
    assert (points[-1].diagnostics["held_out_bellman_error"] > 0).all()


# Rows that differ in one thing ------------------------------------------------------------------------------------


def blocks_of(name, split, preset=None):
    return resolve_blocks(get_algorithm(name), get_split(split), preset, {}, {}, "cpu")


@pytest.mark.parametrize("split", BUILDERS)
def test_what_is_told_is_all_that_differs_in_training(split):
    for preset in (None, *(name for name in presets("told") if name != "default")):
        assert blocks_of("told", split, preset)[0] == blocks_of("domain-randomised", split, preset)[0]


@pytest.mark.parametrize("split", [name for name in BUILDERS if not name.startswith("point-")])
def test_the_actor_critic_is_miers_and_so_is_its_fine_tuning(split):
    """Networks, batches, updates and data per iteration, and at test time updates, batch and its real share."""
    mier, miers = blocks_of("mier", split)
    own, adapt = blocks_of("multitask-finetune", split)
    assert own.hidden == mier.policy_hidden
    assert own.batch == mier.meta_batch * mier.task_batch
    for field, other in {
        "initial_transitions": "initial_transitions", "tasks_per_iteration": "tasks_per_iteration",
        "steps_per_iteration": "steps_per_iteration", "learning_rate": "policy_learning_rate",
        "discount": "discount", "target_rate": "target_rate", "reward_scale": "reward_scale",
        "temperature": "temperature", "target_entropy": "target_entropy", "replay_capacity": "replay_capacity",
    }.items():  # fmt: skip
        assert getattr(own, field) == getattr(mier, other), field
    assert own.transitions_per_task == mier.prior_transitions + mier.adapted_transitions
    relabeling = blocks_of("pearl+relabeling", split)[1]
    for config in (adapt, relabeling):
        assert config.updates == miers.updates
        for field in ("batch", "real_fraction", "fit_fraction", "stop_patience", "stop_interval"):
            assert getattr(config, field) == getattr(miers, field), field
    for field in RelabelSettings.model_fields:
        assert getattr(relabeling, field) == getattr(miers, field), field
    assert relabeling.predicts == mier.predicts
    assert get_family(get_split(split).family).varies == mier.predicts
