"""A family that is made of gymnasium's pendulum, from its plugin to records: continued bit for bit, and learnt on."""

import numpy as np
import pandas as pd
import pytest
from plugin_texts import PENDULUM

from suite.executors.local import run_local
from suite.experiment.declaration import load_experiment
from suite.experiment.plugins import stop_using, use_plugins
from suite.results.prepare import prepare

SAC = """
name: heavy
plugins: [./heavy.py]
splits: [pendulum-gravity.heavy]
algorithms:
  - "null"
  - name: domain-randomised
    train: {hidden: [64, 64], batch: 128, initial_transitions: 200, steps_per_iteration: 300, tasks_per_iteration: 6,
            transitions_per_task: 50, learning_rate: 0.001, discount: 0.95}
budget: {env_steps: 3300}
protocol: {evaluation_episodes: 1}
"""


@pytest.fixture
def home(tmp_path):
    """A folder with the plugin, in use, and an experiment that names it."""
    (tmp_path / "heavy.py").write_text(PENDULUM)
    (tmp_path / "heavy.yaml").write_text(SAC)
    use_plugins([str(tmp_path / "heavy.py")], tmp_path)
    yield tmp_path
    stop_using("offmap_plugin_heavy")


def records_of(folder):
    (path,) = folder.glob("metatests/*/records.parquet")
    return pd.read_parquet(path)


def test_a_training_that_is_extended_is_the_one_that_was_not_interrupted(home, tiny_experiment, run_here):
    def run(out, *budgets):
        for env_steps in budgets:
            (folder,) = run_here(
                tiny_experiment(("domain-randomised",), "pendulum-gravity.heavy", env_steps, protocol={"max_tasks": 1}),
                home / out,
            )
        (last,) = [below for below in folder.glob("metatests/*") if (below / "records.parquet").exists()]
        return folder.name, pd.read_parquet(last / "records.parquet")

    name, whole = run("whole", 900)
    again, continued = run("continued", 400, 900)
    assert name == again
    assert whole["env_steps"].iloc[0] == continued["env_steps"].iloc[0] > 400
    pd.testing.assert_frame_equal(whole, continued)


@pytest.mark.slow
def test_a_worker_learns_to_swing_it_up(home):
    experiment = load_experiment(home / "heavy.yaml")
    folders = prepare(experiment, home / "runs")
    assert [outcome.code for outcome in run_local(folders, 1)] == [0, 0]
    returns = {}
    for folder in folders:
        records = records_of(folder)
        after = records[(records["phase"] == "after") & (records["task_list"] == "test_id")]
        returns[records["variant"].iloc[0]] = after["return"].mean()
    assert returns["domain-randomised"] > returns["null"] / 2, "half of what doing nothing costs"
    assert np.isfinite(list(returns.values())).all()
