"""The oracle learns a point family almost to the optimum, and by nothing but the parameters it is told."""

import numpy as np
import pandas as pd
import pytest

from algorithms.oracle import OracleAdapt
from suite.experiment.declaration import Experiment
from suite.experiment.expansion import expand
from suite.results.json_files import write_json
from suite.run.metatest import Meters, run_trial, trial_of, trials_of
from suite.run.rollout import Meter
from suite.run.training import open_training, train
from tasks.registry import get_family, get_split

SPLIT = get_split("point-goal.ood")
BLIND = -15.2  # the best return of any policy that knows nothing of the task, see test_point.py


class Silent:
    """A status that nobody reads."""

    def __getattr__(self, name):
        return lambda *arguments, **keywords: None


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trained oracle, and the cell it belongs to."""
    experiment = Experiment(name="x", splits=(SPLIT.full_name,), algorithms=("oracle",), budget={"env_steps": 4000})
    (cell,) = expand(experiment)
    folder = tmp_path_factory.mktemp("oracle")
    write_json(folder / "config.json", cell.training.model_dump(mode="json"))
    train(folder, cell.execution, Silent())
    newest = max(path.name for path in (folder / "checkpoints").iterdir())
    return open_training(folder, "cpu", 4000, newest).algorithm, cell.metatests[0]


def mean_return(oracle, metatest, list_name, change=lambda values: values):
    family = get_family(SPLIT.family)
    trial = trial_of(metatest, family, list_name, SPLIT.tasks(list_name))
    assert trial.revealed
    agent = oracle.agent(OracleAdapt(), trial.agent_seed)
    reveal = agent.reveal
    agent.reveal = lambda values: reveal(change(values))
    rows = pd.DataFrame(run_trial(trial, agent, metatest.protocol, 40, Meters(Meter(), Meter()))[0])
    assert [trial.list_name for trial in trials_of(metatest, family)] == ["test", "test_id"]
    return rows[rows.phase == "after"]["return"].mean()


def test_it_is_close_to_the_optimum_on_both_lists(learned):
    for list_name in ("test", "test_id"):
        assert SPLIT.references.ceiling - 2.5 < mean_return(*learned, list_name) <= SPLIT.references.ceiling


def test_permuting_what_it_is_told_lowers_returns_clearly(learned):
    right = mean_return(*learned, "test_id")
    assert right > BLIND + 10
    assert mean_return(*learned, "test_id", lambda values: np.roll(values, 5, axis=0)) < right - 8
    assert mean_return(*learned, "test_id", lambda values: np.full_like(values, values.mean())) < right - 8
