"""Differences from the best and probabilities against it are those of the tables, one row per other variant."""

import numpy as np
import pytest

from reports.numbers import aggregates, from_best, intervals
from reports.numbers.common import COMMON_SPLITS, common_splits, where
from reports.numbers.improvement import improvements
from reports.numbers.series import overall, profile
from reports.reading.load import load

LEVELS = {"mier": [-200.0, -210.0, -190.0], "pearl": [-300.0, -280.0, -320.0], "grbal": [-205.0, -215.0, -220.0]}
OTHER = "ant-goal.far"


@pytest.fixture
def results(tmp_path, synthetic):
    """Three variants on one split, the first two on another as well, where the second is better."""
    for variant, values in LEVELS.items():
        for seed, value in enumerate(values):
            synthetic.simple_run(tmp_path, variant, seed, test=[[value], [value - 10]])
            if variant != "grbal":
                better = value + (250 if variant == "pearl" else 0)
                synthetic.simple_run(tmp_path, variant, seed, test=[[better]], split=OTHER,
                                     training=f"o-{variant}-{seed}")  # fmt: skip
    synthetic.simple_run(tmp_path, "null", 0, test=[[-500.0]])
    return load(tmp_path)


def test_on_a_split_they_are_welchs_in_scores(results, synthetic):
    frame = from_best.differences(results, synthetic.SPLIT)
    assert list(frame["variant"]) == ["grbal", "pearl"], "the nearest first; no reference, and not the best"
    assert set(frame["other"]) == {"mier"}
    assert set(frame["measure"]) == {"score"}
    row = frame.iloc[0]
    of_seed = [
        dict(zip(f"{name}0 {name}1 {name}2".split(), np.array(LEVELS[name]) / 400)) for name in ("grbal", "mier")
    ]
    welch = intervals.difference(*of_seed)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((welch.mean, welch.low, welch.high))
    together = intervals.difference(*of_seed, intervals.Rivals(3))
    assert (row["low_all"], row["high_all"]) == pytest.approx((together.low, together.high))
    assert row["low_all"] < row["low"]


def test_over_all_splits_a_variant_that_lacks_some_is_compared_on_those_it_has(results, synthetic):
    frame = from_best.differences(results, "all splits").set_index("variant")
    assert set(frame["other"]) == {"pearl"}, "the best over all splits"
    on_one = from_best.differences(results, synthetic.SPLIT)
    expected = np.mean(LEVELS["grbal"]) - np.mean(LEVELS["pearl"])
    assert frame.loc["grbal", "mean"] == pytest.approx(expected / 400)
    assert on_one.set_index("variant").loc["pearl", "mean"] == pytest.approx(-100 / 400)
    samples = aggregates.samples(results)
    whole = aggregates.difference(samples["mier", "all splits"], samples["pearl", "all splits"], "mean")
    assert tuple(frame.loc["mier", ["mean", "low", "high"]]) == pytest.approx(whole[:3])


def test_without_a_scale_they_are_of_returns(tmp_path, synthetic):
    for variant in ("mier", "pearl"):
        split = synthetic.document()["split"] | {"references": {}}
        for seed, value in enumerate(LEVELS[variant]):
            synthetic.simple_run(tmp_path, variant, seed, test=[[value]])
            document = synthetic.document(variant, seed) | {"split": split}
            synthetic.write_run(tmp_path, [{"variant": variant, "return": value}], document)
    frame = from_best.differences(load(tmp_path), synthetic.SPLIT)
    assert frame[["variant", "mean", "measure"]].to_numpy().tolist() == [["pearl", -100.0, "return"]]


def test_chances_are_those_of_the_table(results, synthetic):
    frame = from_best.chances(results, synthetic.SPLIT)
    table = improvements(results)
    table = table[(table["split"] == synthetic.SPLIT) & (table["other"] == "mier")].set_index("variant")
    assert list(frame["variant"]) == ["grbal", "pearl"]
    for row in frame.itertuples():
        assert (row.mean, row.low, row.high) == tuple(table.loc[row.variant, ["mean", "low", "high"]])


def test_one_variant_is_compared_with_nothing(golden, synthetic):
    results = load(golden)
    assert from_best.differences(results, synthetic.SPLIT).empty
    assert from_best.chances(results, synthetic.SPLIT).empty


def test_common_splits_are_those_that_all_have_and_their_numbers_are_of_them_alone(results, synthetic):
    assert common_splits(results) == (synthetic.SPLIT,)
    assert where(results, COMMON_SPLITS) == "common splits (1 of 2)"
    for series in (overall, profile):
        common, one = (
            series(results, split).query("variant != 'null (reference)'") for split in (COMMON_SPLITS, synthetic.SPLIT)
        )
        assert set(common["variant"]) == set(LEVELS)
        np.testing.assert_array_equal(common["mean"], one["mean"])
        np.testing.assert_array_equal(common["low"], one["low"])


def test_where_all_have_all_splits_there_are_no_common_ones_apart(golden):
    results = load(golden)
    assert common_splits(results) == ()
    assert overall(results, COMMON_SPLITS).empty
    assert profile(results, COMMON_SPLITS).empty
