"""Any agent or policy on a split, under the protocol of meta-tests."""

import numpy as np
import pytest

from algorithms.elsewhere.rows import PolicyAgent
from suite.errors import UserError
from suite.experiment.specs import EvaluationProtocol
from suite.run.agents import load_agent
from suite.run.evaluation import evaluate
from tasks.registry import get_split

FEW = {"max_tasks": 2, "evaluation_episodes": 2}


def still(observations):
    return np.zeros((len(observations), 2), np.float32)


def test_a_policy_is_tested_before_and_after_and_adapts_to_nothing():
    frame = evaluate(still, "point-goal.ood", FEW)
    assert frame.groupby(["task_list", "phase"]).size().to_dict() == {
        (name, phase): 2 * 2 for name in ("test", "test_id") for phase in ("before", "collect", "after")
    }
    assert frame["return"].to_numpy() == pytest.approx(-20.0)
    collected = frame[frame["phase"] == "collect"].groupby(["task_list", "task"])["length"].sum()
    assert (collected == get_split("point-goal.ood").adaptation_transitions).all()
    assert set(frame["split_hash"]) == {get_split("point-goal.ood").hash}


def test_two_that_are_evaluated_with_one_seed_meet_the_same_noise():
    one, again, other = (evaluate(still, "point-dynamics.ood", FEW, seed=seed) for seed in (0, 0, 1))
    assert one.equals(again)
    assert not np.allclose(one["return"], other["return"])


def test_an_agent_adapts_and_is_begun_anew_each_time(tiny_experiment, run_here, tmp_path):
    (folder,) = run_here(tiny_experiment(("mier",)), tmp_path)
    agent = load_agent(folder)
    frames = [evaluate(agent, "point-goal.ood", FEW | {"evaluate_every": 3, "tasks_at_once": 1}) for _ in range(2)]
    for frame in frames:
        assert frame.loc[frame["phase"] == "during", "update"].max() > 0
        assert frame[frame["phase"] == "after"]["transitions"].eq(40).all()
    before = [frame.loc[frame["phase"] == "before", "return"].to_numpy() for frame in frames]
    assert np.array_equal(*before), "nothing of the first trial is left in the second"
    with pytest.raises(
        UserError, match=r"trained on point-goal, with 2 observed .* has 27 and 8; splits of its family are"
    ):
        evaluate(agent, "ant-direction.ood")


@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_a_seed_that_is_none_is_told_so(seed):
    with pytest.raises(UserError, match=f"seed is {seed!r}; it has to be a whole number"):
        evaluate(still, "point-goal.ood", FEW, seed)


@pytest.mark.parametrize(("policy", "split", "protocol", "said"), [
    (still, "point-goal.odd", None, "there is no split"),
    (still, "point-goal.ood", {"max_task": 1}, "protocol: max_task is not a known key; did you mean max_tasks"),
    (still, "point-goal.ood", {"task_lists": ["tets"]}, "has no list 'tets'; did you mean test"),
    (lambda observations: np.zeros(2), "point-goal.ood", None, r"shape \(2,\) where \(row, action\) = \(30, 2\)"),
    (still, "ant-goal.standard", EvaluationProtocol(max_tasks=1), r"\(row, action\) = \(3, 8\) is needed"),
])  # fmt: skip
def test_mistakes_are_one_sentence(policy, split, protocol, said):
    with pytest.raises(UserError, match=said):
        evaluate(policy, split, protocol)


def test_an_agent_that_yields_no_point_of_its_adaptation_is_told_so():
    class Silent(PolicyAgent):
        def adapt(self, every, limit=None):
            yield from ()

    with pytest.raises(UserError, match=r"Silent.adapt gave no point of the adaptation; it has to yield"):
        evaluate(Silent(still), "point-goal.ood", FEW)
