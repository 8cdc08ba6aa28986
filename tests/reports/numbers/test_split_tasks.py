"""The tasks of a split are those in the records' metadata."""

import numpy as np
import pytest

from reports.numbers import split_tasks
from reports.reading.load import load


def frame(folder, synthetic, **said):
    document = synthetic.document()
    synthetic.write_run(folder, [{"return": 1.0}], document | {"split": document["split"] | said})
    return split_tasks.tasks(load(folder), synthetic.SPLIT)


def test_quantiles_keep_their_shares(tmp_path, synthetic):
    parameters = [{"name": "mass", "unit": "x nominal", "low": 0, "high": None, "size": 9}]
    tasks = frame(tmp_path, synthetic, parameters=parameters, tasks={"train": {"mass": [0.5, 0.8, 1.0, 1.2, 1.5]}})
    assert list(tasks["share"]) == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(tasks["value"], [0.5, 0.8, 1.0, 1.2, 1.5])
    assert tasks["task"].isna().all()


def test_elements_belong_to_their_parameters(tmp_path, synthetic):
    parameters = [{"name": "goal", "unit": "m", "size": 2}, {"name": "speed", "unit": "m/s"}]
    tasks = frame(tmp_path, synthetic, parameters=parameters, tasks={"test": [[1, 2, 3], [4, 5, 6]]})
    rows = list(tasks[["parameter", "task", "element", "value"]].itertuples(index=False, name=None))
    assert rows == [
        ("goal", 0, 0, 1.0), ("goal", 0, 1, 2.0), ("goal", 1, 0, 4.0), ("goal", 1, 1, 5.0),
        ("speed", 0, 0, 3.0), ("speed", 1, 0, 6.0),
    ]  # fmt: skip


@pytest.mark.parametrize("tasks", [{"train": 5}, {"train": [["a"]]}, {"train": [[1.0], []]}, {"train": {"x": [1]}}])
def test_a_document_of_another_shape_has_no_tasks(tmp_path, synthetic, tasks):
    assert frame(tmp_path, synthetic, parameters=[{"name": "speed", "unit": "m/s"}], tasks=tasks).empty


def test_without_lists_of_tasks_those_of_old_records_count(tmp_path, synthetic):
    tasks = frame(tmp_path, synthetic, parameters=[{"name": "speed", "unit": "m/s"}], tasks=3)
    assert list(tasks.loc[tasks["task_list"] == "test", "value"]) == [2.5, 2.7]
