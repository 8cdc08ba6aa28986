import math

import numpy as np
import pandas as pd
import pytest

from reports import metrics


def test_the_mean_is_over_episodes_first_and_tasks_second():
    tasks, returns = np.array([0, 0, 0, 7]), np.array([1.0, 2.0, 3.0, 10.0])
    assert metrics.mean_return(tasks, returns) == 6.0  # (2 + 10) / 2, not 16 / 4


def test_one_return_that_is_no_number_makes_no_mean():
    assert math.isnan(metrics.mean_return(np.array([0, 1]), np.array([1.0, np.nan])))
    assert math.isnan(metrics.mean_return(np.array([0, 1]), np.array([1.0, np.inf])))
    assert math.isnan(metrics.mean_return(np.array([]), np.array([])))


def test_the_mean_does_not_depend_on_the_order_of_rows_to_the_last_bit():
    generator = np.random.default_rng(0)
    tasks, returns = generator.integers(0, 7, 500), generator.normal(0, 1e3, 500)
    expected = metrics.mean_return(tasks, returns)
    for _ in range(20):
        order = generator.permutation(500)
        assert metrics.mean_return(tasks[order], returns[order]) == expected


@pytest.mark.parametrize(
    ("value", "null", "ceiling", "score"),
    [(-300.0, -500.0, -100.0, 0.5), (-500.0, -500.0, -100.0, 0.0), (-700.0, -500.0, -100.0, -0.5)],
)
def test_the_score_is_zero_at_the_zero_action_and_one_at_the_declared_best(value, null, ceiling, score):
    assert metrics.normalised_score(value, null, ceiling) == score


def test_there_is_no_score_without_both_references():
    assert math.isnan(metrics.normalised_score(1.0, 0.0, None))
    assert math.isnan(metrics.normalised_score(1.0, None, 1.0))
    assert math.isnan(metrics.normalised_score(1.0, 2.0, 2.0))


def test_only_the_last_evaluation_of_the_final_checkpoint_is_the_result(synthetic):
    rows = [
        synthetic.row(**{"return": 1.0}),
        synthetic.row(**{"return": 100.0}, is_final=False, env_steps=500),
        synthetic.row(**{"return": 100.0}, phase="during", update=5),
        synthetic.row(**{"return": -3.0}, phase="before"),
        synthetic.row(**{"return": 100.0}, phase="collect"),
    ]
    (seed,) = metrics.per_seed(pd.DataFrame(rows)).to_dict("records")
    assert (seed["before"], seed["after"], seed["gain"]) == (-3.0, 1.0, 4.0)
    assert (seed["tasks"], seed["episodes"], seed["failed_tasks"]) == (1, 1, 0)


def test_the_gap_is_what_the_shift_costs_and_needs_both_lists(synthetic):
    rows = [
        synthetic.row(**{"return": -200.0}),
        synthetic.row(**{"return": -50.0}, task_list="test_id"),
        synthetic.row(**{"return": -99.0}, seed=1),
    ]
    (gap,) = metrics.gaps(metrics.per_seed(pd.DataFrame(rows))).to_dict("records")
    assert (gap["seed"], gap["gap"]) == (0, 150.0)
