"""VariBAD, on-policy and off-policy, learns to find out on a point family, and acts on what it believes.

Better than the best policy that is blind to the task, and by its belief: with the prior, or with another task's belief,
it is far worse.
"""

import numpy as np
import pandas as pd
import pytest
from point_bounds import Silent, best_blind_return

from algorithms.registry import get_algorithm
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.results.json_files import write_json
from suite.run.metatest import Meters, Trial, run_trial
from suite.run.rollout import Meter
from suite.run.training import open_training, train
from tasks.registry import get_family, get_split

pytestmark = pytest.mark.slow

SPLIT = get_split("point-goal.ood")
BUDGETS = {"varibad": 60_000, "varibad-off-policy": 14_400}


def cell_of(name, **adapt):
    choice = {"name": name, "adapt": adapt}
    (cell,) = expand(
        Experiment(name="x", splits=(SPLIT.full_name,), algorithms=(choice,), budget={"env_steps": BUDGETS[name]})
    )
    return cell


@pytest.fixture(scope="module", params=list(BUDGETS))
def learned(request, tmp_path_factory):
    """The name of an algorithm, and the trained algorithm."""
    cell, folder = cell_of(request.param), tmp_path_factory.mktemp(request.param)
    write_json(folder / "config.json", cell.training.model_dump(mode="json"))
    train(folder, cell.execution, Silent())
    newest = max(path.name for path in (folder / "checkpoints").iterdir())
    return request.param, open_training(folder, "cpu", BUDGETS[request.param], newest).algorithm


def mean_returns(learned, list_name, change_agent=lambda agent: None, **adapt):
    """Mean return by phase over the tasks of a list, the agent changed once it has adapted."""
    name, algorithm = learned
    metatest = cell_of(name, **adapt).metatests[0]
    trial = Trial(get_family(SPLIT.family), list_name, SPLIT.tasks(list_name), "ab" * 6)
    agent = algorithm.agent(get_algorithm(name).load("adapt").model_validate(metatest.config), trial.agent_seed)
    adapt_as_it_is = agent.adapt

    def changed(every, limit=None):
        for point in adapt_as_it_is(every, limit):
            change_agent(agent)
            yield point

    agent.adapt = changed
    rows = pd.DataFrame(run_trial(trial, agent, metatest.protocol, 40, Meters(Meter(), Meter()))[0])
    return {phase: rows[rows.phase == phase]["return"].mean() for phase in ("before", "after")}


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
