"""The experiments of the paper: every figure has all the algorithms that the paper shows in it, and its three seeds."""

import pytest

from suite.experiment.declaration import load_experiment
from suite.experiment.expansion import expand
from suite.experiment.shipped import CONFIGS
from tasks.registry import get_family

PAPER = CONFIGS / "experiments" / "paper"

# Section 6: in figure 2 PEARL, MQL, MAML, ProMP and RL2 beside MIER-wR; in figure 4 "MQL, PEARL and MAML" and, "under
# varying dynamics", GrBAL; in the per-task figure "MAML and PEARL".
OUT = {"mier", "mier-wr", "pearl", "mql", "maml", "grbal"}
FIGURES = {
    "figure-2-in-distribution": {"mier-wr", "pearl", "mql", "maml", "promp", "rl2"},
    "figure-4-out-of-distribution": OUT,
    "figure-4-ant-negated-joints": OUT,
    "figure-6-per-task": {"mier", "mier-wr", "pearl", "maml"},
}


def cells(name):
    return expand(load_experiment(PAPER / f"{name}.yaml"))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_all_its_algorithms_on_every_split_with_three_seeds(name):
    everywhere = cells(name)
    for split in {cell.split.full_name for cell in everywhere}:
        here = [cell for cell in everywhere if cell.split.full_name == split]
        assert {cell.algorithm for cell in here} == FIGURES[name]
        assert all({cell.seed for cell in here if cell.algorithm == other} == {0, 1, 2} for other in FIGURES[name])
        assert {cell.split.role for cell in here} == {"benchmark"}


@pytest.mark.parametrize("name", FIGURES)
def test_all_train_for_as_long_and_only_grbal_is_left_out_of_what_varies_in_reward(name):
    for cell in cells(name):
        if cell.reason is None:
            expected = 2_500_000 if cell.split.family == "ant-negated-joints" else 1_500_000
            assert cell.execution.env_steps == expected
        else:
            assert (cell.algorithm, get_family(cell.split.family).varies) == ("grbal", "reward")


def test_gradient_based_baselines_get_many_outer_iterations_of_that_budget():
    for cell in cells("figure-2-in-distribution"):
        if cell.algorithm in ("maml", "promp"):
            per_step = cell.training.config
            rollouts = per_step["adaptation_rollouts"] + per_step["rollouts_per_task"]
            steps = per_step["tasks_per_iteration"] * rollouts * per_step["rollout_transitions"]
            assert cell.execution.env_steps // steps >= 90
        if cell.algorithm == "rl2":
            rl2 = cell.training.config
            steps = rl2["trials_per_iteration"] * rl2["trial_transitions"]
            assert cell.execution.env_steps // steps * rl2["epochs"] * rl2["minibatches"] >= 4000  # Adam steps
