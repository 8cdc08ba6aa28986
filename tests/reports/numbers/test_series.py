import math

from reports.numbers import series
from reports.reading.load import load


def test_adaptation_holds_before_the_way_and_after_in_order(tmp_path, synthetic):
    rows = [
        {"phase": "after", "update": 20, "return": 4.0}, {"phase": "during", "update": 10, "return": 3.0},
        {"phase": "during", "update": 0, "return": 2.0}, {"phase": "before", "return": 1.0},
        {"phase": "collect", "return": 99.0, "cut": True},
    ]  # fmt: skip
    synthetic.write_run(tmp_path, rows, synthetic.document())
    frame = series.adaptation(load(tmp_path), synthetic.SPLIT)
    assert list(frame["mean"]) == [1.0, 2.0, 3.0, 4.0]
    assert list(frame["update"]) == [0, 0, 10, 20]
    assert set(frame["n"]) == {1}


def test_per_task_carries_the_parameter_and_sorts_by_it(golden, synthetic):
    frame = series.per_task(load(golden), synthetic.SPLIT)
    test = frame[frame["task_list"] == "test"]
    assert list(test["parameter"]) == [2.5, 2.7]
    assert list(test["mean"]) == [25.0, 40.0]
    assert list(test["n"]) == [3, 3]


def test_a_failed_task_has_no_number_of_its_own(tmp_path, synthetic):
    synthetic.simple_run(tmp_path, "mier", 0, test=[[1.0, math.nan], [3.0]])
    frame = series.per_task(load(tmp_path), synthetic.SPLIT)
    assert list(frame["n"]) == [0, 1]


def test_in_and_out_needs_both_lists(golden, synthetic):
    synthetic.simple_run(golden, "pearl", 0, test=[[1.0]])
    frame = series.in_and_out(load(golden), synthetic.SPLIT)
    assert list(frame["variant"]) == ["mier", "mier"]
    assert list(frame["mean"]) == [32.5, 70.0]


def test_the_gain_of_a_gate_falls_back_on_the_return_before(tmp_path, synthetic):
    rows = [{"phase": "before", "return": -10.0}, {"phase": "after", "update": 5, "return": 1.0}]
    metadata = synthetic.document()
    path = synthetic.write_run(tmp_path, rows, metadata)
    synthetic.write_gate(path, metadata["run"], losses=[-5.0], threshold=-3.0, loss_name="held_out_nll")
    (row,) = series.gate(load(tmp_path), synthetic.SPLIT).to_dict("records")
    assert (row["gain"], row["baseline"]) == (11.0, "before adaptation")
    assert (row["held_out_loss"], row["gate_open"]) == (-5.0, 1.0)


def test_without_a_gate_the_gain_stands_against_the_held_out_loss_all_the_same(tmp_path, synthetic):
    path = synthetic.simple_run(tmp_path, "mier", 0, test=[[10.0], [5.0]], before=[[1.0], [1.0]])
    synthetic.write_gate(path, "mier-cheetah-velocity.hard-0", [-5.0, 4.0], threshold=None)
    results = load(tmp_path)
    frame = series.gate(results, synthetic.SPLIT)
    assert frame[["held_out_loss", "gain"]].to_numpy().tolist() == [[-5.0, 9.0], [4.0, 4.0]]
    assert frame["gate_open"].isna().all()
    assert series.open_share(results, synthetic.SPLIT) == {}


def test_no_gate_no_frame(golden, synthetic):
    assert series.gate(load(golden), synthetic.SPLIT).empty
