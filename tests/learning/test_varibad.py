"""VariBAD, on-policy and off-policy, learns to find out on a point family, and acts on what it believes.

Better than the best policy that is blind to the task, and by its belief: with the prior, or with another task's belief,
it is far worse.
"""

import numpy as np
import pytest
from point_bounds import best_blind_return
from point_trials import SPLIT, after_each_point, by_phase, cell_of, trained, trial_in, trial_rows

from algorithms.registry import get_algorithm

pytestmark = pytest.mark.slow

BUDGETS = {"varibad": 60_000, "varibad-off-policy": 14_400}


@pytest.fixture(scope="module", params=list(BUDGETS))
def learned(request, tmp_path_factory):
    """The name of an algorithm, and the trained algorithm."""
    name = request.param
    return name, trained(cell_of(name, BUDGETS[name]), tmp_path_factory.mktemp(name))


def mean_returns(learned, list_name, change_agent=lambda agent: None, **adapt):
    """Mean return by phase over the tasks of a list, the agent changed once it has adapted."""
    name, algorithm = learned
    metatest = cell_of(name, BUDGETS[name], adapt=adapt).metatests[0]
    return by_phase(trial_rows(algorithm, metatest, trial_in(list_name), after_each_point(change_agent)))


def test_it_beats_the_best_task_blind_policy_by_what_it_believes(learned):
    """Its returns before adaptation are of a belief that forms in the episode, so they beat it too."""
    blind, result = best_blind_return(SPLIT, "test_id"), mean_returns(learned, "test_id")
    assert blind == pytest.approx(-15.2, abs=0.1)
    assert result["after"] > blind + 2
    assert result["before"] > blind
    unadapted = mean_returns(learned, "test_id", online=False)["after"]
    assert unadapted < blind
    assert result["after"] > unadapted + 6


def test_another_tasks_belief_misleads_it(learned):
    def permute(agent):
        agent.memory = agent.memory._replace(state=agent.memory.state.roll(len(SPLIT.test_id) // 2, 0))

    right, wrong = mean_returns(learned, "test_id"), mean_returns(learned, "test_id", permute)
    assert wrong["before"] == right["before"]
    assert wrong["after"] < right["after"] - 3


def test_beliefs_sharpen_and_tell_opposite_tasks_apart(learned):
    """Within a trial of its own the standard deviation falls; means of opposite goals are many of these apart."""
    _, algorithm = learned
    angles = np.array([row[0] for row in SPLIT.train])
    tasks = [int(np.argmin(np.abs(angles - angle))) for angle in (0.5, 0.5 + np.pi)]
    agent = algorithm.agent(get_algorithm(learned[0]).load("adapt")(), seed=0)
    agent.begin(2)
    prior = algorithm.believed(agent.memory)
    algorithm.source.collect(lambda seen: agent.act(seen, True), tasks, 40, after_step=agent.observe)
    belief = algorithm.believed(agent.memory)
    assert float(belief.log_variance.sum()) < float(prior.log_variance.sum()) - 2
    deviation = (0.5 * belief.log_variance).exp().amax(0)
    assert float(((belief.mean[0] - belief.mean[1]).abs() / deviation).max()) > 3
