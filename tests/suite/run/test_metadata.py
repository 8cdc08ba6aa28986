"""What records say of their split: the same as ever of most, and more of those that differ."""

import pytest

from suite.results.layout import metatest_folders
from suite.results.records import read_table

OWN = {
    "family": "point-goal", "name": "mine", "shift": "out_of_distribution", "adaptation_transitions": 40,
    "train": {"values": [0.0, 1.0, 2.0]}, "test": {"values": [0.5, 1.5]}, "support": "listed",
}  # fmt: skip
TUNING = OWN | {
    "name": "near", "train": {"uniform": [0.0, 1.0], "number": 9, "seed": 1}, "support": None,
    "test": {"values": [1.4]}, "tunes": ["ood"],
}  # fmt: skip
DRAWS = {
    "family": "point-goal", "name": "draws", "shift": "same_tasks", "adaptation_transitions": 40,
    "train": {"values": [1.0, 4.0]}, "test": {"values": [1.0, 4.0, 4.0, 1.0]},
}  # fmt: skip
USUAL = {
    "full_name", "hash", "shift", "description", "drawn", "axis", "axis_unit", "train_axis_values", "test_lists",
    "parameters", "tasks", "test_id_is_train", "adaptation_transitions", "references",
}  # fmt: skip


@pytest.mark.parametrize(("name", "own", "more"), [
    ("ood", [], {}),
    ("tuning", [], {"role": "tuning", "tunes": ["standard", "ood"]}),
    ("near", [TUNING], {"role": "tuning", "tunes": ["ood"]}),
    ("mine", [OWN], {"remarks": ["the training distribution is the training list alone: tasks in test lie between "
                                 "its values, not beyond"]}),
    ("draws", [DRAWS], {"remarks": ["test holds each of its 2 tasks 2 times, for other adaptation data"]}),
])  # fmt: skip
def test_a_split_says_what_is_unusual_about_it(tiny_experiment, run_here, tmp_path, name, own, more):
    (folder,) = run_here(tiny_experiment(("null",), split=f"point-goal.{name}", own_splits=own), tmp_path)
    (below,) = metatest_folders(folder)
    split = read_table(below / "records.parquet")[1]["split"]
    assert {key: value for key, value in split.items() if key not in USUAL} == more
    assert set(split) >= USUAL
    assert (split["references"]["null"] is None) == bool(own)


FURTHER = OWN | {
    "name": "further", "support": None,
    "train": {"normal": {"mean": 1, "std": 1, "within": [0, 2]}, "number": 9, "seed": 1},
    "test": {"grid": [[2.5, 3], [4, 4.5]], "number": 2}, "extra": {"far": {"values": [5.5]}},
}  # fmt: skip


def test_further_lists_are_tested_where_the_protocol_names_them(tiny_experiment, run_here, tmp_path):
    protocol = {"task_lists": ["test", "far"]}
    experiment = tiny_experiment(("null",), split="point-goal.further", own_splits=[FURTHER], protocol=protocol)
    (folder,) = run_here(experiment, tmp_path)
    (below,) = metatest_folders(folder)
    table, metadata = read_table(below / "records.parquet")
    assert {*zip(table["task_list"].to_pylist(), table["parameter"].to_pylist())} == {
        ("test", 2.5), ("test", 3.0), ("test", 4.0), ("test", 4.5), ("far", 5.5)}  # fmt: skip
    assert "train 9 of N(1, 1) within 0 to 2, seed 1" in metadata["split"]["drawn"]
    assert metadata["split"]["tasks"]["far"] == [[5.5]]
