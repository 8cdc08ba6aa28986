import math

import numpy as np
import pytest

from reports.numbers import series, training_curves
from reports.reading.load import load
from suite.results.records import METRICS_SCHEMA, write_table


def test_checkpoints_are_compared_on_the_same_tasks_and_updates(tmp_path, synthetic):
    # The checkpoint on the way: task 0 only, 10 updates. The final one: tasks 0 and 1, evaluated at 10 and at 20.
    rows = [
        {"env_steps": 500, "is_final": False, "task": 0, "phase": "after", "update": 10, "return": 1.0},
        {"env_steps": 1000, "task": 0, "phase": "during", "update": 10, "return": 2.0},
        {"env_steps": 1000, "task": 0, "phase": "after", "update": 20, "return": 50.0},
        {"env_steps": 1000, "task": 1, "phase": "during", "update": 10, "return": 60.0},
        {"env_steps": 1000, "task": 1, "phase": "after", "update": 20, "return": 70.0},
    ]
    synthetic.write_run(tmp_path, rows, synthetic.document())
    frame = training_curves.checkpoints(load(tmp_path), synthetic.SPLIT, "test")
    assert list(frame["mean"]) == [1.0, 2.0]
    assert list(frame["env_steps"]) == [500, 1000]
    assert (set(frame["update"]), set(frame["tasks"])) == ({10}, {1})


def test_checkpoints_are_compared_after_the_most_updates_that_all_have(tmp_path, synthetic):
    rows = [
        {"env_steps": steps, "is_final": steps == 2, "phase": phase, "update": update, "return": steps + update}
        for steps in (1, 2) for phase, update in (("during", 10), ("after", 20))
    ]  # fmt: skip
    synthetic.write_run(tmp_path, rows, synthetic.document())
    assert list(training_curves.checkpoints(load(tmp_path), synthetic.SPLIT, "test")["mean"]) == [21.0, 22.0]


def test_a_checkpoint_without_a_time_of_its_own_is_not_on_the_clock(tmp_path, synthetic):
    rows = [{"env_steps": steps, "is_final": steps == 1000, "return": 1.0} for steps in (500, 1000)]
    synthetic.write_run(tmp_path, rows, synthetic.document())  # its document is that of 1000 steps
    assert list(training_curves.wall_time(load(tmp_path), synthetic.SPLIT)["env_steps"]) == [1000]


def test_one_checkpoint_is_no_curve(golden, synthetic):
    assert training_curves.checkpoints(load(golden), synthetic.SPLIT, "test").empty


def metric_rows(synthetic, training, seed, steps, values):
    return [
        {"training": training, "algorithm": "mier", "split": synthetic.SPLIT, "seed": seed, "env_steps": step,
         "wall_seconds": 0.0, "name": name, "value": value}
        for step, value in zip(steps, values) for name, value in (("return", value), ("q_loss", 1e9))
    ]  # fmt: skip


def test_training_curves_are_averaged_over_seeds_on_the_shared_range(golden, synthetic):
    rows = metric_rows(synthetic, "t-mier-0", 0, [0, 10, 20], [0.0, 10.0, 20.0])
    rows += metric_rows(synthetic, "t-mier-1", 1, [10, 20, 30], [30.0, 40.0, 1e6])
    write_table(golden / "metrics.parquet", rows, METRICS_SCHEMA, {})
    frame = training_curves.training(load(golden), synthetic.SPLIT)
    assert list(frame["env_steps"]) == [10.0, 20.0]
    assert list(frame["mean"]) == [20.0, 30.0]
    assert list(frame["n"]) == [2, 2]


def test_long_training_curves_are_averaged_in_windows(golden, synthetic):
    steps = list(range(0, 1000))
    write_table(
        golden / "metrics.parquet", metric_rows(synthetic, "t-mier-0", 0, steps, [float(s) for s in steps]),
        METRICS_SCHEMA, {},
    )  # fmt: skip
    frame = training_curves.training(load(golden), synthetic.SPLIT)
    assert len(frame) == training_curves.WINDOWS
    inner = frame.iloc[1:-1]
    assert np.abs(inner["mean"] - inner["env_steps"]).max() < 1.0


def test_variants_that_share_a_training_share_its_curve(tmp_path, synthetic):
    for variant in ("mier-wr", "mier"):
        synthetic.simple_run(tmp_path, variant, 0, test=[[1.0]], training="shared")
    rows = metric_rows(synthetic, "shared", 0, [0, 1], [1.0, math.nan])
    write_table(tmp_path / "metrics.parquet", rows, METRICS_SCHEMA, {})
    frame = training_curves.training(load(tmp_path), synthetic.SPLIT)
    assert list(frame["variant"]) == ["mier / mier-wr"]  # the point that is no number is left out
    assert list(frame["mean"]) == [1.0]


@pytest.mark.parametrize("make", [training_curves.training, training_curves.sample_efficiency, series.adaptation,
                                  series.per_task, series.in_and_out, series.gate])  # fmt: skip
def test_every_series_is_empty_where_nothing_was_run(tmp_path, synthetic, make):
    synthetic.write_cells(tmp_path, [("mier", synthetic.SPLIT, 0, None, "pending", None)])
    assert make(load(tmp_path), synthetic.SPLIT).empty
