"""Compute in core-minutes of the reference machine."""

import time

import pytest

from suite.results.records import read_table
from suite.run import compute
from suite.run.compute import REFERENCE_RATE, Compute, product_rate, total


def test_minutes_are_processor_time_in_units_of_the_reference_rate(monkeypatch):
    now = iter([10.0, 70.0, 76.0])
    monkeypatch.setattr(compute.time, "process_time", lambda: next(now))
    monkeypatch.setattr(compute, "product_rate", lambda: 2 * REFERENCE_RATE)
    clock = Compute("cpu")
    assert clock.minutes() == pytest.approx(2.0)  # a minute on a core of twice the rate
    assert clock.minutes() == pytest.approx(0.2)  # what came since


def test_waiting_costs_nothing():
    clock = Compute("cpu")
    product_rate()
    clock.minutes()
    time.sleep(0.2)
    assert clock.minutes() < 0.1 / 60 * product_rate() / REFERENCE_RATE


def test_what_another_device_took_is_not_known():
    assert Compute("cuda:0").minutes() is None
    assert total([1.0, None]) is None
    assert total([1.0, 2.5]) == 3.5


def test_records_say_what_both_stages_took(tiny_experiment, run_here, tmp_path):
    folder, *_ = run_here(tiny_experiment(("pearl",)), tmp_path / "out")
    _, metadata = read_table(next(folder.glob("metatests/*/records.parquet")))
    cost, rate = metadata["cost"], metadata["provenance"]["product_rate"]
    for stage in ("train", "metatest"):
        assert 0 < cost[f"{stage}_core_minutes"] < 10 * cost[f"{stage}_wall_seconds"] / 60 * rate / REFERENCE_RATE
