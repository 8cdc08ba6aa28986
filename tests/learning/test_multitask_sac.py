"""One soft actor-critic for many tasks, on a point family: what being told, and fine-tuning, is worth.

A task-blind policy is bounded by what no task-blind policy can beat; a told one reaches the optimum; one that is told
the nearest training task walks there; fine-tuning leaves the compromise behind.
"""

import numpy as np
import pytest
from point_bounds import best_blind_return, goals_of, return_of_walking_to
from point_trials import SPLIT, by_phase, cell_of, trained, trial_rows

from suite.run.metatest import trial_of, trials_of
from tasks.registry import get_family

BUDGET = 4000
# Half of a batch real, and few updates: with a twentieth, as MIER has it, the gain over the compromise is small (2 in
# 500 updates), and with adaptation data alone it is lost again (4 in 100 updates, -3 in 500). With half of it three
# seeds of the training reach -12.6, -14.0 and -13.0, where the bound is -15.2.
FINE_TUNE = {"fine_tune_updates": 200, "real_fraction": 0.5}


def learned(name, tmp_path_factory):
    """A trained algorithm."""
    return trained(cell_of(name, BUDGET), tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    return learned("oracle", tmp_path_factory)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return learned("told", tmp_path_factory)


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    return learned("domain-randomised", tmp_path_factory)


def metatest_of(name, adapt):
    return cell_of(name, BUDGET, adapt=adapt).metatests[0]


def mean_returns(algorithm, name, list_name, change_agent=lambda agent: None, **adapt):
    """Mean return by phase, over the tasks of a list."""
    metatest, family = metatest_of(name, adapt), get_family(SPLIT.family)
    trial = trial_of(metatest, family, list_name, SPLIT.tasks(list_name))
    return by_phase(trial_rows(algorithm, metatest, trial, change_agent))


def telling(change):
    """A change of an agent: it is told something else than the truth."""

    def change_agent(agent):
        reveal = agent.reveal
        agent.reveal = lambda values: reveal(change(values))

    return change_agent


def test_the_oracle_is_close_to_the_optimum_on_both_lists(oracle):
    assert [trial.list_name for trial in trials_of(metatest_of("oracle", {}), get_family(SPLIT.family))] == [
        "test", "test_id",
    ]  # fmt: skip
    for list_name in ("test", "test_id"):
        after = mean_returns(oracle, "oracle", list_name)["after"]
        assert SPLIT.references.ceiling - 2.5 < after <= SPLIT.references.ceiling


@pytest.mark.parametrize("name", ["oracle", "told"])
def test_permuting_what_it_is_told_lowers_returns_clearly(request, name):
    algorithm = request.getfixturevalue(name)
    right = mean_returns(algorithm, name, "test_id")["after"]
    assert right > best_blind_return(SPLIT, "test_id") + 10
    for change in (lambda values: np.roll(values, 5, axis=0), lambda values: np.full_like(values, values.mean())):
        assert mean_returns(algorithm, name, "test_id", telling(change))["after"] < right - 8


def test_told_is_close_to_the_optimum_and_identified_is_as_good_as_walking_to_the_nearest_training_goal(told):
    trained_on = goals_of(SPLIT, "train")
    for list_name in ("test", "test_id"):
        goals = goals_of(SPLIT, list_name)
        nearest = trained_on[np.linalg.norm(goals[:, None] - trained_on, axis=2).argmin(axis=1)]
        bound = return_of_walking_to(nearest, goals)
        identified = mean_returns(told, "identified", list_name)["after"]
        assert abs(identified - bound) < 1.5, (list_name, bound)
        if list_name == "test_id":
            assert mean_returns(told, "told", list_name)["after"] > SPLIT.references.ceiling - 1.5
            assert identified > best_blind_return(SPLIT, list_name) + 10
        else:  # the nearest training goals lie outside the quadrant of the test goals
            assert bound < SPLIT.references.ceiling - 6


def test_domain_randomisation_finds_a_compromise_and_no_task_blind_policy_beats_the_bound(blind):
    best = best_blind_return(SPLIT, "train")
    result = mean_returns(blind, "domain-randomised", "train")
    assert result["before"] == result["after"]
    assert best - 3 < result["after"] <= best + 0.1
    assert mean_returns(blind, "domain-randomised", "test_id")["after"] <= best_blind_return(SPLIT, "test_id") + 0.1


def test_fine_tuning_beats_the_best_task_blind_policy_by_its_own_tasks_data(blind):
    bound = best_blind_return(SPLIT, "test_id")
    result = mean_returns(blind, "multitask-finetune", "test_id", **FINE_TUNE)
    assert result["before"] == mean_returns(blind, "domain-randomised", "test_id")["before"] <= bound + 0.1
    assert result["after"] > bound + 1

    def mislead(agent):
        observe = agent.observe
        agent.observe = lambda step, active, ends: observe(
            step._replace(rewards=np.roll(step.rewards, 5)), active, ends
        )

    misled = mean_returns(blind, "multitask-finetune", "test_id", mislead, **FINE_TUNE)
    assert misled["after"] < min(bound, result["after"] - 4)


def test_fine_tuning_on_other_tasks_alone_stays_at_the_compromise(blind):
    """Without a real transition there is only what every training task says at once."""
    result = mean_returns(blind, "multitask-finetune", "test_id", fine_tune_updates=100, real_fraction=0.0)
    assert abs(result["after"] - result["before"]) < 2.5
    assert result["after"] <= best_blind_return(SPLIT, "test_id") + 0.1
