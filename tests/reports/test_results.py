"""Results answer for what stands in them: documents of runs and splits, seeds, and looks."""

import pandas as pd
import pytest

from reports import style
from reports.reading.load import load
from reports.results import named_rows, precision, value_at


def test_a_value_in_nested_documents():
    document = {"a": {"b": 1}, "c": None}
    assert value_at(document, "a", "b") == 1
    assert value_at(document, "a", "x") is value_at(document, "c", "b") is value_at(None, "a") is None
    assert value_at("text", "a") is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [({"config": {"train": {"precision": "bf16"}}, "provenance": {"precision": "fp32"}}, "bf16"),
     ({"provenance": {"precision": "fp32"}}, "fp32"), ({}, None)],
)  # fmt: skip
def test_the_precision_of_a_training_counts_before_that_of_its_host(document, expected):
    assert precision(document) == expected


def test_rows_are_named_by_their_columns():
    (row,) = named_rows(pd.DataFrame({"variant": ["mier"], "n": [3]}))
    assert (row.variant, row.n) == ("mier", 3)


def test_a_split_is_described_by_the_first_run_that_says_anything(tmp_path, synthetic):
    for seed, description in ((0, None), (1, "the first"), (2, "another")):
        document = synthetic.document(seed=seed)
        split = None if description is None else document["split"] | {"description": description}
        synthetic.write_run(tmp_path, [{"return": 1.0}], document | {"split": split})
    results = load(tmp_path)
    assert results.split_document(synthetic.SPLIT)["description"] == "the first"
    assert results.split_document("no split") == {}


def test_looks_are_those_of_the_grid_and_else_of_the_label(golden):
    results = load(golden)
    assert results.look("mier") == style.LOOKS["mier"]
    assert results.look("never run") == style.look("never run")


def test_the_results_of_seeds_are_worked_out_once(golden):
    results = load(golden)
    assert results.seeds is results.seeds
    assert list(results.seeds.loc[results.seeds["task_list"] == "test", "after"]) == [22.5, 32.5, 42.5]
