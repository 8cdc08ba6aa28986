"""The references that train on nothing."""

import numpy as np
import pytest
from tests_support import build_algorithm

from algorithms.references import UntrainedAdapt
from suite.experiment.specs import EvaluationProtocol
from suite.run.metatest import Meters, Trial, run_trial
from suite.run.rollout import Meter
from tasks.registry import get_family, get_split


def returns(name, split_name, agent_seed=0):
    split = get_split(split_name)
    algorithm = build_algorithm(name, split_name)
    trial = Trial(get_family(split.family), "test", split.tasks("test"), "ab" * 6)
    meters = Meters(Meter(), Meter())
    agent = algorithm.agent(UntrainedAdapt(), agent_seed)
    rows, _ = run_trial(trial, agent, EvaluationProtocol(), split.adaptation_transitions, meters)
    assert meters.adaptation.steps == len(split.test) * split.adaptation_transitions  # collected, as for any other
    return {phase: np.array([row["return"] for row in rows if row["phase"] == phase]) for phase in ("before", "after")}


@pytest.mark.parametrize("split", ["point-goal.ood", "point-goal.standard", "cheetah-velocity.hard"])
def test_null_returns_the_null_anchor_of_the_split(split):
    found = returns("null", split)
    assert found["after"].mean() == pytest.approx(get_split(split).references.null, rel=0.02)
    assert (found["before"] == found["after"]).all()


def test_random_is_decided_by_its_seed_and_fills_the_action_box():
    one, same, other = (returns("random", "point-goal.ood", seed) for seed in (0, 0, 1))
    assert (one["after"] == same["after"]).all()
    assert (one["before"] == one["after"]).all()  # the same draws at every evaluation
    assert (one["after"] != other["after"]).any()
    agent = build_algorithm("random", "point-goal.ood").agent(UntrainedAdapt(), 0)
    actions = np.concatenate([agent.act(np.zeros((50, 2), np.float32), explore=True) for _ in range(20)])
    assert np.abs(actions).max() <= 1
    assert np.histogram(actions, bins=4, range=(-1, 1))[0] == pytest.approx([500] * 4, abs=80)
    assert len(np.unique(actions)) > 1990


def test_random_is_worse_than_doing_nothing_on_the_point():
    assert returns("random", "point-goal.ood")["after"].mean() < returns("null", "point-goal.ood")["after"].mean()
