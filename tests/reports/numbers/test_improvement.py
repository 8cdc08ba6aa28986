import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.numbers import intervals
from reports.numbers.improvement import improvements, probability_of_improvement
from reports.numbers.tables import improvement_table
from reports.reading.load import load


def returns(values, name="t"):
    """Returns (meta-training, task) on one split."""
    return {"a.b": pd.DataFrame(values, index=[f"{name}{seed}" for seed in range(len(values))])}


def test_by_hand_with_ties_counting_half():
    # Task 0: 1 and 2 against 1: a tie and a win, 0.75. Task 1: 0 and 5 against 3: 0.5.
    found = probability_of_improvement(returns([[1.0, 0.0], [2.0, 5.0]]), returns([[1.0, 3.0]], "u"))
    assert found.mean == pytest.approx((0.75 + 0.5) / 2)
    assert (found.n, found.method) == (1, "")


def test_it_is_mann_whitneys_statistic_averaged_over_tasks():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.5, 1, (6, 3)), generator.normal(0, 1, (4, 3))
    found = probability_of_improvement(returns(a), returns(b, "u"))
    expected = stats.mannwhitneyu(a, b, axis=0).statistic / 24
    assert found.mean == pytest.approx(np.mean(expected))
    assert 0 <= found.low < found.mean < found.high <= 1
    assert found.n == 4


def test_only_tasks_that_both_have_are_compared():
    first = {"a.b": pd.DataFrame([[1.0, 9.0]], index=["t0"], columns=[0, 1])}
    second = {"a.b": pd.DataFrame([[2.0, 0.0]], index=["u0"], columns=[0, 7])}
    assert probability_of_improvement(first, second).mean == 0.0


def test_the_interval_is_wilsons_with_the_seeds_as_its_number():
    # All of 5 seeds better: 5 / (5 + 1.96^2) is the lower end, and none of zero width.
    high, low = np.full((5, 30), 1.0), np.zeros((7, 30))
    found = probability_of_improvement(returns(high), returns(low, "u"))
    assert (found.mean, found.low, found.high) == (1.0, pytest.approx(5 / (5 + 1.96**2), rel=1e-4), 1.0)
    assert found.method == intervals.WILSON
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert intervals.wilson(0.8, 10) == pytest.approx((expected.low, expected.high))


def test_splits_of_their_own_meta_trainings_add_up_and_shared_ones_do_not():
    table = returns(np.array([[1.0], [2.0], [3.0]]))["a.b"]
    lower, other, elsewhere = table - 5, table.rename(index=lambda name: f"x{name}"), table.rename(index=str.upper)
    shared = probability_of_improvement({"a.b": table, "c.d": table}, {"a.b": lower, "c.d": other - 5})
    apart = probability_of_improvement({"a.b": table, "c.d": elsewhere}, {"a.b": lower, "c.d": other - 5})
    assert shared.low == pytest.approx(intervals.wilson(1.0, 3)[0])
    assert apart.low == pytest.approx(intervals.wilson(1.0, 6)[0])


def test_the_table_has_every_pair_both_ways_and_no_references(golden, synthetic):
    for seed in (0, 1):
        synthetic.simple_run(golden, "pearl", seed, test=[[12.0 + seed, 12.0], [100.0]])
    synthetic.simple_run(golden, "null", 0, test=[[0.0], [0.0]])
    table = improvement_table(load(golden)).set_index(["variant", "other"])
    assert set(table.index) == {("mier", "pearl"), ("pearl", "mier")}
    # Task 0: 15, 25, 35 all above 12 and 12.5; task 1: 30, 40, 50 all below 100.
    assert table.loc[("mier", "pearl"), "mean"] == 0.5
    assert table.loc[("pearl", "mier"), "text"] == "0.500 [0.095, 0.905], n = 2"


def test_the_other_way_round_is_the_complement(tmp_path, synthetic):
    for seed in range(4):
        synthetic.simple_run(tmp_path, "mier", seed, test=[[10.0 * seed + 6]])
        synthetic.simple_run(tmp_path, "pearl", seed, test=[[10.0 * seed]])
    there, back = (row for row in improvements(load(tmp_path)).sort_values("variant").itertuples())
    assert there.low < there.mean < there.high
    assert (back.mean, back.low, back.high) == pytest.approx((1 - there.mean, 1 - there.high, 1 - there.low))


def test_over_all_splits_each_split_weighs_the_same(tmp_path, synthetic):
    for split, mine, theirs in (("a.b", 1.0, 0.0), ("c.d", 0.0, 1.0), ("e.f", 2.0, 1.0)):
        synthetic.simple_run(tmp_path, "mier", 0, test=[[mine]] * (3 if split == "a.b" else 1), split=split)
        synthetic.simple_run(tmp_path, "pearl", 0, test=[[theirs]] * (3 if split == "a.b" else 1), split=split)
    table = improvements(load(tmp_path)).set_index(["variant", "split"])["mean"]
    assert table["mier", "a.b"] == 1.0
    assert table["mier", "all splits"] == pytest.approx(2 / 3)
    assert table["pearl", "all splits"] == pytest.approx(1 / 3)
