"""The oracle: told the task, and only the task."""

import numpy as np
import pytest
import torch
from tests_support import build_algorithm

from algorithms.oracle import OracleAdapt
from tasks.registry import get_split

SPLIT = get_split("point-goal.ood")


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
    agent = oracle.agent(OracleAdapt(), seed=0)
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
