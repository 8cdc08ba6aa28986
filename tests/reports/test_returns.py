import math

import numpy as np
import pandas as pd
import pytest

from reports.returns import SEED_KEY, gaps, per_seed, seed_means


def frame(tasks, returns):
    keys = {"variant": "mier", "split": "a.b", "task_list": "test", "seed": 0}
    return pd.DataFrame({"task": tasks, "return": returns, **keys})


def seed_mean(tasks, returns):
    (found,) = seed_means(frame(tasks, returns)).itertuples()
    return found


def test_the_mean_is_over_episodes_first_and_tasks_second():
    found = seed_mean([0, 0, 0, 7], [1.0, 2.0, 3.0, 10.0])
    assert (found.value, found.tasks, found.episodes) == (6.0, 2, 4)  # (2 + 10) / 2, not 16 / 4


def test_one_return_that_is_no_number_makes_no_mean():
    for bad in (np.nan, np.inf):
        found = seed_mean([0, 1, 1], [1.0, bad, 2.0])
        assert math.isnan(found.value)
        assert (found.tasks, found.failed_tasks) == (2, 1)
    assert seed_means(frame([], [])).empty


def test_the_mean_does_not_depend_on_the_order_of_rows_to_the_last_bit():
    generator = np.random.default_rng(0)
    tasks, returns = generator.integers(0, 7, 500), generator.normal(0, 1e3, 500)
    expected = seed_mean(tasks, returns).value
    assert expected == pytest.approx(np.mean([returns[tasks == task].mean() for task in range(7)]))
    for _ in range(20):
        order = generator.permutation(500)
        assert seed_mean(tasks[order], returns[order]).value == expected


def test_a_task_is_a_group_of_its_own_where_one_is_asked_for():
    found = seed_means(frame([3, 3, 5], [1.0, 2.0, np.nan]), [*SEED_KEY, "task"])
    assert list(found["task"]) == [3, 5]
    assert list(found["tasks"]) == [1, 1]
    assert list(found["failed_tasks"]) == [0, 1]
    assert found["value"].iloc[0] == 1.5


def test_only_the_last_evaluation_of_the_final_checkpoint_is_the_result(synthetic):
    rows = [
        synthetic.row(**{"return": 1.0}),
        synthetic.row(**{"return": 100.0}, is_final=False, env_steps=500),
        synthetic.row(**{"return": 100.0}, phase="during", update=5),
        synthetic.row(**{"return": -3.0}, phase="before"),
        synthetic.row(**{"return": 100.0}, phase="collect"),
    ]
    (seed,) = per_seed(pd.DataFrame(rows)).to_dict("records")
    assert (seed["before"], seed["after"]) == (-3.0, 1.0)
    assert (seed["tasks"], seed["episodes"], seed["failed_tasks"]) == (1, 1, 0)


def test_the_gap_is_what_the_shift_costs_and_needs_both_lists(synthetic):
    rows = [
        synthetic.row(**{"return": -200.0}),
        synthetic.row(**{"return": -50.0}, task_list="test_id"),
        synthetic.row(**{"return": -99.0}, seed=1),
    ]
    (gap,) = gaps(per_seed(pd.DataFrame(rows))).to_dict("records")
    assert (gap["seed"], gap["gap"]) == (0, 150.0)
